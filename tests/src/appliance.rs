//! Boxes: the real program on a data folder of its own.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use sent_contract::sync::SyncStatus;
use sent_core::route::Listed;
use serde::de::DeserializeOwned;

use crate::{
    Face,
    measure::{Usage, usage, worker_peak},
    program::{Launch, Program, free_port, last_lines, ours},
    until,
};

/// A box.
#[derive(Debug)]
pub struct Appliance {
    data: PathBuf,
    log: PathBuf,
    listen: u16,
    variables: Vec<(String, String)>,
    program: Option<Program>,
}

impl Appliance {
    /// One that is still in its carton: nothing is on its disk yet.
    pub fn new(data: PathBuf, log: PathBuf) -> Result<Self> {
        Ok(Self::at(data, log, free_port()?))
    }

    /// One that will listen on this port.
    pub fn at(data: PathBuf, log: PathBuf, listen: u16) -> Self {
        Self { data, log, listen, variables: Vec::new(), program: None }
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Address of its pages.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.listen)
    }

    /// Variables its program sees from its next start on.
    pub fn set_variables(&mut self, variables: &[(&str, &str)]) {
        self.variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    }

    /// Its settings file.
    pub fn configure(&self, toml: &str) -> Result<()> {
        std::fs::create_dir_all(&self.data)?;
        Ok(std::fs::File::create(self.data.join("sent.toml"))?.write_all(toml.as_bytes())?)
    }

    /// A verb of `sent` on this box's data, ready to run.
    pub fn verb(&self, arguments: &[&str]) -> Result<Launch> {
        let mut launch = Launch::new(ours("sent")?).arguments(["--data", &self.data.display().to_string()]);
        for (name, value) in &self.variables {
            launch = launch.variable(name, value.clone());
        }
        Ok(launch.arguments(arguments.iter().copied()))
    }

    /// Port of its pages.
    pub fn port(&self) -> u16 {
        self.listen
    }

    /// Whether its program runs.
    pub fn is_running(&mut self) -> bool {
        self.program.as_mut().is_some_and(Program::is_running)
    }

    /// Runs a verb; answers its output.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.verb(arguments)?.run().with_context(|| format!("sent {}", arguments.join(" ")))
    }

    /// Runs a verb; answers its output as JSON.
    pub fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let out = self.run(arguments)?;
        serde_json::from_str(&out).with_context(|| format!("sent {} printed {out}", arguments.join(" ")))
    }

    /// Runs a verb that may fail; answers how it ended and what it wrote to both outputs.
    pub fn attempt(&self, arguments: &[&str]) -> Result<(ExitStatus, String)> {
        let (status, out, err) = self.verb(arguments)?.finish(b"")?;
        Ok((status, out + &err))
    }

    /// Starts it and waits until its gateway answers.
    pub async fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.ready().await
    }

    /// Starts it without waiting.
    pub fn launch(&mut self) -> Result<()> {
        let launch = self.verb(&["--listen", &format!("127.0.0.1:{}", self.listen), "serve"])?;
        self.program = Some(launch.start(&self.log)?);
        Ok(())
    }

    /// Waits until its gateway answers.
    pub async fn ready(&mut self) -> Result<()> {
        let face = Face::new(self.address())?;
        let program = &mut self.program;
        until("the box answers", 60, || {
            let ended = program.as_mut().is_none_or(|p| !p.is_running());
            let face = &face;
            async move {
                anyhow::ensure!(!ended, "sent ended");
                let answer = face.send(reqwest::Method::GET, "/healthz", None).await?;
                Ok(answer.status.is_success().then_some(()))
            }
        })
        .await
        .with_context(|| std::fs::read_to_string(&self.log).map_or_else(|e| e.to_string(), |t| last_lines(&t, 20)))
    }

    /// `kill -9` of it and its workers.
    pub fn kill(&mut self) -> Result<()> {
        match self.program.take() {
            Some(mut program) => program.kill(),
            None => Ok(()),
        }
    }

    /// Stops it in order.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut program) = self.program.take() {
            let status = program.stop(Signal::SIGTERM, Duration::from_secs(40)).await?;
            if !status.success() {
                bail!("sent ended with {status}:\n{}", last_lines(&program.output()?, 20));
            }
        }
        Ok(())
    }

    /// What it and its workers use.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.program.as_ref().context("the box does not run")?.id())
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.program.as_ref().context("the box does not run")?.memory()
    }

    /// The most memory that one of its workers had, bytes.
    pub fn worker_peak(&self, name: &str) -> Result<u64> {
        worker_peak(self.program.as_ref().context("the box does not run")?.id(), name)
    }

    /// A person at this box.
    pub async fn login(&self, email: &str, password: &str) -> Result<Face> {
        Face::login(self.address(), email, password).await
    }
}

/// Every route of a box, once all of its workers answer.
pub async fn routes(face: &Face) -> Result<Vec<Listed>> {
    until("every worker lists its routes", 60, || async { Ok(face.get("/api/routes").await.ok()) }).await
}

/// How the box's exchange is.
pub async fn sync(face: &Face) -> Result<SyncStatus> {
    face.get("/api/sync").await
}

/// Waits until the cloud has every transaction the box has made. Asks for an exchange, as the button on the page does.
pub async fn synced(face: &Face, seconds: u64) -> Result<SyncStatus> {
    until("the cloud has every transaction of the box", seconds, || async {
        let status = sync(face).await?;
        if status.waiting == 0 && status.acknowledged == status.sequence {
            return Ok(Some(status));
        }
        hurry(face).await?;
        Ok(None)
    })
    .await
}

/// Asks for an exchange now.
pub async fn hurry(face: &Face) -> Result<()> {
    face.change(reqwest::Method::POST, "/api/sync/now", &serde_json::json!({})).await?;
    Ok(())
}
