//! Telnet (RFC 854): who logs in. What is typed after a prompt for a password is never kept.

use crate::{flow::Side, wire::text};

use super::Facts;

/// Bytes of both sides in which a login is looked for.
const WATCHED: usize = 16 << 10;
/// Bytes of a prompt's end that tell what is asked for.
const PROMPT: usize = 32;
/// Bytes of a name.
const NAME: usize = 64;

/// Commands, RFC 854: "interpret as command", subnegotiation and its end, and those with an option behind them.
const IAC: u8 = 255;
const SUBNEGOTIATION: u8 = 250;
const END: u8 = 240;
const WILL: u8 = 251;
const DO_NOT: u8 = 254;

/// Where a side is within its commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    Command,
    Option,
    Inside,
    InsideCommand,
}

/// What the server waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Nothing,
    Name,
    Password,
}

/// A terminal, until somebody has logged in.
#[derive(Debug, Default)]
pub struct Conversation {
    places: [Place; 2],
    /// The end of what the server wrote, in lower case.
    prompt: Vec<u8>,
    asked: Asked,
    typed: Vec<u8>,
    name: Option<String>,
    seen: usize,
    left: bool,
}

impl Conversation {
    /// Whether enough was read.
    pub const fn left(&self) -> bool {
        self.left
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        size_of::<Self>()
            + self.prompt.capacity()
            + self.typed.capacity()
            + self.name.as_ref().map_or(0, String::capacity)
    }

    /// Reads what one side says.
    pub fn stream(&mut self, side: Side, bytes: &[u8], facts: &mut Facts) {
        self.seen += bytes.len();
        for byte in bytes {
            if let Some(letter) = self.letter(side, *byte) {
                match side {
                    Side::Responder => self.written(letter),
                    Side::Initiator => self.typed(letter, facts),
                }
            }
        }
        self.left |= self.seen > WATCHED;
    }

    /// A byte that is text.
    fn letter(&mut self, side: Side, byte: u8) -> Option<u8> {
        let place = &mut self.places[side.index()];
        let (next, letter) = match (*place, byte) {
            (Place::Text, IAC) => (Place::Command, None),
            (Place::Text, letter) => (Place::Text, Some(letter)),
            (Place::Command, SUBNEGOTIATION) => (Place::Inside, None),
            (Place::Command, WILL..=DO_NOT) => (Place::Option, None),
            (Place::Command | Place::Option, _) => (Place::Text, None),
            (Place::Inside, IAC) => (Place::InsideCommand, None),
            (Place::InsideCommand, END) => (Place::Text, None),
            (Place::Inside | Place::InsideCommand, _) => (Place::Inside, None),
        };
        *place = next;
        letter
    }

    fn written(&mut self, letter: u8) {
        if self.prompt.len() == PROMPT {
            self.prompt.remove(0);
        }
        self.prompt.push(letter.to_ascii_lowercase());
        let end = self.prompt.trim_ascii_end();
        let asked = if end.ends_with(b"login:") || end.ends_with(b"username:") || end.ends_with(b"user:") {
            Asked::Name
        } else if end.ends_with(b"password:") {
            Asked::Password
        } else {
            return;
        };
        if asked != self.asked {
            self.asked = asked;
            self.typed.clear();
        }
    }

    fn typed(&mut self, letter: u8, facts: &mut Facts) {
        match (self.asked, letter) {
            (Asked::Name, b'\r' | b'\n') if !self.typed.is_empty() => {
                self.name = Some(text(&self.typed, NAME));
                (self.asked, self.typed) = (Asked::Nothing, Vec::new());
            }
            (Asked::Name, 8 | 127) => {
                self.typed.pop();
            }
            (Asked::Name, b' '..=b'~') if self.typed.len() < NAME => self.typed.push(letter),
            // Something was typed where a password is asked for: it went in the clear.
            (Asked::Password, b'\r' | b'\n') => {
                facts.plaintext_login = Some(self.name.take().unwrap_or_default());
                (self.asked, self.left) = (Asked::Nothing, true);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_name_is_kept_and_the_password_is_not() {
        let (mut conversation, mut facts) = (Conversation::default(), Facts::default());
        conversation.stream(Side::Responder, b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0Debian\r\nbox login: ", &mut facts);
        for letter in b"\xff\xfb\x18annx\x7fa\r\0" {
            conversation.stream(Side::Initiator, &[*letter], &mut facts);
        }
        conversation.stream(Side::Responder, b"anna\r\nPassword: ", &mut facts);
        conversation.stream(Side::Initiator, b"secret\r\n", &mut facts);
        assert_eq!(facts.plaintext_login.as_deref(), Some("anna"));
        assert!(conversation.left());
        assert!(!format!("{conversation:?} {facts:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn anything_is_read_in_bounded_memory(said in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..40)) {
            let (mut conversation, mut facts) = (Conversation::default(), Facts::default());
            for (side, bytes) in &said {
                conversation.stream(if *side { Side::Initiator } else { Side::Responder }, bytes, &mut facts);
            }
            prop_assert!(conversation.heap() < size_of::<Conversation>() + 4 * (PROMPT + NAME));
        }
    }
}
