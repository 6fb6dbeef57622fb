//! MSP staff at the console, in a real browser: the fleet, a box, a claim, what waits for a decision; and an entry posted
//! on a box comes in live.

use fantoccini::key::Key;
use sent_tests::{Cluster, Result, Setup, appliance, books, browser::Browser, cluster::MSP, ensure};

use crate::{
    box_id,
    browser_box::{log_in, palette},
    new_id,
};

/// Address, what must be read there, name of the picture.
const PAGES: &[(&str, &[&str], &str)] = &[
    ("/boxes", &["Harbour Street", "Northwind"], "boxes"),
    ("/customers", &["Northwind"], "customers"),
    ("/reference?show=accounts", &["Assets:Bank:Checking", "1200"], "reference-accounts"),
    ("/reference?show=rates", &["USD", "0.9212"], "reference-rates"),
    ("/reference?show=taxes", &["Lodging tax", "7.5 %"], "reference-taxes"),
    ("/reference?show=items", &["Office chair", "249.90"], "reference-items"),
    ("/reference?show=settings", &["entry.description.required"], "reference-settings"),
    ("/reference?show=roles", &["Accountant", "capital.*"], "reference-roles"),
    ("/entries", &["Dollars sold"], "entries"),
    ("/alerts", &["lert"], "alerts"),
    ("/proposals", &["roposal"], "proposals"),
    ("/quarantine", &["uarantine"], "quarantine"),
    ("/audit", &["fleet.account.create"], "audit"),
    ("/users", &[MSP.0], "users"),
    ("/users?show=roles", &["Operator", "fleet.*"], "roles"),
    ("/me", &[MSP.0], "account"),
    ("/settings", &["wire.listen"], "settings"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_fleet() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    books::furnish(&cluster.fleet, office.organization).await?;
    let (appliance, face) = cluster.appliance(&office, "Harbour Street").await?;
    books::fill(&face, 1).await?;
    appliance::synced(&face, 60).await?;
    let console = cluster.replicas[0].console();
    let browser = Browser::open().await?;
    browser.go(&console).await?;
    browser.find("input[name=email]").await?;
    browser.pictures("fleet-login").await?;
    log_in(&browser, MSP.0, MSP.1).await?;
    browser.reads(&["Harbour Street"]).await?;

    for (path, texts, name) in PAGES {
        browser.go(&format!("{console}{path}")).await?;
        browser.reads(texts).await?;
        browser.pictures(&format!("fleet-{name}")).await?;
    }
    browser.go(&format!("{console}/boxes/{}", box_id(&appliance)?)).await?;
    browser.reads(&["Harbour Street", "Northwind"]).await?;
    browser.pictures("fleet-box").await?;

    // A role of the fleet's own, from the keyboard: made, and removed after a question that says what is lost.
    browser.go(&format!("{console}/users?show=roles")).await?;
    browser.reads(&["Operator"]).await?;
    browser.keys("c").await?;
    browser.find("dialog[open] input[name=name]").await?.send_keys("auditor").await?;
    browser.press(Key::Tab).await?;
    // Past everything and all of the fleet, to its first right.
    for _ in 0..2 {
        browser.press(Key::Down).await?;
    }
    browser.keys(" ").await?;
    browser.pictures("fleet-role").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Role auditor made", "Auditor", "fleet.box.read"]).await?;
    browser.keys("/").await?;
    browser.keys("auditor").await?;
    browser.reads(&["1 shown"]).await?;
    browser.press(Key::Escape).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.find("dialog[open] footer button").await?.send_keys(&String::from(char::from(Key::Enter))).await?;
    browser.reads(&["Remove the role Auditor", "1 right"]).await?;
    browser.pictures("fleet-role-removed").await?;
    browser.press(Key::Tab).await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Role removed"]).await?;

    // Live: what is posted on the box is seen here without a reload.
    browser.go(&format!("{console}/entries")).await?;
    browser.reads(&["Dollars sold"]).await?;
    let lines = [("Assets:Cash", 815, "EUR"), ("Income:Sales", -815, "EUR")];
    books::post(&face, &books::entry(new_id(), "2026-11-23", "Postcards", &lines)).await?;
    browser.reads(&["Postcards"]).await?;

    palette(&browser, "Harbour Street").await?;
    browser.reads(&["Northwind"]).await?;
    palette(&browser, "sign out").await?;
    browser.find("input[name=email]").await?;
    let complaints: Vec<String> =
        browser.complaints().await?.into_iter().filter(|c| !c.contains("/api/session")).collect();
    ensure!(complaints.is_empty(), "the browser complains: {complaints:#?}");
    browser.close().await?;
    cluster.passed();
    Ok(())
}
