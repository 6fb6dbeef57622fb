//! Whatever arrives — torn, truncated, oversized, replayed, out of order, bombs, another organisation's rows, another
//! root's certificate — is answered clearly; nothing is lost, nothing is taken twice, and memory stays bounded.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reqwest::Method;
use sent_contract::capital::ImportReport;
use sent_core::route::Listed;
use sent_protocol::{
    Batch, Cursor, EpochStart, HEADER_EPOCH, HEADER_SEGMENT, Hash, Head, Refusal, TelemetryCursor, body, limits, path,
    series::series_id,
    telemetry::{self, Point, SeriesDefinition},
};
use sent_tests::{
    Cluster, Context as _, Face, Result, Setup, appliance, bail, books, ensure,
    relay::Weather,
    until,
    wire::{Reply, Stranger, Wire},
};
use serde_json::{Value, json};

use crate::new_id;

/// What a replica or a box may grow by while it is abused: bodies in flight, each at most 72 MiB, and change.
const GROWTH: u64 = 900 << 20;
/// Endpoints that take a body.
const POSTS: [&str; 6] =
    [path::ENROL, path::CERTIFICATE, path::EPOCH, path::TRANSACTIONS, path::TELEMETRY, path::REPORTED];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_input() -> Result<()> {
    let mut cluster = Cluster::start(Setup { broker: false, ..Setup::default() }).await?;
    let office = cluster.office("Northwind").await?;
    let claim = cluster.claim(&office, "by hand").await?;
    let by_hand = Stranger::enrol(cluster.wire_url(), &claim.code, "by hand").await?;
    by_hand.begin().await?;
    let before = cluster.replicas[0].memory()?;

    certificates(&cluster, &by_hand, &claim.code).await?;
    bodies(&by_hand).await?;
    bombs(&by_hand).await?;
    let head = order(&by_hand).await?;
    other_organization(&cluster, &by_hand, head).await?;
    segments(&by_hand).await?;
    objects(&by_hand).await?;
    torn(&cluster, &by_hand).await?;

    let after = cluster.replicas[0].memory()?;
    ensure!(after < before + GROWTH, "the cloud grew from {before} to {after} bytes");

    let (appliance, face) = cluster.appliance(&office, "box").await?;
    let before = appliance.memory()?;
    requests(&face).await?;
    sheets(&face).await?;
    let after = appliance.memory()?;
    ensure!(after < before + GROWTH, "the box grew from {before} to {after} bytes");
    cluster.passed();
    Ok(())
}

fn clear(reply: &Reply, what: &str) -> Result<()> {
    ensure!(reply.status.is_client_error(), "{what}: {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    ensure!(!reply.code().is_empty(), "{what}: {} without a code", reply.status);
    Ok(())
}

async fn certificates(cluster: &Cluster, by_hand: &Stranger, claim: &str) -> Result<()> {
    let url = cluster.wire_url();
    let nobody = Wire::new(url, None)?;
    for (method, path) in [
        ("GET", path::CURSOR),
        ("POST", path::TRANSACTIONS),
        ("POST", path::EPOCH),
        ("POST", path::TELEMETRY),
        ("GET", path::REFERENCE),
        ("GET", path::DESIRED),
        ("POST", path::REPORTED),
        ("POST", path::CERTIFICATE),
    ] {
        let reply = nobody.send(method.parse()?, path, &[], Vec::new()).await?;
        ensure!(
            reply.status == 401 && reply.code() == "unauthenticated",
            "{path} without a certificate: {}",
            reply.status
        );
    }
    // A certificate of another root that names a box of ours.
    let root_key = KeyPair::generate()?;
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "SENT cloud");
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate()?;
    let mut forged = CertificateParams::default();
    forged.distinguished_name.push(DnType::CommonName, by_hand.answer.box_id.to_string());
    let forged = forged.signed_by(&key, &issuer)?;
    let wire = Wire::new(url, Some((&forged.pem(), &key.serialize_pem())))?;
    match wire.get(path::CURSOR).await {
        Err(_) => {}
        Ok(reply) => ensure!(reply.status == 401, "a forged certificate is taken: {}", reply.status),
    }
    // A claim counts once, and guesses do not count at all.
    for code in [claim.to_owned(), format!("AAAA-AAAA-AAAA.{}", claim.split_once('.').map_or("", |(_, f)| f))] {
        let again = Stranger::enrol(url, &code, "again").await;
        let told = again.err().map(|e| e.to_string()).unwrap_or_default();
        ensure!(told.contains("403"), "{code}: {told}");
    }
    let cursor: Cursor = by_hand.wire.get(path::CURSOR).await?.json()?;
    ensure!(cursor.epoch == 1, "the box itself is refused: {cursor:?}");
    Ok(())
}

async fn bodies(by_hand: &Stranger) -> Result<()> {
    let whole = body::encode(&json!({ "epoch": 1, "transactions": [] }))?;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("noise", (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("half a frame", whole[..whole.len() / 2].to_vec()),
        ("a frame and more", [whole.clone(), whole.clone(), b"x".to_vec()].concat()),
        ("no JSON", body::compress(b"{\"epoch\": ")?),
        ("other JSON", body::compress(b"[1, \"two\", null]")?),
        ("numbers out of range", body::compress(br#"{"epoch":-1,"transactions":[{"sequence":1e99}]}"#)?),
        ("deep JSON", body::compress(deep.as_bytes())?),
        ("not compressed", br#"{"epoch":1,"transactions":[]}"#.to_vec()),
        ("over the bound", vec![0; limits::BODY_COMPRESSED + 1]),
    ];
    let segment = [(HEADER_EPOCH, "1"), (HEADER_SEGMENT, "1"), ("content-encoding", "zstd")];
    for path in POSTS {
        for (what, bytes) in &attacks {
            let reply = match by_hand.wire.send(Method::POST, path, &segment, bytes.clone()).await {
                Ok(reply) => reply,
                // A server that has read enough may hang up before the client is done.
                Err(_) if bytes.len() > limits::BODY_COMPRESSED => continue,
                Err(error) => return Err(error.context(format!("{path}: {what}"))),
            };
            clear(&reply, &format!("{path}: {what}"))?;
        }
        let reply = by_hand.wire.send(Method::POST, path, &[("content-encoding", "gzip")], whole.clone()).await?;
        clear(&reply, &format!("{path}: gzip"))?;
    }
    for query in ["?after=-1", "?after=x", "?after=99999999999999999999", "?after="] {
        let reply = by_hand.wire.get(&format!("{}{query}", path::REFERENCE)).await?;
        clear(&reply, &format!("reference{query}"))?;
    }
    for path in ["/", "/wire/v2/cursor", "/wire/v1/../v1/nothing", "/wire/v1/cursor/x"] {
        clear(&by_hand.wire.get(path).await?, path)?;
    }
    Ok(())
}

async fn bombs(by_hand: &Stranger) -> Result<()> {
    let bomb = body::compress(&vec![b' '; 512 << 20])?;
    ensure!(bomb.len() < limits::BODY_COMPRESSED, "the bomb is too large to travel");
    let headers = [(HEADER_EPOCH, "1"), (HEADER_SEGMENT, "1"), ("content-encoding", "zstd")];
    for path in POSTS.iter().filter(|p| **p != path::ENROL) {
        let throws = (0..6).map(|_| by_hand.wire.send(Method::POST, path, &headers, bomb.clone()));
        for reply in futures::future::join_all(throws).await {
            let reply = reply?;
            ensure!(matches!(reply.status.as_u16(), 400 | 413), "{path}: a bomb: {}", reply.status);
        }
    }
    Ok(())
}

fn row(n: u32) -> String {
    json!([{ "t": "entries", "o": "i", "k": { "id": new_id() }, "n": {
        "branch_id": null, "series": "JE", "year": 2026, "sequence": n, "number": format!("JE-{n}"), "date": "2026-11-01",
        "description": "by hand", "posted_at": 1, "reverses": null, "external_id": null } }])
    .to_string()
}

/// Replays, gaps, forks and forgeries; answers where the chain ends.
async fn order(by_hand: &Stranger) -> Result<Head> {
    let mut head = Head::start(1);
    let mut transactions = Vec::new();
    for n in 1..=6 {
        let (transaction, next) = by_hand.transaction(head, &row(n))?;
        transactions.push(transaction);
        head = next;
    }
    let send = |transactions: Vec<_>| async move {
        by_hand.wire.post(path::TRANSACTIONS, &Batch { epoch: 1, transactions }).await
    };
    // Out of order: the third before the first.
    let reply = send(transactions[2..4].to_vec()).await?;
    let refusal: Refusal = reply.json()?;
    ensure!(reply.status == 409 && refusal.code == "gap" && refusal.cursor.sequence == 0, "{refusal:?}");
    let reply = send(vec![transactions[1].clone(), transactions[0].clone()]).await?;
    ensure!(reply.status.is_client_error(), "backwards: {}", reply.status);
    // In order, then all of it again, then with an overlap.
    for part in [&transactions[..3], &transactions[..3], &transactions[1..5], &transactions[..]] {
        let cursor: Cursor = send(part.to_vec()).await?.json()?;
        ensure!(cursor.sequence >= u64::try_from(part.len())?.min(3), "{cursor:?}");
    }
    let cursor: Cursor = by_hand.wire.get(path::CURSOR).await?.json()?;
    ensure!(cursor.head() == head, "{cursor:?} instead of {head:?}");
    // Another history.
    let (mut forged, _) = by_hand.transaction(Head { hash: Hash::of(b"another"), ..head }, &row(7))?;
    let refusal: Refusal = send(vec![forged.clone()]).await?.json()?;
    ensure!(refusal.code == "fork", "{refusal:?}");
    // A changed content.
    forged = by_hand.transaction(head, &row(7))?.0;
    forged.actor = "somebody else".into();
    let reply = send(vec![forged]).await?;
    ensure!(reply.status.is_client_error(), "a changed transaction is taken: {}", reply.status);
    // Epochs that were never begun, and one that goes back.
    let (transaction, _) = by_hand.transaction(Head::start(9), &row(8))?;
    let reply = by_hand.wire.post(path::TRANSACTIONS, &Batch { epoch: 9, transactions: vec![transaction] }).await?;
    ensure!(reply.status == 409 && reply.code() == "unknown_epoch", "{} {}", reply.status, reply.code());
    for (epoch, previous) in [(0, 0), (1, 5), (2, 7), (u64::MAX, 1)] {
        let start = EpochStart {
            epoch,
            previous_epoch: previous,
            previous_sequence: 3,
            hash: Hash::of(b"nothing"),
            token: new_id(),
            after: None,
        };
        let reply = by_hand.wire.post(path::EPOCH, &start).await?;
        ensure!(reply.status.is_client_error(), "epoch {epoch} after {previous}: {}", reply.status);
    }
    let cursor: Cursor = by_hand.wire.get(path::CURSOR).await?.json()?;
    ensure!(cursor.head() == head, "an attack moved the cursor: {cursor:?}");
    Ok(head)
}

/// A box that writes into another organisation.
async fn other_organization(cluster: &Cluster, by_hand: &Stranger, head: Head) -> Result<()> {
    let victim = cluster.office("Eastgate").await?;
    let cloud = cluster.postgres.owner().await?;
    let (mut transaction, _) = by_hand.transaction(head, &row(100))?;
    transaction.organization_id = victim.organization;
    transaction.seal(by_hand.answer.box_id, head);
    let reply = by_hand.wire.post(path::TRANSACTIONS, &Batch { epoch: 1, transactions: vec![transaction] }).await?;
    // Refused, or taken and then held in quarantine; in no case does the victim get a row.
    let mut head = head;
    if reply.status.is_success() {
        head = reply.json::<Cursor>()?.head();
    }
    let smuggled = json!([{ "t": "entries", "o": "i", "k": { "id": new_id(), "organization_id": victim.organization }, "n": {
        "organization_id": victim.organization, "box_id": new_id(), "branch_id": null, "series": "JE", "year": 2026,
        "sequence": 1, "number": "X", "date": "2026-11-01", "description": "smuggled", "posted_at": 1 } },
        { "t": "users", "o": "i", "k": { "id": new_id() }, "n": { "organization_id": victim.organization,
          "email": "eve@eastgate.example", "name": "Eve", "password_hash": "x", "role_id": new_id() }, "v": 0 },
        { "t": "organizations", "o": "u", "k": { "organization_id": victim.organization }, "n": { "name": "mine now" }, "v": 99 },
        { "t": "sessions", "o": "i", "k": { "token_hash": "x" }, "n": { "user_id": new_id() } },
        { "t": "no_such_table", "o": "i", "k": { "id": 1 }, "n": {} }]);
    // Its own organisation, which is not a branch's to rename, and a version the cloud never gave.
    let renamed = json!([{ "t": "organizations", "o": "u", "k": {}, "n": { "name": "mine now" }, "v": 1 },
        { "t": "branches", "o": "u", "k": { "id": by_hand.answer.branch.id }, "n": { "name": "mine now" }, "v": 99 }]);
    for changes in [smuggled, renamed] {
        let (transaction, last) = by_hand.transaction(head, &changes.to_string())?;
        let reply = by_hand.wire.post(path::TRANSACTIONS, &Batch { epoch: 1, transactions: vec![transaction] }).await?;
        if !reply.status.is_success() {
            continue;
        }
        head = last;
        until("it is projected or held", 30, || async {
            let sequence: i64 = sqlx::query_scalar("SELECT sequence FROM projections WHERE box_id = $1")
                .bind(by_hand.answer.box_id)
                .fetch_one(&cloud)
                .await?;
            Ok((u64::try_from(sequence)? >= last.sequence).then_some(()))
        })
        .await?;
    }
    for rows in [
        "entries WHERE organization_id <> own AND description = 'smuggled'",
        "entries WHERE organization_id = victim",
        "users WHERE email LIKE 'eve@%'",
        "organizations WHERE name = 'mine now'",
        "branches WHERE name = 'mine now'",
        "sessions WHERE token_hash = 'x'",
    ] {
        let stolen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "WITH who AS (SELECT $1::uuid AS victim, $2::uuid AS own) SELECT count(*) FROM who, {rows}"
        )))
        .bind(victim.organization)
        .bind(by_hand.answer.organization.id)
        .fetch_one(&cloud)
        .await?;
        ensure!(stolen == 0, "a box wrote {stolen} rows that are not its own: {rows}");
    }
    let own: i64 = sqlx::query_scalar("SELECT count(*) FROM entries WHERE box_id = $1 AND description = 'by hand'")
        .bind(by_hand.answer.box_id)
        .fetch_one(&cloud)
        .await?;
    ensure!((6..=7).contains(&own), "{own} entries of its own");
    Ok(())
}

async fn segments(by_hand: &Stranger) -> Result<()> {
    let id = series_id("x", &Default::default());
    let definition = SeriesDefinition { id, name: "x".into(), labels: Default::default(), unit: String::new() };
    let points: Vec<Point> = (0..500_i32)
        .map(|n| Point { series: id, at: 1_795_435_200_000_000 + i64::from(n) * 1_000_000, value: f64::from(n) })
        .collect();
    let bytes = telemetry::encode(&points, &[definition], &[])?;
    let send = |number: u64, bytes: Vec<u8>| async move {
        let number = number.to_string();
        let headers = [(HEADER_EPOCH, "1"), (HEADER_SEGMENT, number.as_str())];
        by_hand.wire.send(Method::POST, path::TELEMETRY, &headers, bytes).await
    };
    for end in [0, 1, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
        clear(&send(1, bytes[..end].to_vec()).await?, "a torn segment")?;
    }
    for n in 0..40 {
        let mut flipped = bytes.clone();
        let at = n * flipped.len() / 40;
        flipped[at] ^= 0x55;
        let reply = send(2, flipped).await?;
        ensure!(reply.status.is_client_error(), "a segment changed at {at}: {}", reply.status);
    }
    let reply = send(5, bytes.clone()).await?;
    ensure!(
        reply.status == 409 && reply.code() == "gap",
        "a gap: {}: {}",
        reply.status,
        String::from_utf8_lossy(&reply.body)
    );
    for number in [1, 1, 2, 1, 2] {
        let cursor: TelemetryCursor = send(number, bytes.clone()).await?.json()?;
        ensure!(cursor.segment <= 2, "{cursor:?}");
    }
    let reply = by_hand.wire.send(Method::POST, path::TELEMETRY, &[], bytes).await?;
    clear(&reply, "a segment without headers")
}

async fn objects(by_hand: &Stranger) -> Result<()> {
    let at = |name: &str| format!("{}/{name}", path::OBJECTS);
    let right = Hash::of(b"a file").to_string();
    let reply = by_hand.wire.send(Method::PUT, &at(&right), &[], b"another file".to_vec()).await?;
    clear(&reply, "a file under another's name")?;
    for name in ["x", "..%2f..%2fetc%2fpasswd", &"0".repeat(63), &"G".repeat(64)] {
        let reply = by_hand.wire.send(Method::PUT, &at(name), &[], b"a file".to_vec()).await?;
        ensure!(reply.status.is_client_error(), "{name}: {}", reply.status);
        ensure!(by_hand.wire.get(&at(name)).await?.status.is_client_error(), "{name} is there");
    }
    for _ in 0..2 {
        let reply = by_hand.wire.send(Method::PUT, &at(&right), &[], b"a file".to_vec()).await?;
        ensure!(reply.status.is_success(), "{}", reply.status);
    }
    ensure!(by_hand.wire.get(&at(&right)).await?.body == b"a file", "the file came back changed");
    Ok(())
}

/// The line tears in the middle of requests: afterwards the chain has everything once.
async fn torn(cluster: &Cluster, by_hand: &Stranger) -> Result<()> {
    let start: Cursor = by_hand.wire.get(path::CURSOR).await?.json()?;
    let mut head = start.head();
    cluster.wire.set(Weather::Torn(3_000));
    let mut failures = 0;
    for n in 0..25 {
        let (transaction, next) = by_hand.transaction(head, &row(1_000 + n))?;
        let batch = Batch { epoch: 1, transactions: vec![transaction] };
        let mut sent = false;
        for _ in 0..200 {
            match by_hand.wire.post(path::TRANSACTIONS, &batch).await {
                Ok(reply) if reply.status.is_success() => {
                    sent = true;
                    break;
                }
                Ok(reply) => {
                    bail!("a repeated request is answered {}: {}", reply.status, String::from_utf8_lossy(&reply.body))
                }
                Err(_) => failures += 1,
            }
        }
        ensure!(sent, "200 attempts and none came through");
        head = next;
    }
    cluster.wire.set(Weather::Clear);
    ensure!(failures > 0, "nothing was torn");
    let end: Cursor = by_hand.wire.get(path::CURSOR).await?.json()?;
    ensure!(end.head() == head, "{end:?} instead of {head:?}");
    let cloud = cluster.postgres.owner().await?;
    let twice: i64 =
        sqlx::query_scalar("SELECT count(*) - count(DISTINCT (epoch, sequence)) FROM inbox WHERE box_id = $1")
            .bind(by_hand.answer.box_id)
            .fetch_one(&cloud)
            .await?;
    ensure!(twice == 0, "{twice} transactions are in the inbox twice");
    Ok(())
}

/// Every route of the box with documents that make no sense.
async fn requests(face: &Face) -> Result<()> {
    let routes = appliance::routes(face).await?;
    let nested = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let documents: [(&str, Vec<u8>); 7] = [
        ("nothing", Vec::new()),
        ("no JSON", b"{\"id\": ".to_vec()),
        ("another type", b"[null, 1e999, \"\\u0000\"]".to_vec()),
        (
            "a number out of range",
            br#"{"id":"x","date":"9999-99-99","lines":[{"amount":"1e40"}],"interval":-5}"#.to_vec(),
        ),
        ("not UTF-8", vec![0xff, 0xfe, 0x00]),
        ("deep JSON", nested.into_bytes()),
        ("a long text", format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20)).into_bytes()),
    ];
    // What ends the session is left out.
    let ends = |r: &Listed| r.path == "/api/session" || r.path == "/api/me/password";
    for route in routes.iter().filter(|r| r.method != "GET" && !ends(r)) {
        for id in ["x".to_owned(), new_id().to_string(), "%00".to_owned(), "9".repeat(300)] {
            let path = match route.path.split_once('{') {
                Some((before, rest)) => format!("{before}{id}{}", rest.split_once('}').map_or("", |(_, after)| after)),
                None => route.path.clone(),
            };
            for (what, bytes) in &documents {
                let send = || async {
                    face.send(route.method.parse()?, &path, Some(("application/json", bytes.clone()))).await
                };
                // A refusal may come before a long body has been read, and then the line is closed: for this request, or
                // for the next one that was to use it.
                let answer = match send().await {
                    Ok(answer) => answer,
                    Err(_) if bytes.len() > 64 << 10 => continue,
                    Err(_) => send().await.with_context(|| format!("{} {path} with {what}", route.method))?,
                };
                ensure!(
                    !answer.status.is_server_error(),
                    "{} {path} with {what}: {}: {}",
                    route.method,
                    answer.status,
                    answer.text()
                );
            }
            if !route.path.contains('{') {
                break;
            }
        }
    }
    for route in routes.iter().filter(|r| r.method == "GET") {
        for query in [
            "?limit=-1&after=%00&from=x&to=9999999999999999999999",
            "?limit=1e9&q=%27%22%3B--&series=x,,1",
            "?as_of=2026-02-31&key=%FF",
        ] {
            let path = route.path.replace("{id}", "%F0%28");
            let answer = face.send(Method::GET, &format!("{path}{query}"), None).await?;
            ensure!(!answer.status.is_server_error(), "{path}{query}: {}: {}", answer.status, answer.text());
        }
    }
    Ok(())
}

/// Files with every kind of bad row: each is told by its line, and nothing is posted.
async fn sheets(face: &Face) -> Result<()> {
    let before = books::balance(face).await?;
    let head = "transaction_id,date,description,account,amount,currency\n";
    let rows: [(&str, &str); 12] = [
        ("a date that is none", "B1,2026-02-30,x,Assets:Cash,1.00,EUR\nB1,2026-02-30,x,Income:Sales,-1.00,EUR"),
        ("an amount that is none", "B2,2026-01-01,x,Assets:Cash,1.0.0,EUR\nB2,2026-01-01,x,Income:Sales,-1.00,EUR"),
        ("an exponent", "B3,2026-01-01,x,Assets:Cash,1e3,EUR\nB3,2026-01-01,x,Income:Sales,-1000,EUR"),
        (
            "too many digits",
            "B4,2026-01-01,x,Assets:Cash,12345678901234567890123456789.1,EUR\nB4,2026-01-01,x,Income:Sales,-12345678901234567890123456789.1,EUR",
        ),
        ("an unknown account", "B5,2026-01-01,x,Assets:Nowhere,1.00,EUR\nB5,2026-01-01,x,Income:Sales,-1.00,EUR"),
        ("no balance", "B6,2026-01-01,x,Assets:Cash,1.00,EUR\nB6,2026-01-01,x,Income:Sales,-1.01,EUR"),
        ("one row only", "B7,2026-01-01,x,Assets:Cash,1.00,EUR"),
        ("two dates", "B8,2026-01-01,x,Assets:Cash,1.00,EUR\nB8,2026-01-02,x,Income:Sales,-1.00,EUR"),
        ("too few columns", "B9,2026-01-01,x,Assets:Cash\nB9,2026-01-01,x,Income:Sales,-1.00,EUR"),
        ("no currency", "B10,2026-01-01,x,Assets:Cash,1.00,\nB10,2026-01-01,x,Income:Sales,-1.00,"),
        (
            "a long currency",
            "B11,2026-01-01,x,Assets:Cash,1.00,ABCDEFGHIJKLMNOPQRSTUVWXYZ\nB11,2026-01-01,x,Income:Sales,-1.00,ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        ),
        ("no transaction", ",2026-01-01,x,Assets:Cash,1.00,EUR\n,2026-01-01,x,Income:Sales,-1.00,EUR"),
    ];
    let send =
        |csv: Vec<u8>| async move { face.send(Method::POST, "/api/capital/import", Some(("text/csv", csv))).await };
    for (what, text) in rows {
        let answer = send(format!("{head}{text}\n").into_bytes()).await?;
        let report: ImportReport = answer.json().with_context(|| what.to_owned())?;
        ensure!(!report.errors.is_empty() && report.posted == 0, "{what}: {report:?}");
        ensure!(report.errors.iter().all(|e| e.line >= 1 && !e.message.is_empty()), "{what}: {report:?}");
    }
    // All of them in one file among good rows: every one is listed, none is posted.
    let all: Vec<&str> = rows.iter().map(|(_, text)| *text).collect();
    let mixed = format!("{}{}\n", books::sheet(1, 3), all.join("\n"));
    let report: ImportReport = send(mixed.into_bytes()).await?.json()?;
    ensure!(report.errors.len() >= rows.len() && report.posted == 0, "{report:?}");
    let noise: [Vec<u8>; 4] = [Vec::new(), b"\xff\xfe\x00x".to_vec(), b"a,b,c\n1,2,3\n".to_vec(), vec![b'"'; 2 << 20]];
    for csv in noise {
        let answer = send(csv).await?;
        let told = answer.status.is_client_error() || answer.json::<ImportReport>().is_ok_and(|r| !r.errors.is_empty());
        ensure!(told, "noise is taken: {}: {}", answer.status, answer.text());
    }
    // Longer than a file may be: refused, whether while it is read or at its end.
    match send(vec![b'x'; 80 << 20]).await {
        Err(_) => {}
        Ok(answer) => ensure!(
            answer.status == 413
                || answer.status.is_client_error()
                || answer.json::<ImportReport>().is_ok_and(|r| !r.errors.is_empty()),
            "80 MiB are taken: {}",
            answer.status
        ),
    }
    let after: Vec<Value> = face.get("/api/capital/trial-balance").await?;
    ensure!(after.len() == before.len() && books::balance(face).await? == before, "a bad file changed the books");
    Ok(())
}
