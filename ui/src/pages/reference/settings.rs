//! What holds for the whole organisation, on all of its boxes.

use super::PanelProps;
use crate::{
    api::{List, escape},
    components::{
        Button, Column, DataTable, Empty, Field, FormDialog, Input, Kind, NewButton, Row, Slot, TextArea, Toolbar,
        listed, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::use_resource,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::reference::OrganizationSetting;
use std::rc::Rc;
use yew::prelude::*;

/// Keys that a box heeds, and what they do; others are kept for whoever asks for them.
const KNOWN: [(&str, &str); 1] =
    [("entry.description.required", "true: no entry is posted or imported without a description")];

fn meaning(key: &str) -> &'static str {
    KNOWN.iter().find(|(known, _)| *known == key).map_or("", |(_, meaning)| meaning)
}

impl Row for OrganizationSetting {
    fn key(&self) -> String {
        self.key.clone()
    }
}

fn columns() -> Vec<Column<OrganizationSetting>> {
    vec![
        Column::new("Setting", |row: &OrganizationSetting| row.key.clone()).class("font-mono text-sm").at(Slot::Title),
        Column::new("Value", |row: &OrganizationSetting| row.value.clone())
            .class("font-medium")
            .fill()
            .at(Slot::Detail),
        Column::new("Meaning", |row: &OrganizationSetting| meaning(&row.key).to_owned()).class("text-ink-2"),
    ]
}

/// The tab.
#[component]
pub fn Settings(props: &PanelProps) -> Html {
    let may = use_session().may("fleet.reference.write") && props.fleet;
    let path = if props.fleet { format!("{}/settings", props.at) } else { "/api/organization/settings".to_owned() };
    let channels: &'static [&'static str] =
        if props.fleet { &["fleet.boxes"] } else { &["table:organization_settings"] };
    let list = use_resource::<List<OrganizationSetting>>(Some(path.clone()), channels);
    let columns = use_memo((), |()| columns());
    let rows =
        use_rows(&list, props.wanted.clone(), |row: &OrganizationSetting, wanted| row.key.contains(wanted.as_str()));
    let opened = use_opened::<OrganizationSetting>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New setting" onclick={make} /> } };
    let empty =
        html! { <Empty title="No settings" text="Where nothing is set, every box does as it does by itself." /> };
    html! {
        <>
            <Toolbar {actions}>{ props.head.clone() }</Toolbar>
            { listed(&list, 6, |_| html! { <DataTable<OrganizationSetting> {rows} {columns} name="Settings" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if making { <Edit path={path.clone()} on_close={made} on_done={list.reload.clone()} /> }
            if let Some(row) = &opened.row { <Edit {path} row={row.clone()} on_close={opened.close.clone()} on_done={list.reload.clone()} /> }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct EditProps {
    path: String,
    #[prop_or_default]
    row: Option<Rc<OrganizationSetting>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Edit(props: &EditProps) -> Html {
    let row = props.row.as_deref();
    let typed =
        use_form(|| row.cloned().unwrap_or_else(|| OrganizationSetting { key: String::new(), value: String::new() }));
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (typed, sending, path) = (typed.clone(), sending.clone(), props.path.clone());
        Callback::from(move |()| {
            let body = OrganizationSetting { key: typed.key.trim().to_owned(), value: typed.value.clone() };
            let done = format!("{} is set", body.key);
            sending.send(Method::PUT, path.clone(), body, done);
        })
    };
    let extra = match row {
        Some(row) => {
            let (sending, path) = (sending.clone(), format!("{}/{}", props.path, escape(&row.key)));
            html! { <Button kind={Kind::Danger} busy={sending.busy} onclick={Callback::from(move |_: MouseEvent| sending.act(Method::DELETE, path.clone(), "Setting removed"))}>{ "Remove" }</Button> }
        }
        None => Html::default(),
    };
    let hint = match meaning(typed.key.trim()) {
        "" => "Lower-case words with dots between them: invoice.footer",
        meaning => meaning,
    };
    html! {
        <FormDialog title={row.map_or_else(|| "New setting".to_owned(), |row| row.key.clone())} verb="Save" sending={sending.clone()}
            on_close={props.on_close.clone()} on_submit={submit} disabled={typed.key.trim().is_empty()} {extra}>
            <datalist id="organization-settings">{ for KNOWN.iter().map(|(key, _)| html! { <option value={*key} /> }) }</datalist>
            <div class="grid gap-3">
                <Field label="Key" {hint} error={sending.field("key")}><Input name="key" list="organization-settings" value={typed.key.clone()} disabled={row.is_some()} autofocus={row.is_none()} on={typed.on(|typed, text| typed.key = text)} /></Field>
                <Field label="Value" error={sending.field("value")}><TextArea rows=3 value={typed.value.clone()} on={typed.on(|typed, text| typed.value = text)} /></Field>
            </div>
        </FormDialog>
    }
}
