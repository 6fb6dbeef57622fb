//! What pages are told, across replicas.
//!
//! An event is a NOTIFY inside the transaction that made it true, so it is heard only after the commit, by every replica's
//! listener, which publishes it to its own pages. A page that missed one sees the truth at its next request: events only
//! say where to look.

use std::{sync::Arc, time::Duration};

use sent_core::live::hub::Hub;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Cloud, db::Tx, error::Result};

/// PostgreSQL refuses a NOTIFY of 8,000 bytes; an event with more than half of that only says where to look.
const LARGEST: usize = 4_000;

const EVENTS: &str = "sent_live";
const INBOX: &str = "sent_inbox";

#[derive(Serialize, Deserialize)]
struct Event {
    organization: Uuid,
    channel: String,
    data: Box<RawValue>,
}

/// Says something about an organisation's boxes in the channel of whoever manages it, when the transaction commits.
pub async fn tell(tx: &mut Tx, organization: Uuid, channel: &str, data: &Value) -> Result<()> {
    let manager = sqlx::query_scalar!(
        "SELECT coalesce(parent_id, organization_id) AS \"manager!\" FROM tenants WHERE organization_id = $1",
        organization
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!("SELECT pg_notify('sent_live', $1)", payload(manager, channel, data)?).execute(&mut *tx).await?;
    Ok(())
}

fn payload(organization: Uuid, channel: &str, data: &Value) -> Result<String> {
    let write = |data: &Value| -> Result<String> {
        let data = serde_json::value::to_raw_value(data)?;
        Ok(serde_json::to_string(&Event { organization, channel: channel.to_owned(), data })?)
    };
    let whole = write(data)?;
    if whole.len() <= LARGEST { Ok(whole) } else { write(&serde_json::json!({ "box": data.get("box") })) }
}

/// Listens until `stop`: events to the hub, the inbox's bell to the projectors.
pub async fn run(cloud: Arc<Cloud>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = listen(&cloud) => if let Err(error) = ended {
                tracing::warn!(%error, "the database's events are out of reach; pages poll");
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

async fn listen(cloud: &Cloud) -> Result<()> {
    let mut listener = PgListener::connect_with(cloud.db.pool()).await?;
    listener.listen_all([EVENTS, INBOX]).await?;
    loop {
        let heard = listener.recv().await?;
        match heard.channel() {
            INBOX => cloud.inbox.notify_waiters(),
            _ => publish(&cloud.hub, heard.payload()),
        }
    }
}

fn publish(hub: &Arc<Hub>, payload: &str) {
    match serde_json::from_str::<Event>(payload) {
        Ok(event) => {
            hub.publish(event.organization, &event.channel, &event.data);
        }
        Err(error) => tracing::warn!(%error, "an event cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_large_event_says_where_to_look() {
        let of = |cause: &str| {
            let text = payload(Uuid::nil(), "fleet.boxes", &json!({ "box": Uuid::nil(), "cause": cause })).unwrap();
            assert!(text.len() < 8_000);
            let event: Event = serde_json::from_str(&text).unwrap();
            serde_json::from_str::<Value>(event.data.get()).unwrap()
        };
        assert_eq!(of("disk full")["cause"], "disk full");
        assert_eq!(of(&"\u{1}".repeat(3_000)), json!({ "box": Uuid::nil() }));
    }
}
