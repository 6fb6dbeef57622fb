//! `sent-cloud`: the cloud's program.

use std::{
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use sent_cloud::{
    Cloud, Settings,
    bootstrap::{First, bootstrap},
    console, db, listen, migrate, wire,
};
use sent_core::clock::SystemClock;
use sqlx::{ConnectOptions, Connection};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The SENT cloud: every row of every box, and the fleet's console.
#[derive(Debug, Parser)]
#[command(name = "sent-cloud", version)]
struct Arguments {
    /// Settings file; see sent-cloud.example.toml.
    #[arg(long, env = "SENT_CLOUD_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the wire and the console until told to stop.
    Serve,
    /// Bring the database's schema up to date, as its owner.
    Migrate,
    /// Write the authority's root and a certificate for a server, for instance the MQTT broker.
    Certificates {
        /// Folder for ca.pem, NAME.pem and NAME.key.
        #[arg(long)]
        out: PathBuf,
        /// Name of the files.
        #[arg(long, default_value = "broker")]
        name: String,
        /// Names and addresses the certificate holds.
        #[arg(long = "host", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
        hosts: Vec<String>,
    },
    /// Make the first MSP and its owner.
    Bootstrap {
        /// Name of the MSP.
        #[arg(long)]
        organization: String,
        /// Its currency.
        #[arg(long, default_value = "EUR")]
        currency: String,
        /// Login name of the owner.
        #[arg(long)]
        email: String,
        /// Display name of the owner.
        #[arg(long, default_value = "Owner")]
        name: String,
        /// Read the password from standard input, to its first line break.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Make one more beside an MSP that is there.
        #[arg(long)]
        another: bool,
    },
}

fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,sqlx=warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    // One provider for the whole program; a second installation would only mean that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let settings = Settings::load(arguments.config.as_deref())?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments.verb, settings))
}

async fn run(verb: Verb, settings: Settings) -> Result<()> {
    match verb {
        Verb::Serve => serve(settings).await,
        Verb::Migrate => apply_migrations(&settings).await,
        Verb::Certificates { out, name, hosts } => write_certificates(settings, &out, &name, &hosts).await,
        Verb::Bootstrap { organization, currency, email, name, another, .. } => {
            let mut password = String::new();
            std::io::stdin().take(4096).read_to_string(&mut password)?;
            let password = password.lines().next().unwrap_or_default().to_owned();
            let cloud = Cloud::open(settings, SystemClock::shared()).await?;
            let first = First { organization, currency, email, name, password };
            println!("{}", bootstrap(&cloud, first, another).await?);
            Ok(())
        }
    }
}

async fn serve(settings: Settings) -> Result<()> {
    let cloud = Cloud::open(settings, SystemClock::shared()).await?;
    let stop = CancellationToken::new();
    let wire_listener = TcpListener::bind(cloud.settings.wire.listen)
        .await
        .with_context(|| format!("cannot listen on {}", cloud.settings.wire.listen))?;
    let console_listener = TcpListener::bind(cloud.settings.console.listen)
        .await
        .with_context(|| format!("cannot listen on {}", cloud.settings.console.listen))?;
    tracing::info!(wire = %wire_listener.local_addr()?, console = %console_listener.local_addr()?, "serving");
    let console_tls = match &cloud.settings.console {
        console if console.certificate.as_os_str().is_empty() => None,
        console => Some(listen::file_tls(&console.certificate, &console.key)?),
    };
    let wire_tls = cloud.wire_tls()?;
    let on_wire = listen::serve(
        wire_listener,
        Some(wire_tls),
        wire::router(cloud.clone()),
        cloud.settings.wire.connections,
        stop.clone(),
    );
    let console = console::router(cloud.clone(), sent_assets::fleet(), stop.clone());
    let on_console =
        listen::serve(console_listener, console_tls, console, cloud.settings.console.connections, stop.clone());
    let background = tokio::spawn(Arc::clone(&cloud).run(stop.clone()));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let ending = async {
        told_to_stop().await;
        tracing::info!("stopping");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        stop.cancel();
    };
    tokio::join!(on_wire, on_console, ending);
    background.await?;
    Ok(())
}

async fn told_to_stop() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn apply_migrations(settings: &Settings) -> Result<()> {
    let url = match settings.database.owner_url.as_str() {
        "" => &settings.database.url,
        owner => owner,
    };
    let mut connection = db::options(url)?.connect().await.context("cannot reach the database as its owner")?;
    for name in migrate::migrate(&mut connection).await? {
        println!("{name}");
    }
    connection.close().await?;
    Ok(())
}

async fn write_certificates(settings: Settings, out: &Path, name: &str, hosts: &[String]) -> Result<()> {
    if name.contains(['/', '\0']) || name.is_empty() {
        bail!("{name:?} is no file name");
    }
    let cloud = Cloud::open(settings, SystemClock::shared()).await?;
    let identity = cloud.authority.issue_server(hosts, cloud.clock.now())?;
    std::fs::create_dir_all(out)?;
    write_new(&out.join("ca.pem"), cloud.authority.root_pem().as_bytes())?;
    write_new(&out.join(format!("{name}.pem")), identity.issued.chain_pem.as_bytes())?;
    let mut key = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(out.join(format!("{name}.key")))?;
    key.write_all(identity.key_pem.as_bytes())?;
    Ok(())
}

/// Writes beside the file and renames: a broker that reads it meanwhile finds the old one or the new one.
fn write_new(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let partial = path.with_extension("partial");
    let mut file = std::fs::File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(partial, path)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::CommandFactory as _;
    use sent_core::{reference, route};

    use super::*;

    fn page(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
    }

    #[test]
    fn the_page_of_verbs_has_every_verb() {
        let made = reference::verbs_page("Made from the program.", Arguments::command());
        assert_eq!(reference::stale(&page("cloud-verbs.md"), &made), None);
    }

    #[test]
    fn the_page_of_routes_has_every_route() {
        let about = "Made from the program. The console's port; what boxes say on the wire's port is in `docs/design/0003-wire.md`. \
                     `GET /connection/websocket` (live events), `GET /health` and the pages stand beside these.";
        let routes = console::routes();
        let made = reference::routes_page("HTTP routes of the cloud's console", about, routes.list());
        assert_eq!(reference::stale(&page("cloud-routes.md"), &made), None);
        let told = sent_contract::rights::names(sent_contract::rights::CONSOLE);
        assert_eq!(route::rights(routes.list()), told, "ui/contract/src/rights.rs says what each is for");
    }
}
