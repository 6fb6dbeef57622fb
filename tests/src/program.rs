//! Programs as children.
//!
//! Each runs in a process group of its own, writes into a log file, and is killed by the kernel when the thread that
//! started it ends (`PR_SET_PDEATHSIG`): start programs from the test's own thread, never from a task.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, User},
};
use tokio::time::Instant;

/// Who waits for a program to end looks so often.
const LOOK: Duration = Duration::from_millis(20);

/// A program that is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    user: Option<String>,
}

impl Launch {
    /// This program.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), variables: Vec::new(), user: None }
    }

    /// With these arguments behind the others.
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With an environment variable.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// As another user, when this is root: some servers refuse to run as root.
    pub fn unprivileged(mut self, user: &str) -> Self {
        if is_root() {
            self.user = Some(user.to_owned());
        }
        self
    }

    fn command(&self, dies_with_us: bool) -> Result<Command> {
        let mut command = Command::new("setpriv");
        if dies_with_us {
            command.args(["--pdeathsig", "SIGKILL"]);
        }
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
            let home = User::from_name(user)?.with_context(|| format!("there is no user {user}"))?.dir;
            command.env("HOME", home);
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir("/").process_group(0);
        Ok(command)
    }

    /// Runs it to its end; its output is the answer, an exit code that is not 0 a failure.
    pub fn run(&self) -> Result<String> {
        let (status, out, err) = self.finish(b"")?;
        ensure!(status.success(), "{} {}: {status}\n{out}{err}", self.program.display(), self.arguments.join(" "));
        Ok(out)
    }

    /// Runs it to its end with something on its standard input; answers how it ended and what it wrote.
    pub fn finish(&self, input: &[u8]) -> Result<(ExitStatus, String, String)> {
        let mut command = self.command(true)?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        // Inputs here are short; a program that does not read them has ended, which its status tells better.
        let _ = std::io::Write::write_all(&mut child.stdin.take().context("no standard input")?, input);
        let output = child.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status, text(output.stdout), text(output.stderr)))
    }

    /// Starts it; its output is appended to a file.
    pub fn start(&self, log: &Path) -> Result<Program> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let begin = file.metadata()?.len();
        let mut command = self.command(true)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Program { child, log: log.to_owned(), begin, name: self.program.display().to_string() })
    }
}

/// A running child.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
    begin: u64,
    name: String,
}

impl Program {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the program itself.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// `kill -9` of it and everything it started.
    pub fn kill(&mut self) -> Result<()> {
        if self.is_running() {
            killpg(self.pid(), Signal::SIGKILL)?;
            self.child.wait()?;
        }
        Ok(())
    }

    /// Asks it to end and waits; one that does not within the time is killed, which is a failure.
    pub async fn stop(&mut self, signal: Signal, patience: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        self.signal(signal)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        self.kill()?;
        bail!("{} did not end within {patience:?} of {signal}", self.name)
    }

    /// What it wrote since it was started.
    pub fn output(&self) -> Result<String> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.begin))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits for a line of its output that begins with `start`; answers the rest of that line.
    pub async fn line(&mut self, start: &str, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = !self.is_running();
            let output = self.output()?;
            // A line counts when it is whole.
            let whole = output.rfind('\n').map_or("", |end| &output[..end]);
            if let Some(rest) = whole.lines().find_map(|line| line.strip_prefix(start)) {
                return Ok(rest.trim().to_owned());
            }
            if ended {
                bail!("{} ended before it said {start:?}:\n{}", self.name, last_lines(&output, 20));
            }
            if Instant::now() > deadline {
                bail!("{} did not say {start:?} within {patience:?}:\n{}", self.name, last_lines(&output, 20));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The last lines of a text.
pub fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

/// A free port of the loopback interface. Whoever takes it may be beaten to it; ports are handed out far apart in time.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether this is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A program of ours: out of `$SENT_BIN`, or beside the test's own folder.
pub fn ours(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os("SENT_BIN") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let own = std::env::current_exe()?;
            let mut folder = own.parent().context("a program lies in a folder")?.to_owned();
            // Tests lie in target/debug/deps.
            if folder.ends_with("deps") {
                folder.pop();
            }
            folder
        }
    };
    let program = folder.join(name);
    ensure!(program.is_file(), "{} is missing: `cargo build -p {name}` first, or use `make test`", program.display());
    Ok(program)
}

/// Where built and fetched things are kept between runs.
pub fn cache() -> PathBuf {
    std::env::var_os("SENT_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        home.join(".cache/sent")
    })
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
