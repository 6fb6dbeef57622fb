//! Several processes on one box: what a verb writes beside it, and what an isolated engine writes and publishes, reaches the
//! pages at once, as if the main process had done it. A key that a verb makes is used at once.

use std::{fs::File, io::Write as _};

use sent_contract::{
    Page,
    home::Home,
    pulse::{Check, Series},
};
use sent_tests::{
    Appliance, Context as _, Result,
    ears::{Ears, Heard},
    ensure, until,
};
use serde_json::json;

const OWNER: (&str, &str) = ("ada@northwind.example", "tea in the afternoon");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_processes() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("sent-").tempdir()?;
    let mut appliance = Appliance::new(folder.path().join("box"), folder.path().join("box.log"))?;
    appliance.configure("[engines]\nworkers = [\"pulse\"]\n")?;
    let init = ["init", "--organisation", "Northwind", "--currency", "EUR", "--email", OWNER.0, "--password-stdin"];
    let (status, _, complaint) = appliance.verb(&init)?.finish(OWNER.1.as_bytes())?;
    ensure!(status.success(), "{complaint}");
    appliance.start().await?;
    let face = appliance.login(OWNER.0, OWNER.1).await?;
    let home: Home = until("the worker runs", 60, || async {
        let home: Home = face.get("/api/home").await?;
        let runs = home.services.iter().any(|s| s.name == "pulse" && s.runs == "worker" && s.status.cause == "running");
        Ok(runs.then_some(home))
    })
    .await?;
    ensure!(home.services.iter().any(|s| s.name == "capital" && s.runs == "main"), "{:?}", home.services);

    // What the worker measures moves on the pages.
    let mut ears = Ears::open(&face, &["pulse.live", "table:entries", "table:checks", "table:alerts"]).await?;
    // Each on a line of its own: which comes first is nobody's promise.
    let mut published = Ears::open(&face, &["pulse.alerts"]).await?;
    let points = ears.until("readings of the worker", |heard| heard.channel == "pulse.live").await?;
    ensure!(points.data["points"].as_array().is_some_and(|points| !points.is_empty()), "{points:?}");

    // A verb's import.
    let file = folder.path().join("bank.csv");
    File::create(&file)?.write_all(
        b"transaction_id,date,description,account,amount,currency\n\
          t1,2026-11-02,Coffee,Expenses:Coffee,4.50,EUR\nt1,2026-11-02,Coffee,Assets:Cash,-4.50,EUR\n",
    )?;
    appliance.run(&["capital", "import", &file.display().to_string(), "--create-accounts"])?;
    ears.until("the imported entry", |heard| heard.channel == "table:entries" && heard.data["op"] == "i").await?;

    // A verb's check: the worker runs it without a restart, and its alert is on the pages when it is raised.
    let rule = json!({ "name": "down", "metric": "check_up", "condition": "below", "raise": 0.5, "clear": 0.5, "hold_seconds": 0, "severity": "bad" });
    let _: serde_json::Value = face.post("/api/pulse/rules", &rule).await?;
    appliance.run(&["pulse", "check", "add", "tcp", "127.0.0.1:1", "--name", "nobody", "--interval", "1"])?;
    ears.until("the new check", |heard| heard.channel == "table:checks" && heard.data["op"] == "i").await?;
    ears.until("the alert, written by the worker", |heard| heard.channel == "table:alerts").await?;
    let is_ours = |heard: &Heard| heard.data["title"].as_str().is_some_and(|title| title.contains("nobody"));
    published.until("the alert, published by the worker", is_ours).await?;

    // A key that a verb makes.
    let kind = json!({ "kind": "snmp", "host": "127.0.0.1", "port": 1, "version": "2c", "user": "a secret community" });
    let check: Check = face
        .post("/api/pulse/checks", &json!({ "name": "switch", "kind": kind, "timeout": 1, "paused": true }))
        .await?;
    let said = appliance.run(&["key", "rotate"])?;
    ensure!(said.contains("data key 2") && said.contains("1 values"), "{said}");
    let again = face.change(reqwest::Method::POST, &format!("/api/pulse/checks/{}/run", check.id), &json!({})).await?;
    ensure!(!again.text().contains("secret"), "{}", again.text());

    // A worker that was killed comes back, and so does what it publishes.
    let before: Page<Series> = face.get("/api/pulse/series").await?;
    ensure!(!before.items.is_empty(), "the worker lists no series");
    let worker = worker_of(&appliance)?.context("there is no worker")?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), nix::sys::signal::Signal::SIGKILL)?;
    until("another worker", 60, || async { Ok(worker_of(&appliance)?.filter(|next| *next != worker)) }).await?;
    let mut ears = Ears::open(&face, &["pulse.live"]).await?;
    ears.until("readings of the next worker", |heard| heard.channel == "pulse.live").await?;
    // When the box itself is killed its workers go with it: the next box begins its own, and a folder has one writer.
    let worker = worker_of(&appliance)?.context("there is no worker")?;
    appliance.kill()?;
    until("the worker ends with the box", 10, || async { Ok(worker_of(&appliance)?.is_none().then_some(())) }).await?;
    appliance.start().await?;
    until("a worker of the next box", 60, || async { Ok(worker_of(&appliance)?.filter(|next| *next != worker)) })
        .await?;
    appliance.stop().await?;
    Ok(())
}

/// Process id of the box's worker.
fn worker_of(appliance: &Appliance) -> Result<Option<i32>> {
    let data = appliance.data().display().to_string();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(id) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        // Processes come and go while one looks.
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("--service=pulse") && line.split('\0').any(|argument| argument == data) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
