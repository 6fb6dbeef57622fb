//! A pack of rules from the console to one branch of two: uploaded, rolled out, updated, switched off while the box is away,
//! refused when its archive is damaged, taken away; and what its rules find comes back up to the console.

use reqwest::{Method, StatusCode};
use sent_contract::{
    Page, Uuid,
    fleet::BulkOutcome,
    identity::Named,
    packs::{FleetPack, PackAction, PackBox, PackVersion},
    radar::{Alert, Pack, RadarStatus},
    security::{BranchSecurity, FleetAlert, FleetCase},
};
use sent_protocol::Hash;
use sent_tests::{Cluster, Face, Result, Setup, bail, cluster::Office, ensure, face::Answer, logs::pack, until};
use serde_json::json;

use crate::box_id;

const NAME: &str = "sshd";
const ABOUT: &str = "licence=Detection%20Rule%20License%201.1&attribution=Northwind%27s%20own";

fn rule(id: &str, title: &str, words: &str) -> String {
    format!(
        "title: {title}\nid: {id}\nauthor: Ada\nlevel: high\nlogsource: {{product: linux}}\ndetection:\n  words: ['{words}']\n  condition: words\n"
    )
}

async fn upload(fleet: &Face, version: &str, archive: Vec<u8>) -> Result<Answer> {
    let path = format!("/api/fleet/packs/{NAME}?version={version}&{ABOUT}");
    fleet.send(Method::PUT, &path, Some(("application/octet-stream", archive))).await
}

async fn kept(fleet: &Face, version: &str, archive: Vec<u8>) -> Result<PackVersion> {
    let answer = upload(fleet, version, archive).await?;
    ensure!(answer.status.is_success(), "{}", answer.text());
    answer.json()
}

async fn apply(fleet: &Face, dry_run: bool, asked: &PackAction) -> Result<BulkOutcome> {
    fleet.post(&format!("/api/fleet/packs/{NAME}/apply?dry_run={dry_run}"), asked).await
}

/// Waits until the pack stands so on a box, as the console tells.
async fn stands(fleet: &Face, at: Uuid, wanted: &str, version: &str) -> Result<PackBox> {
    let seen = std::sync::Mutex::new(None);
    let waited = until("the pack stands as it should", 60, || async {
        let page: Page<PackBox> = fleet.get(&format!("/api/fleet/packs/{NAME}/boxes")).await?;
        let row = page.items.into_iter().find(|row| row.box_ref.id == at);
        *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = row.clone();
        Ok(row.filter(|row| row.state == wanted && row.version.as_deref().unwrap_or_default() == version))
    })
    .await;
    match waited {
        Ok(row) => Ok(row),
        Err(error) => bail!("{error}: not {wanted} with {version:?} but {seen:?}"),
    }
}

/// Sends a line to a box, and waits until its rules were asked about it.
async fn say(face: &Face, line: &str) -> Result<()> {
    let asked = || async { Ok::<_, anyhow::Error>(face.get::<RadarStatus>("/api/radar/status").await?.asked) };
    let before = until("radar answers", 60, || async { Ok(asked().await.ok()) }).await?;
    let body = format!("<38>Nov 23 11:00:00 web-1 sshd[7]: {line}\n").into_bytes();
    let answer = face.send(Method::POST, "/api/radar/intake/lines", Some(("text/plain", body))).await?;
    ensure!(answer.status.is_success(), "{}", answer.text());
    until("the rules were asked", 60, || async { Ok((asked().await? > before).then_some(())) }).await
}

/// Writes a file behind the back of everybody.
fn put(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    Ok(std::io::Write::write_all(&mut std::fs::File::create(path)?, bytes)?)
}

async fn alerts(face: &Face) -> Result<Vec<Alert>> {
    Ok(face.get::<Page<Alert>>("/api/radar/alerts?most=500").await?.items)
}

/// A case of this title in the queue of the console.
async fn case(fleet: &Face, title: &str) -> Result<FleetCase> {
    until("the case is seen at the console", 60, || async {
        let page: Page<FleetCase> = fleet.get("/api/fleet/security/cases?state=active&severity=high").await?;
        Ok(page.items.into_iter().find(|case| case.row.title == title))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_packs() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let harbour = cluster.office("Northwind").await?;
    let at = format!("/api/fleet/organizations/{}/branches", harbour.organization);
    let second: Named = cluster.fleet.post(&at, &json!({ "name": "Station Road", "timezone": "UTC" })).await?;
    let station = Office { branch: second.id, ..harbour.clone() };
    let (mut first, mut first_face) = cluster.appliance(&harbour, "harbour").await?;
    let (other, other_face) = cluster.appliance(&station, "station").await?;
    let (here, there) = (box_id(&first)?, box_id(&other)?);
    let fleet =
        Face::login(cluster.replicas[0].console(), sent_tests::cluster::MSP.0, sent_tests::cluster::MSP.1).await?;

    // What is no pack is refused, and says why.
    let answer = upload(&fleet, "1", b"this is no archive".to_vec()).await?;
    ensure!(
        answer.status == StatusCode::BAD_REQUEST || answer.status == StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        answer.status
    );
    ensure!(answer.text().contains("neither a zip archive nor a tar archive"), "{}", answer.text());
    let failed = rule("71111111-1111-4111-8111-111111111111", "Failed logins", "Failed password");
    let one = kept(&fleet, "1", pack(&[("failed.yml", &failed)])?).await?;
    ensure!(one.files == 1 && one.attribution == "Northwind's own", "{one:?}");
    let again = upload(&fleet, "1", pack(&[("other.yml", &failed)])?).await?;
    ensure!(again.text().contains("never changes"), "{}: {}", again.status, again.text());

    // On for one branch: what the dry run says is what is done.
    let pin = |version: &str| PackAction {
        filter: Some(format!("branch={}", harbour.branch)),
        version: Some(version.to_owned()),
        enabled: Some(true),
        ..PackAction::default()
    };
    let dry = apply(&fleet, true, &pin("1")).await?;
    ensure!(dry.affected.len() == 1 && dry.affected[0].0.id == here && dry.skipped.is_empty(), "{dry:?}");
    let nothing: Page<PackBox> = fleet.get(&format!("/api/fleet/packs/{NAME}/boxes")).await?;
    ensure!(nothing.items.is_empty(), "a dry run did something: {nothing:?}");
    let done = apply(&fleet, false, &pin("1")).await?;
    ensure!(done.affected == dry.affected, "{done:?}");
    let running = stands(&fleet, here, "running", "1").await?;
    ensure!(running.branch.id == harbour.branch && running.enabled, "{running:?}");

    // A line sets its rule off, and the case comes up to the console. The other branch has no such rule.
    say(&first_face, "Failed password for root from 10.1.1.1 port 22 ssh2").await?;
    say(&other_face, "Failed password for root from 10.1.1.1 port 22 ssh2").await?;
    let found = case(&fleet, "Failed logins").await?;
    ensure!(found.box_ref.id == here && found.branch.id == harbour.branch && found.row.host == "web-1", "{found:?}");
    let path = format!("/api/fleet/security/alerts?box={here}&case={}", found.row.id);
    let of_case: Page<FleetAlert> = fleet.get(&path).await?;
    ensure!(of_case.items.len() == 1 && of_case.items[0].row.author == "Ada", "{of_case:?}");
    let branches: Page<BranchSecurity> = fleet.get("/api/fleet/security/branches").await?;
    let highs: Vec<_> = branches.items.iter().map(|row| (row.branch.id, row.counts.cases.high)).collect();
    ensure!(highs == [(harbour.branch, 1), (station.branch, 0)], "{highs:?}");

    // The next version: only where the pack is wanted. A broken rule of it is named, the others run.
    let accepted = rule("72222222-2222-4222-8222-222222222222", "Somebody came in", "Accepted publickey");
    let broken = "title: Broken\nlogsource: {product: linux}\ndetection:\n  condition: nowhere\n";
    kept(&fleet, "2", pack(&[("failed.yml", &failed), ("accepted.yml", &accepted), ("broken.yml", broken)])?).await?;
    let update = PackAction {
        filter: Some(String::new()),
        version: Some("2".to_owned()),
        only_wanted: true,
        ..PackAction::default()
    };
    let updated = apply(&fleet, false, &update).await?;
    ensure!(
        updated.affected.len() == 1 && updated.skipped.len() == 1 && updated.skipped[0].0.id == there,
        "{updated:?}"
    );
    let row = stands(&fleet, here, "running", "2").await?;
    ensure!(row.wanted.is_some_and(|wish| wish.version == "2" && wish.enabled), "the wish is another");
    until("the broken rule is counted at the console", 60, || async {
        let page: Page<PackBox> =
            fleet.get(&format!("/api/fleet/packs/{NAME}/boxes?branch={}", harbour.branch)).await?;
        Ok(page.items.first().is_some_and(|row| (row.rules, row.broken) == (3, 1)).then_some(()))
    })
    .await?;
    say(&first_face, "Accepted publickey for root from 10.1.1.1 port 22 ssh2").await?;
    case(&fleet, "Somebody came in").await?;
    let refused = fleet.send_json(Method::DELETE, &format!("/api/fleet/packs/{NAME}/2"), &json!({})).await?;
    ensure!(refused.status == StatusCode::CONFLICT && refused.text().contains("1 box is"), "{}", refused.text());

    // Switched off while the box is away: it hears of it when it is back.
    first.stop().await?;
    let off = PackAction { boxes: vec![here], enabled: Some(false), ..PackAction::default() };
    apply(&fleet, false, &off).await?;
    let waiting = stands(&fleet, here, "waiting", "2").await?;
    ensure!(waiting.cause.contains("not heard"), "{waiting:?}");
    first.start().await?;
    first_face = first.login(&harbour.owner, sent_tests::cluster::PASSWORD).await?;
    stands(&fleet, here, "off", "2").await?;
    let before = alerts(&first_face).await?.iter().map(|alert| alert.count).sum::<u64>();
    say(&first_face, "Failed password for root from 10.9.9.9 port 22 ssh2").await?;
    let after = alerts(&first_face).await?.iter().map(|alert| alert.count).sum::<u64>();
    ensure!(before == after, "a rule of a pack that is off raised an alert");

    // An archive that was damaged on its way is named, and taken once it is whole.
    let whole = pack(&[("accepted.yml", &accepted)])?;
    let three = kept(&fleet, "3", whole.clone()).await?;
    let hash: Hash = three.sha256.parse()?;
    let objects = cluster.common.folder.join("objects").join(harbour.organization.to_string()).join(&three.sha256[..2]);
    std::fs::create_dir_all(&objects)?;
    put(&objects.join(hash.to_string()), b"half of it")?;
    apply(&fleet, false, &pin("3")).await?;
    let damaged = stands(&fleet, here, "failed", "2").await?;
    ensure!(damaged.cause.contains("damaged"), "{damaged:?}");
    let packs: Vec<FleetPack> = fleet.get("/api/fleet/packs").await?;
    ensure!(packs.len() == 1 && (packs[0].failed, packs[0].versions.len()) == (1, 3), "{packs:?}");
    put(&objects.join(hash.to_string()), &whole)?;
    stands(&fleet, here, "running", "3").await?;

    // Taken away; and nothing of all this ever reached the other branch.
    let remove = PackAction { filter: Some(String::new()), remove: true, ..PackAction::default() };
    let removed = apply(&fleet, false, &remove).await?;
    ensure!(removed.affected.len() == 1 && removed.skipped.len() == 1, "{removed:?}");
    until("the pack is gone", 60, || async {
        let there: Page<Pack> = first_face.get("/api/radar/packs").await?;
        let told: Page<PackBox> = fleet.get(&format!("/api/fleet/packs/{NAME}/boxes")).await?;
        Ok((there.items.is_empty() && told.items.is_empty()).then_some(()))
    })
    .await?;
    let packs: Page<Pack> = other_face.get("/api/radar/packs").await?;
    ensure!(packs.items.is_empty() && alerts(&other_face).await?.is_empty(), "the other branch was touched: {packs:?}");
    cluster.passed();
    Ok(())
}
