//! A person at the box, in a real browser and from the keyboard: logs in, looks at every page, posts an entry and sees it
//! come in live. Pictures of each page in both sizes and both themes are kept.

use fantoccini::{Locator, key::Key};
use sent_tests::{Cluster, Result, Setup, books, browser::Browser, cluster::PASSWORD, ensure, until};

use crate::new_id;

/// Address, what must be read there, name of the picture.
const PAGES: &[(&str, &[&str], &str)] = &[
    ("/", &["Harbour Street"], "home"),
    ("/journal", &["Dollars sold"], "journal"),
    ("/journal/new", &["Description"], "entry-new"),
    ("/journal/import", &["mport"], "import"),
    ("/accounts", &["Assets:Bank:Checking"], "accounts"),
    ("/trial-balance", &["Assets:Bank:Checking"], "trial-balance"),
    ("/reference?show=accounts", &["Expenses:Rent", "Open"], "reference-accounts"),
    ("/reference?show=rates", &["USD", "0.9212"], "reference-rates"),
    ("/reference?show=taxes", &["Lodging tax", "7.5 %"], "reference-taxes"),
    ("/reference?show=items", &["Office chair", "249.90"], "reference-items"),
    ("/reference?show=settings", &["entry.description.required"], "reference-settings"),
    ("/monitoring", &["this box"], "hosts"),
    ("/monitoring/checks", &["box pages"], "checks"),
    ("/monitoring/charts", &["Processor"], "charts"),
    ("/alerts", &["lert"], "alerts"),
    ("/monitoring/rules", &["disk is nearly full"], "rules"),
    ("/sync", &["Sync"], "sync"),
    ("/quarantine", &["Nothing in quarantine"], "quarantine"),
    ("/audit", &["capital.entry.post"], "audit"),
    ("/users", &["Anna Berg"], "users"),
    ("/me", &["anna@northwind.example"], "account"),
    ("/settings", &["gateway.listen"], "settings"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_box() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    books::furnish(&cluster.fleet, office.organization).await?;
    let (appliance, face) = cluster.appliance(&office, "Harbour Street").await?;
    books::fill(&face, 1).await?;
    let browser = Browser::open().await?;

    browser.go(&appliance.address()).await?;
    browser.find("input[name=email]").await?;
    browser.pictures("box-login").await?;
    // A wrong password is told, and what was typed stays.
    log_in(&browser, &office.owner, "not the password").await?;
    browser.find("[role=alert]").await?;
    let password = browser.find("input[name=password]").await?;
    password.clear().await?;
    password.send_keys(PASSWORD).await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Harbour Street"]).await?;
    // What was refused stands in the browser's console, and nothing else does.
    let complaints = browser.complaints().await?;
    ensure!(complaints.iter().all(|c| c.contains("/api/session")), "{complaints:#?}");

    for (path, texts, name) in PAGES {
        browser.go(&format!("{}{path}", appliance.address())).await?;
        browser.reads(texts).await?;
        browser.pictures(&format!("box-{name}")).await?;
    }

    // Live: an entry that somebody else posts appears without a reload.
    browser.go(&format!("{}/journal", appliance.address())).await?;
    browser.reads(&["Dollars sold"]).await?;
    let lines = [("Assets:Cash", 4_711, "EUR"), ("Income:Sales", -4_711, "EUR")];
    books::post(&face, &books::entry(new_id(), "2026-11-23", "Lemonade at the door", &lines)).await?;
    browser.reads(&["Lemonade at the door"]).await?;

    // The sheet of keys, a page by its letter, and the list from the keyboard: the first row is opened.
    browser.keys("?").await?;
    browser.reads(&["Everywhere", "Go to"]).await?;
    browser.press(Key::Escape).await?;
    browser.keys("gt").await?;
    browser.reads(&["Debits less credits"]).await?;
    browser.keys("gj").await?;
    browser.reads(&["Lemonade at the door"]).await?;
    browser.keys("/").await?;
    browser.keys("lemonade").await?;
    browser.reads(&["1 shown"]).await?;
    browser.press(Key::Escape).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Timeline", "Posted an entry", "Lemonade at the door"]).await?;

    // A chart and a menu from the keyboard.
    browser.go(&format!("{}/monitoring/charts", appliance.address())).await?;
    browser.find(".chart").await?.send_keys("+").await?;
    browser.reads(&["Zoom out"]).await?;
    // Before this box was made there is nothing to draw; the chart stays, and its keys lead out again.
    browser.reads(&["No points in this time"]).await?;
    browser.find(".chart").await?.send_keys("0").await?;
    until("the chart is back where it was", 10, || async {
        Ok((!browser.text().await?.contains("Zoom out")).then_some(()))
    })
    .await?;
    let menu = browser.find("button[aria-label*='sign out']").await?;
    menu.send_keys(&String::from(char::from(Key::Down))).await?;
    until("the menu has the keyboard", 10, || async {
        Ok((browser.client().active_element().await?.text().await? == "My account").then_some(()))
    })
    .await?;
    browser.press(Key::Escape).await?;

    // From the keyboard alone: the palette, then a new entry.
    palette(&browser, "new journal").await?;
    browser.find("input[name=description]").await?;
    let description = browser.find("input[name=description]").await?;
    description.send_keys("Typed by hand").await?;
    for (line, account, side, amount) in [(1, "Assets:Cash", "debit", "12.50"), (2, "Income:Sales", "credit", "12.50")]
    {
        for (field, text) in [("account", account), (side, amount)] {
            let css = format!("[aria-label*='{field}' i][aria-label*='{line}']");
            let input = browser.find(&css).await?;
            input.clear().await?;
            input.send_keys(text).await?;
        }
    }
    chord(&browser, "Enter").await?;
    browser.reads(&["Typed by hand"]).await?;
    until("the entry is posted", 20, || async {
        let page: serde_json::Value = face.get("/api/capital/entries?q=Typed").await?;
        Ok((page["items"].as_array().is_some_and(|items| items.len() == 1)).then_some(()))
    })
    .await?;

    palette(&browser, "sign out").await?;
    browser.find("input[name=email]").await?;
    let complaints: Vec<String> =
        browser.complaints().await?.into_iter().filter(|c| !c.contains("/api/session")).collect();
    ensure!(complaints.is_empty(), "the browser complains: {complaints:#?}");
    browser.close().await?;
    cluster.passed();
    Ok(())
}

/// Logs in from the keyboard.
pub(crate) async fn log_in(browser: &Browser, email: &str, password: &str) -> Result<()> {
    browser.find("input[name=email]").await?.send_keys(email).await?;
    browser.press(Key::Tab).await?;
    browser.keys(password).await?;
    browser.press(Key::Enter).await
}

/// Opens the palette, types, and takes the first thing found.
pub(crate) async fn palette(browser: &Browser, text: &str) -> Result<()> {
    chord(browser, "k").await?;
    let input = browser.find("dialog[open] input").await?;
    input.send_keys(text).await?;
    until("the palette has found something", 10, || async {
        let found = browser.client().find_all(Locator::Css("dialog[open] [role=option]")).await?;
        Ok((!found.is_empty()).then_some(()))
    })
    .await?;
    browser.press(Key::Enter).await
}

/// A key with Ctrl.
pub(crate) async fn chord(browser: &Browser, key: &str) -> Result<()> {
    let target = browser.client().active_element().await?;
    let script = "arguments[0].dispatchEvent(new KeyboardEvent('keydown', \
                  { key: arguments[1], ctrlKey: true, bubbles: true, cancelable: true }))";
    browser.client().execute(script, vec![serde_json::to_value(target)?, key.into()]).await?;
    Ok(())
}
