//! HTTP in and out of the ledger.

use std::io::{self, Read};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
};
use futures::StreamExt as _;
use sent_contract::{
    Page, Uuid,
    capital::{Account, BalanceRow, Entry, ImportReport, NewAccount, NewEntry, Reverse},
    reference::{Close, FxRate, Item, NewFxRate, TaxRate},
};
use sent_core::{
    Problem, Scope,
    route::{Access, Routes},
};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::{
    error::LedgerError,
    import::{Options, sheet::Limits},
    model::Date,
    service::Ledger,
    store::Filter,
};

/// Longest file taken over HTTP, in bytes: some half a million rows. The verb takes longer ones.
const MAX_UPLOAD: u64 = 32 << 20;
/// Entries of a page that does not say how many.
const PAGE: usize = 50;

/// Every route of the engine.
pub fn routes(ledger: Ledger) -> Routes {
    Routes::new()
        .get("/api/capital/accounts", Access::Right("capital.account.read"), accounts)
        .post("/api/capital/accounts", Access::Right("capital.account.write"), create_account)
        .put("/api/capital/accounts/{id}", Access::Right("capital.account.write"), edit_account)
        .post("/api/capital/accounts/{id}/close", Access::Right("capital.account.write"), close_account)
        .get("/api/capital/rates", Access::Right("capital.account.read"), rates)
        .put("/api/capital/rates", Access::Right("capital.rate.write"), set_rate)
        .get("/api/capital/taxes", Access::Right("capital.account.read"), taxes)
        .get("/api/capital/items", Access::Right("capital.account.read"), items)
        .get("/api/capital/entries", Access::Right("capital.entry.read"), entries)
        .post("/api/capital/entries", Access::Right("capital.entry.post"), post)
        .get("/api/capital/entries/{id}", Access::Right("capital.entry.read"), entry)
        .post("/api/capital/entries/{id}/reverse", Access::Right("capital.entry.reverse"), reverse)
        .get("/api/capital/trial-balance", Access::Right("capital.report.read"), trial_balance)
        .post("/api/capital/import", Access::Right("capital.entry.import"), import)
        .with_state(ledger)
}

/// Runs a call of the ledger off the async threads.
async fn blocking<T: Send + 'static>(
    ledger: Ledger,
    call: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
) -> Result<Json<T>, Problem> {
    let result = tokio::task::spawn_blocking(move || call(&ledger)).await.map_err(Problem::internal)?;
    Ok(Json(result?))
}

async fn accounts(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Vec<Account>>, Problem> {
    blocking(ledger, move |l| l.accounts(&scope)).await
}

async fn create_account(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    body: Bytes,
) -> Result<Json<Account>, Problem> {
    let new: NewAccount = from_json(&body)?;
    blocking(ledger, move |l| l.create_account(&scope, new)).await
}

async fn edit_account(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Account>, Problem> {
    let id = row_id(&id, "account")?;
    let new: NewAccount = from_json(&body)?;
    blocking(ledger, move |l| l.edit_account(&scope, id, new)).await
}

async fn close_account(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Account>, Problem> {
    let id = row_id(&id, "account")?;
    let close: Close = from_json(&body)?;
    blocking(ledger, move |l| l.close_account(&scope, id, close)).await
}

async fn rates(State(ledger): State<Ledger>, Extension(scope): Extension<Scope>) -> Result<Json<Vec<FxRate>>, Problem> {
    blocking(ledger, move |l| l.rates(&scope)).await
}

async fn set_rate(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    body: Bytes,
) -> Result<Json<FxRate>, Problem> {
    let new: NewFxRate = from_json(&body)?;
    blocking(ledger, move |l| l.set_rate(&scope, new)).await
}

async fn taxes(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Vec<TaxRate>>, Problem> {
    blocking(ledger, move |l| l.taxes(&scope)).await
}

async fn items(State(ledger): State<Ledger>, Extension(scope): Extension<Scope>) -> Result<Json<Vec<Item>>, Problem> {
    blocking(ledger, move |l| l.items(&scope)).await
}

/// `?from=&to=&account=&q=&after=&limit=`
#[derive(Deserialize)]
struct EntriesQuery {
    from: Option<String>,
    to: Option<String>,
    account: Option<String>,
    q: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

async fn entries(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    Query(query): Query<EntriesQuery>,
) -> Result<Json<Page<Entry>>, Problem> {
    let limit = match query.limit.as_deref().filter(|l| !l.is_empty()) {
        Some(limit) => limit.parse().map_err(|_| Problem::field("limit", "a limit is a whole number"))?,
        None => PAGE,
    };
    let filter = Filter {
        from: date("from", query.from.as_deref())?,
        to: date("to", query.to.as_deref())?,
        account: query.account.filter(|a| !a.is_empty()),
        text: query.q.filter(|q| !q.is_empty()),
        after: query.after.filter(|a| !a.is_empty()).map(|a| cursor(&a)).transpose()?,
    };
    blocking(ledger, move |l| l.entries(&scope, &filter, limit)).await
}

async fn post(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    body: Bytes,
) -> Result<Json<Entry>, Problem> {
    let new: NewEntry = from_json(&body)?;
    blocking(ledger, move |l| l.post(&scope, new)).await
}

async fn entry(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
) -> Result<Json<Entry>, Problem> {
    let id = row_id(&id, "entry")?;
    blocking(ledger, move |l| l.entry(&scope, id)).await
}

async fn reverse(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Entry>, Problem> {
    let id = row_id(&id, "entry")?;
    let reverse: Reverse = from_json(&body)?;
    blocking(ledger, move |l| l.reverse(&scope, id, reverse)).await
}

/// `?as_of=`
#[derive(Deserialize)]
struct BalanceQuery {
    as_of: Option<String>,
}

async fn trial_balance(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    Query(query): Query<BalanceQuery>,
) -> Result<Json<Vec<BalanceRow>>, Problem> {
    let as_of = date("as_of", query.as_of.as_deref())?;
    blocking(ledger, move |l| l.trial_balance(&scope, as_of)).await
}

/// `?dry_run=&create_accounts=`
#[derive(Deserialize)]
struct ImportQuery {
    dry_run: Option<String>,
    create_accounts: Option<String>,
}

/// A file with faults is an answer, not a problem: the report says where they are.
async fn import(
    State(ledger): State<Ledger>,
    Extension(scope): Extension<Scope>,
    Query(query): Query<ImportQuery>,
    body: Body,
) -> Result<Json<ImportReport>, Problem> {
    let options = Options {
        dry_run: flag("dry_run", query.dry_run.as_deref())?,
        create_accounts: flag("create_accounts", query.create_accounts.as_deref())?,
        limits: Limits { bytes: MAX_UPLOAD },
    };
    // The file is parsed while it arrives; the channel holds the sender back when parsing is slower.
    let (sender, receiver) = mpsc::channel(8);
    let reading = tokio::spawn(pump(body, sender));
    let result = blocking(ledger, move |l| l.import(&scope, Chunks { receiver, current: Bytes::new() }, options)).await;
    reading.abort();
    result
}

async fn pump(body: Body, sender: mpsc::Sender<io::Result<Bytes>>) {
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let broken = chunk.is_err();
        // The receiver is gone when the file was refused: the rest need not be read.
        if sender.send(chunk.map_err(io::Error::other)).await.is_err() || broken {
            return;
        }
    }
}

/// A request's body as a blocking reader.
struct Chunks {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let n = self.current.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

fn from_json<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|e| Problem::invalid(format!("the body does not have the right form: {e}")))
}

fn date(field: &'static str, text: Option<&str>) -> Result<Option<Date>, Problem> {
    text.filter(|t| !t.is_empty())
        .map(|t| Date::parse(t).ok_or_else(|| Problem::field(field, "a date is written like 2026-03-31")))
        .transpose()
}

/// A flag must be clear: a misread `dry_run` would post.
fn flag(field: &'static str, text: Option<&str>) -> Result<bool, Problem> {
    match text {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some(_) => Err(Problem::field(field, "write true or false")),
    }
}

fn cursor(text: &str) -> Result<(Date, Uuid), Problem> {
    text.split_once('~')
        .and_then(|(date, id)| Some((Date::parse(date)?, Uuid::try_parse(id).ok()?)))
        .ok_or_else(|| Problem::field("after", "this is no cursor of an earlier page"))
}

fn row_id(text: &str, what: &'static str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| Problem::not_found(what))
}
