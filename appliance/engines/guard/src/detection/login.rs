//! Passwords in the clear: who logged in where. The password itself was never kept.

use super::{Detection, Found, Kind, Severity, Talk};
use crate::app::App;

pub(super) fn flow(talk: &Talk<'_>, found: &mut Found) {
    let Some(user) = talk.flow.facts.as_ref().and_then(|facts| facts.plaintext_login.as_deref()) else { return };
    // Whoever logs in as nobody shows a password that everybody knows (RFC 1635).
    if talk.flow.app == Some(App::Ftp) && matches!(user, "anonymous" | "ftp") {
        return;
    }
    let app = talk.flow.app.map_or("unknown", |app| app.name());
    // Outside the office everybody on the way can read it.
    let severity = if talk.from_inside && talk.to_inside { Severity::Medium } else { Severity::High };
    let shown = if user.is_empty() { "somebody" } else { user };
    let title = format!("{shown} sent a password in the clear to {} ({app})", talk.whom());
    let key = format!("{}:{}:{}:{user}", talk.source, talk.destination, talk.port);
    found.push(
        Detection::new(Kind::PlaintextPassword, severity, key, title, (talk.flow.start, talk.flow.end))
            .fact("user", user)
            .fact("protocol", app)
            .fact("server", talk.whom())
            .shown_by(talk),
    );
}
