//! What is kept quiet: for which rule and which events, why, until when, and who said so.

use super::ViewProps;
use crate::{
    api::List,
    components::{
        Ago, Button, Column, Confirm, DataTable, Empty, NewButton, Row, Slot, Toolbar, Until, listed, use_flag,
        use_opened, use_rows, use_sending,
    },
    data::use_resource,
    format,
    pages::radar::{Excepting, ExceptionDialog},
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::radar::{Exception, Rule};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;

impl Row for Exception {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// `user.name is backup*, host.name is nas-1`.
fn condition(exception: &Exception) -> String {
    if exception.fields.is_empty() {
        return "any event".to_owned();
    }
    exception.fields.iter().map(|(name, value)| format!("{name} is {value}")).collect::<Vec<_>>().join(", ")
}

/// Titles of rules by their id.
type Titles = Rc<BTreeMap<String, String>>;

fn rule(exception: &Exception, titles: &Titles) -> String {
    match exception.rule.as_str() {
        "" => "All rules".to_owned(),
        id => titles.get(id).cloned().unwrap_or_else(|| id.to_owned()),
    }
}

fn columns(titles: &Titles) -> Vec<Column<Exception>> {
    let titles = titles.clone();
    vec![
        Column::new("Rule", move |exception: &Exception| rule(exception, &titles))
            .class("font-medium max-w-72!")
            .at(Slot::Title),
        Column::new("Where", condition).class("font-mono text-sm").fill().at(Slot::Detail),
        Column::new("Why", |exception: &Exception| exception.reason.clone()).class("max-w-72! text-ink-2"),
        Column::new("By", |exception: &Exception| exception.author.clone()).class("text-ink-2"),
        Column::new("Made", |exception: &Exception| format::iso(exception.created_at))
            .cell(|exception| html! { <Ago at={exception.created_at} /> })
            .class("text-ink-2"),
        Column::new("Ends", |exception: &Exception| exception.expires_at.map(format::iso).unwrap_or_default())
            .cell(|exception| match exception.expires_at {
                Some(at) => html! { <Until {at} /> },
                None => html! { <span class="text-warn-ink">{ "Never" }</span> },
            })
            .at(Slot::Value),
    ]
}

#[component]
pub(super) fn Exceptions(props: &ViewProps) -> Html {
    let may = use_session().may("radar.exception.write");
    let exceptions = use_resource::<List<Exception>>(Some("/api/radar/exceptions".into()), &["table:radar_exceptions"]);
    let rules = use_resource::<List<Rule>>(Some("/api/radar/rules".into()), &["table:radar_rules"]);
    let titles: Titles = use_memo(rules.data.as_ref().map(|list| Rc::as_ptr(list) as usize), |_| {
        let known = rules.data.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
        known.iter().map(|rule| (rule.id.clone(), rule.title.clone())).collect()
    });
    let columns = use_memo(titles.clone(), columns);
    let rows = use_rows(&exceptions, (), |_, ()| true);
    let opened = use_opened::<Exception>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New exception" onclick={make.clone()} /> } };
    let empty = html! {
        <Empty title="Nothing is kept quiet" text="Where a rule says too much, make an exception from a field of its alert, with a reason and an end.">
            if may { <Button onclick={make.reform(|_: MouseEvent| ())}>{ "For all rules" }</Button> }
        </Empty>
    };
    let from = Excepting { rule: String::new(), title: String::new(), fields: Vec::new(), known: Rc::default() };
    html! {
        <>
            <Toolbar {actions}>{ props.views.clone() }</Toolbar>
            { listed(&exceptions, 4, |_| html! { <DataTable<Exception> {rows} {columns} name="Exceptions" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if making { <ExceptionDialog {from} on_close={made} on_done={exceptions.reload.clone()} /> }
            if let Some(exception) = &opened.row {
                <End exception={exception.clone()} rule={rule(exception, &titles)} on_close={opened.close.clone()} on_done={exceptions.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct EndProps {
    exception: Rc<Exception>,
    rule: String,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// Ends an exception.
#[component]
fn End(props: &EndProps) -> Html {
    let exception = &props.exception;
    let sending = use_sending(&props.on_close, &props.on_done);
    let end = {
        let (sending, path) = (sending.clone(), format!("/api/radar/exceptions/{}", exception.id));
        Callback::from(move |()| sending.act(Method::DELETE, path.clone(), "Exception ended"))
    };
    html! {
        <Confirm title="End the exception" verb="End it" busy={sending.busy} error={sending.error.clone()} on_confirm={end} on_close={props.on_close.clone()}>
            <p>{ "From now on such events raise alerts again:" }</p>
            <p class="mt-2 font-medium text-ink">{ &props.rule }</p>
            <p class="font-mono text-sm break-words">{ condition(exception) }</p>
            <p class="mt-2">{ "“" }{ &exception.reason }{ "”, " }{ &exception.author }{ ", " }{ format::day(exception.created_at) }</p>
        </Confirm>
    }
}
