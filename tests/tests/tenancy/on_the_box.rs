//! The walk over a box's routes, its workers' among them.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use sent_contract::{
    Page, Uuid,
    capital::{Account, NewLine},
    identity::{CreatedToken, Me, NewToken, Role, TotpSetup, User},
    pulse::{Alert, Check, Rule, Silence},
    shield::{Report, Schedule, Template},
};
use sent_tests::{Appliance, Result, appliance, books, cluster, compare, ensure, findings::Findings, logs, until};
use serde_json::{Value, json};

use super::{Call, MARK, PACK, RULE, changes, code, listed, poor, refusals, rule, sessions, stranger};
use crate::new_id;

/// A second organisation on the box's own disk: what a box that changed hands could look like.
pub(super) fn second_organization(appliance: &Appliance) -> Result<(String, Uuid)> {
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
pub(super) fn quarantine(appliance: &Appliance, organization: Uuid) -> Result<()> {
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

pub(super) async fn walk(appliance: &Appliance, office: &cluster::Office, eve: &str, found: &Findings) -> Result<()> {
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
