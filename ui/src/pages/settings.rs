//! The settings in force, where each comes from, and what it does. They are changed in the settings file or, for those
//! that the cloud owns, from the fleet.

use crate::{
    api::List,
    components::{Chip, Column, DataTable, Empty, Row, Search, Slot, Tag, Toolbar, loaded},
    data::{use_query, use_resource},
};
use sent_contract::home::Setting;
use std::rc::Rc;
use yew::prelude::*;

impl Row for Setting {
    fn key(&self) -> String {
        self.key.clone()
    }
}

fn columns() -> Vec<Column<Setting>> {
    vec![
        Column::new("Setting", |setting: &Setting| setting.key.clone()).class("font-mono text-sm").at(Slot::Title),
        Column::new("Value", |setting: &Setting| setting.value.clone())
            .class("font-mono text-sm")
            .cell(|setting| html! { <span class="inline-block max-w-[44vw] truncate align-bottom md:max-w-80" title={setting.value.clone()}>{ &setting.value }</span> })
            .at(Slot::Value),
        Column::new("From", |setting: &Setting| setting.source.clone())
            .cell(|setting| html! { <Tag>{ &setting.source }</Tag> })
            .at(Slot::Meta),
        Column::new("Default", |setting: &Setting| setting.default.clone()).class("font-mono text-sm text-ink-3"),
        Column::new("What it does", |setting: &Setting| setting.help.clone()).class("text-ink-2").at(Slot::Detail),
    ]
}

/// The page.
#[component]
pub fn Settings() -> Html {
    let (query, set) = use_query();
    let settings = use_resource::<List<Setting>>(Some("/api/settings".into()), &["table:settings"]);
    let columns = use_memo((), |()| columns());
    let wanted = query.get("q").to_lowercase();
    let changed = query.get("source") == "changed";
    let rows =
        use_memo((settings.data.as_ref().map(|list| Rc::as_ptr(list) as usize), wanted.clone(), changed), |_| {
            let mut rows = settings.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
            rows.retain(|row| {
                (row.key.to_lowercase().contains(&wanted) || row.help.to_lowercase().contains(&wanted))
                    && (!changed || row.source != "default")
            });
            rows
        });
    let toggle = {
        let set = set.clone();
        Callback::from(move |_: MouseEvent| {
            set.emit(vec![("source", if changed { String::new() } else { "changed".to_owned() })])
        })
    };
    html! {
        <>
            <Toolbar>
                <Search value={query.get("q").to_owned()} placeholder="Name or meaning" on={Callback::from(move |text| set.emit(vec![("q", text)]))} />
                <Chip on={changed} onclick={toggle}>{ "Only changed" }</Chip>
            </Toolbar>
            { loaded(&settings, 12, |_| html! { <DataTable<Setting> {rows} {columns} name="Settings" empty={html! { <Empty title="No setting of that name" /> }} /> }) }
        </>
    }
}
