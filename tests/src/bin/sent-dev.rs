//! `make run`: the whole of it on one machine, with a small office in it, until Ctrl-C.
//!
//! Starts PostgreSQL and mosquitto of its own under `var/`, the cloud and a box, enrols the box, fills an office by the
//! product's own routes and prints where to go. Each step looks whether its work is done, so that a second run, or one
//! after a crash, goes on from what is there. Children die with this program; servers are stopped in order.

use std::{
    collections::BTreeMap,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use sent_contract::{
    Page,
    fleet::{BoxRow, FleetEntry},
};
use sent_tests::{
    Appliance, Face, books,
    cloud::{Common, Replica},
    cluster,
    program::{free_port, root},
    until,
};
use serde::{Deserialize, Serialize};

/// Name of the customer.
const OFFICE: &str = "Northwind";
/// Name of the box.
const BOX: &str = "Harbour Street box";
/// The MSP and its owner.
const MSP: (&str, &str) = ("Clearwater MSP", "olga@clearwater.example");
/// Seed of the office's books.
const SEED: u64 = 2026;
/// Where things listen, if nobody else does.
const PORTS: [(&str, u16); 5] =
    [("postgres", 55_432), ("mosquitto", 58_883), ("wire", 58_443), ("fleet", 58_470), ("box", 58_480)];

/// Runs SENT on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder that everything is kept in.
    #[arg(long, default_value = "var")]
    var: PathBuf,
    /// End as soon as everything stands.
    #[arg(long)]
    once: bool,
}

/// What must be the same in the next run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    ports: BTreeMap<String, u16>,
    /// Master key of the cloud, hex.
    master: String,
    /// Password of the MSP's owner.
    fleet_password: String,
    /// Password of the office's users.
    office_password: String,
}

impl Kept {
    /// Out of the file, or drawn and written.
    fn load(file: &Path) -> Result<Self> {
        if let Ok(text) = std::fs::read_to_string(file) {
            return serde_json::from_str(&text)
                .with_context(|| format!("{} cannot be read; `make clean-var` begins anew", file.display()));
        }
        let mut ports = BTreeMap::new();
        for (name, usual) in PORTS {
            let free = std::net::TcpListener::bind(("127.0.0.1", usual)).is_ok();
            ports.insert(name.to_owned(), if free { usual } else { free_port()? });
        }
        let word = || format!("{:08x}-{:08x}", rand::random::<u32>(), rand::random::<u32>());
        let kept = Self {
            ports,
            master: hex::encode(rand::random::<[u8; 32]>()),
            fleet_password: word(),
            office_password: word(),
        };
        let new = file.with_extension("new");
        let mut out = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        out.write_all(&serde_json::to_vec_pretty(&kept)?)?;
        out.sync_all()?;
        std::fs::rename(new, file)?;
        Ok(kept)
    }

    fn port(&self, name: &str) -> Result<u16> {
        self.ports.get(name).copied().with_context(|| format!("no port for {name}"))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // One thread: children are told to die with the thread that starts them.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(arguments))
}

/// A server that a script starts and stops.
struct Script {
    name: &'static str,
    folder: PathBuf,
    start: Vec<String>,
}

impl Script {
    fn call(&self, verb: &str, more: &[String]) -> Result<()> {
        let script = root().join(format!("scripts/{}.sh", self.name));
        let folder = self.folder.display().to_string();
        let status = std::process::Command::new(script).arg(verb).arg(folder).args(more).status()?;
        anyhow::ensure!(status.success(), "{} could not {verb}: {status}", self.name);
        Ok(())
    }

    fn start(&self) -> Result<()> {
        self.call("start", &self.start)
    }

    fn stop(&self) -> Result<()> {
        self.call("stop", &[])
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    std::fs::create_dir_all(&arguments.var)?;
    let var = arguments.var.canonicalize()?;
    let kept = Kept::load(&var.join("run.json"))?;
    let mut stopping = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut stack = Stack::default();
    let outcome = tokio::select! {
        outcome = stack.rise(&var, &kept) => outcome.map(|()| true),
        _ = tokio::signal::ctrl_c() => Ok(false),
        _ = stopping.recv() => Ok(false),
    };
    let outcome = match outcome {
        Ok(true) if !arguments.once => {
            tokio::select! {
                ended = stack.watch() => ended,
                _ = tokio::signal::ctrl_c() => Ok(()),
                _ = stopping.recv() => Ok(()),
            }
        }
        other => other.map(|_| ()),
    };
    println!("\nstopping …");
    let stopped = stack.fall().await;
    outcome.and(stopped)
}

/// What runs, in the order it was started.
#[derive(Default)]
struct Stack {
    scripts: Vec<Script>,
    cloud: Option<Replica>,
    appliance: Option<Appliance>,
}

fn step(what: &str) {
    println!("· {what}");
}

impl Stack {
    async fn rise(&mut self, var: &Path, kept: &Kept) -> Result<()> {
        let postgres = kept.port("postgres")?;
        step("PostgreSQL");
        self.up(Script { name: "postgres", folder: var.join("postgres"), start: vec![postgres.to_string()] })?;
        let database = format!("postgres://postgres@127.0.0.1:{postgres}/sent?sslmode=disable");
        make_database(postgres).await?;

        step("cloud");
        let broker = format!("mqtts://127.0.0.1:{}", kept.port("mosquitto")?);
        let common = Common {
            folder: var.join("cloud"),
            database: database.clone(),
            owner: database,
            wire_url: format!("https://127.0.0.1:{}", kept.port("wire")?),
            mqtt: broker.clone(),
            mqtt_box: broker,
            master: kept.master.clone(),
        };
        std::fs::create_dir_all(&common.folder)?;
        let mut cloud = common.replica_at("cloud", kept.port("wire")?, kept.port("fleet")?)?;
        cloud.verb("migrate", &[])?;
        if let Err(error) = cloud.bootstrap(MSP.0, MSP.1, &kept.fleet_password) {
            // A second run finds the MSP of the first.
            anyhow::ensure!(format!("{error:#}").contains("has an MSP already"), error);
        }

        step("mosquitto");
        let certificates = cluster::certificates(&cloud, &var.join("certificates"))?;
        let path = |p: &Path| p.display().to_string();
        let start = vec![
            kept.port("mosquitto")?.to_string(),
            path(&certificates.root),
            path(&certificates.certificate),
            path(&certificates.key),
        ];
        self.up(Script { name: "mosquitto", folder: var.join("mosquitto"), start })?;
        cloud.start().await?;
        let console = cloud.console();
        self.cloud = Some(cloud);

        step("customer, users and chart of accounts, by the cloud's routes");
        let fleet = Face::login(console, MSP.1, &kept.fleet_password).await?;
        let office = cluster::make_office(&fleet, OFFICE, &kept.office_password).await?;
        books::furnish(&fleet, office.organization).await?;

        step("box");
        let mut appliance = Appliance::at(var.join("box"), var.join("box.log"), kept.port("box")?);
        let enrolled = appliance.data().join("identity").exists();
        if !enrolled {
            let claim = cluster::claim(&fleet, &office, BOX).await?;
            appliance.run(&["enrol", "--cloud", &claim.wire_url, "--claim", &claim.code, "--name", BOX])?;
        }
        appliance.start().await?;
        let (address, data) = (appliance.address(), appliance.data().to_owned());
        let owner = cluster::arrived(&appliance, &office.owner, &kept.office_password).await?;
        self.appliance = Some(appliance);

        step("a small office, by the box's routes");
        let (entries, checks, rules) = books::fill(&owner, SEED).await?;
        if entries + checks + rules > 0 {
            println!("  {entries} entries, {checks} checks, {rules} alert rules");
        } else {
            println!("  was filled before");
        }
        let wanted = books::year(SEED).len();
        until("the office's books are in the cloud", 120, || async {
            let rows: Page<FleetEntry> = fleet.get("/api/fleet/entries?limit=500").await?;
            Ok((rows.items.len() >= wanted).then_some(()))
        })
        .await?;
        let rows: Page<BoxRow> = fleet.get("/api/fleet/boxes").await?;
        let status =
            rows.items.first().map(|b| format!("{:?}: {}", b.status.level, b.status.cause)).unwrap_or_default();

        println!();
        table(&[
            ["face", "address", "login", "password"],
            ["box", &address, &office.owner, &kept.office_password],
            ["box, read only", &address, &office.viewer, &kept.office_password],
            ["fleet", fleet.base(), MSP.1, &kept.fleet_password],
        ]);
        println!("\nbox “{BOX}” of {OFFICE}: {}", status.to_lowercase());
        println!("data: {}   logs: {}", data.display(), var.join("{box,cloud/cloud}.log").display());
        println!("Ctrl-C stops everything; the next run goes on from here.");
        Ok(())
    }

    fn up(&mut self, script: Script) -> Result<()> {
        script.start()?;
        self.scripts.push(script);
        Ok(())
    }

    /// Ends when something ended that should run.
    async fn watch(&mut self) -> Result<()> {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let box_runs = self.appliance.as_mut().is_some_and(Appliance::is_running);
            let cloud_runs = self.cloud.as_mut().is_some_and(Replica::is_running);
            anyhow::ensure!(box_runs, "the box ended; its log tells why");
            anyhow::ensure!(cloud_runs, "the cloud ended; its log tells why");
        }
    }

    /// Stops everything, newest first; what fails does not keep the rest from being stopped.
    async fn fall(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        if let Some(mut appliance) = self.appliance.take() {
            outcome = outcome.and(appliance.stop().await);
        }
        if let Some(mut cloud) = self.cloud.take() {
            outcome = outcome.and(cloud.stop().await);
        }
        while let Some(script) = self.scripts.pop() {
            outcome = outcome.and(script.stop());
        }
        outcome
    }
}

async fn make_database(port: u16) -> Result<()> {
    use sqlx::Connection as _;
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .database("postgres");
    let mut connection = sqlx::PgConnection::connect_with(&options).await?;
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'sent')")
        .fetch_one(&mut connection)
        .await?;
    if !there {
        sqlx::raw_sql("CREATE DATABASE sent").execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

fn table(rows: &[[&str; 4]]) {
    let mut widths = [0; 4];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("  {}", cells.join("   ").trim_end());
        if n == 0 {
            println!("  {}", widths.map(|w| "─".repeat(w)).join("   "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.json");
        let first = Kept::load(&file).unwrap();
        assert_eq!(Kept::load(&file).unwrap().master, first.master);
        assert_eq!(first.ports.len(), PORTS.len());
    }
}
