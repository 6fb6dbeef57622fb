//! Handlers of commands, and their running: at most once each, with the state on disk before and after.
use crate::{Ledger, LedgerError};
use sent_core::{clock::SharedClock, engine::BoxFuture};
use sent_protocol::{Command, CommandState, Micros, commands::Commands};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{Mutex, Notify};

/// Name of the fact the memory of commands is kept under.
const KEY: &str = "sync.commands";

type Handler = Arc<dyn Fn(Value) -> BoxFuture<Result<String, String>> + Send + Sync>;

/// Handlers by kind of command.
#[derive(Clone, Default)]
pub struct Handlers {
    by_kind: BTreeMap<&'static str, Handler>,
}

impl Handlers {
    /// Says what a kind of command does. Its answer, good or bad, is shown to the person who sent it.
    pub fn on<F, T>(mut self, kind: &'static str, handler: F) -> Handlers
    where
        F: Fn(Value) -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.by_kind.insert(kind, Arc::new(move |arguments| Box::pin(handler(arguments))));
        self
    }
}

/// The memory of commands, on disk in the ledger.
pub(crate) struct Runner<L> {
    ledger: Arc<L>,
    clock: SharedClock,
    handlers: Handlers,
    memory: Arc<Mutex<Commands>>,
    /// Rung when a command has ended, so that it is reported at once.
    ended: Arc<Notify>,
}

impl<L: Ledger> Runner<L> {
    /// Reads what is known; what ran when the program stopped has failed.
    pub async fn load(
        ledger: Arc<L>,
        clock: SharedClock,
        handlers: Handlers,
        ended: Arc<Notify>,
    ) -> Result<Runner<L>, LedgerError> {
        let mut memory: Commands = match ledger.get(KEY).await? {
            Some(text) => serde_json::from_str(&text).map_err(|e| LedgerError(format!("{KEY} cannot be read: {e}")))?,
            None => Commands::default(),
        };
        if !memory.interrupted(clock.now().0).is_empty() {
            keep(&*ledger, &memory).await?;
        }
        Ok(Runner { ledger, clock, handlers, memory: Arc::new(Mutex::new(memory)), ended })
    }

    /// Takes commands and runs the new ones, each on a task of its own. `skew` is the cloud's clock less ours.
    pub async fn take(&self, commands: Vec<Command>, skew: Micros) -> Result<(), LedgerError> {
        let mut memory = self.memory.lock().await;
        let mut after = memory.clone();
        let run = after.offer(commands, self.clock.now().0.saturating_add(skew));
        if after != *memory {
            keep(&*self.ledger, &after).await?;
            *memory = after;
        }
        drop(memory);
        for command in run {
            self.spawn(command);
        }
        Ok(())
    }

    fn spawn(&self, command: Command) {
        let (ledger, clock, memory, ended) =
            (self.ledger.clone(), self.clock.clone(), self.memory.clone(), self.ended.clone());
        let handler = self.handlers.by_kind.get(command.kind.as_str()).cloned();
        tokio::spawn(async move {
            tracing::info!(id = %command.id, kind = command.kind, "command begins");
            let outcome = match handler {
                // On a task of its own: a handler that panics has failed, and takes nothing with it.
                Some(handler) => tokio::spawn(handler(command.arguments))
                    .await
                    .unwrap_or_else(|_| Err("it broke off; see the box's log".into())),
                None => Err(format!("this box does not know the command {}", command.kind)),
            };
            let mut memory = memory.lock().await;
            memory.finish(command.id, outcome, clock.now().0);
            if let Err(error) = keep(&*ledger, &memory).await {
                tracing::error!(%error, id = %command.id, "the end of a command could not be kept");
            }
            drop(memory);
            ended.notify_one();
        });
    }

    /// States the cloud has not acknowledged.
    pub async fn unreported(&self) -> Vec<CommandState> {
        self.memory.lock().await.unreported()
    }

    /// The cloud has acknowledged these.
    pub async fn acknowledge(&self, states: &[CommandState]) -> Result<(), LedgerError> {
        if states.is_empty() {
            return Ok(());
        }
        let mut memory = self.memory.lock().await;
        memory.acknowledge(states);
        keep(&*self.ledger, &memory).await
    }
}

async fn keep<L: Ledger>(ledger: &L, memory: &Commands) -> Result<(), LedgerError> {
    let text = serde_json::to_string(memory).map_err(|e| LedgerError(e.to_string()))?;
    ledger.put(KEY, text).await
}
