//! The settings in force, where each comes from, and what it does. They are changed in the settings file or, for those
//! that the cloud owns, from the fleet.

use crate::{
    api::List,
    components::{Chip, Column, DataTable, Empty, Row, Search, Slot, Tag, Toolbar, listed, use_rows},
    data::{use_query, use_resource},
};
use sent_contract::home::Setting;
use yew::prelude::*;

impl Row for Setting {
    fn key(&self) -> String {
        self.key.clone()
    }
}

/// A value as people read it: a text without its quotes, nothing as a dash.
fn bare(value: &str) -> &str {
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value) {
        "" | "[]" => "—",
        value => value,
    }
}

/// Help with what stands between backticks as code.
fn prose(text: &str) -> Html {
    text.split('`')
        .enumerate()
        .map(|(i, part)| {
            if i % 2 == 1 {
                html! { <code class="font-mono text-sm">{ part }</code> }
            } else {
                html! { { part } }
            }
        })
        .collect()
}

fn columns() -> Vec<Column<Setting>> {
    vec![
        Column::new("Setting", |setting: &Setting| setting.key.clone()).class("font-mono text-sm").at(Slot::Title),
        Column::new("Value", |setting: &Setting| setting.value.clone())
            .class("font-mono text-sm")
            .cell(|setting| html! { <span class="inline-block max-w-[44vw] truncate align-bottom md:max-w-64" title={setting.value.clone()}>{ bare(&setting.value) }</span> })
            .at(Slot::Value),
        Column::new("From", |setting: &Setting| setting.source.clone())
            .cell(|setting| html! { <Tag>{ &setting.source }</Tag> })
            .at(Slot::Meta),
        Column::new("Default", |setting: &Setting| setting.default.clone())
            .cell(|setting| html! { <span title={setting.default.clone()}>{ bare(&setting.default) }</span> })
            .class("max-w-56! font-mono text-sm text-ink-3"),
        Column::new("What it does", |setting: &Setting| setting.help.clone())
            .cell(|setting| html! { <span title={setting.help.clone()}>{ prose(&setting.help) }</span> })
            .class("text-ink-2")
            .fill()
            .at(Slot::Detail),
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
    let rows = use_rows(&settings, (wanted, changed), |row: &Setting, (wanted, changed)| {
        (row.key.to_lowercase().contains(wanted) || row.help.to_lowercase().contains(wanted))
            && (!changed || row.source != "default")
    });
    let toggle = {
        let set = set.clone();
        Callback::from(move |_: MouseEvent| {
            set.emit(vec![("source", if changed { String::new() } else { "changed".to_owned() })])
        })
    };
    html! {
        <>
            <Toolbar views=true>
                <Search value={query.get("q").to_owned()} placeholder="Name or meaning" on={Callback::from(move |text| set.emit(vec![("q", text)]))} />
                <Chip on={changed} onclick={toggle}>{ "Only changed" }</Chip>
            </Toolbar>
            { listed(&settings, 12, |_| html! { <DataTable<Setting> {rows} {columns} name="Settings" empty={html! { <Empty title="No setting of that name" /> }} /> }) }
        </>
    }
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn values_are_shown_without_their_quotes() {
        assert_eq!(bare("\"127.0.0.1:80\""), "127.0.0.1:80");
        assert_eq!(bare("12"), "12");
        assert_eq!(bare("\"\""), "—");
        assert_eq!(bare("\""), "\"");
    }
}
