//! What every tab is made of: the list of one route, the button that makes a row, and one form for a new row and for an open
//! one. A tab says its columns, how it is searched, and its form.

use super::{Owner, PanelProps};
use crate::{
    api::List,
    components::{
        Column, DataTable, NewButton, Row, Toolbar,
        form::Sending,
        list::{Opened, listed},
        use_flag, use_opened, use_rows,
    },
    data::{Resource, use_resource},
};
use gloo_net::http::Method;
use sent_contract::Uuid;
use serde::{Serialize, de::DeserializeOwned};
use std::rc::Rc;
use yew::prelude::*;

/// What the form of a tab is handed.
#[derive(Properties, PartialEq)]
pub struct FormProps<T: PartialEq + 'static> {
    /// What stands before `/accounts` in the paths of the routes.
    pub at: AttrValue,
    /// The tab's route.
    pub path: AttrValue,
    /// Whose list it is.
    pub owner: Owner,
    /// The row that is changed; none is made anew without it.
    #[prop_or_default]
    pub row: Option<Rc<T>>,
    /// Left.
    pub on_close: Callback<()>,
    /// Something was changed.
    pub on_done: Callback<()>,
}

/// A tab's list, and which of its forms is open.
pub struct Frame<T: 'static> {
    panel: PanelProps,
    path: AttrValue,
    list: Resource<List<T>>,
    rows: Rc<Vec<T>>,
    columns: Rc<Vec<Column<T>>>,
    opened: Opened<T>,
    making: (bool, Callback<()>, Callback<()>),
}

/// The list at `path`, fetched again when one of `channels` has news. `matches` is handed what is looked for in lower case.
#[hook]
pub fn use_frame<T>(
    panel: &PanelProps,
    path: String,
    channels: &'static [&'static str],
    columns: fn() -> Vec<Column<T>>,
    matches: fn(&T, &str) -> bool,
) -> Frame<T>
where
    T: Row + DeserializeOwned,
{
    let list = use_resource::<List<T>>(Some(path.clone()), channels);
    Frame {
        panel: panel.clone(),
        path: path.into(),
        columns: use_memo((), |()| columns()),
        rows: use_rows(&list, panel.wanted.clone(), |row, wanted| matches(row, wanted)),
        list,
        opened: use_opened(),
        making: use_flag(),
    }
}

impl<T: Row + PartialEq> Frame<T> {
    /// Draws it. `new` is the word of the button that makes a row, for who may change the list.
    pub fn draw(
        &self,
        name: &'static str,
        new: Option<&'static str>,
        empty: Html,
        form: impl Fn(FormProps<T>) -> Html,
    ) -> Html {
        let (making, make, made) = self.making.clone();
        let actions = html! { if let Some(label) = new { <NewButton {label} onclick={make} /> } };
        let on_open = new.map(|_| self.opened.open.clone());
        let shown = |row: Option<Rc<T>>, on_close: Callback<()>| {
            form(FormProps {
                at: self.panel.at.clone(),
                path: self.path.clone(),
                owner: self.panel.owner,
                row,
                on_close,
                on_done: self.list.reload.clone(),
            })
        };
        html! {
            <>
                <Toolbar {actions}>{ self.panel.head.clone() }</Toolbar>
                { listed(&self.list, 8, |_| html! { <DataTable<T> rows={self.rows.clone()} columns={self.columns.clone()} {name} {on_open} {empty} /> }) }
                if making { { shown(None, made) } }
                if let Some(row) = &self.opened.row { { shown(Some(row.clone()), self.opened.close.clone()) } }
            </>
        }
    }
}

/// Sends a form: the row of `id` is changed, or another is made.
pub fn save(
    sending: &Sending,
    path: &str,
    id: Option<Uuid>,
    body: impl Serialize + 'static,
    changed: &'static str,
    made: String,
) {
    match id {
        Some(id) => sending.send(Method::PUT, format!("{path}/{id}"), body, changed),
        None => sending.send(Method::POST, path, body, made),
    }
}
