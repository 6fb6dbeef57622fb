//! Organisations, branches, users, roles, sessions, tokens and second factors on the box.
//!
//! Users and roles are the cloud's reference data, so a login works with the WAN down. Sessions, attempts and factors belong
//! to this machine. A stored secret is a SHA-256 ([`sent_core::identity::digest`]) or a field-cipher text, never the secret.

mod account;
mod directory;
mod session;

pub use account::{CreatedSecrets, TokenRequest, UnfinishedRestore};
pub use directory::{find_user, found_organization};
pub use session::{Login, Session, Stage};
