//! Sessions, users, roles, tokens.
use crate::{Micros, Uuid};
use serde::{Deserialize, Serialize};

/// `POST /api/session`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoginRequest {
    /// Login name.
    pub email: String,
    /// Password in clear; only ever over TLS or loopback.
    pub password: String,
}

/// Answer to a login or to its second step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::large_enum_variant, reason = "one of these exists for the length of a login")
)]
pub enum LoginAnswer {
    /// Logged in.
    Ok {
        /// Who is logged in.
        me: Me,
    },
    /// A one-time code (or a recovery code) is wanted at `POST /api/session/totp`.
    Totp,
}

/// `POST /api/session/totp`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TotpRequest {
    /// Six digits, or a recovery code.
    pub code: String,
}

/// `GET /api/session`: who is logged in, and the token that every change must carry as `x-sent-csrf`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Me {
    /// User id.
    pub id: Uuid,
    /// Login name.
    pub email: String,
    /// Display name.
    pub name: String,
    /// Organisation of the session.
    pub organization: Named,
    /// Branch of the session, if the user belongs to one.
    pub branch: Option<Named>,
    /// Role name.
    pub role: String,
    /// Rights and patterns (`*`, `capital.*`).
    pub rights: Vec<String>,
    /// CSRF token.
    pub csrf: String,
    /// Whether TOTP is set up.
    pub totp: bool,
    /// Which face serves this page: `box` or `fleet`.
    pub face: String,
    /// Base currency of the organisation, where the face keeps books.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

/// An id with the name people know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
}

/// A row of the users page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Id.
    pub id: Uuid,
    /// Login name.
    pub email: String,
    /// Display name.
    pub name: String,
    /// Role.
    pub role: Named,
    /// Branch, none means all branches.
    pub branch: Option<Named>,
    /// Cannot log in.
    pub disabled: bool,
    /// TOTP is set up here.
    pub totp: bool,
    /// Last login on this machine.
    pub last_login: Option<Micros>,
    /// The cloud has not confirmed this version yet.
    pub pending: bool,
}

/// `POST /api/users`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewUser {
    /// Login name, unique in the organisation.
    pub email: String,
    /// Display name.
    pub name: String,
    /// First password, at least 10 characters.
    pub password: String,
    /// Role id.
    pub role: Uuid,
    /// Branch id.
    pub branch: Option<Uuid>,
}

/// `PATCH /api/users/{id}`; absent fields stay.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UserPatch {
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Role id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Uuid>,
    /// Lock or unlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// New password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// `GET /api/roles`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Rights and patterns.
    pub rights: Vec<String>,
}

/// `POST /api/roles` and `PUT /api/roles/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRole {
    /// Name, one of a kind in the organisation.
    pub name: String,
    /// Rights and patterns: `capital.entry.post`, `capital.*`, `*`.
    pub rights: Vec<String>,
}

/// `POST /api/me/totp`: begin; the secret counts only after `POST /api/me/totp/confirm {code}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TotpSetup {
    /// `otpauth://` URL for a QR code.
    pub url: String,
    /// The same secret in base32 for typing.
    pub secret: String,
}

/// Answer to the confirmation: shown once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecoveryCodes {
    /// Ten single-use codes.
    pub codes: Vec<String>,
}

/// `POST /api/me/password`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PasswordChange {
    /// The present password.
    pub current: String,
    /// The new one.
    pub new: String,
}

/// A row of `GET /api/tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Id.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// Rights, a subset of its owner's.
    pub rights: Vec<String>,
    /// When it was made.
    pub created_at: Micros,
    /// When it ends, if ever.
    pub expires_at: Option<Micros>,
    /// Last use.
    pub last_used: Option<Micros>,
    /// It is from before a restore of the box and opens nothing until its owner wakes it.
    #[serde(default)]
    pub asleep: bool,
}

/// `POST /api/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// Rights asked for.
    pub rights: Vec<String>,
    /// Days until it ends; none is never.
    pub days: Option<u32>,
}

/// Answer to `POST /api/tokens`: the secret is shown once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedToken {
    /// Row.
    pub token: Token,
    /// `sent_…`.
    pub secret: String,
}
