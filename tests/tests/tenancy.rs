//! A walk over the real route lists of a running box and of the cloud. Each route names what it asks; without a login,
//! without the right and without the CSRF token it refuses; each change leaves an audit entry; and whoever belongs to
//! another organisation sees nothing of the first one's and changes nothing of it, whatever route they try.

mod in_the_cloud;
mod on_the_box;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use reqwest::{Method, StatusCode};
use sent_contract::{
    Page, audit,
    identity::{CreatedToken, NewToken, TotpSetup},
};
use sent_core::route::Listed;
use sent_tests::{Cluster, Face, Result, Setup, bail, ensure, face::Answer, findings::Findings, logs};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenancy() -> Result<()> {
    let mut cluster = Cluster::start(Setup { broker: false, ..Setup::default() }).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, _) = cluster.appliance(&office, "box").await?;
    appliance.stop().await?;
    let (eve, _) = on_the_box::second_organization(&appliance)?;
    on_the_box::quarantine(&appliance, office.organization)?;
    let found = Findings::put(&appliance, office.organization, MARK)?;
    appliance.start().await?;
    on_the_box::walk(&appliance, &office, &eve, &found).await?;
    in_the_cloud::walk(&cluster, &office).await?;
    cluster.passed();
    Ok(())
}
