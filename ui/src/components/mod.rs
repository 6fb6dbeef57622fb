//! What pages are built of. Each component draws with the tokens only, works with the keyboard alone, and owns no data.

pub mod button;
pub mod card;
pub mod chart;
pub mod dialog;
pub mod field;
pub mod icon;
pub mod qr;
pub mod state;
pub mod status;
pub mod table;
pub mod time;
pub mod toast;

pub use button::{Button, Kind};
pub use card::{Card, Kpi, Toolbar};
pub use chart::Chart;
pub use dialog::{Confirm, Dialog};
pub use field::{Choice, Field, Input, Pick, Search, TextArea, Toggle};
pub use icon::Icon;
pub use qr::Qr;
pub use state::{Empty, Problem, Skeleton, loaded};
pub use status::{Chip, Dot, StatusLine, Tag, Tone};
pub use table::{Column, DataTable, Row, Slot};
pub use time::{Ago, NowProvider, Since, Until, use_now};
pub use toast::{ToastProvider, use_toast};
