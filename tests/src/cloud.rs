//! Replicas of the cloud.

use std::{io::Write as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use toml::{Table, Value};

use crate::{
    Face,
    measure::{Usage, usage},
    program::{Launch, Program, free_port, ours},
    until,
};

/// What all replicas of one cloud have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Folder for settings and files.
    pub folder: PathBuf,
    /// Database as the program uses it.
    pub database: String,
    /// Database as its owner.
    pub owner: String,
    /// Address boxes are told.
    pub wire_url: String,
    /// Broker as the cloud reaches it; empty: none.
    pub mqtt: String,
    /// Broker as boxes reach it.
    pub mqtt_box: String,
    /// Master key, hex.
    pub master: String,
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    settings: PathBuf,
    log: PathBuf,
    wire: u16,
    console: u16,
    program: Option<Program>,
}

fn section(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Table(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

impl Common {
    /// Writes the settings of a replica on ports that are free.
    pub fn replica(&self, name: &str) -> Result<Replica> {
        self.replica_at(name, free_port()?, free_port()?)
    }

    /// Writes the settings of a replica.
    pub fn replica_at(&self, name: &str, wire: u16, console: u16) -> Result<Replica> {
        let text = |t: &str| Value::String(t.to_owned());
        let mut all = Table::new();
        all.insert(
            "database".into(),
            section([
                ("url", text(&self.database)),
                ("owner_url", text(&self.owner)),
                ("connections", Value::Integer(12)),
            ]),
        );
        all.insert(
            "wire".into(),
            section([
                ("listen", Value::String(format!("127.0.0.1:{wire}"))),
                ("url", text(&self.wire_url)),
                ("names", Value::Array(vec![text("localhost"), text("127.0.0.1")])),
            ]),
        );
        all.insert(
            "console".into(),
            section([
                ("listen", Value::String(format!("127.0.0.1:{console}"))),
                ("secure_cookies", Value::Boolean(false)),
            ]),
        );
        all.insert("keys".into(), section([("master", text(&self.master))]));
        all.insert("mqtt".into(), section([("url", text(&self.mqtt)), ("box_url", text(&self.mqtt_box))]));
        let objects = format!("file://{}", self.folder.join("objects").display());
        all.insert("objects".into(), section([("url", Value::String(objects))]));
        all.insert("fleet".into(), section([("offline_after", Value::Integer(30))]));
        let settings = self.folder.join(format!("{name}.toml"));
        std::fs::File::create(&settings)?.write_all(toml::to_string(&all)?.as_bytes())?;
        Ok(Replica { settings, log: self.folder.join(format!("{name}.log")), wire, console, program: None })
    }
}

impl Replica {
    fn launch(&self, verb: &str) -> Result<Launch> {
        let launch = Launch::new(ours("sent-cloud")?);
        Ok(launch.arguments([verb, "--config", &self.settings.display().to_string()]))
    }

    /// Runs a verb to its end; answers what it printed.
    pub fn verb(&self, verb: &str, arguments: &[&str]) -> Result<String> {
        self.launch(verb)?.arguments(arguments.iter().copied()).run().with_context(|| format!("sent-cloud {verb}"))
    }

    /// Makes the first MSP and its owner.
    pub fn bootstrap(&self, name: &str, email: &str, password: &str) -> Result<()> {
        self.make_msp(name, email, password, &[])
    }

    /// Makes one more MSP and its owner.
    pub fn bootstrap_another(&self, name: &str, email: &str, password: &str) -> Result<()> {
        self.make_msp(name, email, password, &["--another"])
    }

    fn make_msp(&self, name: &str, email: &str, password: &str, more: &[&str]) -> Result<()> {
        let launch =
            self.launch("bootstrap")?.arguments(["--organization", name, "--email", email, "--password-stdin"]);
        let launch = launch.arguments(more.iter().copied());
        let (status, out, err) = launch.finish(format!("{password}\n").as_bytes())?;
        anyhow::ensure!(status.success(), "sent-cloud bootstrap: {status}: {out}{err}");
        Ok(())
    }

    /// Serves, and waits until it is healthy.
    pub async fn start(&mut self) -> Result<()> {
        self.program = Some(self.launch("serve")?.start(&self.log)?);
        let face = Face::new(self.console())?;
        let program = &mut self.program;
        until("the cloud is healthy", 60, || {
            let ended = program.as_mut().is_some_and(|p| !p.is_running());
            let face = &face;
            async move {
                anyhow::ensure!(!ended, "sent-cloud serve ended");
                let answer = face.send(reqwest::Method::GET, "/health", None).await?;
                Ok(answer.status.is_success().then_some(()))
            }
        })
        .await
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        match self.program.take() {
            Some(mut program) => program.kill(),
            None => Ok(()),
        }
    }

    /// Stops it in order.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut program) = self.program.take() {
            program.stop(Signal::SIGTERM, Duration::from_secs(30)).await?;
        }
        Ok(())
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.program.as_mut().is_some_and(Program::is_running)
    }

    /// Address of the console.
    pub fn console(&self) -> String {
        format!("http://127.0.0.1:{}", self.console)
    }

    /// Port of the wire.
    pub fn wire(&self) -> u16 {
        self.wire
    }

    /// What it uses.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.program.as_ref().context("the replica does not run")?.id())
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.program.as_ref().context("the replica does not run")?.memory()
    }

    /// Its log.
    pub fn log(&self) -> &std::path::Path {
        &self.log
    }
}
