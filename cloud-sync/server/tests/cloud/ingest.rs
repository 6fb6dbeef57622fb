//! What the wire takes and what it refuses.

use reqwest::{Method, StatusCode};
use sent_protocol::{Batch, Cursor, EpochAnswer, EpochStart, Hash, Refusal, body, limits, path};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, entry, send_raw, wire_client};

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_entry_is_on_the_fleet_page() {
    let world = World::new(true).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let id = Uuid::from_u128(1);
    made.write("capital.entry.post", &entry(id, 1, 12_345)).await;
    let page = crate::support::until("the entry is projected", || async {
        let page: Value = world.page.get("/api/fleet/entries").await;
        (!page["items"].as_array()?.is_empty()).then_some(page)
    })
    .await;
    let row = &page["items"][0];
    assert_eq!(row["id"], json!(id));
    assert_eq!(row["number"], "JE-2026-0001");
    assert_eq!(row["date"], "2026-03-01");
    assert_eq!(row["box_ref"]["name"], "till");
    assert_eq!(row["organization"]["name"], "Northwind");
    assert_eq!(row["debits"], json!([["EUR", "123.45"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_arrives_once_whatever_is_repeated() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let all: Vec<_> =
        (1..=5).map(|n| made.seal("capital.entry.post", &entry(Uuid::from_u128(n), n as u64, 100))).collect();
    // The answer to the first batch is lost: the box sends it again, alone, with more, and in part.
    assert_eq!(made.send(all[..2].to_vec()).await.status, StatusCode::OK);
    assert_eq!(made.send(all[..2].to_vec()).await.json::<Cursor>().sequence, 2);
    assert_eq!(made.send(all[1..4].to_vec()).await.json::<Cursor>().sequence, 4);
    assert_eq!(made.send(all[..1].to_vec()).await.json::<Cursor>().sequence, 4);
    let cursor: Cursor = made.send(all.clone()).await.json();
    assert_eq!((cursor.sequence, cursor.hash), (5, made.head.hash));
    assert_eq!(made.get(path::CURSOR).await.json::<Cursor>(), cursor);
    assert_eq!(world.postgres.count("SELECT count(*) FROM inbox").await, 5);
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM entries").await, 5);
    assert_eq!(world.postgres.count("SELECT count(*) FROM lines").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_forks_and_other_epochs_are_refused_with_the_cursor() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let first = made.seal("a", &json!([]));
    let after_first = made.head;
    let second = made.seal("a", &json!([]));
    let third = made.seal("a", &json!([]));
    let expect = |answer: crate::support::Answered, code: &str, sequence: u64| {
        assert_eq!(answer.status, StatusCode::CONFLICT);
        let refusal: Refusal = answer.json();
        assert_eq!((refusal.code.as_str(), refusal.cursor.sequence), (code, sequence));
    };
    // A gap at the beginning, and one within.
    expect(made.send(vec![second.clone()]).await, "gap", 0);
    expect(made.send(vec![first.clone(), third.clone()]).await, "gap", 0);
    assert_eq!(world.postgres.count("SELECT count(*) FROM inbox").await, 0, "a refused batch leaves nothing");
    assert_eq!(made.send(vec![first.clone(), second.clone()]).await.status, StatusCode::OK);
    // Another history from the first on: as what is known, and as what comes next.
    let mut fork = made.at(&world.replica);
    fork.head = after_first;
    let other_second = fork.seal("another", &json!([]));
    let other_third = fork.seal("another", &json!([]));
    expect(made.send(vec![other_second.clone()]).await, "fork", 2);
    expect(made.send(vec![other_second, other_third.clone()]).await, "fork", 2);
    expect(made.send(vec![other_third]).await, "fork", 2);
    // Another content under the same hash.
    let mut forged = third.clone();
    forged.actor = "somebody else".into();
    expect(made.send(vec![forged]).await, "fork", 2);
    // Epochs nobody told of, and ones that are over.
    let batch = |epoch| Batch { epoch, transactions: vec![third.clone()] };
    expect(made.post(path::TRANSACTIONS, &batch(2)).await, "unknown_epoch", 2);
    made.begin_epoch(2).await;
    expect(made.post(path::TRANSACTIONS, &batch(1)).await, "old_epoch", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_box_gets_back_what_it_lost() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let sealed: Vec<_> =
        (1..=1_203).map(|n| made.seal("capital.entry.post", &entry(Uuid::from_u128(n), n as u64, 100))).collect();
    assert_eq!(made.send(sealed.clone()).await.status, StatusCode::OK);
    // Restored to the third transaction.
    let mut start = EpochStart {
        epoch: 2,
        previous_epoch: 1,
        previous_sequence: 3,
        hash: sealed[2].hash,
        token: Uuid::from_u128(77),
        after: None,
    };
    let mut lost = Vec::new();
    loop {
        let answer = made.post(path::EPOCH, &start).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.code());
        let answer: EpochAnswer = answer.json();
        assert_eq!(answer.cursor.epoch, 2);
        assert!(answer.lost.len() <= limits::LOST_TRANSACTIONS);
        lost.extend(answer.lost);
        match answer.next {
            Some(next) => start.after = Some(next),
            None => break,
        }
    }
    assert_eq!(lost, sealed[3..], "exactly what lay beyond, byte for byte");
    // A second restore that chose the same epoch is another one.
    let other = EpochStart { token: Uuid::from_u128(78), after: None, ..start };
    let answer = made.post(path::EPOCH, &other).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "old_epoch"));
    // A history that is not ours is refused before anything changes.
    let foreign = EpochStart { epoch: 3, hash: Hash::of(b"another"), ..other };
    let answer = made.post(path::EPOCH, &foreign).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "fork"));
    // A point the cloud knows nothing of is no point to go on from.
    let nowhere = EpochStart { epoch: 3, previous_sequence: 5_000, ..other };
    let answer = made.post(path::EPOCH, &nowhere).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "gap"));
    // What was given back goes up again under the new epoch and counts once.
    made.head = sent_protocol::Head::start(2);
    for transaction in &mut lost {
        made.head = transaction.reseal(made.id, made.head);
    }
    assert_eq!(made.send(lost).await.status, StatusCode::OK);
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM entries").await, 1_203);
    assert_eq!(world.postgres.count("SELECT count(*) FROM lines").await, 2_406);
    let detail: Value = world.page.get(&format!("/api/fleet/boxes/{}", made.id)).await;
    assert_eq!(detail["epochs"][0]["given_back"], 1_200);
    assert_eq!(detail["row"]["behind"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_restored_twice_gets_each_transaction_once() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let first: Vec<_> = (0..5).map(|_| made.seal("a", &json!([]))).collect();
    assert_eq!(made.send(first.clone()).await.status, StatusCode::OK);
    let restored = |epoch, token| EpochStart {
        epoch,
        previous_epoch: 1,
        previous_sequence: 3,
        hash: first[2].hash,
        token: Uuid::from_u128(token),
        after: None,
    };
    let answer: EpochAnswer = made.post(path::EPOCH, &restored(2, 1)).await.json();
    assert_eq!(answer.lost, first[3..]);
    made.head = sent_protocol::Head::start(2);
    let mut second = answer.lost;
    for transaction in &mut second {
        made.head = transaction.reseal(made.id, made.head);
    }
    second.push(made.seal("b", &json!([])));
    assert_eq!(made.send(second.clone()).await.status, StatusCode::OK);
    // Out of the same backup once more: epoch 2 is no part of that past, and its copies are what epoch 1 has already.
    let answer: EpochAnswer = made.post(path::EPOCH, &restored(3, 2)).await.json();
    assert_eq!(answer.lost, [first[3].clone(), first[4].clone(), second[2].clone()]);
    let detail: Value = world.page.get(&format!("/api/fleet/boxes/{}", made.id)).await;
    assert_eq!(detail["epochs"][0]["given_back"], 3);
    // To the end of epoch 2: it holds all but what epoch 2 itself never had.
    let end = EpochStart { epoch: 4, previous_epoch: 2, previous_sequence: 3, hash: made.head.hash, ..restored(4, 3) };
    let answer: EpochAnswer = made.post(path::EPOCH, &end).await.json();
    assert_eq!(answer.lost, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_older_than_the_inbox_is_told_so() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let sealed: Vec<_> = (0..10).map(|_| made.seal("a", &json!([]))).collect();
    assert_eq!(made.send(sealed.clone()).await.status, StatusCode::OK);
    world.replica.project().await;
    let mut owner = world.postgres.owner().await;
    sqlx::query("UPDATE inbox SET received_at = received_at - 9000000000000 WHERE sequence <= 6")
        .execute(&mut owner)
        .await
        .unwrap();
    let cloud = &world.replica.cloud;
    assert_eq!(sent_cloud::projector::prune(&cloud.db, 90, cloud.clock.now()).await.unwrap(), 6);
    let restored = |sequence: u64| EpochStart {
        epoch: 2,
        previous_epoch: 1,
        previous_sequence: sequence,
        hash: sealed[sequence as usize - 1].hash,
        token: Uuid::from_u128(u128::from(sequence)),
        after: None,
    };
    let answer = made.post(path::EPOCH, &restored(4)).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "too_old"));
    let refusal: Refusal = answer.json();
    assert!(refusal.message.contains("90 days"), "{}", refusal.message);
    assert_eq!(made.get(path::CURSOR).await.json::<Cursor>().epoch, 1, "nothing has changed");
    let answer: EpochAnswer = made.post(path::EPOCH, &restored(7)).await.json();
    assert_eq!(answer.lost, sealed[7..]);
    // What is being given back is not pruned under the box's hands.
    assert_eq!(sent_cloud::projector::prune(&cloud.db, 0, cloud.clock.now().plus_seconds(1)).await.unwrap(), 1);
    let again: EpochAnswer = made.post(path::EPOCH, &restored(7)).await.json();
    assert_eq!(again.lost, sealed[7..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_get_clear_errors_and_leave_nothing() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let transaction = made.seal("a", &json!([]));
    let whole = body::encode(&Batch { epoch: 1, transactions: vec![transaction.clone()] }).unwrap();
    let post = |bytes: Vec<u8>| send_raw(&made.client, Method::POST, made.url(path::TRANSACTIONS), bytes);
    for (what, bytes, status, code) in [
        ("empty", vec![], StatusCode::BAD_REQUEST, "malformed"),
        ("not zstd", b"{}".to_vec(), StatusCode::BAD_REQUEST, "malformed"),
        ("torn", whole[..whole.len() / 2].to_vec(), StatusCode::BAD_REQUEST, "malformed"),
        ("not JSON", body::compress(b"[").unwrap(), StatusCode::BAD_REQUEST, "malformed"),
        ("bomb", body::compress(&vec![b' '; 200 << 20]).unwrap(), StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        ("oversized", vec![0; limits::BODY_COMPRESSED + 1], StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
    ] {
        let answer = post(bytes).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}");
    }
    let mut foreign = transaction.clone();
    foreign.organization_id = Uuid::from_u128(5);
    let answer = made.send(vec![foreign]).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "wrong_organization"));
    // A NUL that came through JSON must not jam the queue.
    made.head = sent_protocol::Head::start(1);
    let nul = made.seal("a\u{0}b", &json!([{ "t": "checks", "o": "i", "k": { "id": "\u{0}" }, "n": {} }]));
    assert_eq!(made.send(vec![nul]).await.status, StatusCode::OK);
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM quarantine").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_known_box_with_its_certificate_may_speak() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let made = world.enrolled(&customer, "till").await;
    let root = world.replica.cloud.authority.root_pem();
    // No certificate.
    let stranger = wire_client(root, None);
    let answer = send_raw(&stranger, Method::GET, made.url(path::CURSOR), vec![]).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
    // One of another root does not get through the handshake.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, made.id.to_string());
    let own = params.self_signed(&key).unwrap();
    let impostor = wire_client(root, Some((&own.pem(), &key.serialize_pem())));
    assert!(impostor.get(made.url(path::CURSOR)).send().await.is_err());
    // A renewed certificate works.
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let renewed = made.post(path::CERTIFICATE, &json!({ "csr_pem": request })).await;
    let renewed: sent_protocol::CertificateResponse = renewed.json();
    let client = wire_client(root, Some((&renewed.certificate_pem, &key.serialize_pem())));
    assert_eq!(send_raw(&client, Method::GET, made.url(path::CURSOR), vec![]).await.status, StatusCode::OK);
    // A revoked box is refused at its next request, whichever certificate it shows.
    world.page.post::<Value>(&format!("/api/fleet/boxes/{}/revoke", made.id), &json!({})).await;
    for client in [&made.client, &client] {
        let answer = send_raw(client, Method::GET, made.url(path::CURSOR), vec![]).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "box_revoked"));
    }
}
