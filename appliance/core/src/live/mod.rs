//! How pages hear of changes: one WebSocket that speaks Centrifugo's bidirectional JSON client protocol.
//!
//! Publishing never waits for a reader. A publication is encoded once and its bytes are shared by everybody who hears it;
//! a reader that falls behind is cut off with a code that makes it come back and recover. Within one epoch a channel's
//! offsets have no holes, so a client that presents its last offset either gets exactly what it missed or is told that it
//! has to read the page's data again.
//!
//! From the inside out: [`stream`] keeps a channel's last publications, [`protocol`] is the sans-IO state machine of one
//! connection, [`hub`] joins the two in memory, [`serve()`] puts a connection on a real WebSocket.

pub mod hub;
pub mod message;
pub mod peer;
pub mod protocol;
pub mod serve;
pub mod stream;

pub use hub::{Hub, Identity, Said};
pub use message::{Disconnect, Refusal};
pub use serve::{Access, TokenCheck, serve, upgrade};
pub use stream::{Position, Publication};
