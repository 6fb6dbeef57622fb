//! What pages are built of. Each component draws with the tokens only, works with the keyboard alone, and owns no data.

pub mod bars;
pub mod button;
pub mod card;
pub mod chart;
pub mod dialog;
pub mod field;
pub mod form;
pub mod icon;
pub mod list;
pub mod menu;
pub mod qr;
pub mod state;
pub mod status;
pub mod table;
pub mod time;
pub mod toast;
pub mod views;

pub use bars::Bars;
pub use button::{Button, Kind};
pub use card::{Card, Kpi, Toolbar};
pub use chart::Chart;
pub use dialog::{Confirm, Dialog};
pub use field::{Choice, Field, Input, Pick, Search, TextArea, Toggle};
pub use form::{FormDialog, Refusal, use_form, use_sending};
pub use icon::Icon;
pub use list::{NewButton, StateChips, listed, paged, use_flag, use_opened, use_rows, use_search};
pub use menu::Menu;
pub use qr::Qr;
pub use state::{Empty, Problem, Skeleton, loaded};
pub use status::{Chip, Dot, StatusLine, Tag, Tone};
pub use table::{Column, DataTable, Row, Slot};
pub use time::{Ago, NowProvider, Since, Until, use_now};
pub use toast::{ToastProvider, use_toast};
pub use views::Views;
