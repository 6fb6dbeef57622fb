//! Who is logged in, for every component that needs to know.

use sent_contract::{identity::Me, rights::covers};
use std::rc::Rc;
use yew::prelude::*;

/// The session of this page.
#[derive(Clone, PartialEq)]
pub struct Session {
    /// Who.
    pub me: Rc<Me>,
    /// Whether the live connection is up.
    pub live: bool,
    /// Ends the session.
    pub sign_out: Callback<()>,
    /// Asks the server again who this is (after TOTP was set up, say).
    pub refresh: Callback<()>,
}

impl Session {
    /// Whether the person may do this. Only hides what would be refused anyway: the server decides.
    pub fn may(&self, right: &str) -> bool {
        self.me.rights.iter().any(|pattern| covers(pattern, right))
    }
}

/// The session. Only components below [`crate::app::App`]'s login call it.
#[hook]
pub fn use_session() -> Session {
    use_context().expect("every page stands below the session's provider")
}
