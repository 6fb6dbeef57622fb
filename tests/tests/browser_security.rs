//! MSP staff at the console's security pages, in a real browser: what waits at which branch, the queue of cases, what the
//! networks show, and a pack of rules from its upload to its roll-out. What boxes would have sent is written where it would
//! have been projected.

use fantoccini::{Locator, key::Key};
use sent_contract::{
    Uuid,
    fleet::{NewOrganization, Organization},
    identity::Named,
};
use sent_tests::{
    Cluster, Result, Setup,
    browser::Browser,
    cluster::{self, MSP, Office},
    ensure,
    logs::pack,
};
use sqlx::PgPool;

use crate::{browser_box::log_in, new_id};

/// Customers and their branches.
const CUSTOMERS: [(&str, &[&str]); 3] = [
    ("Northwind Traders", &["Harbour Street", "Station Road"]),
    ("Fabrikam Dental", &["Old Town", "Riverside"]),
    ("Contoso Logistics", &["Depot East", "Depot West", "Head Office"]),
];

/// Title, severity, state, host, user, technique: what rules could have found, by turns over the branches.
const CASES: [(&str, &str, &str, &str, &str, &str); 9] = [
    ("Mimikatz Execution", "critical", "open", "DC-01", "NORTH\\backup", "T1003.001"),
    ("Suspicious PowerShell Download Cradle", "high", "open", "PC-014", "m.keller", "T1059.001"),
    ("Multiple Failed Logins Followed By Success", "high", "working", "vpn-1", "s.rossi", "T1110"),
    ("Scheduled Task Created From Temp Folder", "medium", "open", "PC-022", "SYSTEM", "T1053.005"),
    ("Sudo To Root By Service Account", "medium", "working", "web-1", "www-data", "T1548.003"),
    ("New Local Administrator", "medium", "open", "PC-007", "it.admin", "T1136.001"),
    ("Clearing Of Windows Event Log", "high", "closed", "FS-02", "o.novak", "T1070.001"),
    ("Rare Parent Of Command Shell", "low", "open", "PC-031", "", "T1059.003"),
    ("Service Installed", "informational", "open", "PC-002", "SYSTEM", "T1543.003"),
];

/// Kind, severity, title, device, source, destination.
const DETECTIONS: [(&str, &str, &str, &str, &str, &str); 5] = [
    ("beacon", "high", "Regular contact with 203.0.113.77", "3c:52:82:10:00:01", "10.20.0.31", "203.0.113.77"),
    ("dns_tunnel", "high", "Long names under data.example", "3c:52:82:10:00:02", "10.20.0.44", "10.20.0.1"),
    ("scan", "medium", "214 ports of 10.20.0.5 tried", "00:17:88:10:00:03", "10.20.0.90", "10.20.0.5"),
    ("plaintext_password", "medium", "Password over telnet", "00:1b:21:10:00:04", "10.20.0.12", "10.20.0.250"),
    ("new_device", "low", "A device that was never seen", "02:42:ac:10:00:05", "10.20.0.188", ""),
];

const DAY: i64 = 86_400_000_000;

/// Writes what a box could have found. `n` tells the boxes apart.
async fn found(cloud: &PgPool, organization: Uuid, at: Uuid, n: usize, now: i64) -> Result<()> {
    for (i, (title, severity, state, host, user, technique)) in CASES.iter().enumerate() {
        if (i + n) % 3 == 2 || (n > 2 && matches!(*severity, "critical" | "high")) || n == 5 {
            continue;
        }
        let (case, last) = (new_id(), now - i64::try_from(i * 37 + n * 11)? * 60_000_000);
        sqlx::query(
            "INSERT INTO radar_cases (organization_id, box_id, received_at, id, title, rule, severity, state, owner, host, \"user\",
                                      techniques, opened_at, last_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(organization)
        .bind(at)
        .bind(last)
        .bind(case)
        .bind(title)
        .bind("5f1abf38-291b-4e2a-9a4e-6f0b6f4e4a11")
        .bind(severity)
        .bind(state)
        .bind(if *state == "open" { "" } else { "olga" })
        .bind(host)
        .bind(user)
        .bind(format!("[\"{technique}\"]"))
        .bind(last - 7_200_000_000)
        .bind(last)
        .execute(cloud)
        .await?;
        sqlx::query(
            "INSERT INTO radar_alerts (organization_id, box_id, received_at, id, case_id, rule, title, author, severity, techniques,
                                       host, \"user\", count, first_at, last_at, position)
             VALUES ($1, $2, $3, $4, $5, 'r', $6, 'Florian Roth', $7, '[]', $8, $9, $10, $11, $11, 0)",
        )
        .bind(organization)
        .bind(at)
        .bind(last)
        .bind(new_id())
        .bind(case)
        .bind(title)
        .bind(severity)
        .bind(host)
        .bind(user)
        .bind(i64::try_from(i * i + 1)?)
        .bind(last)
        .execute(cloud)
        .await?;
    }
    for (i, (kind, severity, title, mac, source, destination)) in DETECTIONS.iter().enumerate() {
        if (i + n).is_multiple_of(2) || n == 5 {
            continue;
        }
        let last = now - i64::try_from(i * 51 + n * 7)? * 60_000_000;
        sqlx::query(
            "INSERT INTO guard_devices (organization_id, box_id, received_at, mac, maker, addresses, names, system, system_basis,
                                        roles, first_seen, last_seen)
             VALUES ($1, $2, $3, $4, 'Hewlett Packard', $5, $6, 'Windows 11', 'dhcp_vendor', '[]', $3, $3)",
        )
        .bind(organization)
        .bind(at)
        .bind(last)
        .bind(mac)
        .bind(format!("[\"{source}\"]"))
        .bind(format!("{{\"dhcp\":\"pc-{n}{i}\"}}"))
        .execute(cloud)
        .await?;
        sqlx::query(
            "INSERT INTO guard_detections (organization_id, box_id, received_at, id, key, kind, severity, title, facts, mac, source,
                                           destination, port, started_at, last_at, count, state)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $5, $10, $11, 443, $12, $3, $13, 'open')",
        )
        .bind(organization)
        .bind(at)
        .bind(last)
        .bind(new_id())
        .bind(mac)
        .bind(kind)
        .bind(severity)
        .bind(title)
        .bind("{\"every\":\"60 s\",\"for\":\"14 h\",\"sent\":\"2.1 MB\"}")
        .bind(source)
        .bind(destination)
        .bind(last - DAY)
        .bind(i64::try_from(i + 1)?)
        .execute(cloud)
        .await?;
    }
    for (i, (name, days)) in [("mail", -2), ("nas", 5), ("intranet", 24), ("shop", 200)].into_iter().enumerate() {
        sqlx::query(
            "INSERT INTO guard_certificates (organization_id, box_id, received_at, server, port, sha256, name, subject, issuer, names,
                                             not_before, not_after, public_key, signature, self_signed, weak, own, first_seen)
             VALUES ($1, $2, $3, $4, 443, $5, $6, $7, 'CN=R11, O=Let''s Encrypt', '[]', $8, $9, 'RSA 2048', 'SHA256-RSA', 0, '[]', 1, $8)",
        )
        .bind(organization)
        .bind(at)
        .bind(now)
        .bind(format!("10.20.0.{}", i + 2))
        .bind(format!("{n}{i}"))
        .bind(format!("{name}.branch{n}.example"))
        .bind(format!("CN={name}.branch{n}.example"))
        .bind(now - 80 * DAY)
        .bind(now + days * DAY + 3_600_000_000)
        .execute(cloud)
        .await?;
    }
    Ok(())
}

/// Writes what boxes would say of a pack: the first of them run it, one cannot, the last has not heard of it.
async fn told(cloud: &PgPool, pack: &str, boxes: &[(Uuid, Uuid)], now: i64) -> Result<()> {
    for (n, (organization, at)) in boxes.iter().enumerate() {
        let (state, cause) = match n {
            3 => ("failed", "the archive cannot be fetched: it is damaged: its hash is not the one it is named by"),
            _ => ("running", ""),
        };
        let document = serde_json::json!({ "radar": { "packs": { pack: { "state": state, "cause": cause } } } });
        let heard = if n + 1 == boxes.len() { 0 } else { 1 };
        sqlx::query(
            "UPDATE box_documents SET reported = $2, reported_version = desired_version * $3, reported_at = $4 WHERE box_id = $1",
        )
        .bind(at)
        .bind(document)
        .bind(heard)
        .bind(now)
        .execute(cloud)
        .await?;
        if state == "failed" || heard == 0 {
            continue;
        }
        sqlx::query(
            "INSERT INTO radar_packs (organization_id, box_id, received_at, name, version, enabled, installed_at)
             VALUES ($1, $2, $4, $3, 'r2026-11-01', 1, $4)",
        )
        .bind(organization)
        .bind(at)
        .bind(pack)
        .bind(now - 3_600_000_000)
        .execute(cloud)
        .await?;
        sqlx::query(
            "INSERT INTO radar_rules (organization_id, box_id, received_at, id, title, kind, severity, author, pack, place, error)
             SELECT $1, $2, 0, 'r' || g, 'Rule ' || g, CASE WHEN g = 7 AND $4 THEN 'broken' ELSE 'detection' END, 'high', '', $3,
                    'x.yml:1', '' FROM generate_series(1, 1321) AS g",
        )
        .bind(organization)
        .bind(at)
        .bind(pack)
        .bind(n == 1)
        .execute(cloud)
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_security() -> Result<()> {
    let cluster = Cluster::start(Setup { broker: false, ..Setup::default() }).await?;
    let (fleet, cloud) = (&cluster.fleet, cluster.postgres.owner().await?);
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_micros())?;
    let console = cluster.replicas[0].console();
    let browser = Browser::open().await?;
    browser.go(&console).await?;
    browser.find("input[name=email]").await?;
    log_in(&browser, MSP.0, MSP.1).await?;
    browser.reads(&["No boxes yet"]).await?;
    // Before anything is there, each page says what will be.
    for (path, text, name) in [
        ("/security", "Nothing waits", "security-empty"),
        ("/network", "The networks are quiet", "network-empty"),
        ("/packs", "No packs yet", "packs-empty"),
    ] {
        browser.go(&format!("{console}{path}")).await?;
        browser.reads(&[text]).await?;
        browser.pictures(&format!("fleet-{name}")).await?;
    }

    let mut boxes = Vec::new();
    for (customer, branches) in CUSTOMERS {
        let branches = branches.iter().map(|branch| (*branch).to_owned()).collect();
        let new = NewOrganization { name: customer.to_owned(), currency: "EUR".to_owned(), branches };
        let made: Organization = fleet.post("/api/fleet/organizations", &new).await?;
        for Named { id, name } in &made.branches {
            let office = Office { organization: made.id, branch: *id, owner: String::new(), viewer: String::new() };
            let claim = cluster::claim(fleet, &office, &format!("{} box", name.to_lowercase())).await?;
            found(&cloud, made.id, claim.box_id, boxes.len(), now).await?;
            boxes.push((made.id, claim.box_id));
        }
    }

    browser.go(&format!("{console}/security")).await?;
    browser.reads(&["Mimikatz Execution", "Northwind Traders", "Cases not closed", "All 7 branches"]).await?;
    browser.pictures("fleet-security").await?;
    browser.press(Key::Escape).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Florian Roth", "worked on at its box"]).await?;
    browser.pictures("fleet-security-case").await?;
    browser.press(Key::Escape).await?;
    browser.go(&format!("{console}/security?show=branches")).await?;
    browser.reads(&["Depot West", "Nothing open"]).await?;
    browser.pictures("fleet-security-branches").await?;
    browser.go(&format!("{console}/security?severity=critical&since=24h")).await?;
    browser.reads(&["Mimikatz Execution"]).await?;
    ensure!(!browser.text().await?.contains("Sudo To Root"), "a filter lets something else through");

    for (path, texts, name) in [
        ("/network", ["Regular contact with 203.0.113.77", "DNS tunnel"], "network"),
        ("/network?show=devices", ["pc-", "Hewlett Packard"], "network-devices"),
        ("/network?show=certificates", ["mail.branch0.example", "ended"], "network-certificates"),
    ] {
        browser.go(&format!("{console}{path}")).await?;
        browser.reads(&texts).await?;
        browser.pictures(&format!("fleet-{name}")).await?;
    }
    browser.go(&format!("{console}/network")).await?;
    browser.reads(&["Regular contact with 203.0.113.77"]).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["acknowledged at the box", "Go to"]).await?;
    browser.pictures("fleet-network-detection").await?;

    // A pack: chosen from a folder, uploaded, rolled out after a look at what that would do.
    let archive = cluster.folder().join("sigma_core.tar");
    let rule = "title: T\nid: 11111111-1111-4111-8111-111111111111\nlogsource: {product: linux}\ndetection:\n  s: [x]\n  condition: s\n";
    std::io::Write::write_all(&mut std::fs::File::create(&archive)?, &pack(&[("a.yml", rule), ("b.yml", rule)])?)?;
    browser.go(&format!("{console}/packs")).await?;
    browser.reads(&["No packs yet"]).await?;
    browser.keys("c").await?;
    let path = archive.display().to_string();
    browser.find("dialog[open] input[name=archive]").await?.send_keys(&path).await?;
    browser.find("dialog[open] input[name=version]").await?.send_keys("r2026-11-01").await?;
    browser.press(Key::Tab).await?;
    browser.keys("SigmaHQ, https://github.com/SigmaHQ/sigma").await?;
    browser.press(Key::Tab).await?;
    browser.keys("Detection Rule License 1.1").await?;
    browser.reads(&["sigma_core.tar"]).await?;
    browser.pictures("fleet-packs-upload").await?;
    browser.find("dialog[open] footer button[type=submit]").await?.click().await?;
    browser.reads(&["r2026-11-01 kept", "sigma-core", "Runs nowhere"]).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Versions", "No box has this pack"]).await?;
    browser.keys("c").await?;
    browser.find("dialog[open] select[name=deed]").await?;
    browser.pictures("fleet-packs-roll-out").await?;
    browser.find("dialog[open] footer button[type=submit]").await?.click().await?;
    browser.reads(&["Would happen", "Gets r2026-11-01, switched on"]).await?;
    browser.pictures("fleet-packs-dry-run").await?;
    browser.find("dialog[open] footer button[type=submit]").await?.click().await?;
    browser.reads(&["7 boxes told", "The box has not heard of it yet"]).await?;
    told(&cloud, "sigma-core", &boxes, now).await?;
    browser.go(&format!("{console}/packs?pack=sigma-core")).await?;
    browser.reads(&["Running", "Failed", "Waiting", "its hash is not the one"]).await?;
    browser.pictures("fleet-packs-boxes").await?;
    browser.go(&format!("{console}/packs")).await?;
    browser.reads(&["1 box failed", "SigmaHQ"]).await?;
    browser.pictures("fleet-packs").await?;

    let open = browser.client().find_all(Locator::Css("dialog[open]")).await?;
    ensure!(open.is_empty(), "a dialog stays open");
    let complaints: Vec<String> =
        browser.complaints().await?.into_iter().filter(|c| !c.contains("/api/session")).collect();
    ensure!(complaints.is_empty(), "the browser complains: {complaints:#?}");
    browser.close().await?;
    cluster.passed();
    Ok(())
}
