//! SENT's pages: one program with two faces, the box's and the fleet's. Each is compiled by itself (`fleet.rs` is this file
//! by another name), so that nobody loads the pages of the other; the shell, the components and the manners are the same.
//!
//! What always holds: nothing here is a source of truth. Every page shows what a route answered, asks again when the live
//! bus says that it changed, and keeps nothing but drafts and the theme. No colour is named outside `styles/tokens.css`,
//! and no style or script stands in the markup, because the content-security policy refuses both.

mod api;
mod app;
mod centrifugo;
mod components;
mod csv;
mod data;
mod format;
mod live;
mod pages;
mod places;
mod route;
mod session;
mod shell;
mod theme;
mod words;
mod xlsx;

/// Whether this is the fleet's face.
const FLEET: bool = matches!(env!("CARGO_BIN_NAME").as_bytes(), b"fleet");

fn main() {
    yew::Renderer::<app::App>::new().render();
}
