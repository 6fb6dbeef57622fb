//! systemd's journal, as `journalctl -o json --follow` prints it. The cursor of the last entry that is durable in the
//! queue is kept, so a restart goes on after it; an entry may come twice after a crash, none is left out.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStdout, Command},
};
use tokio_util::sync::CancellationToken;

use super::{framing::Framing, inlet::Inlet, json, normalise::Form, queue::block::Draft, queue::state};

/// How often the cursor is kept while entries arrive.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// How long until a journal that ended is followed again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ: usize = 64 << 10;

/// Gives the journal as JSON lines.
pub trait Journal: Send {
    /// What it is read from.
    type Output: AsyncRead + Unpin + Send;

    /// Begins after the entry with this cursor, or with what is written from now on.
    fn follow(&mut self, after: Option<&str>) -> io::Result<Self::Output>;
}

/// The machine's own journal.
#[derive(Debug, Default)]
pub struct Journalctl {
    child: Option<Child>,
}

impl Journal for Journalctl {
    type Output = ChildStdout;

    fn follow(&mut self, after: Option<&str>) -> io::Result<ChildStdout> {
        let mut command = Command::new("journalctl");
        command.args(["--output=json", "--follow", "--no-pager", "--quiet"]);
        match after {
            Some(cursor) => command.arg(format!("--after-cursor={cursor}")).arg("--no-tail"),
            None => command.arg("--lines=0"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        self.child = Some(child);
        Ok(output)
    }
}

/// Follows a journal until `shutdown`; the cursor is kept in `kept`.
pub async fn follow(mut journal: impl Journal, inlet: Inlet, kept: PathBuf, shutdown: CancellationToken) {
    let mut cursor = load(&kept);
    while !shutdown.is_cancelled() {
        match journal.follow(cursor.as_deref()) {
            Ok(output) => read(output, &inlet, &kept, &mut cursor, &shutdown).await,
            Err(error) => tracing::warn!(%error, "the journal cannot be followed"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}

fn load(kept: &Path) -> Option<String> {
    match state::content(kept) {
        Ok(text) => text.and_then(|text| String::from_utf8(text).ok()),
        Err(error) => {
            tracing::warn!(%error, "the journal's cursor cannot be read");
            None
        }
    }
}

async fn read(
    mut output: impl AsyncRead + Unpin,
    inlet: &Inlet,
    kept: &Path,
    cursor: &mut Option<String>,
    shutdown: &CancellationToken,
) {
    let mut framing = Framing::new(inlet.longest());
    let mut buffer = vec![0; READ];
    let mut draft = Draft::default();
    let mut tick = tokio::time::interval(KEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unkept = None;
    loop {
        inlet.room().await;
        let ended = tokio::select! {
            () = shutdown.cancelled() => true,
            _ = tick.tick() => {
                keep(inlet, kept, &mut unkept).await;
                continue;
            }
            count = output.read(&mut buffer) => match count {
                Ok(count) if count > 0 => {
                    let received = inlet.now();
                    let before = framing.counted();
                    framing.push(&buffer[..count], |line, cut| {
                        inlet.draft(&mut draft, Form::Journal, "journal", received, line, cut);
                        *cursor = cursor_of(line).or(cursor.take());
                    });
                    inlet.framed(before, framing.counted());
                    let end = inlet.append_patiently(&mut draft).await;
                    unkept = cursor.clone().map(|cursor| (cursor, end));
                    false
                }
                _ => true,
            },
        };
        if ended {
            keep(inlet, kept, &mut unkept).await;
            return;
        }
    }
}

/// Keeps the cursor of what is durable.
async fn keep(inlet: &Inlet, kept: &Path, unkept: &mut Option<(String, u64)>) {
    let Some((cursor, end)) = unkept.take() else { return };
    if let Err(error) = inlet.queue().durable(end).await {
        tracing::warn!(%error, "the journal's entries are not durable yet");
        *unkept = Some((cursor, end));
        return;
    }
    let path = kept.to_owned();
    let saved = tokio::task::spawn_blocking(move || state::replace(&path, cursor.as_bytes())).await;
    if let Ok(Err(error)) = saved {
        tracing::warn!(%error, "the journal's cursor cannot be kept");
    }
}

/// The cursor of an entry.
fn cursor_of(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let mut found = None;
    // An entry that was cut has its cursor before the cut: it is the first of its fields.
    let _ = json::each(line, |path, value, _| {
        if path == "__CURSOR" {
            found = Some(value.to_owned());
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use sent_core::clock::SystemClock;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::intake::queue::{Limits, Queue};

    /// A journal that is written by the test.
    struct Written(Vec<tokio::io::DuplexStream>, tokio::sync::mpsc::UnboundedSender<Option<String>>);

    impl Journal for Written {
        type Output = tokio::io::DuplexStream;

        fn follow(&mut self, after: Option<&str>) -> io::Result<Self::Output> {
            self.1.send(after.map(str::to_owned)).unwrap();
            self.0.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    #[tokio::test]
    async fn goes_on_after_what_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let queue = Queue::open(&folder.path().join("queue"), Limits::default(), &clock).unwrap();
        let inlet = Inlet::new(queue.clone(), clock, 64 << 10);
        let kept = folder.path().join("journal.state");
        for (asked, cursor) in [(None, "s=1;i=2"), (Some("s=1;i=2"), "s=1;i=3")] {
            let (mut writer, reader) = tokio::io::duplex(4_096);
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let shutdown = CancellationToken::new();
            let following =
                tokio::spawn(follow(Written(vec![reader], tell), inlet.clone(), kept.clone(), shutdown.clone()));
            assert_eq!(told.recv().await.unwrap().as_deref(), asked);
            let entry = format!("{{\"__CURSOR\":\"{cursor}\",\"MESSAGE\":\"m\"}}\n");
            writer.write_all(entry.as_bytes()).await.unwrap();
            drop(writer);
            while load(&kept).as_deref() != Some(cursor) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            shutdown.cancel();
            following.await.unwrap();
        }
        assert_eq!(queue.stats().appended, 2);
    }
}
