//! Telling people: notifications leave the store when they are due and each attempt comes back to it.
//!
//! A word is written in the transaction that raised the alert and is sent at least once: after a crash between sending and
//! recording it is sent again, with the same id. Within one life of the process it is not, even while the disk is full
//! and the attempt cannot be recorded.

pub mod webhook;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use sent_contract::Uuid;
use sent_core::{
    Scope, Timestamp,
    clock::SharedClock,
    mail::{Letter, Mailer},
};
use sent_store::{Store, StoreError};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    model::{
        SECOND,
        target::{Target, back_off},
    },
    store::{self, Attempt, Notification},
};

/// Notifications that are sent at once.
const AT_ONCE: usize = 8;
/// One attempt takes at most so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is under way at the end may take so long; after it, it is sent again in the next life.
const GRACE: Duration = Duration::from_secs(3);
/// Looked at this often even when nothing woke it.
const LOOK: i64 = 30 * SECOND;

/// Sends what is due.
pub struct Notifier {
    store: Store,
    clock: SharedClock,
    organization: Uuid,
    mail: Option<Arc<Mailer>>,
    webhook: webhook::Poster,
    wake: Arc<Notify>,
}

/// An attempt that could not be recorded yet.
struct Done {
    attempts: Vec<Attempt>,
    next_at: Option<i64>,
}

impl Notifier {
    /// Makes the senders. `wake` is notified when there may be something to send.
    pub fn new(
        store: Store,
        organization: Uuid,
        mail: Option<Arc<Mailer>>,
        webhook_secret: &str,
        http: reqwest::Client,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            clock: store.clock().clone(),
            store,
            organization,
            mail,
            webhook: webhook::Poster::new(http, webhook_secret),
            wake,
        }
    }

    /// Sends until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let mut unrecorded = HashMap::new();
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::pin!(late);
        while !stop.is_cancelled() {
            let round = tokio::select! {
                round = self.round(&mut unrecorded) => round,
                () = &mut late => return,
            };
            let wait = match round {
                Ok(next) => next.map_or(LOOK, |at| (at - self.clock.now().0).clamp(SECOND / 10, LOOK)),
                Err(e) => {
                    tracing::warn!(error = %e, "notifications have to wait for the store");
                    LOOK / 6
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_micros(wait.unsigned_abs())) => {}
            }
        }
    }

    /// Sends what is due now and answers when something is due next.
    async fn round(&self, unrecorded: &mut HashMap<Uuid, Done>) -> Result<Option<i64>, StoreError> {
        self.record(unrecorded).await?;
        let scope = Scope::system(self.organization, "pulse", &*self.clock);
        let now = self.clock.now().0;
        let due: Vec<Notification> = self.store.read(&scope, move |c| store::due(c, now, 64)).await?;
        let mut sent = stream::iter(due.into_iter().map(|one| self.attempt(one))).buffer_unordered(AT_ONCE);
        while let Some((id, done)) = sent.next().await {
            unrecorded.insert(id, done);
        }
        drop(sent);
        self.record(unrecorded).await?;
        self.store.read(&scope, store::next_due).await
    }

    async fn attempt(&self, notification: Notification) -> (Uuid, Done) {
        let outcome = match timeout(PATIENCE, self.send(&notification)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let at = self.clock.now().0;
        let mut attempts = notification.attempts;
        let next_at = match &outcome {
            Ok(()) => None,
            Err(_) => u32::try_from(attempts.len() + 1).ok().and_then(back_off).map(|wait| at + wait),
        };
        attempts.push(Attempt { at, error: outcome.err() });
        (notification.id, Done { attempts, next_at })
    }

    async fn send(&self, notification: &Notification) -> Result<(), String> {
        match notification.target.parse::<Target>() {
            Ok(Target::Mail(address)) => match &self.mail {
                Some(mailer) => mailer.send(letter(address, notification)).await.map_err(|e| e.to_string()),
                None => Err("no mail server is set ([mail] server)".to_owned()),
            },
            Ok(Target::Webhook(url)) => self.webhook.send(url, notification, self.clock.now().0).await,
            Err(e) => Err(e.to_string()),
        }
    }

    async fn record(&self, unrecorded: &mut HashMap<Uuid, Done>) -> Result<(), StoreError> {
        if unrecorded.is_empty() {
            return Ok(());
        }
        let scope = Scope::system(self.organization, "pulse", &*self.clock);
        let done: Vec<(Uuid, Vec<Attempt>, Option<i64>)> =
            unrecorded.iter().map(|(id, done)| (*id, done.attempts.clone(), done.next_at)).collect();
        self.store
            .write(&scope, "pulse.notification.attempt", move |tx| -> Result<(), StoreError> {
                done.iter().try_for_each(|(id, attempts, next_at)| store::record_attempts(tx, *id, attempts, *next_at))
            })
            .await?;
        unrecorded.clear();
        Ok(())
    }
}

/// The subject of a message: what happened, how bad, about what.
fn subject(notification: &Notification) -> String {
    let alert = &notification.alert;
    let word = match (notification.stage.as_str(), alert.severity.as_str()) {
        ("resolved", _) => "resolved",
        ("escalated", _) => "nobody acknowledged",
        (_, "bad") => "alert",
        _ => "warning",
    };
    let flapping = if alert.state == "flapping" { " (flapping)" } else { "" };
    format!("[SENT] {word}: {}{flapping}", alert.title)
}

/// A notification as a mail. The mail has the notification's own id: one that is sent twice is recognised.
fn letter(to: String, notification: &Notification) -> Letter {
    Letter {
        id: notification.id,
        to,
        subject: subject(notification),
        text: body(notification),
        attachments: Vec::new(),
    }
}

fn body(notification: &Notification) -> String {
    let alert = &notification.alert;
    let time = |at: i64| Timestamp(at).rfc3339();
    let mut lines = vec![
        alert.title.clone(),
        String::new(),
        format!("State:    {}", alert.state),
        format!("Severity: {}", alert.severity),
    ];
    if let Some(value) = alert.value {
        lines.push(format!("Value:    {value}"));
    }
    lines.push(format!("Raised:   {}", time(alert.raised_at)));
    if let Some(at) = alert.resolved_at {
        lines.push(format!("Resolved: {}", time(at)));
    }
    lines.push(String::new());
    lines.extend(alert.labels.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.push(String::new());
    lines.join("\n")
}
