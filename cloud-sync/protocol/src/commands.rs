//! Commands on the box: each id runs at most once, and not after it ended.
//!
//! The memory of commands is a value the agent stores before it acts upon it: a command is `running` on disk before its
//! handler is called, so a crash in the middle leaves it `failed`, never run twice. What the cloud has not acknowledged
//! is reported again.
use crate::{Command, CommandPhase, CommandState, Micros};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How long a command is remembered after it ended, in case an old request shows it again: 7 days, in microseconds.
const MEMORY: Micros = 7 * 86_400_000_000;

/// What the box knows of the commands it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    known: BTreeMap<Uuid, Known>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    state: CommandState,
    expires_at: Micros,
    /// The last state the cloud has acknowledged.
    reported: Option<CommandPhase>,
}

impl Commands {
    /// Takes what the cloud wants at `now` (corrected to the cloud's clock) and returns what is to be run. Those are
    /// marked `running`: store this value before running them.
    pub fn offer(&mut self, commands: Vec<Command>, now: Micros) -> Vec<Command> {
        self.known.retain(|_, known| {
            known.reported != Some(known.state.state) || known.expires_at.saturating_add(MEMORY) > now
        });
        let mut run = Vec::new();
        for command in commands {
            if let Some(known) = self.known.get_mut(&command.id) {
                // The cloud still asks, so it has not taken what was reported (or was itself restored): say it again.
                known.reported = None;
                continue;
            }
            let late = command.expires_at <= now;
            let state = if late { CommandPhase::Expired } else { CommandPhase::Running };
            let result = late.then(|| "came too late and was not run".to_string());
            let state = CommandState { id: command.id, state, result, at: now };
            self.known.insert(command.id, Known { state, expires_at: command.expires_at, reported: None });
            if !late {
                run.push(command);
            }
        }
        run
    }

    /// A handler has ended.
    pub fn finish(&mut self, id: Uuid, outcome: Result<String, String>, now: Micros) {
        if let Some(known) = self.known.get_mut(&id).filter(|k| !k.state.state.is_final()) {
            let (state, result) = match outcome {
                Ok(result) => (CommandPhase::Done, result),
                Err(cause) => (CommandPhase::Failed, cause),
            };
            known.state = CommandState { id, state, result: Some(result).filter(|r| !r.is_empty()), at: now };
        }
    }

    /// After a start of the program: whatever ran when it stopped will not run again. Returns the commands that were
    /// cut off.
    pub fn interrupted(&mut self, now: Micros) -> Vec<Uuid> {
        let cut: Vec<Uuid> =
            self.known.values().filter(|k| k.state.state == CommandPhase::Running).map(|k| k.state.id).collect();
        for id in &cut {
            self.finish(*id, Err("the box stopped while it ran".into()), now);
        }
        cut
    }

    /// States the cloud has not acknowledged.
    pub fn unreported(&self) -> Vec<CommandState> {
        self.known.values().filter(|k| k.reported != Some(k.state.state)).map(|k| k.state.clone()).collect()
    }

    /// The cloud has acknowledged these.
    pub fn acknowledge(&mut self, states: &[CommandState]) {
        for state in states {
            if let Some(known) = self.known.get_mut(&state.id) {
                known.reported = Some(state.state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::collections::HashMap;

    fn command(id: u128, expires_at: Micros) -> Command {
        Command { id: Uuid::from_u128(id), kind: "identify".into(), arguments: Value::Null, expires_at }
    }

    #[test]
    fn an_id_runs_once_and_is_reported_until_acknowledged() {
        let mut commands = Commands::default();
        assert_eq!(commands.offer(vec![command(1, 100)], 10).len(), 1);
        assert_eq!(commands.offer(vec![command(1, 100)], 11), []);
        commands.finish(Uuid::from_u128(1), Ok("blinked".into()), 12);
        let states = commands.unreported();
        assert_eq!((states[0].state, states[0].result.as_deref()), (CommandPhase::Done, Some("blinked")));
        commands.acknowledge(&states);
        assert_eq!(commands.unreported(), []);
    }

    #[test]
    fn late_ones_expire_and_interrupted_ones_fail() {
        let mut commands = Commands::default();
        assert_eq!(commands.offer(vec![command(1, 100), command(2, 500)], 100), [command(2, 500)]);
        let mut after_crash: Commands = serde_json::from_value(serde_json::to_value(&commands).unwrap()).unwrap();
        assert_eq!(after_crash.interrupted(200), [Uuid::from_u128(2)]);
        assert_eq!(after_crash.offer(vec![command(1, 100), command(2, 500)], 300), []);
        let phases: Vec<_> = after_crash.unreported().iter().map(|s| s.state).collect();
        assert_eq!(phases, [CommandPhase::Expired, CommandPhase::Failed]);
    }

    proptest! {
        /// However often, late and in whatever order the cloud asks, and wherever the box crashes.
        #[test]
        fn at_most_once(steps in prop::collection::vec((0u128..5, 0i64..2_000_000_000_000, 0u8..4), 0..60)) {
            let mut commands = Commands::default();
            let mut runs: HashMap<u128, u32> = HashMap::new();
            let mut now = 0;
            for (id, later, what) in steps {
                now += later / 10;
                match what {
                    // The cloud forgets a command at its end; here it offers those that have not ended.
                    0 | 1 => {
                        let expires_at = 1_000_000_000_000 * (id as i64 + 1);
                        for run in commands.offer(vec![command(id, expires_at)], now) {
                            prop_assert!(run.expires_at > now);
                            *runs.entry(id).or_default() += 1;
                        }
                    }
                    2 => commands.finish(Uuid::from_u128(id), Ok(String::new()), now),
                    _ => {
                        let states = commands.unreported();
                        commands.acknowledge(&states);
                        commands.interrupted(now);
                    }
                }
            }
            prop_assert!(runs.values().all(|n| *n == 1));
        }
    }
}
