//! Two processes on one file: each hears of what the other commits, once, and of its own as before.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use sent_core::{
    Scope,
    table::{SyncClass, Table},
};
use sent_store::{Committed, Config, Store, StoreError, test::store};
use tokio::sync::broadcast::Receiver;

/// Long enough for a busy machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a commit told: its action, and the rows as text.
type Told = (String, Vec<String>, bool);

fn told(committed: &Committed) -> Told {
    let rows = committed.rows.iter().map(|row| format!("{} {} {}", row.table, row.op, row.key)).collect();
    (committed.action.to_string(), rows, committed.travels)
}

async fn next(changes: &mut Receiver<Committed>) -> Told {
    told(&tokio::time::timeout(PATIENCE, changes.recv()).await.expect("told in time").expect("the store is open"))
}

fn another(store: &Store, tables: &[Table]) -> Store {
    let config =
        Config { data: store.data().to_owned(), tables: tables.to_vec(), clock: store.clock().clone(), readers: 1 };
    Store::open(config).expect("the same folder")
}

fn add(store: &Store, scope: &Scope, id: String) {
    store
        .write_blocking(scope, "branch.create", move |tx| -> Result<(), StoreError> {
            tx.execute("INSERT INTO branches (id, name) VALUES (?1, 'Quay 9')", [id])?;
            Ok(())
        })
        .expect("writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_commits_is_told_as_ones_own() {
    let states = [Table::new("check_states", &["check_id"], SyncClass::State)];
    let (_folder, box_, scope) = store(&states).expect("opens");
    let verb = another(&box_, &states);
    let _watching = box_.watch_others().expect("watches");
    let mut changes = box_.changes();
    add(&verb, &scope, "a".to_owned());
    assert_eq!(
        next(&mut changes).await,
        ("branch.create".to_owned(), vec![r#"branches i {"id":"a"}"#.to_owned()], true)
    );
    add(&box_, &scope, "b".to_owned());
    assert_eq!(next(&mut changes).await.1, [r#"branches i {"id":"b"}"#]);

    // Working state is nobody's news, an event without rows is; and nothing travels because of either.
    verb.write_blocking(&scope, "pulse.check.state", |tx| -> Result<(), StoreError> {
        tx.execute("INSERT INTO check_states (check_id, level, cause, since) VALUES ('a', 'ok', '', 0)", [])?;
        Ok(())
    })
    .expect("writes");
    verb.write_blocking(&scope, "session.begin", |tx| -> Result<(), StoreError> {
        tx.event();
        Ok(())
    })
    .expect("writes");
    assert_eq!(next(&mut changes).await, ("session.begin".to_owned(), Vec::new(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_commit_is_told_once_however_they_mingle() {
    let (_folder, box_, scope) = store(&[]).expect("opens");
    let verb = another(&box_, &[]);
    let _watching = box_.watch_others().expect("watches");
    let mut changes = box_.changes();
    let writers = [(&box_, "own"), (&verb, "other")].map(|(store, name)| {
        let (store, scope) = (store.clone(), scope.clone());
        tokio::task::spawn_blocking(move || {
            for n in 0..300 {
                add(&store, &scope, format!("{name}-{n}"));
            }
        })
    });
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    while counted.len() < 600 {
        for row in next(&mut changes).await.1 {
            *counted.entry(row).or_default() += 1;
        }
    }
    for writer in writers {
        writer.await.expect("writes");
    }
    // Whatever would be told twice has been by the time the next commit of the other is.
    add(&verb, &scope, "last".to_owned());
    loop {
        let (_, rows, _) = next(&mut changes).await;
        if rows == [r#"branches i {"id":"last"}"#] {
            break;
        }
        rows.into_iter().for_each(|row| *counted.entry(row).or_default() += 1);
    }
    let twice: Vec<_> = counted.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
