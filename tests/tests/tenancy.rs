//! A walk over the real route lists of a running box and of the cloud. Each route names what it asks; without a login,
//! without the right and without the CSRF token it refuses; each change leaves an audit entry; and whoever belongs to
//! another organisation sees nothing of the first one's and changes nothing of it, whatever route they try.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use reqwest::{Method, StatusCode};
use sent_contract::{
    Page, Uuid, audit,
    capital::{Account, NewLine},
    fleet::{Claim, Proposal, Quarantined},
    identity::{CreatedToken, Me, NewToken, Role, TotpSetup, User},
    pulse::{Alert, Check, Rule, Silence},
    reference::{Item, TaxRate},
    security::{BranchSecurity, SecurityCounts},
    shield::{Report, Schedule, Template},
};
use sent_core::route::Listed;
use sent_protocol::{Batch, Head, path};
use sent_tests::{
    Appliance, Cluster, Face, Result, Setup, appliance, bail, books, cluster, compare, ensure, face::Answer,
    findings::Findings, logs, until, wire::Stranger,
};
use serde_json::{Value, json};

use crate::new_id;

/// Stands in every name the first organisation gives to anything.
const MARK: &str = "Zanzibar";

/// What the walk does with a route that the running program lists.
trait Walked {
    /// Method and path.
    fn name(&self) -> String;
    /// Its method.
    fn method(&self) -> Result<Method>;
    /// The path with a row's id in place of each parameter. Ids are named by what stands before the parameter.
    fn filled(&self, ids: &BTreeMap<&str, String>) -> Result<String>;
}

impl Walked for Listed {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn method(&self) -> Result<Method> {
        Ok(self.method.parse()?)
    }

    fn filled(&self, ids: &BTreeMap<&str, String>) -> Result<String> {
        let (mut before, mut filled) = (String::new(), String::new());
        for part in self.path.split('/').skip(1) {
            let id = match part.starts_with('{') {
                true => ids.get(before.as_str()).map(String::as_str),
                false => Some(part),
            };
            let Some(id) = id else { bail!("{}: the walk knows no row for {part}; name one", self.name()) };
            let _ = write!(filled, "/{id}");
            let _ = write!(before, "/{part}");
        }
        Ok(filled)
    }
}

async fn listed(face: &Face) -> Result<Vec<Listed>> {
    let routes: Vec<Listed> = face.get("/api/routes").await?;
    ensure!(routes.len() > 20, "only {} routes are listed", routes.len());
    for route in &routes {
        ensure!(
            matches!(route.access.as_str(), "public" | "session") || route.access.contains('.'),
            "{} names no right: {:?}",
            route.name(),
            route.access
        );
        ensure!(route.method == "GET" || route.changes || route.access != "public", "{} is open", route.name());
    }
    Ok(routes)
}

/// Tries a route with an empty document.
async fn attempt(face: &Face, route: &Listed, path: &str) -> Result<Answer> {
    let method = route.method()?;
    let body = (method != Method::GET).then(|| ("application/json", b"{}".to_vec()));
    face.send(method, path, body).await
}

/// Nobody, somebody without rights, and a forged form are refused everywhere.
async fn refusals(owner: &Face, poor: &[(&str, Face)], routes: &[Listed], ids: &BTreeMap<&str, String>) -> Result<()> {
    let nobody = Face::new(owner.base())?;
    let forged = owner.moved(owner.base())?;
    forged.forget_csrf();
    for route in routes.iter().filter(|r| r.access != "public") {
        let path = route.filled(ids)?;
        let answer = attempt(&nobody, route, &path).await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{} without a login: {}", route.name(), answer.status);
        if !matches!(route.method.as_str(), "GET" | "HEAD") {
            let answer = attempt(&forged, route, &path).await?;
            ensure!(answer.status == StatusCode::FORBIDDEN, "{} without CSRF: {}", route.name(), answer.status);
        }
        if route.access == "session" {
            continue;
        }
        for (has, face) in poor.iter().filter(|(has, _)| *has != route.access) {
            let answer = attempt(face, route, &path).await?;
            ensure!(answer.status == StatusCode::FORBIDDEN, "{} with {has} only: {}", route.name(), answer.status);
        }
    }
    Ok(())
}

/// Two tokens with one right each, so that every route meets one that has not what it asks for.
async fn poor(owner: &Face, rights: [&'static str; 2]) -> Result<Vec<(&'static str, Face)>> {
    let mut faces = Vec::new();
    for right in rights {
        let new = NewToken { name: format!("{MARK} {right}"), rights: vec![right.to_owned()], days: Some(1) };
        let made: CreatedToken = owner.post("/api/tokens", &new).await?;
        faces.push((right, Face::with_token(owner.base(), &made.secret)?));
    }
    Ok(faces)
}

/// A stranger tries every route with the first organisation's ids.
async fn stranger(
    face: &Face,
    routes: &[Listed],
    ids: &BTreeMap<&str, String>,
    bodies: &BTreeMap<String, Value>,
) -> Result<()> {
    // What ends the stranger's own login comes last of all, and is not tried.
    let own = ["DELETE /api/session", "POST /api/me/password", "POST /api/session", "POST /api/me/totp/confirm"];
    for route in routes.iter().filter(|r| !own.contains(&r.name().as_str())) {
        let path = route.filled(ids)?;
        let body = bodies.get(&route.name()).cloned().unwrap_or_else(|| json!({}));
        let answer = if route.method == "GET" {
            face.send(Method::GET, &path, None).await?
        } else {
            face.send_json(route.method()?, &path, &body).await?
        };
        ensure!(!answer.text().contains(MARK), "{} shows another organisation's rows: {}", route.name(), answer.text());
        // Short numbers are everywhere.
        for id in ids.values().filter(|id| id.len() > 30 && !path.contains(*id) && !body.to_string().contains(*id)) {
            ensure!(
                !answer.text().contains(id),
                "{} shows another organisation's row {id}: {}",
                route.name(),
                answer.text()
            );
        }
        ensure!(!answer.status.is_server_error(), "{} fails: {}", route.name(), answer.text());
        if route.path.contains('{') {
            ensure!(
                matches!(answer.status.as_u16(), 400 | 403 | 404 | 409 | 422)
                    || answer.json::<Page<Value>>().is_ok_and(|page| page.items.is_empty())
                    || answer.json::<Vec<Value>>().is_ok_and(|list| list.is_empty()),
                "{} with another organisation's id: {}: {}",
                route.name(),
                answer.status,
                answer.text()
            );
        }
    }
    Ok(())
}

async fn newest(face: &Face) -> Result<i64> {
    let page: Page<audit::Entry> = face.get("/api/audit?limit=1").await?;
    Ok(page.items.first().map_or(0, |entry| entry.sequence))
}

/// A call that changes something.
struct Call(&'static str, String, Value);

/// Makes each call, which must go well and leave an audit entry; every changing route must be among them.
async fn changes(owner: &Face, routes: &[Listed], calls: Vec<Call>, elsewhere: &[&str]) -> Result<()> {
    // A token looks at the audit: a change of password ends the sessions.
    let new = NewToken { name: "auditor".to_owned(), rights: vec!["audit.read".to_owned()], days: None };
    let made: CreatedToken = owner.post("/api/tokens", &new).await?;
    let auditor = Face::with_token(owner.base(), &made.secret)?;
    let mut done: BTreeSet<String> = elsewhere.iter().map(|s| (*s).to_owned()).collect();
    for Call(name, path, body) in calls {
        let method: Method = name.split(' ').next().unwrap_or_default().parse()?;
        let before = newest(&auditor).await?;
        let answer = match name {
            "PUT /api/radar/packs/{name}" => {
                let archive = logs::pack(&[("rule.yml", &rule(&new_id().to_string()))])?;
                owner.send(method, &path, Some(("application/x-tar", archive))).await?
            }
            "PUT /api/fleet/packs/{name}" => {
                let archive = logs::pack(&[("rule.yml", &rule(&new_id().to_string()))])?;
                owner.send(method, &path, Some(("application/x-tar", archive))).await?
            }
            _ if name.ends_with("/import") => {
                let text = body.as_str().unwrap_or_default();
                owner.send(method, &path, Some(("text/csv", text.as_bytes().to_vec()))).await?
            }
            _ => owner.send_json(method, &path, &body).await?,
        };
        ensure!(answer.status.is_success(), "{name}: {}: {}", answer.status, answer.text());
        let after = newest(&auditor).await?;
        ensure!(after > before, "{name} leaves no audit entry");
        done.insert(name.to_owned());
    }
    for route in routes.iter().filter(|r| r.changes) {
        ensure!(done.contains(&route.name()), "{} changes something and the walk does not try it", route.name());
    }
    Ok(())
}

fn code(setup: &TotpSetup) -> Result<String> {
    let now = u64::try_from(sent_core::clock::SystemClock::shared().now().0 / 1_000_000)?;
    let secret = totp_rs::Secret::try_from_base32(&setup.secret).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let totp = totp_rs::Builder::new()
        .with_secret(secret)
        .with_account_name("walker".to_owned())
        .build()
        .map_err(|e| anyhow::anyhow!("{e:?}"))?;
    Ok(totp.generate(now).to_string())
}

/// A second organisation on the box's own disk: what a box that changed hands could look like.
fn second_organization(appliance: &Appliance) -> Result<(String, Uuid)> {
    let (organization, role, user) = (new_id(), new_id(), new_id());
    let own = rusqlite::Connection::open(appliance.data().join("business.sqlite"))?;
    let hash = sent_core::identity::hash_password(cluster::PASSWORD).map_err(|e| anyhow::anyhow!("{e}"))?;
    let email = "eve@elsewhere.example";
    own.execute(
        "INSERT INTO organizations_rows (organization_id, name, currency) VALUES (?1, 'Elsewhere', 'EUR')",
        [organization.to_string()],
    )?;
    own.execute(
        "INSERT INTO roles_rows (organization_id, id, name, rights) VALUES (?1, ?2, 'owner', '[\"*\"]')",
        [organization.to_string(), role.to_string()],
    )?;
    own.execute(
        "INSERT INTO users_rows (organization_id, id, email, name, password_hash, role_id) VALUES (?1, ?2, ?3, 'Eve', ?4, ?5)",
        [organization.to_string(), user.to_string(), email.to_owned(), hash, role.to_string()],
    )?;
    Ok((email.to_owned(), organization))
}

/// Names of what [`quarantine`] puts there: one to apply, one to drop.
const QUARANTINED: [&str; 2] = [
    "1111111111111111111111111111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222222222222222222222222222",
];

/// Two transactions of an earlier epoch that wait for somebody to decide.
fn quarantine(appliance: &Appliance, organization: Uuid) -> Result<()> {
    let own = rusqlite::Connection::open(appliance.data().join("business.sqlite"))?;
    for (sequence, identity) in (1_i64..).zip(QUARANTINED) {
        let zero = "0".repeat(64);
        let document = json!({
            "sequence": sequence, "previous_hash": zero, "hash": identity, "organization_id": organization, "actor": "system",
            "action": MARK, "request_id": new_id(), "at": 0, "audit_hash": zero, "changes": [],
        });
        own.execute(
            "INSERT INTO sys_quarantine (identity, epoch, sequence, document, error, at) VALUES (?1, 1, ?2, ?3, ?4, 0)",
            (identity, sequence, document.to_string(), MARK),
        )?;
    }
    Ok(())
}

/// The rule that the walk switches off.
const RULE: &str = "7b0a3f5e-6a53-4f3c-9a5e-0d3f7c1f9d11";
/// Where the walk puts a pack.
const PACK: &str = "walked";

/// A Sigma rule that no log line of this walk matches.
fn rule(id: &str) -> String {
    format!(
        "title: {MARK}\nid: {id}\nlogsource:\n  category: test\ndetection:\n  it:\n    nobody: writes this\n  condition: it\n"
    )
}

/// Every row of an organisation, as text, except what every request moves.
fn rows_of(appliance: &Appliance, organization: Uuid) -> Result<BTreeMap<String, Vec<String>>> {
    let own = compare::open(appliance.data())?;
    let mut names =
        own.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%\\_rows' ESCAPE '\\'")?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut all = BTreeMap::new();
    // Machines and states follow the clock, and the audit grows with what the owner's rules do.
    for name in names.into_iter().filter(|n| {
        !["audit_rows", "check_states_rows", "alert_machines_rows", "alerts_rows", "notifications_rows"]
            .contains(&n.as_str())
    }) {
        let mut statement = own.prepare(&format!("SELECT * FROM {name} WHERE organization_id = ?1"))?;
        // The cloud's number of a row comes back when it has it.
        let columns = statement.column_names();
        let columns: Vec<usize> = (0..columns.len()).filter(|n| columns[*n] != "version").collect();
        let mut rows: Vec<String> = statement
            .query_map([organization.to_string()], |row| {
                columns.iter().map(|n| Ok(format!("{:?}", row.get_ref(*n)?))).collect::<Result<Vec<_>, _>>()
            })?
            .map(|row| row.map(|cells| cells.join("|")))
            .collect::<Result<_, _>>()?;
        rows.sort();
        all.insert(name, rows);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenancy() -> Result<()> {
    let mut cluster = Cluster::start(Setup { broker: false, ..Setup::default() }).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, _) = cluster.appliance(&office, "box").await?;
    appliance.stop().await?;
    let (eve, _) = second_organization(&appliance)?;
    quarantine(&appliance, office.organization)?;
    let found = Findings::put(&appliance, office.organization, MARK)?;
    appliance.start().await?;
    on_the_box(&appliance, &office, &eve, &found).await?;
    in_the_cloud(&cluster, &office).await?;
    cluster.passed();
    Ok(())
}

async fn on_the_box(appliance: &Appliance, office: &cluster::Office, eve: &str, found: &Findings) -> Result<()> {
    let owner = appliance.login(&office.owner, cluster::PASSWORD).await?;
    appliance::routes(&owner).await?;
    let routes = listed(&owner).await?;
    for part in ["/api/radar/", "/api/guard/"] {
        ensure!(routes.iter().any(|route| route.path.starts_with(part)), "no route of {part} is listed");
    }
    logs::write_rule(appliance, "rule.yml", &rule(RULE))?;
    until("the rule is loaded", 60, || async {
        let page: Page<Value> = owner.get("/api/radar/rules").await?;
        Ok(page.items.iter().any(|row| row["id"] == RULE).then_some(()))
    })
    .await?;

    // One of everything, with the mark in its name.
    let id = new_id();
    let lines = [("Assets:Cash", 1_100, "EUR"), ("Income:Sales", -1_100, "EUR")];
    books::post(&owner, &books::entry(id, "2026-10-01", MARK, &lines)).await?;
    let check = json!({ "name": MARK, "kind": { "kind": "tcp", "host": "127.0.0.1", "port": appliance.port() }, "interval": 1 });
    let check_row: Check = owner.post("/api/pulse/checks", &check).await?;
    let mut rule = books::rules().remove(2);
    // It holds whatever the check says, so an alert fires.
    (rule.name, rule.raise, rule.clear, rule.hold_seconds) = (MARK.to_owned(), 5.0, 6.0, 0);
    let rule_row: Rule = owner.post("/api/pulse/rules", &rule).await?;
    // In a year that no test sees, so that it silences nothing.
    let silence = json!({ "from": 4_102_444_800_000_000_i64, "until": 4_102_448_400_000_000_i64, "reason": MARK });
    let silence_row: Silence = owner.post("/api/pulse/silences", &silence).await?;
    let token = NewToken { name: MARK.to_owned(), rights: vec!["home.read".to_owned()], days: None };
    let token_row: CreatedToken = owner.post("/api/tokens", &token).await?;
    let roles: Vec<Role> = owner.get("/api/roles").await?;
    let role = roles.first().map(|r| r.id).unwrap_or_default();
    let user = |n: u32| json!({ "email": format!("{MARK}{n}@northwind.example"), "name": MARK, "password": "a long password", "role": role, "branch": null });
    let user_row: User = owner.post("/api/users", &user(1)).await?;
    let alert: Alert = until("an alert fires", 60, || async {
        let page: Page<Alert> = owner.get("/api/pulse/alerts?state=open").await?;
        Ok(page.items.into_iter().find(|a| a.rule == rule_row.id))
    })
    .await?;
    let look = json!({ "name": MARK, "title": MARK, "sender": MARK, "accent": "#0d9488" });
    let template_row: Template = owner.post("/api/shield/templates", &look).await?;
    let weekly = json!({ "name": MARK, "template": template_row.id, "weekday": 1, "at": "07:00" });
    let schedule_row: Schedule = owner.post("/api/shield/schedules", &weekly).await?;
    let report_row: Report = owner.post("/api/shield/reports", &json!({ "template": template_row.id })).await?;
    let accounts: Vec<Account> = owner.get("/api/capital/accounts").await?;
    let account = |name: &str| accounts.iter().find(|a| a.name == name).map(|a| a.id).unwrap_or_default();
    let ids: BTreeMap<&str, String> = [
        ("/api/capital/accounts", account("Assets:Cash").to_string()),
        ("/api/capital/entries", id.to_string()),
        ("/api/pulse/checks", check_row.id.to_string()),
        ("/api/pulse/rules", rule_row.id.to_string()),
        ("/api/pulse/silences", silence_row.id.to_string()),
        ("/api/pulse/alerts", alert.id.to_string()),
        ("/api/shield/reports", report_row.id.to_string()),
        ("/api/shield/schedules", schedule_row.id.to_string()),
        ("/api/shield/templates", template_row.id.to_string()),
        ("/api/guard/devices", found.device.to_owned()),
        ("/api/guard/detections", found.detection.to_string()),
        ("/api/radar/alerts", found.alert.to_string()),
        ("/api/radar/cases", found.case.to_string()),
        ("/api/radar/exceptions", found.exception.to_string()),
        ("/api/radar/packs", PACK.to_owned()),
        ("/api/radar/intake", "_bulk".to_owned()),
        ("/api/sync/quarantine", QUARANTINED[0].to_owned()),
        ("/api/tokens", token_row.token.id.to_string()),
        ("/api/users", user_row.id.to_string()),
    ]
    .into();

    refusals(&owner, &poor(&owner, ["home.read", "sync.read"]).await?, &routes, &ids).await?;

    let eve = appliance.login(eve, cluster::PASSWORD).await?;
    let me: Me = owner.get("/api/session").await?;
    let before = rows_of(appliance, me.organization.id)?;
    let bodies: BTreeMap<String, Value> = [
        (
            "POST /api/capital/entries",
            json!({ "id": id, "date": "2026-10-01", "description": "x", "lines": [
            NewLine { account: "Assets:Cash".into(), amount: 1.into(), currency: "EUR".into(), memo: None },
            NewLine { account: "Income:Sales".into(), amount: (-1).into(), currency: "EUR".into(), memo: None } ] }),
        ),
        ("POST /api/capital/entries/{id}/reverse", json!({ "id": new_id() })),
        ("PUT /api/capital/accounts/{id}", json!({ "name": "Assets:Mine now" })),
        ("POST /api/capital/accounts/{id}/close", json!({ "on": "2026-12-31" })),
        ("PUT /api/capital/rates", json!({ "currency": "USD", "date": "2026-01-01", "rate": "7" })),
        ("PUT /api/pulse/checks/{id}", json!({ "name": "mine now", "kind": { "kind": "ping", "host": "127.0.0.1" } })),
        ("PATCH /api/users/{id}", json!({ "name": "mine now", "disabled": true })),
        ("PUT /api/pulse/rules/{id}", json!(rule_row)),
        ("PUT /api/shield/schedules/{id}", weekly.clone()),
        ("PUT /api/shield/templates/{id}", look.clone()),
        ("POST /api/shield/schedules", weekly.clone()),
    ]
    .map(|(name, body)| (name.to_owned(), body))
    .into();
    stranger(&eve, &routes, &ids, &bodies).await?;
    let after = rows_of(appliance, me.organization.id)?;
    for (table, rows) in &before {
        ensure!(after.get(table) == Some(rows), "{table}: a stranger changed {rows:#?} into {:#?}", after.get(table));
    }

    // As after a restore.
    rusqlite::Connection::open(appliance.data().join("business.sqlite"))?
        .execute("UPDATE api_tokens_rows SET asleep = 1 WHERE id = ?1", [token_row.token.id.to_string()])?;
    // What the owner does is done, and is written down.
    let setup: TotpSetup = owner.post("/api/me/totp", &json!({})).await?;
    let at = |route: &str, id: &dyn std::fmt::Display| format!("{route}/{id}");
    let mut rule_changed = rule_row.clone();
    rule_changed.severity = "warn".into();
    let mut check_changed = check.clone();
    check_changed["interval"] = json!(20);
    let (mut look_changed, mut weekly_changed) = (look.clone(), weekly.clone());
    look_changed["closing"] = json!("Call us.");
    weekly_changed["weekday"] = json!(5);
    // One that no schedule uses, so that it can go.
    let spare: Template = owner.post("/api/shield/templates", &look).await?;
    let calls = vec![
        Call("POST /api/me/totp/confirm", "/api/me/totp/confirm".into(), json!({ "code": code(&setup)? })),
        Call(
            "DELETE /api/me/totp",
            "/api/me/totp".into(),
            json!({ "current": cluster::PASSWORD, "password": cluster::PASSWORD }),
        ),
        Call("POST /api/me/totp", "/api/me/totp".into(), json!({})),
        Call("POST /api/tokens", "/api/tokens".into(), json!(token)),
        Call("POST /api/tokens/{id}/wake", format!("/api/tokens/{}/wake", token_row.token.id), json!({})),
        Call("DELETE /api/tokens/{id}", at("/api/tokens", &token_row.token.id), json!({})),
        Call("POST /api/users", "/api/users".into(), user(2)),
        Call("PATCH /api/users/{id}", at("/api/users", &user_row.id), json!({ "name": "Zoe" })),
        Call("POST /api/audit/verify", "/api/audit/verify".into(), json!({})),
        Call("POST /api/sync/now", "/api/sync/now".into(), json!({})),
        Call("POST /api/sync/quarantine/{id}/drop", format!("/api/sync/quarantine/{}/drop", QUARANTINED[1]), json!({})),
        Call("POST /api/capital/accounts", "/api/capital/accounts".into(), json!({ "name": "Expenses:Spice" })),
        Call(
            "PUT /api/capital/accounts/{id}",
            at("/api/capital/accounts", &account("Assets:Equipment")),
            json!({ "name": "Assets:Equipment", "code": "0401" }),
        ),
        Call(
            "POST /api/capital/accounts/{id}/close",
            format!("/api/capital/accounts/{}/close", account("Assets:Equipment")),
            json!({ "on": "2026-12-31" }),
        ),
        Call(
            "PUT /api/capital/rates",
            "/api/capital/rates".into(),
            json!({ "currency": "USD", "date": "2026-01-01", "rate": "0.9" }),
        ),
        Call("POST /api/capital/entries", "/api/capital/entries".into(), json!(books::sale(new_id(), 500))),
        Call(
            "POST /api/capital/entries/{id}/reverse",
            format!("/api/capital/entries/{id}/reverse"),
            json!({ "id": new_id() }),
        ),
        Call("POST /api/capital/import", "/api/capital/import".into(), json!(books::sheet(1, 2))),
        Call(
            "POST /api/pulse/checks",
            "/api/pulse/checks".into(),
            json!({ "name": "another", "kind": { "kind": "ping", "host": "127.0.0.1" } }),
        ),
        Call("PUT /api/pulse/checks/{id}", at("/api/pulse/checks", &check_row.id), check_changed),
        Call(
            "POST /api/pulse/alerts/{id}/acknowledge",
            format!("/api/pulse/alerts/{}/acknowledge", alert.id),
            json!({}),
        ),
        Call("POST /api/pulse/rules", "/api/pulse/rules".into(), json!(books::rules()[0])),
        Call("PUT /api/pulse/rules/{id}", at("/api/pulse/rules", &rule_row.id), json!(rule_changed)),
        Call("POST /api/pulse/silences", "/api/pulse/silences".into(), silence),
        Call("DELETE /api/pulse/silences/{id}", at("/api/pulse/silences", &silence_row.id), json!({})),
        Call("DELETE /api/pulse/rules/{id}", at("/api/pulse/rules", &rule_row.id), json!({})),
        Call("DELETE /api/pulse/checks/{id}", at("/api/pulse/checks", &check_row.id), json!({})),
        Call("PATCH /api/radar/cases/{id}", at("/api/radar/cases", &found.case), json!({ "state": "working" })),
        Call(
            "POST /api/radar/cases/{id}/comments",
            format!("/api/radar/cases/{}/comments", found.case),
            json!({ "text": "looked at" }),
        ),
        Call("PATCH /api/radar/rules", format!("/api/radar/rules?id={RULE}"), json!({ "enabled": false })),
        Call("PUT /api/radar/packs/{name}", format!("/api/radar/packs/{PACK}?version=1"), json!({})),
        Call("PATCH /api/radar/packs/{name}", at("/api/radar/packs", &PACK), json!({ "enabled": false })),
        Call("DELETE /api/radar/packs/{name}", at("/api/radar/packs", &PACK), json!({})),
        Call(
            "POST /api/radar/exceptions",
            "/api/radar/exceptions".into(),
            json!({ "fields": [["user.name", "backup"]], "reason": "it backs up" }),
        ),
        Call("DELETE /api/radar/exceptions/{id}", at("/api/radar/exceptions", &found.exception), json!({})),
        Call(
            "POST /api/guard/detections/{id}/acknowledge",
            format!("/api/guard/detections/{}/acknowledge", found.detection),
            json!({}),
        ),
        Call("POST /api/shield/templates", "/api/shield/templates".into(), look.clone()),
        Call("PUT /api/shield/templates/{id}", at("/api/shield/templates", &template_row.id), look_changed),
        Call("POST /api/shield/schedules", "/api/shield/schedules".into(), weekly),
        Call("PUT /api/shield/schedules/{id}", at("/api/shield/schedules", &schedule_row.id), weekly_changed),
        Call("POST /api/shield/reports", "/api/shield/reports".into(), json!({})),
        Call("DELETE /api/shield/reports/{id}", at("/api/shield/reports", &report_row.id), json!({})),
        Call("DELETE /api/shield/schedules/{id}", at("/api/shield/schedules", &schedule_row.id), json!({})),
        Call("DELETE /api/shield/templates/{id}", at("/api/shield/templates", &spare.id), json!({})),
        Call(
            "POST /api/me/password",
            "/api/me/password".into(),
            json!({ "current": cluster::PASSWORD, "new": "coffee in the morning" }),
        ),
    ];
    // What is applied again must have been sealed by this box: the store's own test does so. Here it is refused, in words.
    let apply = format!("/api/sync/quarantine/{}/apply", QUARANTINED[0]);
    let answer = owner.send_json(Method::POST, &apply, &json!({})).await?;
    ensure!(answer.status == StatusCode::CONFLICT && answer.text().contains("no epoch"), "{}", answer.text());
    // A password change may end the session it came by; logging in, the second step and logging out are tried below.
    let elsewhere =
        ["POST /api/sync/quarantine/{id}/apply", "POST /api/session", "POST /api/session/totp", "DELETE /api/session"];
    changes(&owner, &routes, calls, &elsewhere).await?;
    sessions(appliance.address(), &office.owner, "coffee in the morning").await
}

/// Logging in and out is written down, too.
async fn sessions(base: String, email: &str, password: &str) -> Result<()> {
    let watching = Face::login(base.clone(), email, password).await?;
    let before = newest(&watching).await?;
    let second = Face::login(base, email, password).await?;
    let between = newest(&watching).await?;
    ensure!(between > before, "a login leaves no audit entry");
    second.change(Method::DELETE, "/api/session", &json!({})).await?;
    ensure!(newest(&watching).await? > between, "a logout leaves no audit entry");
    let answer = second.send(Method::GET, "/api/session", None).await?;
    ensure!(answer.status == StatusCode::UNAUTHORIZED, "logged out and still in: {}", answer.status);
    Ok(())
}

async fn in_the_cloud(cluster: &Cluster, office: &cluster::Office) -> Result<()> {
    let owner = &cluster.fleet;
    let routes = listed(owner).await?;
    let cloud = cluster.postgres.owner().await?;
    let made = owner
        .post::<sent_contract::fleet::Organization>(
            "/api/fleet/organizations",
            &json!({ "name": MARK, "currency": "EUR", "branches": [MARK] }),
        )
        .await?;
    let customer = cluster::Office {
        organization: made.id,
        branch: made.branches[0].id,
        owner: office.owner.clone(),
        viewer: office.viewer.clone(),
    };
    let at = format!("/api/fleet/organizations/{}", made.id);
    let account: Account = owner.post(&format!("{at}/accounts"), &json!({ "name": format!("Assets:{MARK}") })).await?;
    let roles: Vec<Role> = owner.get(&format!("{at}/roles")).await?;
    let user = |role: Uuid, n: u32| json!({ "email": format!("{MARK}{n}@msp.example"), "name": MARK, "password": "a long password", "role": role, "branch": null });
    let own_roles: Vec<Role> = owner.get("/api/roles").await?;
    let (role, own_role) = (roles[0].id, own_roles[0].id);
    let user_row: User = owner.post("/api/users", &user(own_role, 1)).await?;
    let new_role = json!({ "name": MARK, "rights": ["home.read"] });
    let own_spare: Role = owner.post("/api/roles", &new_role).await?;
    let spare: Role = owner.post(&format!("{at}/roles"), &new_role).await?;
    let tax = |rate: &str, from: &str| json!({ "code": "VAT", "name": MARK, "rate": rate, "valid_from": from });
    let tax_row: TaxRate = owner.post(&format!("{at}/taxes"), &tax("19", "2021-01-01")).await?;
    let item = |sku: &str| json!({ "sku": sku, "name": MARK, "unit": "piece", "price": "1.50", "currency": "EUR" });
    let item_row: Item = owner.post(&format!("{at}/items"), &item("A-1")).await?;
    let rate = |rate: &str| json!({ "currency": "USD", "date": "2026-01-01", "rate": rate });
    let setting = |value: &str| json!({ "key": "invoice.footer", "value": value });
    owner.change(Method::PUT, &format!("{at}/rates"), &rate("0.9")).await?;
    owner.change(Method::PUT, &format!("{at}/settings"), &setting(MARK)).await?;
    let token = NewToken { name: MARK.to_owned(), rights: vec!["audit.read".to_owned()], days: None };
    let token_row: CreatedToken = owner.post("/api/tokens", &token).await?;
    let (quarantined, proposals, box_id) = troubles(cluster, &customer, &account, &cloud).await?;
    found_there(&cloud, made.id, box_id).await?;
    let about = format!("licence={MARK}&attribution={MARK}");
    for version in ["1", "2"] {
        let archive = logs::pack(&[("rule.yml", &rule(&format!("{RULE}-{version}")))])?;
        let path = format!("/api/fleet/packs/{PACK}?version={version}&{about}");
        let answer = owner.send(Method::PUT, &path, Some(("application/x-tar", archive))).await?;
        ensure!(answer.status.is_success(), "{}", answer.text());
    }
    let pin = json!({ "boxes": [box_id], "version": "1" });
    let ids: BTreeMap<&str, String> = [
        ("/api/tokens", token_row.token.id.to_string()),
        ("/api/users", user_row.id.to_string()),
        ("/api/fleet/boxes", box_id.to_string()),
        ("/api/fleet/organizations", made.id.to_string()),
        ("/api/roles", own_spare.id.to_string()),
        ("/api/fleet/organizations/{id}/roles", spare.id.to_string()),
        ("/api/fleet/organizations/{id}/accounts", account.id.to_string()),
        ("/api/fleet/organizations/{id}/rates", "USD".to_owned()),
        ("/api/fleet/organizations/{id}/rates/{currency}", "2026-01-01".to_owned()),
        ("/api/fleet/organizations/{id}/taxes", tax_row.id.to_string()),
        ("/api/fleet/organizations/{id}/items", item_row.id.to_string()),
        ("/api/fleet/organizations/{id}/settings", "invoice.footer".to_owned()),
        ("/api/fleet/packs", PACK.to_owned()),
        ("/api/fleet/packs/{name}", "2".to_owned()),
        ("/api/fleet/quarantine", quarantined[0].to_string()),
        ("/api/fleet/proposals", proposals[0].to_string()),
    ]
    .into();
    refusals(owner, &poor(owner, ["audit.read", "user.read"]).await?, &routes, &ids).await?;
    seen_from_above(owner).await?;

    cluster.replicas[0].bootstrap_another("Elsewhere MSP", "eve@elsewhere.example", cluster::PASSWORD)?;
    let eve = Face::login(owner.base(), "eve@elsewhere.example", cluster::PASSWORD).await?;
    let claim = json!({ "organization": made.id, "branch": made.branches[0].id, "name": "mine now" });
    let bodies: BTreeMap<String, Value> = [
        ("PUT /api/fleet/boxes/{id}/desired", json!({ "log": "debug" })),
        ("POST /api/fleet/boxes/{id}/commands", json!({ "kind": "restart", "arguments": {} })),
        ("POST /api/fleet/boxes/{id}/revoke", json!({ "reason": "mine now" })),
        ("POST /api/fleet/actions", json!({ "boxes": [box_id], "action": "revoke", "arguments": { "reason": "x" } })),
        ("POST /api/fleet/claims", claim.clone()),
        ("POST /api/fleet/organizations/{id}/branches", json!({ "name": "mine now", "timezone": "UTC" })),
        ("POST /api/fleet/organizations/{id}/users", user(role, 7)),
        ("POST /api/fleet/organizations/{id}/accounts", json!({ "name": "Assets:Mine now" })),
        ("PUT /api/fleet/organizations/{id}/accounts/{account}", json!({ "name": "Assets:Mine now" })),
        ("POST /api/fleet/organizations/{id}/accounts/{account}/close", json!({ "on": "2026-12-31" })),
        ("PUT /api/fleet/organizations/{id}/rates", rate("7")),
        ("POST /api/fleet/organizations/{id}/taxes", tax("7", "2026-01-01")),
        ("PUT /api/fleet/organizations/{id}/taxes/{tax}", tax("7", "2021-01-01")),
        ("POST /api/fleet/organizations/{id}/taxes/{tax}/close", json!({ "on": "2026-12-31" })),
        ("POST /api/fleet/organizations/{id}/items", item("A-7")),
        ("PUT /api/fleet/organizations/{id}/items/{item}", item("A-7")),
        ("POST /api/fleet/organizations/{id}/items/{item}/close", json!({ "on": "2026-12-31" })),
        ("PUT /api/fleet/organizations/{id}/settings", setting("mine now")),
        ("POST /api/fleet/organizations/{id}/roles", json!({ "name": "mine now", "rights": ["*"] })),
        ("PUT /api/fleet/organizations/{id}/roles/{role}", json!({ "name": "mine now", "rights": ["*"] })),
        ("PUT /api/roles/{id}", json!({ "name": "mine now", "rights": ["*"] })),
        ("POST /api/fleet/packs/{name}/apply", pin.clone()),
        ("POST /api/fleet/quarantine/{id}/skip", json!({ "reason": "mine now" })),
        ("PATCH /api/users/{id}", json!({ "name": "mine now", "disabled": true })),
    ]
    .map(|(name, body)| (name.to_owned(), body))
    .into();
    let before = fingerprint(&cloud, made.id).await?;
    // A bulk action names boxes the stranger does not have: it may answer that it did nothing.
    let apart: Vec<Listed> = routes.iter().filter(|r| r.path != "/api/fleet/actions").cloned().collect();
    stranger(&eve, &apart, &ids, &bodies).await?;
    let answer =
        eve.send_json(Method::POST, "/api/fleet/actions?dry_run=false", &bodies["POST /api/fleet/actions"]).await?;
    ensure!(!answer.text().contains(MARK) && !answer.status.is_server_error(), "{}", answer.text());
    ensure!(fingerprint(&cloud, made.id).await? == before, "a stranger changed a row of another MSP's customer");

    let setup: TotpSetup = owner.post("/api/me/totp", &json!({})).await?;
    let box_at = |rest: &str| format!("/api/fleet/boxes/{box_id}/{rest}");
    let calls = vec![
        Call("POST /api/me/totp/confirm", "/api/me/totp/confirm".into(), json!({ "code": code(&setup)? })),
        Call(
            "DELETE /api/me/totp",
            "/api/me/totp".into(),
            json!({ "current": cluster::MSP.1, "password": cluster::MSP.1 }),
        ),
        Call("POST /api/me/totp", "/api/me/totp".into(), json!({})),
        Call("POST /api/tokens", "/api/tokens".into(), json!(token)),
        Call("DELETE /api/tokens/{id}", format!("/api/tokens/{}", token_row.token.id), json!({})),
        Call("POST /api/users", "/api/users".into(), user(own_role, 2)),
        Call("PATCH /api/users/{id}", format!("/api/users/{}", user_row.id), json!({ "name": "Zoe" })),
        Call("PUT /api/fleet/boxes/{id}/desired", box_at("desired"), json!({ "log": "debug" })),
        Call("POST /api/fleet/boxes/{id}/commands", box_at("commands"), json!({ "kind": "identify", "arguments": {} })),
        Call(
            "POST /api/fleet/actions",
            "/api/fleet/actions?dry_run=false".into(),
            json!({ "boxes": [box_id], "action": "tag:add", "arguments": { "tag": "walked" } }),
        ),
        Call("PUT /api/fleet/packs/{name}", format!("/api/fleet/packs/{PACK}?version=3&{about}"), json!({})),
        Call("POST /api/fleet/packs/{name}/apply", format!("/api/fleet/packs/{PACK}/apply?dry_run=false"), pin),
        Call("DELETE /api/fleet/packs/{name}/{version}", format!("/api/fleet/packs/{PACK}/2"), json!({})),
        Call("POST /api/fleet/claims", "/api/fleet/claims".into(), claim),
        Call(
            "POST /api/fleet/organizations",
            "/api/fleet/organizations".into(),
            json!({ "name": "Third", "currency": "EUR", "branches": ["One"] }),
        ),
        Call(
            "POST /api/fleet/organizations/{id}/branches",
            format!("{at}/branches"),
            json!({ "name": "Two", "timezone": "UTC" }),
        ),
        Call("POST /api/fleet/organizations/{id}/users", format!("{at}/users"), user(role, 3)),
        Call(
            "POST /api/fleet/organizations/{id}/accounts",
            format!("{at}/accounts"),
            json!({ "name": "Assets:Spice" }),
        ),
        Call(
            "PUT /api/fleet/organizations/{id}/accounts/{account}",
            format!("{at}/accounts/{}", account.id),
            json!({ "name": "Assets:Pepper" }),
        ),
        Call(
            "POST /api/fleet/organizations/{id}/accounts/{account}/close",
            format!("{at}/accounts/{}/close", account.id),
            json!({ "on": "2026-12-31" }),
        ),
        Call("PUT /api/fleet/organizations/{id}/rates", format!("{at}/rates"), rate("0.95")),
        Call(
            "DELETE /api/fleet/organizations/{id}/rates/{currency}/{date}",
            format!("{at}/rates/USD/2026-01-01"),
            json!({}),
        ),
        Call("POST /api/fleet/organizations/{id}/taxes", format!("{at}/taxes"), tax("20", "2026-01-01")),
        Call(
            "PUT /api/fleet/organizations/{id}/taxes/{tax}",
            format!("{at}/taxes/{}", tax_row.id),
            tax("18", "2021-01-01"),
        ),
        Call(
            "POST /api/fleet/organizations/{id}/taxes/{tax}/close",
            format!("{at}/taxes/{}/close", tax_row.id),
            json!({ "on": "2024-12-31" }),
        ),
        Call("POST /api/fleet/organizations/{id}/items", format!("{at}/items"), item("A-2")),
        Call("PUT /api/fleet/organizations/{id}/items/{item}", format!("{at}/items/{}", item_row.id), item("A-3")),
        Call(
            "POST /api/fleet/organizations/{id}/items/{item}/close",
            format!("{at}/items/{}/close", item_row.id),
            json!({ "on": "2026-12-31" }),
        ),
        Call("PUT /api/fleet/organizations/{id}/settings", format!("{at}/settings"), setting("Thank you")),
        Call("DELETE /api/fleet/organizations/{id}/settings/{key}", format!("{at}/settings/invoice.footer"), json!({})),
        Call(
            "POST /api/fleet/organizations/{id}/roles",
            format!("{at}/roles"),
            json!({ "name": "clerk", "rights": ["capital.*"] }),
        ),
        Call(
            "PUT /api/fleet/organizations/{id}/roles/{role}",
            format!("{at}/roles/{}", spare.id),
            json!({ "name": "guest", "rights": [] }),
        ),
        Call("DELETE /api/fleet/organizations/{id}/roles/{role}", format!("{at}/roles/{}", spare.id), json!({})),
        Call("POST /api/roles", "/api/roles".into(), json!({ "name": "desk", "rights": ["audit.read"] })),
        Call("PUT /api/roles/{id}", format!("/api/roles/{}", own_spare.id), json!({ "name": "guest", "rights": [] })),
        Call("DELETE /api/roles/{id}", format!("/api/roles/{}", own_spare.id), json!({})),
        Call(
            "POST /api/fleet/quarantine/{id}/retry",
            format!("/api/fleet/quarantine/{}/retry", quarantined[0]),
            json!({}),
        ),
        Call(
            "POST /api/fleet/quarantine/{id}/skip",
            format!("/api/fleet/quarantine/{}/skip", quarantined[1]),
            json!({ "reason": "why not" }),
        ),
        Call(
            "POST /api/fleet/proposals/{id}/accept",
            format!("/api/fleet/proposals/{}/accept", proposals[0]),
            json!({}),
        ),
        Call(
            "POST /api/fleet/proposals/{id}/refuse",
            format!("/api/fleet/proposals/{}/refuse", proposals[1]),
            json!({}),
        ),
        Call("POST /api/fleet/boxes/{id}/revoke", box_at("revoke"), json!({ "reason": "walked" })),
        Call(
            "POST /api/me/password",
            "/api/me/password".into(),
            json!({ "current": cluster::MSP.1, "new": "coffee in the morning" }),
        ),
    ];
    let elsewhere = ["POST /api/session", "POST /api/session/totp", "DELETE /api/session"];
    changes(owner, &routes, calls, &elsewhere).await?;
    sessions(owner.base().to_owned(), cluster::MSP.0, "coffee in the morning").await
}

/// What a box of a customer could have found, as it would have been projected, with the mark in every name.
async fn found_there(cloud: &sqlx::PgPool, organization: Uuid, box_id: Uuid) -> Result<()> {
    let sql = format!(
        "INSERT INTO radar_cases (organization_id, box_id, received_at, id, title, rule, severity, state, host, \"user\", opened_at, last_at)
             VALUES ('{organization}', '{box_id}', 0, '{box_id}', '{MARK}', 'r', 'high', 'open', '{MARK}', '', 1, 1);
         INSERT INTO radar_alerts (organization_id, box_id, received_at, id, case_id, rule, title, author, severity, host, \"user\",
                                   count, first_at, last_at, position)
             VALUES ('{organization}', '{box_id}', 0, '{box_id}', '{box_id}', 'r', '{MARK}', '', 'high', '{MARK}', '', 1, 1, 1, 0);
         INSERT INTO guard_devices (organization_id, box_id, received_at, mac, maker, addresses, names, roles, first_seen, last_seen)
             VALUES ('{organization}', '{box_id}', 0, '02:00:5e:10:00:01', '{MARK}', '[]', '{{}}', '[]', 1, 1);
         INSERT INTO guard_detections (organization_id, box_id, received_at, id, key, kind, severity, title, facts, mac, started_at,
                                       last_at, count, state)
             VALUES ('{organization}', '{box_id}', 0, '{box_id}', 'k', 'scan', 'high', '{MARK}', '{{}}', '02:00:5e:10:00:01', 1, 1, 1, 'open');
         INSERT INTO guard_certificates (organization_id, box_id, received_at, server, port, sha256, subject, issuer, names,
                                         not_before, not_after, public_key, signature, self_signed, weak, own, first_seen)
             VALUES ('{organization}', '{box_id}', 0, '10.0.0.1', 443, 'aa', '{MARK}', '{MARK}', '[]', 1, 1, '', '', 0, '[]', 1, 1)"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(cloud).await?;
    Ok(())
}

/// Whoever manages the customer sees all of it, page by page; the roll-up counts it.
async fn seen_from_above(owner: &Face) -> Result<()> {
    let lists = ["security/cases", "security/alerts", "network/detections", "network/devices", "network/certificates"];
    for list in lists {
        let page: Page<Value> = owner.get(&format!("/api/fleet/{list}?limit=1&q={MARK}")).await?;
        ensure!(page.items.len() == 1 && page.items[0]["organization"]["name"] == MARK, "{list}: {page:?}");
        let none: Page<Value> = owner.get(&format!("/api/fleet/{list}?branch={}", new_id())).await?;
        ensure!(none.items.is_empty(), "{list}: {none:?}");
    }
    let page: Page<BranchSecurity> = owner.get(&format!("/api/fleet/security/branches?q={MARK}")).await?;
    let branch = page.items.first();
    let counted = branch.is_some_and(|row| {
        let counts = &row.counts;
        (counts.cases.high, counts.detections.high, counts.devices, counts.certificates) == (1, 1, 1, 1)
    });
    ensure!(counted, "{branch:?}");
    let all: SecurityCounts = owner.get("/api/fleet/security/counts").await?;
    ensure!(all.cases.high >= 1 && all.certificates >= 1, "{all:?}");
    Ok(())
}

/// A box by hand that leaves two transactions in quarantine and two proposals that wait.
async fn troubles(
    cluster: &Cluster,
    customer: &cluster::Office,
    account: &Account,
    cloud: &sqlx::PgPool,
) -> Result<([i64; 2], [i64; 2], Uuid)> {
    sqlx::raw_sql("ALTER TABLE entries ADD CONSTRAINT no_poison CHECK (series <> 'POISON')").execute(cloud).await?;
    let claim: Claim = cluster.claim(customer, MARK).await?;
    let by_hand = Stranger::enrol(cluster.wire_url(), &claim.code, MARK).await?;
    by_hand.begin().await?;
    let mut head = Head::start(1);
    let mut transactions = Vec::new();
    for n in 0..2 {
        let entry = json!([{ "t": "entries", "o": "i", "k": { "id": new_id() }, "n": {
            "branch_id": null, "series": "POISON", "year": 2026, "sequence": n, "number": format!("P-{n}"),
            "date": "2026-11-01", "description": MARK, "posted_at": 1, "reverses": null, "external_id": null } }]);
        let edit =
            json!([{ "t": "accounts", "o": "u", "k": { "id": account.id }, "n": { "code": format!("{n}") }, "v": 0 }]);
        for changes in [entry, edit] {
            let (transaction, next) = by_hand.transaction(head, &changes.to_string())?;
            transactions.push(transaction);
            head = next;
        }
    }
    let reply = by_hand.wire.post(path::TRANSACTIONS, &Batch { epoch: 1, transactions }).await?;
    ensure!(reply.status.is_success(), "{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    // What the other box proposed meanwhile waits too.
    let waiting = |what: &str| format!("/api/fleet/{what}?state=open&box={}", by_hand.answer.box_id);
    let quarantined = until("two transactions are in quarantine", 30, || async {
        let page: Page<Quarantined> = cluster.fleet.get(&waiting("quarantine")).await?;
        Ok(<[i64; 2]>::try_from(page.items.iter().map(|q| q.id).collect::<Vec<_>>()).ok())
    })
    .await?;
    let proposals = until("two proposals wait", 30, || async {
        let page: Page<Proposal> = cluster.fleet.get(&waiting("proposals")).await?;
        Ok(<[i64; 2]>::try_from(page.items.iter().map(|p| p.id).collect::<Vec<_>>()).ok())
    })
    .await?;
    sqlx::raw_sql("ALTER TABLE entries DROP CONSTRAINT no_poison").execute(cloud).await?;
    Ok((quarantined, proposals, by_hand.answer.box_id))
}

/// A hash over an organisation's rows in every table that has organisations, except what every contact moves.
async fn fingerprint(cloud: &sqlx::PgPool, organization: Uuid) -> Result<BTreeMap<String, String>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.table_name::text FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = 'public' AND c.column_name = 'organization_id' AND t.table_type = 'BASE TABLE'
           AND c.table_name NOT IN ('box_states', 'projections')",
    )
    .fetch_all(cloud)
    .await?;
    ensure!(tables.len() > 15, "{tables:?}");
    let mut all = BTreeMap::new();
    for table in tables {
        let sql = format!(
            "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM \"{table}\" t WHERE organization_id = $1"
        );
        let hash: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(organization).fetch_one(cloud).await?;
        all.insert(table, hash);
    }
    Ok(all)
}
