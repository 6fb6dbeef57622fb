//! A real PostgreSQL in a folder.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    measure::{Usage, usage},
    program::{Launch, Program, free_port, is_root},
    until,
};

/// Name of the database the cloud uses.
pub const DATABASE: &str = "sent";

/// The server.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    log: PathBuf,
    port: u16,
    program: Option<Program>,
}

/// Where Debian keeps the server's programs, newest version first; `pg_config` knows elsewhere.
fn programs() -> Result<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|e| Some(e.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    versions.retain(|bin| bin.join("initdb").is_file());
    versions.sort();
    match versions.pop() {
        Some(found) => Ok(found),
        None => Ok(PathBuf::from(Launch::new("pg_config").arguments(["--bindir"]).run()?.trim())),
    }
}

impl Postgres {
    /// Makes and starts one, with an empty database in it.
    pub async fn start(folder: PathBuf, log: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        if is_root() {
            // PostgreSQL refuses to run as root.
            let user = nix::unistd::User::from_name("postgres")?.context("there is no user postgres")?;
            nix::unistd::chown(&folder, Some(user.uid), Some(user.gid))?;
        }
        let data = folder.join("data").display().to_string();
        Launch::new(programs()?.join("initdb"))
            .arguments(["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .unprivileged("postgres")
            .run()?;
        let mut server = Self { folder, log, port: free_port()?, program: None };
        server.resume().await?;
        let mut connection = PgConnection::connect_with(&server.options("postgres")).await?;
        sqlx::raw_sql("CREATE DATABASE sent").execute(&mut connection).await?;
        connection.close().await?;
        Ok(server)
    }

    /// Starts it again after [`Postgres::kill`] or [`Postgres::stop`], and waits until it answers.
    pub async fn resume(&mut self) -> Result<()> {
        let data = self.folder.join("data");
        // After `kill -9` the number in the lock file may be another process's by now; all of ours are dead.
        let _ = std::fs::remove_file(data.join("postmaster.pid"));
        let port = self.port.to_string();
        let settings = ["fsync=on", "max_connections=120", "log_min_messages=warning", "checkpoint_timeout=1h"];
        let launch = Launch::new(programs()?.join("postgres"))
            .arguments(["-D", &data.display().to_string(), "-p", &port, "-h", "127.0.0.1", "-k", ""])
            .arguments(settings.iter().flat_map(|s| ["-c", s]))
            .unprivileged("postgres");
        self.program = Some(launch.start(&self.log)?);
        let options = self.options("postgres");
        until("PostgreSQL answers", 60, || async {
            PgConnection::connect_with(&options).await?.close().await?;
            Ok(Some(()))
        })
        .await
    }

    /// `kill -9` of the postmaster and every backend.
    pub fn kill(&mut self) -> Result<()> {
        // Backends are in sessions of their own and end by themselves when the postmaster is gone: find them first.
        let backends = self.backends();
        if let Some(mut program) = self.program.take() {
            program.kill()?;
        }
        for pid in backends {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
        }
        Ok(())
    }

    /// Processes that work in the data folder.
    fn backends(&self) -> Vec<i32> {
        let data = self.folder.join("data");
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        processes
            .filter_map(|entry| {
                let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let at = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
                (at == data).then_some(pid)
            })
            .collect()
    }

    /// Waits until no process of a killed server is left.
    pub async fn gone(&self) -> Result<()> {
        until("PostgreSQL's processes are gone", 30, || async { Ok(self.backends().is_empty().then_some(())) }).await
    }

    /// Stops it in order.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut program) = self.program.take() {
            program.stop(Signal::SIGINT, Duration::from_secs(30)).await?;
        }
        Ok(())
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .database(database)
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
    }

    /// The owner's connections to the cloud's database: they see every organisation.
    pub async fn owner(&self) -> Result<PgPool> {
        let options = self.options(DATABASE).options([
            ("sent.organizations", "*"),
            // A database that is seconds old has no statistics, and a nested loop over a million points takes minutes.
            ("enable_nestloop", "off"),
        ]);
        Ok(PgPoolOptions::new().max_connections(3).connect_with(options).await?)
    }

    /// What it and all its backends use.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.program.as_ref().context("PostgreSQL does not run")?.id())
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
