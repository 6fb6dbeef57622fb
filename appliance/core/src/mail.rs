//! Mail out of the box: one server, named once in the settings, for whoever has something to send.
//!
//! A letter carries its own id as `Message-ID`, so that one that is sent twice after a crash is recognised. Nothing here
//! waits or tries again: whoever sends keeps what was not taken, and for how long.

use std::time::Duration;

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Attachment as Part, Mailbox, MultiPart, SinglePart, header::ContentType},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A server that does not answer for so long does not take the mail.
const PATIENCE: Duration = Duration::from_secs(20);

/// The section `[mail]` of the settings file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `smtp://user:password@host:587?tls=required` or `smtps://…`; without one no mail is sent.
    pub server: String,
    /// Sender: an address, or a name and an address in angle brackets.
    pub from: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { server: String::new(), from: "sent@localhost".to_owned() }
    }
}

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The settings are wrong.
    #[error("mail.server is wrong: {0}")]
    Server(lettre::transport::smtp::Error),
    /// An address is wrong.
    #[error("{0} is no mail address")]
    Address(String),
    /// An attachment has a media type that is none.
    #[error("{0} is no media type")]
    MediaType(String),
    /// The message cannot be written.
    #[error("the message cannot be written: {0}")]
    Message(#[from] lettre::error::Error),
    /// The server did not take it.
    #[error("{0}")]
    Send(lettre::transport::smtp::Error),
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Tells it from every other, also when it comes twice.
    pub id: Uuid,
    /// Address of the one who gets it.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// What comes along.
    pub attachments: Vec<Attachment>,
}

/// A file in a letter.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Name of the file.
    pub name: String,
    /// `application/pdf`
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Whether a text is one mail address, without a name.
pub fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok()
}

/// Sends mails over one server.
#[derive(Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// A mailer, where a server is set. The sender is looked at in any case.
    pub fn new(settings: &Settings) -> Result<Option<Self>, MailError> {
        let from = settings.from.parse().map_err(|_| MailError::Address(settings.from.clone()))?;
        if settings.server.is_empty() {
            return Ok(None);
        }
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.server)
            .map_err(MailError::Server)?
            .timeout(Some(PATIENCE))
            .build();
        Ok(Some(Self { transport, from }))
    }

    /// Sends one letter.
    pub async fn send(&self, letter: Letter) -> Result<(), MailError> {
        self.transport.send(self.write(letter)?).await.map_err(MailError::Send)?;
        Ok(())
    }

    fn write(&self, letter: Letter) -> Result<Message, MailError> {
        let to: Mailbox = letter.to.parse().map_err(|_| MailError::Address(letter.to.clone()))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(letter.subject)
            .message_id(Some(format!("<{}@{}>", letter.id, self.from.email.domain())));
        if letter.attachments.is_empty() {
            return Ok(message.header(ContentType::TEXT_PLAIN).body(letter.text)?);
        }
        let mut parts = MultiPart::mixed().singlepart(SinglePart::plain(letter.text));
        for attachment in letter.attachments {
            let media_type = ContentType::parse(&attachment.media_type)
                .map_err(|_| MailError::MediaType(attachment.media_type.clone()))?;
            parts = parts.singlepart(Part::new(attachment.name).body(attachment.bytes, media_type));
        }
        Ok(message.multipart(parts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailer() -> Mailer {
        let settings = Settings { server: "smtp://127.0.0.1".to_owned(), from: "SENT <sent@box.example>".to_owned() };
        Mailer::new(&settings).unwrap().unwrap()
    }

    fn letter() -> Letter {
        Letter {
            id: Uuid::from_u128(7),
            to: "ada@example.org".to_owned(),
            subject: "Grüße".to_owned(),
            text: "what happened".to_owned(),
            attachments: Vec::new(),
        }
    }

    #[test]
    fn a_letter_carries_its_id() {
        let written = String::from_utf8(mailer().write(letter()).unwrap().formatted()).unwrap();
        assert!(written.contains(&format!("Message-ID: <{}@box.example>", Uuid::from_u128(7))), "{written}");
        assert!(written.contains("what happened"), "{written}");
    }

    #[test]
    fn an_attachment_is_a_part_of_its_own() {
        let pdf = |media_type: &str| Attachment {
            name: "report.pdf".to_owned(),
            media_type: media_type.to_owned(),
            bytes: b"%PDF-1.7".to_vec(),
        };
        let with = |media_type: &str| mailer().write(Letter { attachments: vec![pdf(media_type)], ..letter() });
        let written = String::from_utf8(with("application/pdf").unwrap().formatted()).unwrap();
        assert!(written.contains("Content-Disposition: attachment; filename=\"report.pdf\""), "{written}");
        assert!(matches!(with("no type"), Err(MailError::MediaType(_))));
    }

    #[test]
    fn wrong_settings_are_named() {
        let wrong = |server: &str, from: &str| {
            Mailer::new(&Settings { server: server.to_owned(), from: from.to_owned() }).unwrap_err().to_string()
        };
        assert!(wrong("", "nobody").contains("nobody is no mail address"));
        assert!(wrong("http://127.0.0.1", "a@b.example").contains("mail.server"));
        assert!(Mailer::new(&Settings::default()).unwrap().is_none());
    }
}
