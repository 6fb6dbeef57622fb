//! What rules found in the logs of all branches: what waits where, and the queue of cases. A case is worked on at its box,
//! which a row leads to.

use crate::{
    api::{self, List, with_query},
    components::{
        Ago, Card, Chip, Column, DataTable, Dialog, Empty, Icon, Kpi, Pick, Row, Search, Slot, StateChips, Tag, Tone,
        Toolbar, button::LINK, form::options, list::Set, list::state_of, loaded, paged, status::sentence, use_opened,
        use_search,
    },
    data::{Query, use_pages, use_query, use_resource},
    format,
    route::Route,
    words,
};
use sent_contract::{
    Micros, Uuid,
    identity::Named,
    security::{AtBox, BranchSecurity, FleetAlert, FleetCase, SecurityCounts, Severities, key},
};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

/// What is said when a box has sent something.
pub const NEWS: &[&str] = &["fleet.boxes", "fleet.entries"];

/// Branches that are shown above the queue; all of them on a page of their own.
const WORST: usize = 6;

/// A link with one filter.
type Filtered = Link<Route, BTreeMap<&'static str, String>>;

impl Row for FleetCase {
    fn key(&self) -> String {
        key(self.box_ref.id, self.row.id)
    }
}

impl Row for BranchSecurity {
    fn key(&self) -> String {
        self.branch.id.to_string()
    }
}

/// How bad something is.
pub fn severity_tag(severity: &str) -> Html {
    let tone = match severity {
        "critical" | "high" => Tone::Bad,
        "medium" => Tone::Warn,
        _ => Tone::Plain,
    };
    html! { <Tag {tone}>{ words::severity(severity) }</Tag> }
}

/// `2 critical · 1 low`.
pub fn severities(counts: &Severities) -> String {
    let some = counts.each().into_iter().filter(|(_, number)| *number > 0);
    some.map(|(name, number)| format!("{} {name}", format::count(number))).collect::<Vec<_>>().join(" · ")
}

/// Where a row is from. On a phone the branch is enough.
pub fn place<T: 'static>() -> [Column<AtBox<T>>; 2] {
    [
        Column::new("Branch", |row: &AtBox<T>| row.branch.name.clone())
            .cell(|row| html! { <span title={format!("Box {}", row.box_ref.name)}>{ &row.branch.name }</span> })
            .at(Slot::Detail),
        Column::new("Customer", |row: &AtBox<T>| row.organization.name.clone()).class("text-ink-2"),
    ]
}

/// A time that tells how long ago it was.
pub fn ago<T: 'static>(title: &'static str, at: fn(&T) -> Micros) -> Column<T> {
    Column::new(title, move |row: &T| format::iso(at(row))).cell(move |row| html! { <Ago at={at(row)} /> })
}

/// A number that only counts where there is one.
fn some(number: u64) -> Html {
    if number > 0 {
        format::count(number).into()
    } else {
        html! { <span class="text-ink-3">{ "—" }</span> }
    }
}

/// The way to a box.
pub fn to_box(named: &Named) -> Html {
    html! { <Link<Route> to={Route::Machine { id: named.id.to_string() }} classes={LINK}>{ format!("Go to {}", named.name) }</Link<Route>> }
}

/// Filters of the address that end when they are pressed: what each is called, where that is known.
pub fn chips(query: &Query, set: &Set, names: &[(&'static str, Option<String>)]) -> Html {
    names
        .iter()
        .filter(|(name, _)| !query.get(name).is_empty())
        .map(|(name, label)| {
            let name = *name;
            let drop = set.reform(move |_: MouseEvent| vec![(name, String::new())]);
            html! { <Chip on=true onclick={drop}>{ label.clone().unwrap_or_else(|| name.to_owned()) }<Icon name="close" class="size-3" /></Chip> }
        })
        .collect()
}

/// Name, label and length in microseconds of the times that can be chosen.
const SPANS: [(&str, &str, i64); 5] = [
    ("", "Any time", 0),
    ("1h", "Last hour", 3_600_000_000),
    ("24h", "Last 24 hours", 86_400_000_000),
    ("7d", "Last 7 days", 7 * 86_400_000_000),
    ("30d", "Last 30 days", 30 * 86_400_000_000),
];

/// The address's `since`, as the moment it began when it was chosen: an address that grew with the clock would be asked anew
/// at every tick.
#[hook]
pub fn use_since(query: &Query) -> String {
    let from = use_memo(query.get("since").to_owned(), |since| {
        let span = SPANS.iter().find(|(name, ..)| name == since).map_or(0, |(.., span)| *span);
        if span > 0 { (format::now() - span).to_string() } else { String::new() }
    });
    (*from).clone()
}

/// How bad and how old, as fields.
pub fn filters(query: &Query, set: &Set, levels: &[(&'static str, &'static str)]) -> Html {
    let times: Vec<_> = SPANS.iter().map(|(name, label, _)| ((*name).into(), (*label).into())).collect();
    html! {
        <>
            <Pick label="Severity" class="w-auto" value={query.get("severity").to_owned()} options={options(levels)} on={set.reform(|value| vec![("severity", value)])} />
            <Pick label="Time" class="w-auto" value={query.get("since").to_owned()} options={times} on={set.reform(|value| vec![("since", value)])} />
        </>
    }
}

fn columns() -> Vec<Column<FleetCase>> {
    let [branch, customer] = place();
    vec![
        Column::new("Severity", |row: &FleetCase| row.row.severity.clone())
            .cell(|row| severity_tag(&row.row.severity))
            .at(Slot::Value),
        Column::new("Case", |row: &FleetCase| row.row.title.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("About", |row: &FleetCase| about(&row.row.host, &row.row.user)).at(Slot::Detail),
        branch,
        customer,
        Column::new("State", |row: &FleetCase| row.row.state.clone()).cell(|row| state(&row.row.state)),
        Column::new("Owner", |row: &FleetCase| row.row.owner.clone()).class("text-ink-2"),
        Column::new("Events", |row: &FleetCase| row.row.events.to_string())
            .num()
            .cell(|row| format::count(row.row.events).into()),
        ago("Last event", |row: &FleetCase| row.row.last_at).at(Slot::Meta),
    ]
}

fn state(state: &str) -> Html {
    let tone = if state == "closed" { Tone::Ok } else { Tone::Plain };
    html! { <Tag {tone}>{ sentence(state) }</Tag> }
}

fn about(host: &str, user: &str) -> String {
    [host, user].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn branch_columns() -> Vec<Column<BranchSecurity>> {
    let severity = |title: &'static str, of: fn(&Severities) -> u64| {
        Column::new(title, move |row: &BranchSecurity| of(&row.counts.cases).to_string())
            .num()
            .cell(move |row| some(of(&row.counts.cases)))
    };
    vec![
        Column::new("Branch", |row: &BranchSecurity| row.branch.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Customer", |row: &BranchSecurity| row.organization.name.clone())
            .class("text-ink-2")
            .at(Slot::Detail),
        Column::new("Box", |row: &BranchSecurity| {
            row.boxes.iter().map(|named| named.name.as_str()).collect::<Vec<_>>().join(", ")
        })
        .cell(boxes)
        .fill(),
        Column::new("Waiting", |row: &BranchSecurity| severities(&row.counts.cases))
            .cell(|row| match row.counts.cases.worst() {
                Some(worst) => severity_tag(worst),
                None => html! { <Tag tone={Tone::Ok}>{ "Nothing open" }</Tag> },
            })
            .at(Slot::Value),
        severity("Critical", |counts| counts.critical),
        severity("High", |counts| counts.high),
        severity("Medium", |counts| counts.medium),
        severity("Low", |counts| counts.low + counts.informational),
        Column::new("Detections", |row: &BranchSecurity| row.counts.detections.total().to_string())
            .num()
            .cell(|row| some(row.counts.detections.total())),
        Column::new("Devices", |row: &BranchSecurity| row.counts.devices.to_string())
            .num()
            .cell(|row| some(row.counts.devices)),
        Column::new("Certificates", |row: &BranchSecurity| row.counts.certificates.to_string())
            .num()
            .cell(|row| some(row.counts.certificates)),
        Column::new("Newest", |row: &BranchSecurity| row.counts.last_at.map(format::iso).unwrap_or_default())
            .cell(|row| html! { <Ago at={row.counts.last_at} /> })
            .at(Slot::Meta),
    ]
}

/// The boxes of a branch, each the way to its page.
fn boxes(row: &BranchSecurity) -> Html {
    row.boxes
        .iter()
        .map(|named| html! { <Link<Route> to={Route::Machine { id: named.id.to_string() }} classes="mr-2 text-accent hover:underline">{ &named.name }</Link<Route>> })
        .collect()
}

/// The page.
#[component]
pub fn Security() -> Html {
    let (query, set) = use_query();
    if query.get("show") == "branches" {
        return html! { <Branches {query} {set} /> };
    }
    html! { <Queue {query} {set} /> }
}

#[derive(Properties, PartialEq)]
struct PartProps {
    query: Query,
    set: Set,
}

/// Every branch with what waits there.
#[component]
fn Branches(props: &PartProps) -> Html {
    let PartProps { query, set } = props;
    let (typed, on_type) = use_search(query, set, "q");
    let path = with_query(
        "/api/fleet/security/branches",
        &["organization", "q"].map(|name| (name, query.get(name).to_owned())),
    );
    let pages = use_pages::<BranchSecurity>(path, NEWS);
    let columns = use_memo((), |()| branch_columns());
    let on_open = use_callback(set.clone(), open_branch);
    let back = set.reform(|_: MouseEvent| vec![("show", String::new()), ("q", String::new())]);
    let empty = html! { <Empty title="No branch matches" text="A branch stands here as soon as it has a box." /> };
    html! {
        <>
            <Toolbar views=true>
                <Chip on=true onclick={back}>{ "Branches" }<Icon name="close" class="size-3" /></Chip>
                <Search value={typed} placeholder="Branch or customer" on={on_type} />
                { chips(query, set, &[("organization", None)]) }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<BranchSecurity> {rows} {columns} name="Branches" {on_open} on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
        </>
    }
}

/// Leads to the queue of a branch.
fn open_branch(row: BranchSecurity, set: &Set) {
    set.emit(vec![("branch", row.branch.id.to_string()), ("show", String::new()), ("q", String::new())]);
}

/// Severities as a field offers them.
const LEVELS: [(&str, &str); 6] = [
    ("", "Any severity"),
    ("critical", "Critical"),
    ("high", "High"),
    ("medium", "Medium"),
    ("low", "Low"),
    ("informational", "Informational"),
];

/// What waits, the worst branches, and the cases of all.
#[component]
fn Queue(props: &PartProps) -> Html {
    let PartProps { query, set } = props;
    let (shown, asked) = state_of(query, "active");
    let (typed, on_type) = use_search(query, set, "q");
    let from = use_since(query);
    let counts = use_resource::<SecurityCounts>(Some("/api/fleet/security/counts".into()), NEWS);
    let branches = use_pages::<BranchSecurity>("/api/fleet/security/branches".into(), NEWS);
    let text = |name: &'static str| (name, query.get(name).to_owned());
    let path = with_query(
        "/api/fleet/security/cases",
        &[
            text("organization"),
            text("branch"),
            text("box"),
            text("severity"),
            text("q"),
            ("state", asked),
            ("from", from),
        ],
    );
    let pages = use_pages::<FleetCase>(path, NEWS);
    let columns = use_memo((), |()| columns());
    let opened = use_opened::<FleetCase>();
    let filtered = query.any(&["organization", "branch", "box", "severity", "q", "since"]);
    let (title, said) = match shown.as_str() {
        _ if filtered => ("No case matches", "Loosen a filter."),
        "active" => ("Nothing waits", "What rules find in the logs of any branch appears here within seconds."),
        _ => ("No cases", "None in this state."),
    };
    let empty = html! { <Empty {title} text={said} /> };
    let known = branches.rows.as_ref().map(|rows| rows.as_slice()).unwrap_or_default();
    let branch = known.iter().find(|row| row.branch.id.to_string() == query.get("branch"));
    html! {
        <>
            { loaded(&counts, 2, |counts| html! { <Headline counts={**counts} /> }) }
            <Worst rows={branches.rows.clone()} set={set.clone()} />
            <Toolbar views=true>
                <Search value={typed} placeholder="Title, host, user, technique" on={on_type} />
                <StateChips state={shown.clone()} set={set.clone()} options={vec![("active", "Not closed"), ("open", "Open"), ("working", "Working"), ("closed", "Closed"), ("all", "All")]} />
                { filters(query, set, &LEVELS) }
                { chips(query, set, &[("branch", branch.map(|row| row.branch.name.clone())), ("organization", None), ("box", None)]) }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<FleetCase> {rows} {columns} name="Cases" whole=true on_open={opened.open.clone()} on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
            if let Some(row) = &opened.row { <Detail row={row.clone()} on_close={opened.close.clone()} /> }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct HeadlineProps {
    counts: SecurityCounts,
}

#[component]
fn Headline(props: &HeadlineProps) -> Html {
    let counts = &props.counts;
    let note = |severities: String, none: &'static str| {
        if severities.is_empty() { none.to_owned() } else { severities }
    };
    let network = |show: &'static str, label: &'static str| {
        html! { <Filtered to={Route::Network} query={BTreeMap::from([("show", show.to_owned())])} classes="text-accent hover:underline">{ label }</Filtered> }
    };
    html! {
        <div class="grid shrink-0 grid-cols-2 gap-3.5 lg:grid-cols-4">
            <Kpi label="Cases not closed" value={format::count(counts.cases.total())} note={note(severities(&counts.cases), "no rule found anything")} />
            <Kpi label="Detections" value={format::count(counts.detections.total())} note={note(severities(&counts.detections), "the networks are quiet")} />
            <Kpi label="Devices with detections" value={format::count(counts.devices)} note={network("devices", "See the devices")} />
            <Kpi label="Certificates ending" value={format::count(counts.certificates)} note={network("certificates", "Within 30 days, or over")} />
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct WorstProps {
    rows: Option<Rc<Vec<BranchSecurity>>>,
    set: Set,
}

/// The branches where most waits.
#[component]
fn Worst(props: &WorstProps) -> Html {
    let columns = use_memo((), |()| branch_columns());
    let all = props.rows.as_ref().map_or(0, |rows| rows.len());
    let rows = use_memo(props.rows.as_ref().map(|rows| Rc::as_ptr(rows) as usize), |_| {
        props.rows.iter().flat_map(|rows| rows.iter().take(WORST).cloned()).collect::<Vec<_>>()
    });
    let on_open = use_callback(props.set.clone(), open_branch);
    if all == 0 {
        return Html::default();
    }
    let more = props.set.reform(|_: MouseEvent| vec![("show", "branches".to_owned())]);
    html! {
        <>
            <DataTable<BranchSecurity> {rows} {columns} name="Branches" whole=true keys=false {on_open} total={Some(all as u64)} empty={Html::default()} />
            if all > WORST {
                <button type="button" class="self-start text-accent hover:underline" onclick={more}>{ format!("All {} branches", format::count(all as u64)) }</button>
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    row: Rc<FleetCase>,
    on_close: Callback<()>,
}

/// A case with its alerts.
#[component]
fn Detail(props: &DetailProps) -> Html {
    let case = &props.row.row;
    let at: Uuid = props.row.box_ref.id;
    let path = format!("/api/fleet/security/alerts?box={at}&case={}&limit=50", api::escape(&case.id.to_string()));
    let alerts = use_resource::<List<FleetAlert>>(Some(path), NEWS);
    html! {
        <Dialog title={case.title.clone()} wide=true on_close={props.on_close.clone()} footer={to_box(&props.row.box_ref)}>
            <p class="mb-3 flex flex-wrap items-center gap-2">
                { severity_tag(&case.severity) }{ state(&case.state) }
                { for case.techniques.iter().map(|technique| html! { <Tag>{ technique }</Tag> }) }
                <span class="text-ink-3">{ format!("{} · {}", props.row.organization.name, props.row.branch.name) }</span>
            </p>
            <dl class="mb-3 grid grid-cols-[7rem_minmax(0,1fr)] gap-y-1">
                if !case.host.is_empty() { <dt class="text-ink-3">{ "Host" }</dt><dd class="font-mono text-sm">{ &case.host }</dd> }
                if !case.user.is_empty() { <dt class="text-ink-3">{ "User" }</dt><dd class="font-mono text-sm">{ &case.user }</dd> }
                <dt class="text-ink-3">{ "Rule" }</dt><dd class="truncate font-mono text-sm">{ &case.rule }</dd>
                <dt class="text-ink-3">{ "First event" }</dt><dd>{ format::absolute(case.opened_at) }</dd>
                <dt class="text-ink-3">{ "Last event" }</dt><dd>{ format::absolute(case.last_at) }</dd>
                if !case.owner.is_empty() { <dt class="text-ink-3">{ "Owner" }</dt><dd>{ &case.owner }</dd> }
                if !case.verdict.is_empty() { <dt class="text-ink-3">{ "Ended as" }</dt><dd>{ sentence(&words::plain(&case.verdict)) }</dd> }
            </dl>
            <Card title="Alerts" pad=false aside={format::counted(case.events, "event", "events")}>
                { loaded(&alerts, 3, |list| html! {
                    <ul>{ for list.items.iter().map(alert) }</ul>
                }) }
            </Card>
            <p class="mt-3 text-sm text-ink-3">{ "The evidence and the logs stay at the branch: the case is worked on at its box." }</p>
        </Dialog>
    }
}

fn alert(alert: &FleetAlert) -> Html {
    let row = &alert.row;
    html! {
        <li key={row.id.to_string()} class="flex items-center gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
            { severity_tag(&row.severity) }
            <span class="min-w-0 flex-1 truncate">
                { about(&row.host, &row.user) }
                if !row.author.is_empty() { <span class="text-ink-3">{ format!(" · rule by {}", row.author) }</span> }
            </span>
            <span class="text-sm tabular-nums text-ink-3">{ format::counted(row.count, "event", "events") }</span>
            <span class="text-sm text-ink-3"><Ago at={row.last_at} /></span>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_is_counted() {
        let counts = Severities { critical: 2, low: 1, ..Severities::default() };
        assert_eq!(severities(&counts), "2 critical · 1 low");
        assert_eq!(severities(&Severities::default()), "");
        assert_eq!(about("web-1", ""), "web-1");
        assert_eq!(about("web-1", "root"), "web-1 · root");
    }
}
