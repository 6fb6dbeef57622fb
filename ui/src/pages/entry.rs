//! One entry: its lines, its links to what reversed it, its timeline at the right, and the reversal.

use crate::{
    api::{self, List},
    components::{Ago, Button, Card, Field, FormDialog, Icon, Input, Tag, loaded, use_form, use_sending},
    data::use_resource,
    format,
    pages::journal::{amounts, debits, state},
    route::Route,
    session::use_session,
    words,
};
use sent_contract::{
    audit,
    capital::{Entry as Posted, Reverse},
};
use std::rc::Rc;
use uuid::Uuid;
use yew::prelude::*;
use yew_router::prelude::*;

/// Properties of [`Entry`].
#[derive(Properties, PartialEq)]
pub struct EntryProps {
    /// Its id.
    pub id: String,
}

/// The page.
#[component]
pub fn Entry(props: &EntryProps) -> Html {
    let entry = use_resource::<Posted>(
        Some(format!("/api/capital/entries/{}", api::escape(&props.id))),
        &["table:entries", "sync"],
    );
    let timeline = use_resource::<List<audit::Entry>>(
        Some(format!("/api/audit?table=entries&key={}&limit=20", api::escape(&props.id))),
        &["audit"],
    );
    let history = html! {
        <Card title="Timeline" pad=false>
            { loaded(&timeline, 3, |timeline| html! { <Timeline entries={timeline.items.clone()} /> }) }
        </Card>
    };
    if entry.data.is_none() {
        return html! { <Card pad=false>{ loaded(&entry, 8, |_| Html::default()) }</Card> };
    }
    loaded(&entry, 8, |entry| {
        html! {
            <div class="grid grid-cols-1 items-start gap-3.5 lg:grid-cols-[minmax(0,1fr)_20rem]">
                <Full entry={entry.clone()} />
                { history }
            </div>
        }
    })
}

#[derive(Properties, PartialEq)]
struct FullProps {
    entry: Rc<Posted>,
}

#[component]
fn Full(props: &FullProps) -> Html {
    let entry = &props.entry;
    let session = use_session();
    let reversing = use_state_eq(|| false);
    let set = |value: bool| {
        let reversing = reversing.clone();
        Callback::from(move |()| reversing.set(value))
    };
    let base = entry.lines.iter().any(|line| line.base.is_some());
    let link = |id: Option<Uuid>, text: &'static str| {
        id.map(|id| html! { <Link<Route> to={Route::Entry { id: id.to_string() }} classes="text-accent hover:underline">{ text }</Link<Route>> })
    };
    html! {
        <Card pad=false>
            <header class="flex flex-wrap items-start gap-x-4 gap-y-2 border-b border-line-2 px-3.5 py-3">
                <div class="min-w-0">
                    <p class="font-mono text-sm text-ink-3">{ &entry.number }</p>
                    <h2 class="text-lg font-semibold">{ &entry.description }</h2>
                    <p class="flex flex-wrap items-center gap-2 text-ink-2">
                        { format::plain_date(&entry.date) }{ state(entry) }
                        { link(entry.reverses, "reverses this entry") }{ link(entry.reversed_by, "reversed by this entry") }
                    </p>
                </div>
                <div class="ml-auto flex items-center gap-2">
                    <b class="text-lg font-semibold tabular-nums">{ amounts(&debits(entry)) }</b>
                    if entry.reversed_by.is_none() && entry.reverses.is_none() && session.may("capital.entry.reverse") {
                        <Button onclick={set(true).reform(|_: MouseEvent| ())}>{ "Reverse…" }</Button>
                    }
                </div>
            </header>
            <div class="overflow-x-auto">
                <table class="table">
                    <thead><tr>
                        <th scope="col">{ "Account" }</th><th scope="col" class="hidden md:table-cell">{ "Note" }</th>
                        <th scope="col" class="num">{ "Debit" }</th><th scope="col" class="num">{ "Credit" }</th><th scope="col" class="hidden md:table-cell">{ "Currency" }</th>
                        if base { <th scope="col" class="num hidden md:table-cell">{ "Base" }</th> }
                    </tr></thead>
                    <tbody>
                        for (index, line) in entry.lines.iter().enumerate() {
                            <tr key={index}>
                                <td class="entry-account font-medium">{ &line.account }{ " " }<span class="font-normal text-ink-3 md:hidden">{ &line.currency }{ " " }</span>if line.system { <Tag>{ "by the system" }</Tag> }</td>
                                <td class="hidden text-ink-2 md:table-cell">{ line.memo.clone().unwrap_or_default() }</td>
                                <td class="num">if line.amount.is_sign_positive() { { format::money(line.amount, &line.currency) } }</td>
                                <td class="num">if line.amount.is_sign_negative() { { format::money(line.amount.abs(), &line.currency) } }</td>
                                <td class="hidden text-ink-3 md:table-cell">{ &line.currency }</td>
                                if base { <td class="num hidden text-ink-2 md:table-cell">{ line.base.map(|base| format::money(base, "")).unwrap_or_default() }</td> }
                            </tr>
                        }
                    </tbody>
                </table>
            </div>
            if *reversing {
                <ReverseDialog entry={entry.clone()} on_close={set(false)} />
            }
        </Card>
    }
}

#[derive(Properties, PartialEq)]
struct ReverseProps {
    entry: Rc<Posted>,
    on_close: Callback<()>,
}

#[component]
fn ReverseDialog(props: &ReverseProps) -> Html {
    let navigator = use_navigator();
    let id = use_memo((), |()| api::new_id());
    let date = use_form(|| props.entry.date.clone());
    let why = use_form(String::new);
    let sending = use_sending(&props.on_close, &Callback::noop());
    let submit = {
        let (date, why, sending, entry) = (date.clone(), why.clone(), sending.clone(), props.entry.id);
        Callback::from(move |()| {
            let body = Reverse {
                id: *id,
                date: Some((*date).clone()).filter(|date| !date.is_empty()),
                description: Some(why.trim().to_owned()).filter(|why| !why.is_empty()),
            };
            let navigator = navigator.clone();
            let request =
                async move { api::post::<Posted>(&format!("/api/capital/entries/{entry}/reverse"), &body).await };
            sending.run(request, move |made| {
                if let Some(navigator) = navigator {
                    navigator.push(&Route::Entry { id: made.id.to_string() });
                }
                format!("{} posted", made.number).into()
            });
        })
    };
    html! {
        <FormDialog title={format!("Reverse {}", props.entry.number)} verb="Post the reversal" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit}>
            <p class="mb-3 text-ink-2">{ "A new entry with every line on the other side is posted. Both stay in the books." }</p>
            <div class="grid gap-3">
                <Field label="Date" error={sending.field("date")}><Input name="date" kind="date" value={(*date).clone()} on={date.on(|date, text| *date = text)} /></Field>
                <Field label="Why" error={sending.field("description")}><Input name="description" value={(*why).clone()} on={why.on(|why, text| *why = text)} autofocus=true placeholder={format!("Reversal of {}", props.entry.number)} /></Field>
            </div>
        </FormDialog>
    }
}

#[derive(Properties, PartialEq)]
struct TimelineProps {
    entries: Vec<audit::Entry>,
}

/// What happened to it, newest first.
#[component]
fn Timeline(props: &TimelineProps) -> Html {
    if props.entries.is_empty() {
        return html! { <p class="px-3.5 py-3 text-ink-3">{ "Nothing else happened to it." }</p> };
    }
    html! {
        <ol>
            for entry in props.entries.iter() {
                <li key={entry.sequence} class="flex items-start gap-2.5 border-b border-line-2 px-3.5 py-2 last:border-0">
                    <Icon name="check" class="mt-0.5 size-3.5 text-ink-3" />
                    <span class="min-w-0 flex-1"><b class="font-medium">{ &entry.actor }</b><br /><span class="text-sm text-ink-3" title={entry.action.clone()}>{ words::action(&entry.action) }</span></span>
                    <span class="text-sm text-ink-3"><Ago at={entry.at} /></span>
                </li>
            }
        </ol>
    }
}
