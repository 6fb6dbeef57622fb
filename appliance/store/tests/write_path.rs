//! The one write path, as an engine meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rusqlite::Connection;
use sent_core::table::{SyncClass, Table};
use sent_protocol::{Change, Head, Op};
use sent_store::{
    Store, StoreError, Tx, backup, restore,
    test::{second_organization, store, store_with_clock},
};

/// A table of the store itself serves as the engine's: `branches` is of class down and has no secrets.
fn add_branch(store: &Store, scope: &sent_core::Scope, id: u128, name: &'static str) -> Result<(), StoreError> {
    store.write_blocking(scope, "branch.create", move |tx| {
        tx.execute("INSERT INTO branches (id, name) VALUES (?1, ?2)", (uuid::Uuid::from_u128(id).to_string(), name))?;
        Ok(())
    })
}

fn names(store: &Store, scope: &sent_core::Scope) -> Vec<String> {
    store
        .read_blocking(scope, |db| -> Result<_, StoreError> {
            let mut statement = db.prepare("SELECT name FROM branches ORDER BY name")?;
            Ok(statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
        })
        .expect("reads")
}

#[test]
fn a_write_leaves_rows_an_audit_entry_and_a_sealed_transaction() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    let before = store.identity().expect("a box");
    add_branch(&store, &scope, 1, "Quay 9").expect("writes");
    let after = store.identity().expect("a box");
    assert_eq!(after.audit_sequence, before.audit_sequence + 1);
    assert_eq!(after.sequence, before.sequence + 1);
    let sent = store.outbox_blocking(before.sequence, 1 << 20).expect("reads");
    assert_eq!(sent.len(), 1);
    let head = Head { epoch: 1, sequence: before.sequence, hash: before.hash.parse().expect("a hash") };
    assert_eq!(sent[0].follow(after.box_id, head).map(|h| h.hash.to_string()), Ok(after.hash));
    let changes: Vec<Change> = sent_protocol::change::parse(&sent[0].changes).expect("changes");
    assert_eq!((changes[0].table.as_str(), changes[0].op), ("branches", Op::Insert));
    assert_eq!(changes[0].new["name"], "Quay 9");
    assert_eq!(changes[0].new["timezone"], "UTC", "a default is a value like any other");
    assert_eq!(changes[0].base_version, Some(0));
}

#[test]
fn an_update_says_only_what_changed_and_nothing_changed_leaves_no_trace() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    add_branch(&store, &scope, 1, "Quay 9").expect("writes");
    let before = store.identity().expect("a box");
    for _ in 0..2 {
        store
            .write_blocking(&scope, "branch.rename", |tx| -> Result<(), StoreError> {
                tx.execute("UPDATE branches SET name = 'Quay 10' WHERE name IN ('Quay 9', 'Quay 10')", [])?;
                Ok(())
            })
            .expect("writes");
    }
    let sent = store.outbox_blocking(before.sequence, 1 << 20).expect("reads");
    assert_eq!(sent.len(), 1, "the second update changed nothing");
    let change = &sent_protocol::change::parse(&sent[0].changes).expect("changes")[0];
    assert_eq!(serde_json::to_string(&change.new).expect("json"), r#"{"name":"Quay 10"}"#);
    assert_eq!(serde_json::to_string(&change.old).expect("json"), r#"{"name":"Quay 9"}"#);
}

#[test]
fn working_state_is_kept_and_not_recorded() {
    let states = Table::new("check_states", &["check_id"], SyncClass::State);
    let (_folder, store, scope) = store(&[states]).expect("opens");
    let mut changes = store.changes();
    let before = store.identity().expect("a box");
    let put = |scope: &sent_core::Scope, level: &'static str| {
        store.write_blocking(scope, "pulse.check.state", move |tx| -> Result<(), StoreError> {
            tx.execute("DELETE FROM check_states", [])?;
            tx.execute("INSERT INTO check_states (check_id, level, cause, since) VALUES ('a', ?1, '', 0)", [level])?;
            Ok(())
        })
    };
    put(&scope, "ok").expect("writes");
    put(&scope, "bad").expect("writes");
    assert_eq!(store.identity().expect("a box"), before, "neither audit nor outbox grew");
    assert!(changes.try_recv().is_err(), "nobody is told");
    let level: String = store
        .read_blocking(&scope, |c| {
            Ok::<_, StoreError>(c.query_row("SELECT level FROM check_states", [], |r| r.get(0))?)
        })
        .expect("reads");
    assert_eq!(level, "bad");
    let elsewhere = second_organization(&store).expect("another");
    let seen: i64 = store
        .read_blocking(&elsewhere, |c| {
            Ok::<_, StoreError>(c.query_row("SELECT count(*) FROM check_states", [], |r| r.get(0))?)
        })
        .expect("reads");
    assert_eq!(seen, 0, "tenancy holds for it as for any table");

    // Beside rows that are recorded, only those are.
    let before = store.identity().expect("a box");
    store
        .write_blocking(&scope, "branch.create", |tx| -> Result<(), StoreError> {
            tx.execute("INSERT INTO branches (id, name) VALUES ('b', 'Quay 9')", [])?;
            tx.execute("UPDATE check_states SET level = 'warn'", [])?;
            Ok(())
        })
        .expect("writes");
    let sent = store.outbox_blocking(before.sequence, 1 << 20).expect("reads");
    assert_eq!(sent_protocol::change::parse(&sent[0].changes).expect("changes").len(), 1);

    // What a person does leaves an entry, whatever it touches.
    let before = store.identity().expect("a box");
    let actor = sent_core::Actor::User { id: uuid::Uuid::from_u128(7), name: "Ada".to_owned() };
    put(&sent_core::Scope { actor, ..scope.clone() }, "ok").expect("writes");
    let after = store.identity().expect("a box");
    assert_eq!(after.audit_sequence, before.audit_sequence + 1);
    assert_eq!(after.sequence, before.sequence, "and nothing travels");
    assert_eq!(store.verify_audit_blocking().expect("walks").broken, None);
}

#[test]
fn a_failed_write_leaves_nothing() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    let before = store.identity().expect("a box");
    let result = store.write_blocking(&scope, "branch.create", |tx| -> Result<(), StoreError> {
        tx.execute("INSERT INTO branches (id, name) VALUES ('a', 'one')", [])?;
        Err(StoreError::Refused("no".into()))
    });
    assert!(matches!(result, Err(StoreError::Refused(_))));
    assert_eq!(store.identity().expect("a box"), before);
    assert_eq!(names(&store, &scope), ["Harbour Street"]);
}

#[tokio::test]
async fn a_write_that_panics_is_undone_and_the_next_one_works() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    let before = store.identity().expect("a box");
    let broken = |tx: &Tx<'_>| -> Result<(), StoreError> {
        tx.execute("INSERT INTO branches (id, name) VALUES ('a', 'half')", [])?;
        panic!("a fault in an engine");
    };
    assert!(matches!(store.write_blocking(&scope, "branch.create", broken), Err(StoreError::Broken)));
    assert!(matches!(store.write(&scope, "branch.create", broken).await, Err(StoreError::Broken)));
    store.alive().await.expect("answers");
    assert_eq!(store.identity().expect("a box"), before);
    add_branch(&store, &scope, 1, "Quay 9").expect("writes");
    assert_eq!(names(&store, &scope), ["Harbour Street", "Quay 9"]);
    assert_eq!(store.identity().expect("a box").audit_sequence, before.audit_sequence + 1);
}

/// SQLite rolls back by itself on a full disk. A closure can do the same, which stands for it here.
#[test]
fn a_write_that_was_undone_under_its_closure_leaves_nothing() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    let before = store.identity().expect("a box");
    let insert = "INSERT INTO branches (id, name) VALUES (?1, 'x')";
    let overlooked = store.write_blocking(&scope, "branch.create", move |tx| -> Result<bool, StoreError> {
        tx.execute(insert, ["a"])?;
        tx.execute_batch("ROLLBACK")?;
        Ok(tx.execute(insert, ["b"]).is_ok())
    });
    assert!(matches!(overlooked, Err(StoreError::Undone)), "{overlooked:?}");
    let nested = store.write_blocking(&scope, "branch.create", move |tx| -> Result<bool, StoreError> {
        let undone = tx.savepoint(|tx| -> Result<(), StoreError> {
            tx.execute_batch("ROLLBACK")?;
            Err(StoreError::Refused("no".into()))
        });
        assert!(matches!(undone, Err(StoreError::Undone)), "{undone:?}");
        Ok(tx.execute(insert, ["c"]).is_ok())
    });
    assert!(matches!(nested, Err(StoreError::Undone)), "{nested:?}");
    let early = store.write_blocking(&scope, "branch.create", move |tx| -> Result<(), StoreError> {
        tx.execute(insert, ["d"])?;
        let _ = tx.execute_batch("COMMIT");
        Ok(())
    });
    assert!(matches!(early, Err(StoreError::Undone)), "{early:?}");
    assert_eq!(names(&store, &scope), ["Harbour Street"], "no statement was committed by itself");
    assert_eq!(store.identity().expect("a box"), before);
    add_branch(&store, &scope, 1, "Quay 9").expect("writes");
}

#[test]
fn what_is_recorded_is_what_was_written_even_after_failed_statements() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    add_branch(&store, &scope, 1, "Quay 9").expect("writes");
    let two = "INSERT INTO branches (id, name) SELECT value, 'x' FROM json_each('[\"b\",\"00000000-0000-0000-0000-000000000001\"]')";
    let before = store.identity().expect("a box");
    store
        .write_blocking(&scope, "branch.create", move |tx| -> Result<(), StoreError> {
            let nested = tx.savepoint(|tx| -> Result<(), StoreError> {
                tx.execute("INSERT INTO branches (id, name) VALUES ('c', 'gone')", [])?;
                tx.execute(two, [])?;
                Ok(())
            });
            assert!(nested.is_err());
            assert!(tx.execute(two, []).is_err(), "half of this statement happened before it failed");
            tx.execute("INSERT INTO branches (id, name) VALUES ('d', 'kept')", [])?;
            Ok(())
        })
        .expect("writes");
    assert_eq!(names(&store, &scope), ["Harbour Street", "Quay 9", "kept"]);
    let sent = store.outbox_blocking(before.sequence, 1 << 20).expect("reads");
    assert_eq!(sent_protocol::change::parse(&sent[0].changes).expect("changes").len(), 1);
}

#[test]
fn tenancy_holds_below_the_query() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    let other = second_organization(&store).expect("a second organisation");
    add_branch(&store, &other, 9, "Theirs").expect("writes");
    assert_eq!(names(&store, &scope), ["Harbour Street"]);
    for sql in [
        "SELECT * FROM branches_rows",
        "SELECT * FROM sys_box",
        "SELECT * FROM sys_sessions",
        "DELETE FROM branches_rows",
        "UPDATE audit_rows SET actor = 'nobody'",
        "DELETE FROM audit",
        "DROP VIEW branches",
        "CREATE TEMP VIEW mine AS SELECT * FROM branches_rows",
        "ATTACH 'other.sqlite' AS other",
        "PRAGMA foreign_keys = OFF",
        "SELECT * FROM branches JOIN branches_rows USING (id)",
        "WITH x AS (SELECT * FROM branches_rows) SELECT * FROM x",
    ] {
        let result = store.write_blocking(&scope, "attack", move |tx| -> Result<(), StoreError> {
            let mut statement = tx.prepare(sql)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        });
        assert!(result.is_err(), "{sql} was allowed");
    }
    store
        .write_blocking(&scope, "branch.delete", |tx| -> Result<(), StoreError> {
            tx.execute("DELETE FROM branches", [])?;
            tx.execute(
                "INSERT INTO branches (organization_id, id, name) VALUES (?1, 'z', 'smuggled')",
                [uuid::Uuid::from_u128(0x2a).to_string()],
            )?;
            Ok(())
        })
        .expect("writes");
    assert_eq!(names(&store, &other), ["Harbour Street", "Theirs"]);
    assert_eq!(names(&store, &scope), ["smuggled"]);
}

#[test]
fn secrets_stay_out_of_the_audit_but_travel() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    let before = store.identity().expect("a box");
    store
        .write_blocking(&scope, "user.create", |tx| -> Result<(), StoreError> {
            tx.execute(
                "INSERT INTO users (id, email, name, password_hash, role_id) VALUES ('u', 'a@b.c', 'A', 'HASH', 'r')",
                [],
            )?;
            tx.execute("INSERT INTO factors (user_id, secret) VALUES ('u', 'TOTP')", [])?;
            Ok(())
        })
        .expect("writes");
    let sent = store.outbox_blocking(before.sequence, 1 << 20).expect("reads");
    assert!(sent[0].changes.get().contains("HASH"));
    assert!(!sent[0].changes.get().contains("TOTP"), "a local table does not travel");
    let audit = store
        .read_blocking(&scope, |db| -> Result<String, StoreError> {
            Ok(db.query_row("SELECT changes FROM audit ORDER BY sequence DESC LIMIT 1", [], |r| r.get(0))?)
        })
        .expect("reads");
    assert!(!audit.contains("HASH") && !audit.contains("TOTP") && audit.contains("factors"));
}

#[test]
fn the_audit_chain_names_the_first_broken_link() {
    let (folder, store, scope) = store(&[]).expect("opens");
    for i in 0..20 {
        add_branch(&store, &scope, 100 + i, "branch").expect("writes");
    }
    let intact = store.verify_audit_blocking().expect("verifies");
    assert_eq!((intact.entries, intact.broken), (21, None));
    let raw = Connection::open(folder.path().join("business.sqlite")).expect("opens");
    raw.execute_batch("DROP TRIGGER audit_rows_keep; UPDATE audit_rows SET action = 'x' WHERE sequence = 7")
        .expect("tampers");
    assert_eq!(store.verify_audit_blocking().expect("verifies").broken.map(|b| b.sequence), Some(7));
    raw.execute_batch(
        "DROP TRIGGER audit_rows_stay; DELETE FROM sys_outbox; DELETE FROM audit_rows WHERE sequence = 5",
    )
    .expect("tampers");
    assert_eq!(store.verify_audit_blocking().expect("verifies").broken.map(|b| b.sequence), Some(5));
    raw.execute_batch("DELETE FROM audit_rows").expect("tampers");
    assert_eq!(store.verify_audit_blocking().expect("verifies").broken.map(|b| b.sequence), Some(1));
}

#[test]
fn a_restored_backup_begins_a_new_epoch_and_keeps_what_waited() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    add_branch(&store, &scope, 1, "Quay 9").expect("writes");
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("box.backup");
    let uploads = store.data().join("objects/.staging");
    std::fs::create_dir_all(&uploads).expect("a folder");
    std::fs::copy(store.data().join("business.sqlite"), uploads.join("half")).expect("copies");
    std::fs::copy(store.data().join("business.sqlite"), store.data().join("objects/whole")).expect("copies");
    let report = backup(&store, &file).expect("backs up");
    assert_eq!(report.sequence, 2);
    add_branch(&store, &scope, 2, "lost").expect("writes");

    let data = place.path().join("restored");
    let restored = restore(&file, &data).expect("restores");
    assert_eq!(restored.epoch, 2);
    assert!(data.join("objects/whole").exists() && !data.join("objects/.staging").exists());
    let again = Store::open(sent_store::Config {
        data: data.clone(),
        tables: vec![],
        clock: store.clock().clone(),
        readers: 1,
    })
    .expect("opens");
    let identity = again.identity().expect("a box");
    // The cloud was never told of epoch 1, so the new one begins where that one began.
    assert_eq!((identity.epoch, identity.sequence, identity.previous_epoch, identity.previous_sequence), (2, 2, 0, 0));
    let waiting = again.outbox_blocking(0, 1 << 20).expect("reads");
    assert_eq!(waiting.len(), 2);
    let old = store.outbox_blocking(0, 1 << 20).expect("reads");
    assert_eq!(waiting[1].identity(), old[1].hash, "it remembers which transaction it was");
    let head = waiting.iter().try_fold(Head::start(2), |head, t| t.follow(identity.box_id, head)).expect("a chain");
    assert_eq!(head.hash.to_string(), identity.hash);
    assert_eq!(names(&again, &scope), ["Harbour Street", "Quay 9"]);
    assert!(matches!(restore(&file, &data), Err(StoreError::Initialised)));
    let torn = place.path().join("torn");
    #[expect(clippy::disallowed_methods, reason = "it is meant to be torn")]
    std::fs::write(&torn, &std::fs::read(&file).expect("reads")[..200]).expect("writes");
    assert!(matches!(restore(&torn, &place.path().join("x")), Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn what_waits_is_chained_anew_in_order_however_much_it_is() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    // Several times what is held in memory at once.
    let name = "n".repeat(3_000);
    for n in 0..300_u128 {
        let name = name.clone();
        store
            .write_blocking(&scope, "branch.create", move |tx| -> Result<(), StoreError> {
                tx.execute("INSERT INTO branches (id, name) VALUES (?1, ?2)", (format!("{n:03}"), name))?;
                Ok(())
            })
            .expect("writes");
    }
    let all = |store: &Store| store.outbox_blocking(0, 1 << 30).expect("reads");
    let chained = |store: &Store, epoch: u64| {
        let row = store.identity().expect("a box");
        let head =
            all(store).iter().try_fold(Head::start(epoch), |head, t| t.follow(row.box_id, head)).expect("a chain");
        assert_eq!((head.sequence, head.hash.to_string()), (row.sequence, row.hash));
        assert_eq!(head.sequence, 301);
    };
    store.adopt(uuid::Uuid::from_u128(0xc0), "other".into()).await.expect("adopts");
    chained(&store, 1);
    let first: Vec<_> = all(&store).iter().map(|t| t.hash).collect();
    store.begin_epoch(2).await.expect("begins");
    chained(&store, 2);
    assert_eq!(all(&store).iter().map(sent_protocol::Transaction::identity).collect::<Vec<_>>(), first);
    let waiting = store.waiting_blocking().expect("counts");
    assert_eq!((waiting.transactions, waiting.oldest), (301, store.oldest_waiting_blocking().expect("reads")));
}

#[tokio::test]
async fn a_restore_that_was_cut_off_begins_anew_and_ends_the_sessions_of_then() {
    let (folder, store, scope) = store(&[]).expect("opens");
    let field = sent_core::cipher::Field { table: "factors", row: "u", column: "secret" };
    let sealed = store.encipher(scope.organization, &field, b"a secret").expect("seals");
    let session = "INSERT INTO sys_sessions (digest, organization_id, user_id, stage, created_at, seen_at) VALUES ('d', 'o', 'u', 'open', 0, 0)";
    Connection::open(folder.path().join("business.sqlite")).and_then(|db| db.execute(session, [])).expect("writes");
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("box.backup");
    backup(&store, &file).expect("backs up");

    // Cut off after some parts were unpacked, and a verb was tried on what is there.
    let data = place.path().join("restored");
    let made = data.join(".restoring");
    std::fs::create_dir_all(&made).expect("a folder");
    std::fs::copy(folder.path().join("business.sqlite"), made.join("business.sqlite")).expect("copies");
    let config = || sent_store::Config { data: data.clone(), tables: vec![], clock: store.clock().clone(), readers: 1 };
    let empty = Store::open(config()).expect("opens");
    assert!(matches!(empty.identity(), Err(StoreError::NotInitialised)), "half a restore is no box");
    drop(empty);

    assert_eq!(restore(&file, &data).expect("restores").epoch, 2);
    assert!(!made.exists());
    let again = Store::open(config()).expect("opens");
    assert_eq!(again.identity().expect("a box").epoch, 2);
    let opened = again.decipher(scope.organization, &field, &sealed).expect("the keys came along");
    assert_eq!(&*opened, b"a secret");
    let sessions: i64 = Connection::open(data.join("business.sqlite"))
        .and_then(|db| db.query_row("SELECT count(*) FROM sys_sessions", [], |r| r.get(0)))
        .expect("reads");
    assert_eq!(sessions, 0);
    assert!(matches!(restore(&file, &data), Err(StoreError::Initialised)));
}

#[tokio::test]
async fn a_lost_transaction_comes_back_once_and_one_that_does_not_fit_is_kept_aside() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("box.backup");
    backup(&store, &file).expect("backs up");
    let before = store.identity().expect("a box");
    add_branch(&store, &scope, 2, "lost").expect("writes");
    store
        .write_blocking(&scope, "branch.rename", |tx| -> Result<(), StoreError> {
            tx.execute("UPDATE branches SET name = 'renamed' WHERE name = 'lost'", [])?;
            Ok(())
        })
        .expect("writes");
    let lost = store.outbox_blocking(before.sequence, 1 << 20).expect("reads");

    let data = place.path().join("restored");
    restore(&file, &data).expect("restores");
    let again = Store::open(sent_store::Config {
        data: data.clone(),
        tables: vec![],
        clock: store.clock().clone(),
        readers: 1,
    })
    .expect("opens");
    let only_second = again.apply_given_back(vec![lost[1].clone()]).await.expect("applies");
    assert_eq!((only_second.applied, only_second.quarantined), (0, 1));
    for _ in 0..2 {
        again.apply_given_back(vec![lost[0].clone()]).await.expect("applies");
    }
    assert_eq!(names(&again, &scope), ["Harbour Street", "lost"]);
    let waiting = again.outbox_blocking(0, 1 << 20).expect("reads");
    assert_eq!(waiting.iter().filter(|t| t.identity() == lost[0].hash).count(), 1);
    assert_eq!(again.quarantined().await.expect("reads"), 1);

    // What another box sealed, or somebody changed on its way.
    let mut forged = lost[0].clone();
    forged.action = "branch.forge".to_owned();
    forged.hash = forged.compute_hash(uuid::Uuid::from_u128(0xbad), 1);
    let forged = again.apply_given_back(vec![forged]).await.expect("answers");
    assert_eq!((forged.applied, forged.quarantined), (0, 1));
    let kept: Vec<(i64, String)> = Connection::open(data.join("business.sqlite"))
        .and_then(|db| {
            let mut statement = db.prepare("SELECT epoch, error FROM sys_quarantine ORDER BY epoch")?;
            statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
        })
        .expect("reads");
    assert_eq!(kept.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [0, 1], "{kept:?}");
    assert!(kept[0].1.contains("no epoch of this box"), "{kept:?}");

    // Somebody decides.
    let listed = again.quarantine(&scope).await.expect("lists");
    let told: Vec<_> = listed.iter().map(|q| (q.epoch, q.action.as_str())).collect();
    assert_eq!(told, [(0, "branch.forge"), (1, "branch.rename")]);
    let other = second_organization(&again).expect("another");
    assert!(again.quarantine(&other).await.expect("lists").is_empty(), "whose it is none of their business");
    assert!(matches!(again.drop_quarantined(&other, &listed[0].identity).await, Err(StoreError::Refused(_))));
    assert!(matches!(again.apply_quarantined_blocking(&scope, ""), Err(StoreError::Refused(_))), "which one?");
    let before = again.identity().expect("a box");
    assert!(matches!(again.apply_quarantined_blocking(&scope, &listed[0].identity), Err(StoreError::Corrupt(_))));
    assert_eq!(again.identity().expect("a box"), before, "what this box never sealed stays out");
    again.apply_quarantined(&scope, &listed[1].identity[..12]).await.expect("what it needs is there now");
    assert_eq!(names(&again, &scope), ["Harbour Street", "renamed"]);
    let sent = again.outbox_blocking(before.sequence, 1 << 20).expect("reads");
    assert_eq!(sent[0].identity(), lost[1].hash, "it is the same transaction");
    again.drop_quarantined_blocking(&scope, &listed[0].identity).expect("drops");
    assert_eq!(again.identity().expect("a box").audit_sequence, before.audit_sequence + 2, "both are written down");
    assert_eq!(again.quarantined().await.expect("reads"), 0);
    again.apply_given_back(lost.clone()).await.expect("answers");
    assert_eq!(
        (again.quarantined().await.expect("reads"), names(&again, &scope).len()),
        (0, 2),
        "nor do they come back"
    );

    // Each travels with the identity it had, what was dropped as nothing. Once that is acknowledged, nothing is remembered.
    let remembered = || -> i64 {
        Connection::open(data.join("business.sqlite"))
            .and_then(|db| {
                db.query_row("SELECT count(*) FROM sys_state WHERE key LIKE 'given-back:%'", [], |r| r.get(0))
            })
            .expect("reads")
    };
    let waiting = again.outbox_blocking(0, 1 << 20).expect("reads");
    let dropped = waiting.last().expect("it waits");
    assert_eq!((dropped.identity().to_string(), dropped.changes.get()), (listed[0].identity.clone(), "[]"));
    assert_eq!(remembered(), 3);
    let end = again.identity().expect("a box");
    again.acknowledge(end.epoch, end.sequence - 1).await.expect("acknowledges");
    assert_eq!(remembered(), 3, "the epoch is still open: a page may be given again");
    again.epoch_told().await.expect("is told");
    assert_eq!(remembered(), 1, "one still waits");
    again.acknowledge(end.epoch, end.sequence).await.expect("acknowledges");
    assert_eq!(remembered(), 0);
}

#[tokio::test]
async fn a_restore_puts_tokens_to_sleep_and_makes_recovery_codes_void() {
    use sent_contract::identity::{NewToken, NewUser};
    let (_folder, store, scope) = store(&[]).expect("opens");
    let role = uuid::Uuid::from_u128(77);
    store
        .write_blocking(&scope, "role.create", move |tx| -> Result<(), StoreError> {
            tx.execute("INSERT INTO roles (id, name, rights) VALUES (?1, 'owner', '[\"*\"]')", [role.to_string()])?;
            Ok(())
        })
        .expect("writes");
    let (email, password) = ("ada@example.org".to_owned(), "correct horse".to_owned());
    let new = NewUser { email, name: "Ada".into(), password, role, branch: None };
    let user = store.create_user(&scope, new).await.expect("makes a user");
    let scope = sent_core::Scope { rights: sent_core::identity::Rights::all(), ..scope };
    let token = |name: &str| NewToken { name: name.into(), rights: vec!["home.read".into()], days: None };
    let kept = store.create_token(&scope, user.id, token("till")).await.expect("makes a token");
    let revoked = store.create_token(&scope, user.id, token("stolen")).await.expect("makes a token");
    let setup = store.begin_totp(&scope, user.id, &user.email, "SENT").await.expect("begins");
    let code = |seconds: i64| {
        let now = store.clock().now().plus_seconds(seconds);
        let secret = totp_rs::Secret::try_from_base32(&setup.secret).expect("a secret");
        let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("ada").build().expect("builds");
        totp.generate(u64::try_from(now.0 / 1_000_000).expect("after 1970")).to_string()
    };
    let codes = store.confirm_totp(&scope, user.id, &code(0)).await.expect("confirms").codes;
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("box.backup");
    backup(&store, &file).expect("backs up");
    // After the backup one token is ended and one code is used.
    store.delete_token(&scope, user.id, revoked.token.id).await.expect("ends");
    let half = store.login(&user.email, "correct horse", "10.0.0.1").await.expect("logs in");
    store.login_code(&half.secret, &codes[0], "10.0.0.1").await.expect("a code counts once");
    assert_eq!(store.unfinished_restore().await.expect("reads"), Default::default());

    let data = place.path().join("restored");
    let taken = restore(&file, &data).expect("restores").taken_back;
    assert_eq!((taken.tokens, taken.recovery_codes), (2, codes.len()));
    let clock = store.clock().clone();
    let again = Store::open(sent_store::Config { data, tables: vec![], clock, readers: 1 }).expect("opens");
    let opens = |secret: String| {
        let again = again.clone();
        async move { again.token_scope(&secret).await.expect("reads").is_some() }
    };
    assert!(!opens(kept.secret.clone()).await && !opens(revoked.secret.clone()).await);
    let half = again.login(&user.email, "correct horse", "10.0.0.1").await.expect("logs in");
    for code in &codes[..3] {
        assert!(again.login_code(&half.secret, code, "10.0.0.1").await.is_err(), "a code that may have been used");
    }
    let left = again.unfinished_restore().await.expect("reads");
    assert_eq!((left.sleeping_tokens, left.without_recovery_codes), (2, 1));
    // The owner decides: one goes on as it was, the other ends.
    again.wake_token(&scope, user.id, kept.token.id).await.expect("wakes");
    assert!(again.wake_token(&scope, user.id, kept.token.id).await.is_err(), "it is awake");
    assert!(again.wake_token(&scope, uuid::Uuid::from_u128(9), revoked.token.id).await.is_err(), "not the owner");
    again.delete_token(&scope, user.id, revoked.token.id).await.expect("ends");
    assert!(opens(kept.secret).await && !opens(revoked.secret).await);
    again.remove_totp(&scope, user.id).await.expect("is reset");
    assert_eq!(again.unfinished_restore().await.expect("reads"), Default::default());
}

#[tokio::test]
async fn two_restores_of_one_backup_count_in_two_series() {
    let (_folder, store, scope) = store(&[]).expect("opens");
    let end = store.identity().expect("a box");
    store.acknowledge(end.epoch, end.sequence).await.expect("acknowledges");
    store.epoch_told().await.expect("is told");
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("box.backup");
    backup(&store, &file).expect("backs up");
    let mark = |store: &Store| store.write_blocking(&scope, "look", |tx| tx.unsettled()).expect("reads");
    assert_eq!(mark(&store), None);
    let marks = ["a", "b"].map(|name| {
        let data = place.path().join(name);
        restore(&file, &data).expect("restores");
        let clock = store.clock().clone();
        let restored = Store::open(sent_store::Config { data, tables: vec![], clock, readers: 1 }).expect("opens");
        mark(&restored).expect("is unsettled")
    });
    assert!(marks.iter().all(|m| m.len() == 6 && m.starts_with('2')), "{marks:?}");
    assert_ne!(marks[0], marks[1]);
}

#[tokio::test]
async fn logins_are_counted_rotated_and_bound_to_the_clock() {
    let (_folder, store, scope, clock) = store_with_clock(&[]).expect("opens");
    let role = uuid::Uuid::from_u128(77);
    store
        .write_blocking(&scope, "role.create", move |tx| -> Result<(), StoreError> {
            tx.execute("INSERT INTO roles (id, name, rights) VALUES (?1, 'owner', '[\"*\"]')", [role.to_string()])?;
            Ok(())
        })
        .expect("writes");
    let new = sent_contract::identity::NewUser {
        email: "ada@example.org".into(),
        name: "Ada".into(),
        password: "correct horse".into(),
        role,
        branch: None,
    };
    let user = store.create_user(&scope, new).await.expect("makes a user");
    let login = store.login(" ADA@example.org ", "correct horse", "10.0.0.1").await.expect("logs in");
    let session = store.session(&login.secret).await.expect("reads").expect("a session");
    assert_eq!(session.me.id, user.id);
    assert!(store.session("something else").await.expect("reads").is_none());
    clock.advance(13 * 3600 * 1_000_000);
    assert!(store.session(&login.secret).await.expect("reads").is_none(), "idle too long");

    for _ in 0..5 {
        assert!(store.login("ada@example.org", "wrong", "10.0.0.1").await.is_err());
    }
    let refused = store.login("ada@example.org", "correct horse", "10.0.0.2").await.expect_err("too many");
    assert_eq!(refused.kind, sent_core::error::Kind::TooMany);
    clock.advance(16 * 60 * 1_000_000);
    let guesses = (0..30).map(|n| {
        let (store, address) = (store.clone(), format!("10.0.1.{n}"));
        tokio::spawn(async move { store.login("ada@example.org", "wrong", &address).await.expect_err("wrong").kind })
    });
    let mut looked_at = 0;
    for guess in guesses.collect::<Vec<_>>() {
        looked_at += usize::from(guess.await.expect("answers") == sent_core::error::Kind::Unauthenticated);
    }
    assert_eq!(looked_at, 5, "however many guess at once");
    clock.advance(16 * 60 * 1_000_000);
    for _ in 0..6 {
        let open =
            store.login("ada@example.org", "correct horse", "10.0.0.2").await.expect("what was right is not counted");
        assert_eq!(open.stage, sent_store::identity::Stage::Open);
    }
    let login = store.login("ada@example.org", "correct horse", "10.0.0.2").await.expect("logs in again");

    let me = store.session(&login.secret).await.expect("reads").expect("a session");
    let setup = store.begin_totp(&me.scope, user.id, "ada@example.org", "SENT").await.expect("begins");
    assert!(store.confirm_totp(&me.scope, user.id, "000000").await.is_err());
    let code = |secret: &str, at: i64| {
        (0..1_000_000u32).map(|n| format!("{n:06}")).find(|c| {
            sent_core::identity::check_totp(secret, c, sent_core::Timestamp(at)) == Some((at / 30_000_000) as u64)
        })
    };
    let now = store.clock().now().0;
    let first = code(&setup.secret, now).expect("a code");
    let codes = store.confirm_totp(&me.scope, user.id, &first).await.expect("confirms").codes;
    let half = store.login("ada@example.org", "correct horse", "10.0.0.2").await.expect("first step");
    assert_eq!(half.stage, sent_store::identity::Stage::Totp);
    assert!(store.login_code(&half.secret, &first, "10.0.0.2").await.is_err(), "a code counts once");
    let open = store.login_code(&half.secret, &codes[0].to_lowercase(), "10.0.0.2").await.expect("a recovery code");
    assert_ne!(open.secret, half.secret);
    assert!(store.session(&half.secret).await.expect("reads").is_none(), "the half-open session is gone");
    let half = store.login("ada@example.org", "correct horse", "10.0.0.2").await.expect("first step");
    assert!(store.login_code(&half.secret, &codes[0], "10.0.0.2").await.is_err(), "a recovery code counts once");
}

#[test]
fn a_wrong_declaration_is_refused() {
    let clock = sent_core::clock::SystemClock::shared();
    for table in [
        Table::new("nowhere", &["id"], SyncClass::Up),
        Table::new("branches", &["name"], SyncClass::Down),
        Table::new("recovery_codes", &["user_id", "digest"], SyncClass::Down),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let result = Store::open(sent_store::Config {
            data: folder.path().into(),
            tables: vec![table],
            clock: clock.clone(),
            readers: 1,
        });
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{}", table.name);
    }
}
