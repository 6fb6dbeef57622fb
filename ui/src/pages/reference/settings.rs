//! What holds for the whole organisation, on all of its boxes.

use super::{
    Owner, PanelProps,
    frame::{FormProps, use_frame},
    remove::{Remove, RemoveButton},
};
use crate::{
    api::escape,
    components::{Column, Empty, Field, FormDialog, Input, Row, Slot, TextArea, use_flag, use_form, use_sending},
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::reference::OrganizationSetting;
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
    let console = props.owner == Owner::Console;
    let may = use_session().may("fleet.reference.write") && console;
    let path = if console { format!("{}/settings", props.at) } else { "/api/organization/settings".to_owned() };
    let news = props.owner.news(&["table:organization_settings"]);
    let frame = use_frame(props, path, news, columns, |row: &OrganizationSetting, wanted| row.key.contains(wanted));
    let empty =
        html! { <Empty title="No settings" text="Where nothing is set, every box does as it does by itself." /> };
    frame.draw("Settings", may.then_some("New setting"), empty, |form| html! { <Edit ..form /> })
}

#[component]
fn Edit(props: &FormProps<OrganizationSetting>) -> Html {
    let row = props.row.as_deref();
    let typed =
        use_form(|| row.cloned().unwrap_or_else(|| OrganizationSetting { key: String::new(), value: String::new() }));
    let sending = use_sending(&props.on_close, &props.on_done);
    let (removing, remove, keep) = use_flag();
    let submit = {
        let (typed, sending, path) = (typed.clone(), sending.clone(), props.path.clone());
        Callback::from(move |()| {
            let body = OrganizationSetting { key: typed.key.trim().to_owned(), value: typed.value.clone() };
            let done = format!("{} is set", body.key);
            sending.send(Method::PUT, path.as_str(), body, done);
        })
    };
    if let (true, Some(row)) = (removing, row) {
        return html! {
            <Remove what={row.key.clone()} path={format!("{}/{}", props.path, escape(&row.key))} done="Setting removed"
                on_keep={keep} on_close={props.on_close.clone()} on_done={props.on_done.clone()}>
                { "Its value is lost, and every box of the organisation does as it does by itself:" }
                <pre class="mt-2 max-h-40 overflow-auto rounded-md bg-bg p-2 font-mono text-sm whitespace-pre-wrap break-words">{ &row.value }</pre>
            </Remove>
        };
    }
    let extra = html! { if row.is_some() { <RemoveButton onclick={remove} /> } };
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
