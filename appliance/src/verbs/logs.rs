//! `sent radar …`: rules on files, which need no box, and the search of a box's logs.
//!
//! One process has the logs open: where the box runs, its worker is asked over its socket; else they are opened here.

use std::{io::BufWriter, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use axum::{body::Body, extract::Request};
use http_body_util::BodyExt as _;
use sent_contract::radar::Found;
use sent_radar::{
    cli::{Command, SearchArgs},
    search::{self, Search},
    service::{found, unfound},
};
use tokio::runtime::Runtime;

use super::{OUTPUT, open, scope};
use crate::{
    gateway::forward::{self, SCOPE},
    settings::Settings,
    worker,
};

/// Runs a verb.
pub fn run(command: &Command, data: &Path, settings: &Settings, runtime: &Runtime) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::with_capacity(OUTPUT, std::io::stdout().lock());
    let mut notes = std::io::stderr().lock();
    if let Command::Search(args) = command {
        let found = runtime.block_on(look(args, data, settings))?;
        args.show(&found, &mut out, &mut notes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let well = sent_radar::cli::run(command, &mut out, &mut notes)?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(args: &SearchArgs, data: &Path, settings: &Settings) -> anyhow::Result<Found> {
    let store = open(data, settings)?;
    let (from, to) = args.times(store.clock().now().0)?;
    let scope = serde_json::to_string(&scope(&store)?)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("q", &args.query).append_pair("most", &args.most.to_string());
    for (name, time) in [("from", from), ("to", to)] {
        if let Some(time) = time {
            query.append_pair(name, &time.to_string());
        }
    }
    let request = Request::builder()
        .uri(format!("/api/radar/search?{}", query.finish()))
        .header(&SCOPE, scope)
        .body(Body::empty())?;
    let socket = worker::socket(data, "radar");
    if let Ok(answer) = forward::ask(&socket, request).await {
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes();
        if !status.is_success() {
            let problem: sent_contract::ApiError = serde_json::from_slice(&body)?;
            bail!("{}", problem.message);
        }
        return Ok(serde_json::from_slice(&body)?);
    }
    let section = toml::Table::try_from(&settings.radar)?;
    let own = sent_radar::settings::Settings::read(&section)?.logs()?;
    let logs = search::Store::open(&data.join("radar/logs"), own, store.clock().clone()).context("the logs")?;
    let mut search = Search::new(&args.query).map_err(unfound)?;
    search.times = from.unwrap_or(i64::MIN)..to.unwrap_or(i64::MAX);
    Ok(found(&logs, search, None, args.most).await?)
}
