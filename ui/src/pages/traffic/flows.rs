//! Flows one by one, the newest first, each with its packets.

use crate::{
    api::with_query,
    components::{Ago, Button, Column, DataTable, Dot, Empty, Icon, Kind, Row, Slot, Tone, paged, status::sentence},
    data::use_pages,
    format,
    pages::guard::{Holders, app, packets_of, use_packets},
    session::use_session,
};
use sent_contract::guard::Flow;
use yew::prelude::*;

impl Row for Flow {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// Properties of [`Flows`].
#[derive(Properties, PartialEq)]
pub struct FlowsProps {
    /// Time and filters, as the route has them.
    pub query: Vec<(&'static str, String)>,
    /// Who has which address.
    pub holders: Holders,
    /// Nothing is captured at all.
    pub deaf: bool,
}

fn called(holders: &Holders, address: &str) -> Option<String> {
    holders.get(address).and_then(|(name, _)| name.clone())
}

/// Name, or address, and port.
fn end(name: Option<String>, address: &str, port: u16) -> Html {
    let whole = if port == 0 { address.to_owned() } else { format!("{address}, port {port}") };
    html! {
        <span title={whole}>
            { name.unwrap_or_else(|| address.to_owned()) }
            if port != 0 { <span class="text-ink-3">{ ":" }{ port }</span> }
        </span>
    }
}

fn state(flow: &Flow) -> Html {
    let tone = match flow.state.as_str() {
        "unanswered" | "refused" | "reset" => Tone::Warn,
        "answered" | "closed" => Tone::Ok,
        _ => Tone::Plain,
    };
    html! { <span class="inline-flex items-center gap-1.5"><Dot {tone} />{ sentence(&flow.state) }</span> }
}

fn columns(holders: &Holders, packets: Option<Callback<(String, String)>>) -> Vec<Column<Flow>> {
    let (from, to, from_name) = (holders.clone(), holders.clone(), holders.clone());
    let mut columns = vec![
        Column::new("Ended", |flow: &Flow| format::iso(flow.end))
            .cell(|flow| html! { <Ago at={flow.end} /> })
            .class("text-ink-3")
            .at(Slot::Meta),
        Column::new("From", move |flow: &Flow| called(&from_name, &flow.src).unwrap_or_else(|| flow.src.clone()))
            .cell(move |flow| end(called(&from, &flow.src), &flow.src, flow.sport))
            .at(Slot::Detail),
        Column::new("To", |flow: &Flow| flow.name.clone().unwrap_or_else(|| flow.dst.clone()))
            .cell(move |flow| end(flow.name.clone().or_else(|| called(&to, &flow.dst)), &flow.dst, flow.dport))
            .class("font-medium")
            .fill()
            .at(Slot::Title),
        Column::new("Spoken", |flow: &Flow| flow.app.clone().unwrap_or_default()).cell(spoken).at(Slot::Detail),
        Column::new("State", |flow: &Flow| flow.state.clone()).cell(state),
        Column::new("JA4", |flow: &Flow| flow.ja4.clone().unwrap_or_default())
            .class("max-w-32! font-mono text-sm text-ink-3"),
        Column::new("There", |flow: &Flow| flow.bytes_out.to_string())
            .num()
            .cell(|flow| format::bytes(flow.bytes_out as f64).into()),
        Column::new("Back", |flow: &Flow| flow.bytes_in.to_string())
            .num()
            .cell(|flow| format::bytes(flow.bytes_in as f64).into())
            .at(Slot::Value),
    ];
    if let Some(packets) = packets {
        let take = move |flow: &Flow| {
            let wanted = packets_of(flow);
            html! {
                <Button kind={Kind::Ghost} class="min-h-7! px-2 text-sm" label="Save this flow's packets as pcapng" onclick={packets.reform(move |_: MouseEvent| wanted.clone())}>
                    <Icon name="download" class="size-3.5" />{ "Packets" }
                </Button>
            }
        };
        columns.push(Column::new("", |_: &Flow| String::new()).cell(take));
    }
    columns
}

/// What is spoken; above what, where nobody knows.
fn spoken(flow: &Flow) -> Html {
    match &flow.app {
        Some(_) => html! { app(flow.app.as_deref()) },
        None => html! { <span class="text-ink-3" title="Not recognised">{ flow.proto.to_uppercase() }</span> },
    }
}

/// The list.
#[component]
pub fn Flows(props: &FlowsProps) -> Html {
    let may = use_session().may("guard.packets");
    let packets = use_packets();
    let pages = use_pages::<Flow>(with_query("/api/guard/flows", &props.query), &[]);
    let columns = use_memo((props.holders.clone(), may), |(holders, may)| columns(holders, may.then_some(packets)));
    let empty = if props.deaf {
        html! { <Empty title="No flows" text="Nothing was captured in this time." /> }
    } else {
        html! { <Empty title="No flow matches" text="Choose a longer time, or loosen a filter. A flow is listed when it has ended, or every five minutes while it lasts." /> }
    };
    let some = pages.rows.as_ref().is_some_and(|rows| !rows.is_empty());
    html! {
        <div class={classes!("flex", "shrink-0", "flex-col", some.then_some("h-[30rem]"))}>
            { paged(&pages, |rows| html! {
                <DataTable<Flow> {rows} {columns} name="Flows" on_more={pages.more.clone()} every={pages.every.clone()} {empty} />
            }) }
        </div>
    }
}
