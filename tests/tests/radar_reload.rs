//! Rules that change while logs arrive: no event is left out, a broken rule is named, and the others run on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Method;
use sent_contract::{Page, radar::Rule};
use sent_tests::{Result, ensure, logs::Logs, until};

const ALWAYS: &str = "55555555-5555-4555-8555-555555555555";

fn rule(id: &str, title: &str) -> String {
    format!(
        "title: {title}\nid: {id}\nlevel: low\nlogsource: {{product: linux}}\ndetection:\n  words: ['Failed password']\n  condition: words\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn radar_reload() -> Result<()> {
    let mut logs = Logs::start("", &[("always.yml", &rule(ALWAYS, "Always"))]).await?;
    let (sent, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let sending = async {
        while !done.load(Ordering::Acquire) {
            let line = "<38>Nov 23 11:00:00 web-1 sshd[7]: Failed password for root from 10.1.1.1 port 22 ssh2\n";
            let body = line.repeat(50).into_bytes();
            let answer = logs.face.send(Method::POST, "/api/radar/intake/lines", Some(("text/plain", body))).await?;
            ensure!(answer.status.is_success(), "{}", answer.text());
            sent.fetch_add(50, Ordering::AcqRel);
        }
        Ok(())
    };
    let changing = async {
        let changed = change(&logs).await;
        done.store(true, Ordering::Release);
        changed
    };
    let (sending, changing) = tokio::join!(sending, changing);
    sending?;
    changing?;
    let sent = sent.load(Ordering::Acquire);
    until("every line was asked about", 60, || async {
        let counted: u64 = logs.alerts(ALWAYS).await?.iter().map(|alert| alert.count).sum();
        Ok((counted >= sent).then_some(()))
    })
    .await?;
    let counted: u64 = logs.alerts(ALWAYS).await?.iter().map(|alert| alert.count).sum();
    ensure!(counted == sent, "{counted} of {sent}");
    logs.appliance.stop().await
}

/// Adds rules, a broken one among them, and takes them away again.
async fn change(logs: &Logs) -> Result<()> {
    for n in 0..3 {
        let id = format!("66666666-6666-4666-8666-66666666666{n}");
        logs.write_rule("new.yml", &rule(&id, &format!("New {n}")))?;
        until("the new rule finds something", 60, || async { Ok((!logs.alerts(&id).await?.is_empty()).then_some(())) })
            .await?;
    }
    logs.write_rule("broken.yml", "title: Broken\nlogsource: {product: linux}\ndetection:\n  condition: nowhere\n")?;
    logs.write_rule("no.yml", "{ this is : not [ YAML")?;
    let rules = until("the broken rules are named", 60, || async {
        let rules: Page<Rule> = logs.face.get("/api/radar/rules").await?;
        let broken = rules.items.iter().filter(|rule| rule.kind == "broken").count();
        Ok((broken == 2).then_some(rules.items))
    })
    .await?;
    for (file, word) in [("broken.yml", "nowhere"), ("no.yml", "")] {
        let named = rules.iter().find(|rule| rule.place.starts_with(file));
        ensure!(named.is_some_and(|rule| rule.error.contains(word) && !rule.error.is_empty()), "{file}: {rules:?}");
    }
    ensure!(logs.status().await?.rules == 2, "{:?}", logs.status().await?);
    Ok(())
}
