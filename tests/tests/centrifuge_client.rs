//! npm `centrifuge`, unchanged, against both faces: it connects by the session's cookie or by a token, hears of every
//! commit, recovers what it missed while it was cut off, and hears nothing of anybody else.

use std::{io::Write as _, process::Stdio};

use sent_contract::identity::{CreatedToken, NewToken};
use sent_tests::{Cluster, Context as _, Face, Result, Setup, appliance, bail, books, ensure, program::root};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Duration, timeout},
};

use crate::{new_id, sales};

/// Whatever is waited for comes sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// The client, told what to do line by line.
struct Client {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(face: &Face, more: &[&str], channels: &[&str]) -> Result<Self> {
        let url = format!("{}/connection/websocket", face.base().replacen("http", "ws", 1));
        let mut command = Command::new("node");
        command.arg(root().join("tests/centrifuge/client.mjs")).arg(url);
        if let Some(cookie) = face.cookie() {
            command.args(["--header", &format!("Cookie: {cookie}")]);
        }
        let mut child = command
            .args(more)
            .args(channels)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("no input")?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { _child: child, input, lines })
    }

    async fn tell(&mut self, line: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Reads events up to one of this kind that fits.
    async fn until(&mut self, event: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut seen = Vec::new();
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await? {
                let value: Value = serde_json::from_str(&line)?;
                if value["event"] == event && fits(&value) {
                    return Ok(value);
                }
                seen.push(line);
            }
            bail!("the client ended")
        })
        .await;
        match found {
            Ok(found) => found.with_context(|| format!("waiting for {event} after {seen:#?}")),
            Err(_) => bail!("no {event} after {seen:#?}"),
        }
    }
}

fn any(_: &Value) -> bool {
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn centrifuge_client() -> Result<()> {
    if !root().join("tests/centrifuge/node_modules").is_dir() {
        eprintln!("skipped: run `npm ci` in tests/centrifuge (scripts/deps.sh does)");
        return Ok(());
    }
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (appliance, face) = cluster.appliance(&office, "box").await?;

    let mut client = Client::start(&face, &[], &["table:entries", "pulse.live"])?;
    client.until("connected", any).await?;
    let first = client.until("subscribed", |e| e["channel"] == "table:entries").await?;
    ensure!(first["recoverable"] == true, "{first}");

    let id = new_id();
    books::post(&face, &books::sale(id, 1_234)).await?;
    let heard = client.until("publication", |e| e["channel"] == "table:entries").await?;
    ensure!(heard["data"]["key"]["id"] == id.to_string() && heard["data"]["op"] == "i", "{heard}");
    client.until("publication", |e| e["channel"] == "pulse.live").await?;

    // Cut off, it gets exactly what it missed.
    client.tell("cut").await?;
    client.until("connecting", any).await?;
    let missed = sales(&face, 5).await?;
    client.tell("resume").await?;
    let again = client.until("subscribed", |e| e["channel"] == "table:entries").await?;
    ensure!(again["recovered"] == true && again["epoch"] == first["epoch"], "{again}");
    for id in &missed {
        let heard = client.until("publication", |e| e["channel"] == "table:entries").await?;
        ensure!(heard["data"]["key"]["id"] == id.to_string(), "{heard} instead of {id}");
    }
    for verb in ["publish", "presence"] {
        client.tell(&format!("{verb} table:entries")).await?;
        let answer = client.until("answer", |e| e["to"] == verb).await?;
        ensure!(answer["error"].is_number(), "{verb} is not refused: {answer}");
    }
    client.tell("exit").await?;

    // A token does what a session does; none does nothing.
    let new = NewToken { name: "screen in the hall".into(), rights: vec!["pulse.read".into()], days: Some(1) };
    let made: CreatedToken = face.post("/api/tokens", &new).await?;
    let anonymous = Face::new(face.base())?;
    let mut hall = Client::start(&anonymous, &["--token", &made.secret], &["pulse.live"])?;
    hall.until("subscribed", any).await?;
    hall.until("publication", any).await?;
    let mut nosy = Client::start(&anonymous, &["--token", &made.secret], &["table:entries"])?;
    // 103: permission denied.
    nosy.until("unsubscribed", |e| e["channel"] == "table:entries" && e["code"] == 103)
        .await
        .context("a token without the right hears of entries")?;
    let mut stranger = Client::start(&anonymous, &["--token", "sent_nothing"], &["pulse.live"])?;
    stranger.until("disconnected", any).await?;

    // The fleet's face hears of an entry that a box posted.
    let mut fleet = Client::start(&cluster.fleet, &[], &["fleet.entries"])?;
    fleet.until("subscribed", any).await?;
    sales(&face, 1).await?;
    appliance::hurry(&face).await?;
    fleet.until("publication", any).await?;

    // And of one that a verb imported beside the running box: nobody has to ask the box to look.
    appliance::synced(&face, 60).await?;
    let file = cluster.folder().join("bank.csv");
    std::fs::File::create(&file)?.write_all(
        b"transaction_id,date,description,account,amount,currency\n\
          t1,2026-11-02,Coffee,Expenses:Coffee,4.50,EUR\nt1,2026-11-02,Coffee,Assets:Cash,-4.50,EUR\n",
    )?;
    let mut page = Client::start(&face, &[], &["table:entries"])?;
    page.until("subscribed", any).await?;
    let mut fleet = Client::start(&cluster.fleet, &[], &["fleet.entries"])?;
    fleet.until("subscribed", any).await?;
    appliance.run(&["capital", "import", &file.display().to_string(), "--create-accounts"])?;
    page.until("publication", |e| e["data"]["op"] == "i").await?;
    fleet.until("publication", any).await?;
    cluster.passed();
    Ok(())
}
