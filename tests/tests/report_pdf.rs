//! The weekly report of a branch, as its manager gets it: under the manager's own logo, with what the box measured in it.

use sent_contract::shield::{NewReport, NewTemplate, Report, Template};
use sent_tests::{Cluster, Result, Setup, ensure, findings::Findings, until};
use serde_json::{Value, json};

/// A green square.
const LOGO: &str = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI5IiBoZWlnaHQ9IjkiPjxyZWN0IHdpZHRoPSI5IiBoZWlnaHQ9IjkiIGZpbGw9ImdyZWVuIi8+PC9zdmc+";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_pdf() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (appliance, face) = cluster.appliance(&office, "box").await?;
    let port = appliance.port();
    let check =
        json!({ "name": "front door", "kind": { "kind": "tcp", "host": "127.0.0.1", "port": port }, "interval": 1 });
    let check: Value = face.post("/api/pulse/checks", &check).await?;
    until("the check has run", 30, || async {
        let checks: Value = face.get("/api/pulse/checks").await?;
        let ran = checks["items"]
            .as_array()
            .is_some_and(|items| items.iter().any(|c| c["id"] == check["id"] && !c["last_run"].is_null()));
        Ok(ran.then_some(()))
    })
    .await?;

    Findings::put(&appliance, office.organization, "Guessed passwords")?;
    let template = NewTemplate {
        name: "Acme".to_owned(),
        title: "Security and availability".to_owned(),
        sender: "Acme Managed IT".to_owned(),
        accent: "#0d9488".to_owned(),
        closing: "Questions? Call +49 30 1234567.".to_owned(),
        logo: Some(LOGO.to_owned()),
    };
    let template: Template = face.post("/api/shield/templates", &template).await?;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_micros())?;
    let order = NewReport {
        template: Some(template.id),
        from: Some(now - 3_600_000_000),
        to: Some(now + 60_000_000),
        recipients: Vec::new(),
    };
    // What was measured a moment ago reaches the series within a second or two.
    let (report, text) = until("a report with the check in it", 60, || async {
        let report: Report = face.post("/api/shield/reports", &order).await?;
        let path = format!("/api/shield/reports/{}/report.pdf", report.id);
        let answer = face.send(reqwest::Method::GET, &path, None).await?;
        ensure!(answer.status == 200 && answer.body.starts_with(b"%PDF-"), "{}", answer.text());
        let text = words(&cluster.folder().join("report.pdf"), &answer.body)?;
        Ok(text.contains("100 %").then_some((report, text)))
    })
    .await?;
    for wanted in [
        "Security and availability",
        "Northwind",
        "In short",
        "front door",
        "Security alerts",
        "1 of 1 cases found in the logs are still open",
        "Devices on the network",
        "Guessed passwords",
        "Certificates to look after",
        "Availability",
        "Questions? Call +49 30 1234567.",
    ] {
        ensure!(text.contains(wanted), "{wanted} is not in the report:\n{text}");
    }
    ensure!(report.pages >= 1 && report.missing.is_empty(), "{report:?}");

    // Who may only read asks for none; and without a session there is none.
    let listed: Value = face.get("/api/shield/reports").await?;
    ensure!(listed["items"].as_array().is_some_and(|items| !items.is_empty()), "{listed}");
    let nobody = reqwest::get(format!("{}/api/shield/reports/{}/report.pdf", appliance.address(), report.id)).await?;
    ensure!(nobody.status() == 401, "{}", nobody.status());

    // The centre knows of it.
    let cloud = cluster.postgres.owner().await?;
    until("the report is known in the centre", 30, || async {
        let known: i64 =
            sqlx::query_scalar("SELECT count(*) FROM reports WHERE id = $1").bind(report.id).fetch_one(&cloud).await?;
        let template: i64 =
            sqlx::query_scalar("SELECT count(*) FROM report_templates WHERE sender = 'Acme Managed IT'")
                .fetch_one(&cloud)
                .await?;
        Ok((known == 1 && template == 1).then_some(()))
    })
    .await?;
    cluster.passed();
    Ok(())
}

/// The words of a PDF, as poppler reads them.
fn words(path: &std::path::Path, bytes: &[u8]) -> Result<String> {
    std::io::Write::write_all(&mut std::fs::File::create(path)?, bytes)?;
    let read = std::process::Command::new("pdftotext").arg("-layout").arg(path).arg("-").output()?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Ok(String::from_utf8(read.stdout)?)
}
