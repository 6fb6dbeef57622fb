//! The verbs, on a data folder without a running server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sent_core::{Problem, Scope};
use sent_pulse::{cli::Command, recorder::Reader, settings::Settings};
use sent_store::Store;
use world::{Points, World};

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(subcommand)]
    Pulse(Command),
}

fn verb(store: &Store, scope: &Scope, words: &str) -> Result<(ExitCode, String), Problem> {
    let line = Line::try_parse_from(words.split(' ')).unwrap_or_else(|e| panic!("{e}"));
    let Verb::Pulse(command) = line.verb;
    let mut out = Vec::new();
    let reader = || -> Result<Box<dyn Reader>, Problem> { Ok(Box::new(Points::default())) };
    let code = sent_pulse::cli::run(command, store, scope, reader, &mut out)?;
    Ok((code, String::from_utf8(out).expect("text")))
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_added_run_shown_and_removed() {
    let mut world = World::start(Settings::default()).await;
    world.stop().await;
    let (store, scope) = (world.store.clone(), world.scope.clone());
    tokio::task::spawn_blocking(move || {
        let run = |words: &str| verb(&store, &scope, words).unwrap_or_else(|e| panic!("{words}: {e}"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        run(&format!("pulse check add tcp 127.0.0.1:{port} --name door"));
        run("pulse check add snmp 10.0.0.1:1161 --user monitor --auth sha256:long-enough --privacy aes128:long-enough");
        assert!(verb(&store, &scope, "pulse check add tcp nonsense").is_err());
        assert!(verb(&store, &scope, "pulse check add ping 10.0.0.1 --name door").is_err(), "the name is taken");
        let (_, checks) = run("pulse checks --json");
        let checks: Vec<sent_contract::pulse::Check> = serde_json::from_str(&checks).expect("JSON");
        assert_eq!(checks.len(), 2);
        let (code, found) = run("pulse run door --json");
        assert_eq!(code, ExitCode::SUCCESS);
        let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
        assert_eq!(found["level"], "ok", "{found}");
        drop(listener);
        assert_eq!(run("pulse run door").0, ExitCode::from(2));
        assert_eq!(run("pulse status").0, ExitCode::SUCCESS);
        run("pulse check remove door");
        assert!(verb(&store, &scope, "pulse run door").is_err());
        assert_eq!(run("pulse alerts --json").1.trim(), "[]");
        assert_eq!(run("pulse series --json").1.trim(), "[]");
        assert!(run("pulse query 1 --json").1.contains("\"tier\""));
    })
    .await
    .expect("no panic");
}
