//! An analyst at the box, in a real browser and from the keyboard: a rule fires while the queue is open, its evidence is
//! read, the case is taken, commented and closed with a verdict; what is too loud is excepted or switched off; an event is
//! tried, a pack is installed, and the logs are searched. Pictures of each page in both sizes and both themes are kept.

use std::time::UNIX_EPOCH;

use fantoccini::{Locator, key::Key};
use reqwest::Method;
use sent_contract::{
    Page,
    radar::{Case, Exception, Pack, Rule},
};
use sent_tests::{Result, browser::Browser, ensure, logs::Logs, until};
use serde_json::{Value, json};

use crate::browser_box::{chord, log_in};

const FAILED: &str = "11111111-1111-4111-8111-111111111111";

/// File name and Sigma.
const RULES: &[(&str, &str)] = &[
    (
        "linux/failed_login.yml",
        "title: Failed login over SSH
id: 11111111-1111-4111-8111-111111111111
description: Somebody tried a password that was not right. Many of these in a short time are somebody guessing.
author: Ann Example
level: medium
tags: [attack.credential-access, attack.t1110.001]
falsepositives: [People who mistype their password]
logsource: {product: linux}
detection:
  words: ['Failed password']
  condition: words
",
    ),
    (
        "linux/root_shell.yml",
        "title: Shell as root from a web server
id: 22222222-2222-4222-8222-222222222222
description: A web server's user became root. It has no reason to.
author: Ann Example
level: critical
tags: [attack.privilege-escalation, attack.t1548.003]
logsource: {product: linux}
detection:
  web: {user.name: www-data}
  words: ['COMMAND=/bin/bash']
  condition: web and words
",
    ),
    (
        "linux/new_user.yml",
        "title: A user was made
id: 33333333-3333-4333-8333-333333333333
author: Bob Example
level: low
tags: [attack.persistence, attack.t1136]
logsource: {product: linux}
detection:
  words: ['new user: name=']
  condition: words
",
    ),
    (
        "windows/logon_failures.yml",
        "title: Logon with explicit credentials
id: 44444444-4444-4444-8444-444444444444
author: Carla Example
level: high
tags: [attack.lateral-movement, attack.t1021]
logsource: {product: windows, service: security}
detection:
  logon: {EventID: 4648}
  condition: logon
",
    ),
    ("broken.yml", "title: Half a rule\nlogsource: {product: linux}\ndetection:\n  condition: nowhere\n"),
];

const PACKED: &str = "title: Cleared history
id: 55555555-5555-4555-8555-555555555555
author: Dan Example
level: medium
logsource: {product: linux}
detection:
  words: ['history -c']
  condition: words
";

/// Address, what must be read there, name of the picture.
const PAGES: &[(&str, &[&str], &str)] = &[
    ("/security/cases", &["Failed login over SSH", "Alerts"], "cases"),
    ("/security/rules", &["Half a rule", "Broken"], "rules"),
    ("/security/rules?show=exceptions", &["Nightly checks"], "exceptions"),
    ("/security/rules?show=packs", &["sigma-core"], "packs"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_radar() -> Result<()> {
    let mut logs = Logs::start("", RULES).await?;
    let address = logs.appliance.address();
    day(&logs).await?;
    until("rules found what they look for", 60, || async {
        let cases: Page<Case> = logs.face.get("/api/radar/cases").await?;
        Ok((cases.items.len() >= 4).then_some(()))
    })
    .await?;
    let browser = Browser::open().await?;
    browser.go(&format!("{address}/security")).await?;
    log_in(&browser, "ada@northwind.example", "tea in the afternoon").await?;

    // Live: what a rule finds now stands in the queue without a reload.
    browser.reads(&["Failed login over SSH", "Open cases", "Riskiest", "A rule is broken"]).await?;
    ensure!(!browser.text().await?.contains("Shell as root"), "nothing of it yet");
    send(&logs, &[event(now(), "web-1", "sudo", Some("www-data"), "www-data : TTY=unknown ; COMMAND=/bin/bash")])
        .await?;
    browser.reads(&["Shell as root from a web server"]).await?;
    browser.pictures("radar-queue").await?;

    case(&browser, &logs, &address).await?;
    exception(&browser, &logs, &address).await?;
    rules(&browser, &logs, &address).await?;
    for (path, texts, name) in PAGES {
        browser.go(&format!("{address}{path}")).await?;
        browser.reads(texts).await?;
        browser.pictures(&format!("radar-{name}")).await?;
    }
    search(&browser, &address).await?;

    // What was refused on purpose stands in the browser's console, and nothing else does.
    let meant = ["/api/session", "q=user.name%3A("];
    let mut complaints = browser.complaints().await?;
    complaints.retain(|complaint| !meant.iter().any(|part| complaint.contains(part)));
    ensure!(complaints.is_empty(), "the browser complains: {complaints:#?}");
    browser.close().await?;
    logs.appliance.stop().await
}

fn now() -> i64 {
    let since = UNIX_EPOCH.elapsed().expect("it is after 1970");
    i64::try_from(since.as_micros()).expect("a time of this century")
}

/// A line as Vector's `http` sink sends it.
fn event(at: i64, host: &str, process: &str, user: Option<&str>, message: &str) -> Value {
    let mut event = json!({
        "@timestamp": at, "host": { "name": host }, "process": { "name": process }, "message": message,
        "event": { "dataset": "system.auth" }
    });
    if let Some(user) = user {
        event["user"] = json!({ "name": user });
    }
    event
}

async fn send(logs: &Logs, events: &[Value]) -> Result<()> {
    let body = events.iter().map(|event| format!("{event}\n")).collect::<String>().into_bytes();
    let answer = logs.face.send(Method::POST, "/api/radar/intake/lines", Some(("application/x-ndjson", body))).await?;
    ensure!(answer.status.is_success(), "{}", answer.text());
    Ok(())
}

/// A day of a small office: more by day than by night, and some trouble among it.
async fn day(logs: &Logs) -> Result<()> {
    const MINUTE: i64 = 60_000_000;
    let now = now();
    let mut events = Vec::new();
    for n in 0..1_440_i64 {
        let at = now - (1_440 - n) * MINUTE;
        let busy = 1 + (n * 7 % 5) * i64::from((300..1_100).contains(&n));
        for k in 0..busy {
            let (host, process, message) = match (n + k) % 4 {
                0 => ("web-1", "nginx", format!("GET /orders/{} 200", n * 31 % 977)),
                1 => ("web-2", "nginx", format!("GET /login {}", if n % 9 == 0 { 500 } else { 200 })),
                2 => ("nas-1", "smartd", format!("Device: /dev/sda, temperature {} C", 31 + n % 7)),
                _ => ("mail-1", "postfix", format!("{:08X}: removed", n * 2_654_435_761_i64 % 4_294_967_296)),
            };
            let mut line = event(at + k * 1_000_000, host, process, None, &message);
            line["log"] = json!({ "level": if message.ends_with("500") { "error" } else { "info" } });
            events.push(line);
        }
        if n % 240 == 60 {
            for user in ["root", "eve", "backup"] {
                let line = format!("Failed password for {user} from 203.0.113.9 port 50022 ssh2");
                let mut line = event(at, "web-1", "sshd", Some(user), &line);
                line["source"] = json!({ "ip": "203.0.113.9" });
                events.push(line);
            }
        }
        if n == 700 {
            events.push(event(
                at,
                "nas-1",
                "useradd",
                None,
                "new user: name=guest, UID=1004, GID=1004, home=/home/guest",
            ));
            events.push(json!({
                "@timestamp": at, "host": { "name": "dc-1" }, "user": { "name": "carla" },
                "winlog": { "channel": "Security", "event_id": "4648", "provider_name": "Microsoft-Windows-Security-Auditing",
                    "computer_name": "dc-1", "event_data": { "SubjectUserName": "carla", "TargetServerName": "nas-1" } },
                "message": "A logon was attempted using explicit credentials."
            }));
        }
    }
    send(logs, &events).await
}

/// From the queue to a case that is closed, with the keyboard alone.
async fn case(browser: &Browser, logs: &Logs, address: &str) -> Result<()> {
    browser.keys("/").await?;
    browser.keys("t1548").await?;
    browser.reads(&["1 shown"]).await?;
    browser.press(Key::Escape).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser
        .reads(&["A web server's user became root", "Privilege escalation", "COMMAND=/bin/bash", "Ann Example"])
        .await?;
    browser.find("dialog[open] dl").await?;
    browser.pictures("radar-alert").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["The case is yours"]).await?;
    until("the alert says whose it is", 10, || async {
        Ok((!browser.text().await?.contains("Take it")).then_some(()))
    })
    .await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Timeline", "Comments", "Changed a case", "Severity"]).await?;
    let comment = browser.find("form textarea").await?;
    comment.send_keys("Took the server off the network.").await?;
    chord(browser, "Enter").await?;
    // The field is emptied, so this is the comment in its list.
    browser.reads(&["Comment added", "Took the server off the network."]).await?;
    browser.pictures("radar-case").await?;
    press_button(browser, "Close case…").await?;
    browser.find("dialog[open] textarea").await?.send_keys("A forgotten debug page; it is gone.").await?;
    // In a field of several lines Enter is a line: the form's button sends it.
    press_button(browser, "Close case").await?;
    browser.reads(&["Case closed", "True positive", "Open again", "A forgotten debug page"]).await?;
    let closed: Page<Case> = logs.face.get("/api/radar/cases?state=closed").await?;
    ensure!(closed.items.len() == 1 && closed.items[0].verdict == "true_positive", "{closed:?}");
    ensure!(closed.items[0].owner == "Ada" || !closed.items[0].owner.is_empty(), "{closed:?}");
    browser.go(&format!("{address}/security?q=t1548")).await?;
    browser.reads(&["No alert fits"]).await
}

/// An exception out of a field of an alert's event.
async fn exception(browser: &Browser, logs: &Logs, address: &str) -> Result<()> {
    browser.go(&format!("{address}/security?user=backup")).await?;
    browser.reads(&["Failed login over SSH"]).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    let mute = browser.find("button[aria-label='Make an exception of user.name']").await?;
    mute.send_keys(&String::from(char::from(Key::Enter))).await?;
    browser.find("input[name=reason]").await?.send_keys("Nightly checks of the backup").await?;
    browser.pictures("radar-except").await?;
    browser.find("input[name=reason]").await?.send_keys(&String::from(char::from(Key::Enter))).await?;
    browser.reads(&["Exception made"]).await?;
    let made: Page<Exception> = logs.face.get("/api/radar/exceptions").await?;
    ensure!(made.items.len() == 1 && made.items[0].rule == FAILED, "{made:?}");
    ensure!(made.items[0].fields == [("user.name".to_owned(), "backup".to_owned())], "{made:?}");
    ensure!(made.items[0].expires_at.is_some_and(|end| end > now()), "{made:?}");
    Ok(())
}

/// A rule is switched off, an event is tried, a rule is hunted with, a pack is installed.
async fn rules(browser: &Browser, logs: &Logs, address: &str) -> Result<()> {
    browser.go(&format!("{address}/security/rules?q=user+was+made")).await?;
    browser.find("input[role=switch]").await?.send_keys(" ").await?;
    browser.reads(&["is switched off"]).await?;
    let known: Page<Rule> = logs.face.get("/api/radar/rules").await?;
    ensure!(known.items.iter().any(|rule| rule.title == "A user was made" && !rule.enabled), "{known:?}");

    browser.go(&format!("{address}/security/rules?show=try")).await?;
    let line = "<38>Nov 23 11:00:00 web-1 sshd[7]: Failed password for mallory from 10.1.1.1 port 22 ssh2";
    browser.find("textarea").await?.send_keys(line).await?;
    chord(browser, "Enter").await?;
    browser.reads(&["1 match", "Failed login over SSH", "The event as rules see it", "mallory"]).await?;
    browser.pictures("radar-try").await?;

    browser.go(&format!("{address}/security/rules?show=hunt")).await?;
    let rule = PACKED.replace("history -c", "/login 500").replace("product: linux", "category: webserver");
    browser.find("textarea").await?.send_keys(&rule).await?;
    chord(browser, "Enter").await?;
    browser.reads(&["GET /login 500", "Cleared history", "matches in"]).await?;
    browser.pictures("radar-hunt").await?;

    let archive = logs.folder().join("sigma_core-r2026-11.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&archive)?);
    let mut header = tar::Header::new_gnu();
    header.set_size(PACKED.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "rules/linux/history.yml", PACKED.as_bytes())?;
    builder.finish()?;
    browser.go(&format!("{address}/security/rules?show=packs")).await?;
    browser.reads(&["No packs yet"]).await?;
    browser.keys("c").await?;
    browser.find("input[type=file]").await?.send_keys(&archive.display().to_string()).await?;
    browser.reads(&["sigma_core-r2026-11.tar"]).await?;
    press_button(browser, "Install").await?;
    browser.reads(&["sigma-core installed: 1 rule"]).await?;
    let packs: Page<Pack> = logs.face.get("/api/radar/packs").await?;
    ensure!(packs.items.len() == 1 && packs.items[0].version == "r2026-11", "{packs:?}");
    Ok(())
}

/// A search that is narrowed by its bars and by a value.
async fn search(browser: &Browser, address: &str) -> Result<()> {
    browser.go(&format!("{address}/logs")).await?;
    browser.find("[data-line]").await?;
    browser.pictures("radar-logs").await?;
    browser.keys("/").await?;
    browser.keys("user.name:(").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["at character"]).await?;
    let query = browser.find("input[name=query]").await?;
    query.clear().await?;
    query.send_keys("Failed").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["18 lines, newest first", "203.0.113.9"]).await?;

    // The last bars that hold something: from the end, two thirds to the left.
    let bars = browser.find(".bars").await?;
    let (end, left, shift) = (char::from(Key::End), char::from(Key::Left), char::from(Key::Shift));
    bars.send_keys(&format!("{end}{shift}{}", left.to_string().repeat(30))).await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["9 lines, newest first", "Back to a preset"]).await?;
    ensure!(browser.client().current_url().await?.query().is_some_and(|q| q.contains("from=")), "a link repeats it");

    // A line is opened, and one of its values is added to the query.
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.find("button[aria-label='Only user.name as here']").await?;
    browser.pictures("radar-line").await?;
    let only = browser.find("button[aria-label='Only user.name as here']").await?;
    only.send_keys(&String::from(char::from(Key::Enter))).await?;
    browser.reads(&["3 lines, newest first"]).await?;
    let asked = browser.client().current_url().await?;
    ensure!(asked.query_pairs().any(|(name, value)| name == "q" && value.starts_with("Failed user.name:")), "{asked}");

    // What a field holds, over all lines that match; one value is shut out.
    browser.go(&format!("{address}/logs?q=nginx&field=host.name")).await?;
    browser.reads(&["web-2", "lines with it"]).await?;
    browser.pictures("radar-values").await?;
    let without = browser.find("button[aria-label='Without web-2']").await?;
    without.send_keys(&String::from(char::from(Key::Enter))).await?;
    until("the query shuts it out", 10, || async {
        let asked = browser.client().current_url().await?;
        Ok(asked.query_pairs().any(|(_, value)| value == "nginx NOT host.name:web-2").then_some(()))
    })
    .await
}

/// Presses the button of this name with Enter: the one of the dialog, where one is open.
async fn press_button(browser: &Browser, name: &str) -> Result<()> {
    let button = until("the button is there", 10, || async {
        let open = !browser.client().find_all(Locator::Css("dialog[open]")).await?.is_empty();
        let scope = if open { "dialog[open] button" } else { "main button" };
        for button in browser.client().find_all(Locator::Css(scope)).await? {
            if button.text().await? == name {
                return Ok(Some(button));
            }
        }
        Ok(None)
    })
    .await?;
    Ok(button.send_keys(&String::from(char::from(Key::Enter))).await?)
}
