//! The box's program.
//!
//! Composition only: the command line, the modes, and what belongs to the program rather than to an engine. `sent` alone is
//! everything; `--mode=worker` is one engine; every verb works on a data folder with or without a running server.

mod agent;
mod desired;
mod engines;
mod gateway;
mod isolation;
mod log;
mod packs;
mod reports;
mod serve;
mod settings;
mod sim;
mod supervisor;
mod sync;
mod telemetry;
mod tls;
mod verbs;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::verbs::Verb;

/// A branch office in a box.
#[derive(Debug, Parser)]
#[command(name = "sent", version, about, arg_required_else_help = false)]
pub struct Arguments {
    /// Data folder of the box.
    #[arg(long, global = true, default_value = "data", env = "SENT_DATA")]
    pub data: PathBuf,
    /// Settings file; default: sent.toml in the data folder, if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port of the gateway, instead of the settings' one.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// What runs in this process.
    #[arg(long, value_enum, default_value_t = Mode::All)]
    pub mode: Mode,
    /// The engine of a worker.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// The Unix socket of a worker; default: in the data folder.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Simulation.
    #[command(flatten)]
    pub simulation: sim::Simulation,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What runs in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Supervisor, gateway, engines, sync agent.
    All,
    /// One engine on a Unix socket.
    Worker,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<ExitCode> {
    rustls::crypto::ring::default_provider().install_default().ok().context("the TLS provider was installed twice")?;
    let mut settings = settings::load(arguments.config.as_deref(), &arguments.data)?;
    if let Some(listen) = arguments.listen {
        settings.gateway.listen = listen;
    }
    let quiet = arguments.verb.as_ref().is_some_and(|v| !matches!(v, Verb::Serve));
    let level = if quiet { "warn" } else { &settings.log.level };
    log::start(level)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.verb {
        Some(Verb::Serve) | None => runtime.block_on(async {
            let shutdown = CancellationToken::new();
            stop_on_signal(shutdown.clone())?;
            if arguments.simulation.sim.is_some() {
                sim::run(arguments.simulation, &arguments.data, shutdown).await?;
                return Ok(ExitCode::SUCCESS);
            }
            match arguments.mode {
                Mode::All => serve::run(arguments.data, arguments.config, settings, shutdown).await?,
                Mode::Worker => {
                    let name = arguments.service.context("--mode=worker needs --service=NAME")?;
                    let socket = arguments.socket.unwrap_or_else(|| worker::socket(&arguments.data, &name));
                    worker::run(arguments.data, settings, &name, socket, shutdown).await?;
                }
            }
            Ok(ExitCode::SUCCESS)
        }),
        Some(verb) => {
            let _guard = runtime.enter();
            verbs::run(verb, &arguments.data, &settings, &runtime)
        }
    }
}

fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        shutdown.cancel();
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use clap::CommandFactory as _;
    use sent_core::{
        live::Hub,
        reference,
        report::Nobody,
        route::{self, Routes},
    };

    use super::*;
    use crate::{desired::Knobs, settings::Settings};

    fn page(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name)
    }

    #[test]
    fn the_page_of_verbs_has_every_verb() {
        let about = "Made from the program. A verb works on the data folder of a box, whether or not it runs.";
        assert_eq!(reference::stale(&page("verbs.md"), &reference::verbs_page(about, Arguments::command())), None);
    }

    #[tokio::test]
    async fn the_page_of_routes_has_every_route() {
        // The program does so when it starts; another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (_folder, store, _) = sent_store::test::store(&engines::tables()).expect("opens");
        let settings = Settings::default();
        let spool = serve::open_spool(store.data(), "main", &settings, store.clock().clone()).expect("opens");
        let mut all = Routes::new();
        for description in engines::ALL {
            let (hub, nobody) = (Hub::new(1), Arc::new(Nobody));
            let context = engines::context(&store, &settings, hub, spool.clone(), nobody, description.name);
            let context = context.expect("a context");
            let engine = engines::build(description.name, &context, &Knobs::new(&settings));
            all = all.merge(engine.expect("is known").expect("is built").routes());
        }
        let about = "Made from the program. A route without a right is not possible; a change by cookie also needs `x-sent-csrf`. \
                     `GET /connection/websocket` (live events) and the pages stand beside these.";
        let routes = gateway::routes(all);
        let made = reference::routes_page("HTTP routes of a box", about, routes.list());
        assert_eq!(reference::stale(&page("routes.md"), &made), None);
        let told = sent_contract::rights::names(sent_contract::rights::BOX);
        assert_eq!(route::rights(routes.list()), told, "ui/contract/src/rights.rs says what each is for");
    }
}
