//! `sent …`: what can be done on a data folder from the command line, with or without a running server.

mod health;
mod join;
mod logs;
mod office;
mod quarantine;

use std::{
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::bail;
use clap::Subcommand;
use sent_core::{Problem, Scope, error::Kind, id};
use sent_pulse::recorder::Reader;
use sent_store::Store;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::{
    engines, serve,
    settings::{self, Settings},
    telemetry::Measurements,
};

/// Bytes of output that a verb of many lines gathers.
const OUTPUT: usize = 1 << 16;
/// Exit code when the audit chain is broken.
const BROKEN: u8 = 3;

/// A verb.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve the box (what `sent` does without a verb).
    Serve,
    /// Make a stand-alone box in an empty data folder.
    Init(office::Init),
    /// Join a cloud with a claim code.
    Enrol(join::Enrol),
    /// How the box is.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look for what keeps this box from working well.
    Doctor,
    /// The audit chain.
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Write a backup of the (running) box into a file.
    Backup {
        /// The file; it must not exist.
        file: PathBuf,
    },
    /// Bring a backup back into an empty data folder. Begins a new epoch.
    Restore {
        /// The backup.
        file: PathBuf,
    },
    /// Exchange with the cloud.
    #[command(subcommand)]
    Sync(SyncVerb),
    /// Users of the box's organisation.
    #[command(subcommand)]
    User(office::UserVerb),
    /// Settings in effect.
    Settings {
        /// Print the reference page instead (Markdown).
        #[arg(long)]
        reference: bool,
    },
    /// Keys of the field cipher.
    #[command(subcommand)]
    Key(KeyVerb),
    /// The books.
    #[command(subcommand)]
    Capital(sent_capital::cli::Command),
    /// Packets.
    #[command(subcommand)]
    Guard(sent_guard::cli::Command),
    /// Monitoring.
    #[command(subcommand)]
    Pulse(sent_pulse::cli::Command),
    /// Logs.
    #[command(subcommand)]
    Radar(sent_radar::cli::Command),
}

/// Verbs of the audit chain.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// Walk the whole chain and name the first broken link (exit code 3).
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Verbs of the exchange.
#[derive(Debug, Subcommand)]
pub enum SyncVerb {
    /// What a restored box could not take back from the cloud.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineVerb),
}

/// Verbs of the keys.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// Make a new data key for the organisation and encrypt with it anew whatever is encrypted. A running box takes it at once.
    Rotate,
}

/// Prints a value as JSON on standard output.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// The scope of a verb: the box's own organisation, whoever runs the program.
fn scope(store: &Store) -> anyhow::Result<Scope> {
    let identity = store.identity()?;
    let mut scope = Scope::system(identity.organization, "command line", &**store.clock());
    scope.branch = identity.branch;
    scope.request = id::new(&**store.clock());
    Ok(scope)
}

/// Set once the program is interrupted; needs the runtime.
fn stop_on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::<AtomicBool>::default();
    let heard = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            heard.store(true, Ordering::Relaxed);
        }
    });
    stop
}

fn open(data: &Path, settings: &Settings) -> anyhow::Result<Store> {
    if !data.exists() {
        bail!("there is no folder {}: run `sent --data DIR init` or `sent --data DIR enrol`", data.display());
    }
    let store = engines::open_store(data.to_owned(), settings)?;
    store.identity()?;
    Ok(store)
}

/// Does it.
pub fn run(verb: Verb, data: &Path, settings: &Settings, runtime: &Runtime) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Serve => bail!("serving is not a verb of its own"),
        Verb::Init(init) => office::init(init, data, settings, runtime),
        Verb::Enrol(enrol) => join::enrol(enrol, data, settings, runtime),
        Verb::Status { json } => health::status(data, settings, runtime, json),
        Verb::Doctor => health::doctor(data, settings, runtime),
        Verb::Audit(AuditVerb::Verify { json }) => {
            let verification = open(data, settings)?.verify_audit_blocking()?;
            if json {
                print_json(&verification)?;
            }
            Ok(match &verification.broken {
                None => {
                    if !json {
                        println!("{} entries, unbroken", verification.entries);
                    }
                    ExitCode::SUCCESS
                }
                Some(broken) => {
                    if !json {
                        println!("broken at entry {}: {}", broken.sequence, broken.cause);
                    }
                    ExitCode::from(BROKEN)
                }
            })
        }
        Verb::Backup { file } => {
            if file.exists() {
                bail!("{} exists already: name another file", file.display());
            }
            let report = sent_store::backup(&open(data, settings)?, &file)?;
            println!(
                "{}: {} bytes, epoch {}, up to transaction {}",
                file.display(),
                report.bytes,
                report.epoch,
                report.sequence
            );
            Ok(ExitCode::SUCCESS)
        }
        Verb::Restore { file } => {
            let report = sent_store::restore(&file, data)?;
            println!("restored up to transaction {}; this box is now in epoch {}", report.sequence, report.epoch);
            let sent_store::TakenBack { sessions, tokens, recovery_codes } = report.taken_back;
            let taken_back = [
                (sessions, "sessions: everybody logs in again"),
                (tokens, "API tokens sleep: each is refused until its owner wakes it on the account page, or ends it"),
                (recovery_codes, "recovery codes are void: a new second factor brings new ones"),
            ];
            if taken_back.iter().any(|(count, _)| *count > 0) {
                println!("TAKEN BACK, for nobody knows what was revoked or used since the backup:");
            }
            for (count, what) in taken_back.iter().filter(|(count, _)| *count > 0) {
                println!("  {count} {what}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Sync(SyncVerb::Quarantine(verb)) => quarantine::run(verb, &open(data, settings)?),
        Verb::User(verb) => office::user(verb, data, settings, runtime),
        Verb::Settings { reference: true } => {
            print!("{}", sent_core::settings::reference_page("Settings of a box", settings::EXAMPLE));
            Ok(ExitCode::SUCCESS)
        }
        Verb::Settings { reference: false } => {
            for setting in settings.listing() {
                println!("{:<24} {:<24} ({})", setting.key, setting.value, setting.source);
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Key(KeyVerb::Rotate) => {
            let store = open(data, settings)?;
            let done = store.rotate_key_blocking(&scope(&store)?)?;
            println!("data key {} is in use; {} values were encrypted anew", done.version, done.renewed);
            if done.unreadable > 0 {
                bail!("{} values cannot be opened with any key of this box and were left as they are", done.unreadable);
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Capital(command) => {
            let store = open(data, settings)?;
            Ok(sent_capital::cli::run(command, &store, &scope(&store)?, &mut std::io::stdout().lock())?)
        }
        Verb::Guard(command) => {
            let mut out = BufWriter::with_capacity(OUTPUT, std::io::stdout().lock());
            let stop = stop_on_interrupt();
            let whole = sent_guard::cli::run(&command, &stop, &mut out, &mut std::io::stderr().lock())?;
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Verb::Radar(command) => logs::run(&command, data, settings, runtime),
        Verb::Pulse(command) => {
            let store = open(data, settings)?;
            let (folder, clock) = (data.join("pulse"), store.clock().clone());
            let spool = serve::open_spool(data, "verb", settings, clock.clone())?;
            let reader = move || match Measurements::open(&folder, spool, clock) {
                Ok(measurements) => Ok(Box::new(measurements) as Box<dyn Reader>),
                Err(message) => Err(Problem::new(Kind::Unavailable, message)),
            };
            Ok(sent_pulse::cli::run(command, &store, &scope(&store)?, reader, &mut std::io::stdout().lock())?)
        }
    }
}
