//! Alerts by e-mail.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use sent_core::Timestamp;

use super::subject;
use crate::{settings::Settings, store::Notification};

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The settings are wrong.
    #[error("the mail server's address is wrong: {0}")]
    Server(lettre::transport::smtp::Error),
    /// An address is wrong.
    #[error("{0} is no mail address")]
    Address(String),
    /// The message cannot be written.
    #[error("the message cannot be written: {0}")]
    Message(#[from] lettre::error::Error),
    /// The server did not take it.
    #[error("{0}")]
    Send(lettre::transport::smtp::Error),
}

/// Sends mails over one server.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// A mailer, where a server is set.
    pub fn new(settings: &Settings) -> Result<Option<Self>, MailError> {
        if settings.smtp.is_empty() {
            return Ok(None);
        }
        let from = settings.from.parse().map_err(|_| MailError::Address(settings.from.clone()))?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.smtp)
            .map_err(MailError::Server)?
            .timeout(Some(Duration::from_secs(20)))
            .build();
        Ok(Some(Self { transport, from }))
    }

    /// Sends one notification.
    pub async fn send(&self, to: &str, notification: &Notification) -> Result<(), MailError> {
        let to: Mailbox = to.parse().map_err(|_| MailError::Address(to.to_owned()))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject(notification))
            // The notification's own id: a mail that is sent twice is recognised.
            .message_id(Some(format!("<{}@{}>", notification.id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(body(notification))?;
        self.transport.send(message).await.map_err(MailError::Send)?;
        Ok(())
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
