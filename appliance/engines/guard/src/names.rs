//! The names that addresses were looked up by.
//!
//! What a device was answered counts for its own flows first; what anybody was answered for an address, otherwise.

use std::net::IpAddr;

use crate::{app::dns::Message, recent::Recent};

/// Answers that are remembered.
const ANSWERS: usize = 32_768;
/// Bytes of a name: RFC 1035 §2.3.4.
const NAME: usize = 255;

/// Remembers answers.
#[derive(Debug)]
pub struct Names {
    own: Recent<(IpAddr, IpAddr), Box<str>>,
    any: Recent<IpAddr, Box<str>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { own: Recent::new(ANSWERS), any: Recent::new(ANSWERS) }
    }
}

impl Names {
    /// A client was answered: the name it asked for leads to these addresses, through whatever aliases.
    pub fn learn(&mut self, client: IpAddr, message: &Message) {
        let Some(question) = message.questions.first().filter(|_| message.response && message.rcode == 0) else {
            return;
        };
        let name = question.name.trim_end_matches('.');
        if name.is_empty() || name.len() > NAME || !matches!(question.kind.as_str(), "A" | "AAAA" | "HTTPS" | "ANY") {
            return;
        }
        for address in message.answers.iter().filter_map(|answer| answer.data.parse::<IpAddr>().ok()) {
            self.own.insert((client, address), name.into());
            self.any.insert(address, name.into());
        }
    }

    /// The name of an address, as a client knows it.
    pub fn of(&mut self, client: IpAddr, address: IpAddr) -> Option<&str> {
        let own = self.own.touch(&(client, address)).map(|name| &**name);
        own.or_else(|| self.any.touch(&address).map(|name| &**name))
    }
}
