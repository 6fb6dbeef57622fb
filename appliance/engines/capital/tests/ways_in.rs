//! The routes and the verbs, against a real store.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs::File, io::Write as _};

use axum::{
    Extension, Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use sent_capital::{
    Ledger, TABLES,
    cli::{self, Command},
    import::Options,
    routes,
};
use sent_core::{Scope, identity::Rights};
use sent_store::{Store, test};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

const FILE: &str = "transaction_id,date,description,account,amount,currency\n\
                    A1,2026-01-31,Rent,Expenses:Rent,1200.00,EUR\nA1,2026-01-31,Rent,Assets:Bank,-1200.00,EUR\n";

fn open() -> (TempDir, Store, Scope) {
    test::store(TABLES).expect("a store")
}

fn router(store: &Store, scope: &Scope) -> Router {
    routes::routes(Ledger::new(store.clone())).into_router().layer(Extension(scope.clone()))
}

async fn call(router: &Router, method: Method, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(body.into()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("an answer");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn an_entry_goes_in_and_comes_out() {
    let (_folder, store, scope) = open();
    let router = router(&store, &scope);
    for name in ["Assets:Bank", "Expenses:Rent"] {
        let (status, account) =
            call(&router, Method::POST, "/api/capital/accounts", json!({ "name": name }).to_string()).await;
        assert_eq!((status, account["pending"].as_bool()), (StatusCode::OK, Some(false)));
    }
    let id = "0199a1f2-7c3e-7b61-9d52-0f6b8a1c2d3e";
    let entry = json!({ "id": id, "date": "2026-03-31", "description": "Rent", "lines": [
        { "account": "Expenses:Rent", "amount": "1200.00", "currency": "EUR" },
        { "account": "Assets:Bank", "amount": "-1200.00", "currency": "EUR" } ] });
    let (status, posted) = call(&router, Method::POST, "/api/capital/entries", entry.to_string()).await;
    assert_eq!((status, posted["number"].as_str()), (StatusCode::OK, Some("JE-HS-2026-0001")));
    let (_, read) = call(&router, Method::GET, &format!("/api/capital/entries/{id}"), "").await;
    assert_eq!(read, posted);
    let (_, page) = call(&router, Method::GET, "/api/capital/entries?account=Assets&q=rent&limit=5", "").await;
    assert_eq!(page["items"], json!([posted]));
    let (_, rows) = call(&router, Method::GET, "/api/capital/trial-balance?as_of=2026-03-31", "").await;
    assert_eq!(
        rows[0],
        json!({ "account": "Assets:Bank", "currency": "EUR", "balance": "-1200.00", "base": "-1200.00" })
    );

    let reverse = json!({ "id": "0199a1f2-7c3e-7b61-9d52-0f6b8a1c2d3f" }).to_string();
    let (status, reversal) =
        call(&router, Method::POST, &format!("/api/capital/entries/{id}/reverse"), reverse.clone()).await;
    assert_eq!((status, reversal["reverses"].as_str()), (StatusCode::OK, Some(id)));
    let another = reverse.replace("2d3f", "2d40");
    let (status, _) = call(&router, Method::POST, &format!("/api/capital/entries/{id}/reverse"), another).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_file_is_checked_and_imported() {
    let (_folder, store, scope) = open();
    let router = router(&store, &scope);
    let import = async |query: &str| call(&router, Method::POST, &format!("/api/capital/import{query}"), FILE).await;
    let (status, report) = import("").await;
    assert_eq!(
        (status, report["posted"].as_u64(), report["errors"].as_array().map(Vec::len)),
        (StatusCode::OK, Some(0), Some(2))
    );
    assert_eq!(import("?dry_run=true&create_accounts=true").await.1["posted"], 1);
    assert_eq!(import("?create_accounts=1").await.1["posted"], 1);
    assert_eq!(import("").await.1["unchanged"], 1);
    assert_eq!(import("?dry_run=perhaps").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let too_long = call(&router, Method::POST, "/api/capital/import", vec![b'x'; (32 << 20) + 1]).await;
    assert_eq!(too_long.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn bad_requests_get_clear_answers() {
    let (_folder, store, scope) = open();
    let router = router(&store, &scope);
    for (method, path, body, status) in [
        (Method::POST, "/api/capital/entries", "{", StatusCode::UNPROCESSABLE_ENTITY),
        (Method::POST, "/api/capital/accounts", "{\"name\": \"A::B\"}", StatusCode::UNPROCESSABLE_ENTITY),
        (Method::POST, "/api/capital/accounts", "{\"name\": \"Something\"}", StatusCode::UNPROCESSABLE_ENTITY),
        (Method::GET, "/api/capital/entries?from=yesterday", "", StatusCode::UNPROCESSABLE_ENTITY),
        (Method::GET, "/api/capital/entries?after=x", "", StatusCode::UNPROCESSABLE_ENTITY),
        (Method::GET, "/api/capital/entries?limit=many", "", StatusCode::UNPROCESSABLE_ENTITY),
        (Method::GET, "/api/capital/entries/x", "", StatusCode::NOT_FOUND),
        (Method::PUT, "/api/capital/accounts/x", "{\"name\": \"Assets:A\"}", StatusCode::NOT_FOUND),
        (Method::POST, "/api/capital/accounts/x/close", "{}", StatusCode::NOT_FOUND),
        (Method::PUT, "/api/capital/rates", "{\"currency\": \"USD\"}", StatusCode::UNPROCESSABLE_ENTITY),
        (Method::GET, "/api/capital/trial-balance?as_of=2026-02-30", "", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (answer, problem) = call(&router, method, path, body).await;
        assert_eq!(answer, status, "{path}");
        assert!(problem["code"].is_string() && problem["message"].is_string(), "{path}: {problem}");
    }
}

#[tokio::test]
async fn every_route_refuses_without_its_right() {
    let (_folder, store, mut scope) = open();
    scope.rights = Rights::default();
    let list = routes::routes(Ledger::new(store.clone()));
    assert_eq!(list.list().len(), 14);
    let router = router(&store, &scope);
    for route in list.list() {
        let path = route.path.replace("{id}", "0199a1f2-7c3e-7b61-9d52-0f6b8a1c2d3e");
        assert_eq!(call(&router, route.method.clone(), &path, "").await.0, StatusCode::FORBIDDEN, "{path}");
    }
}

#[test]
fn verbs_print_what_programs_can_read() {
    let (folder, store, scope) = open();
    let file = folder.path().join("books.csv");
    File::create(&file).and_then(|mut f| f.write_all(FILE.as_bytes())).expect("a file");
    let run = |command| {
        let mut out = Vec::new();
        cli::run(command, &store, &scope, &mut out).expect("runs");
        String::from_utf8(out).expect("text")
    };
    let import =
        |dry_run, create_accounts| Command::Import { file: file.clone(), dry_run, create_accounts, json: false };
    let refused = run(import(true, false));
    assert!(refused.contains("line 2, account: there is no account Expenses:Rent"), "{refused}");
    assert!(refused.contains("--create-accounts"), "{refused}");
    assert!(run(import(false, true)).contains("2 rows read, 1 transaction posted"));
    assert!(run(Command::TrialBalance { as_of: Some("2026-01-30".into()), all: true, json: true }).starts_with("[\n]"));
    let balance: Value =
        serde_json::from_str(&run(Command::TrialBalance { as_of: None, all: false, json: true })).expect("JSON");
    let row = |account: &str, balance: &str| json!({ "account": account, "currency": "EUR", "balance": balance });
    assert_eq!(balance, json!([row("Assets:Bank", "-1200.00"), row("Expenses:Rent", "1200.00")]));
    let ledger = Ledger::new(store.clone());
    assert_eq!(ledger.import(&scope, FILE.as_bytes(), Options::default()).expect("a report").unchanged, 1);
}
