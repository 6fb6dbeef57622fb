//! Alerts that are long over are forgotten, in batches, and nothing else is.

use sent_core::Scope;
use sent_pulse::{
    TABLES,
    prune::{BATCH, Pruner},
};
use sent_store::{
    Store, StoreError,
    test::{NOON, second_organization, store},
};

const DAY: i64 = 86_400_000_000;

/// An alert with one notification.
struct Alert {
    id: String,
    raised: i64,
    resolved: Option<i64>,
    told: &'static str,
}

fn add(store: &Store, scope: &Scope, alerts: Vec<Alert>) {
    store
        .write_blocking(scope, "test", move |tx| -> Result<(), StoreError> {
            for a in &alerts {
                let state = if a.resolved.is_some() { "resolved" } else { "firing" };
                tx.execute(
                    "INSERT INTO alerts (id, rule_id, title, state, severity, series, labels, raised_at, resolved_at)
                     VALUES (?1, 'r', 'disk', ?2, 'bad', ?1, '{}', ?3, ?4)",
                    (&a.id, state, a.raised, a.resolved),
                )?;
                tx.execute(
                    "INSERT INTO notifications (id, alert_id, stage, target, state, created_at, next_at)
                     VALUES (?1, ?1, 'raised', 'mail:a@example.org', ?2, ?3, ?3)",
                    (&a.id, a.told, a.raised),
                )?;
            }
            Ok(())
        })
        .expect("alerts");
}

fn left(store: &Store, scope: &Scope, table: &str) -> Vec<String> {
    store
        .read_blocking(scope, |c| -> Result<_, StoreError> {
            let mut statement = c.prepare(&format!("SELECT id FROM {table} ORDER BY id"))?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?)
        })
        .expect("rows")
}

#[tokio::test]
async fn what_is_long_over_goes_and_nothing_else() {
    let (_folder, store, scope) = store(TABLES).expect("a store");
    let other = second_organization(&store).expect("another organisation");
    let at = |days: i64| NOON.0 - days * DAY;
    let alert = |id: &str, raised, resolved, told| Alert { id: id.to_owned(), raised, resolved, told };
    add(
        &store,
        &scope,
        vec![
            alert("over", at(100), Some(at(31)), "sent"),
            alert("given up", at(100), Some(at(31)), "failed"),
            alert("to be told", at(100), Some(at(31)), "pending"),
            alert("just over", at(100), Some(at(29)), "sent"),
            alert("open", at(100), None, "sent"),
        ],
    );
    add(&store, &other, vec![alert("theirs", at(100), Some(at(31)), "sent")]);

    let keeps = Pruner::new(store.clone(), scope.organization, 0);
    assert_eq!(keeps.sweep().await.expect("sweeps"), 0, "0 days keep everything");
    let pruner = Pruner::new(store.clone(), scope.organization, 30);
    assert_eq!(pruner.sweep().await.expect("sweeps"), 2);
    for table in ["alerts", "notifications"] {
        assert_eq!(left(&store, &scope, table), ["just over", "open", "to be told"], "{table}");
        assert_eq!(left(&store, &other, table), ["theirs"], "{table}");
    }
    let before = store.identity().expect("a box");
    assert_eq!(pruner.sweep().await.expect("sweeps"), 0);
    assert_eq!(store.identity().expect("a box"), before, "nothing to do leaves no trace");
}

#[tokio::test]
async fn a_sweep_goes_in_batches() {
    let (_folder, store, scope) = store(TABLES).expect("a store");
    let count = i64::from(BATCH) * 2 + 7;
    let alerts = (0..count).map(|n| Alert {
        id: format!("{n:04}"),
        raised: NOON.0 - 100 * DAY + n,
        resolved: Some(NOON.0 - 99 * DAY),
        told: "sent",
    });
    add(&store, &scope, alerts.collect());
    let before = store.identity().expect("a box");
    let pruner = Pruner::new(store.clone(), scope.organization, 30);
    assert_eq!(pruner.sweep().await.expect("sweeps"), count.unsigned_abs());
    assert!(left(&store, &scope, "alerts").is_empty() && left(&store, &scope, "notifications").is_empty());
    let after = store.identity().expect("a box");
    assert_eq!((after.audit_sequence - before.audit_sequence, after.sequence - before.sequence), (3, 3));
}
