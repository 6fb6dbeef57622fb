//! Packs of Sigma rules: kept here version by version, rolled out to boxes after a look at what that would do, and how they
//! stand on each box.

use super::{
    bulk::Outcome,
    fleet_security::{NEWS, chips},
};
use crate::{
    api::{self, List, with_query},
    components::{
        Ago, Button, Card, Column, Confirm, DataTable, Dialog, Empty, Field, FormDialog, Icon, Input, Kind, NewButton,
        Pick, Refusal, Row, Search, Slot, Tag, TextArea, Tone, Toolbar, button::LINK, form::options, list::Set, listed,
        paged, status::sentence, use_flag, use_form, use_opened, use_rows, use_search, use_sending,
    },
    data::{Query, use_pages, use_query, use_resource},
    format,
    route::Route,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::{
    Uuid,
    fleet::{BulkOutcome, Organization},
    packs::{FleetPack, PackAction, PackBox, PackVersion},
};
use std::{collections::BTreeSet, rc::Rc};
use web_sys::{File, HtmlInputElement};
use yew::prelude::*;
use yew_router::prelude::*;

const PACKS: &str = "/api/fleet/packs";
const WRITE: &str = "fleet.pack.write";

impl Row for FleetPack {
    fn key(&self) -> String {
        self.name.clone()
    }
}

impl Row for PackVersion {
    fn key(&self) -> String {
        self.version.clone()
    }
}

impl Row for PackBox {
    fn key(&self) -> String {
        self.box_ref.id.to_string()
    }
}

/// The page.
#[component]
pub fn Packs() -> Html {
    let (query, set) = use_query();
    if query.get("pack").is_empty() {
        return html! { <All {query} {set} /> };
    }
    html! { <One {query} {set} /> }
}

#[derive(Properties, PartialEq)]
struct PartProps {
    query: Query,
    set: Set,
}

fn newest(pack: &FleetPack) -> Option<&PackVersion> {
    pack.versions.first()
}

/// How a pack is doing over all boxes.
fn standing(pack: &FleetPack) -> Html {
    match pack {
        _ if pack.failed > 0 => {
            html! { <Tag tone={Tone::Bad}>{ format!("{} failed", format::counted(pack.failed, "box", "boxes")) }</Tag> }
        }
        _ if pack.running > 0 => {
            html! { <Tag tone={Tone::Ok}>{ format!("Runs on {}", format::counted(pack.running, "box", "boxes")) }</Tag> }
        }
        _ => html! { <Tag>{ "Runs nowhere" }</Tag> },
    }
}

fn pack_columns() -> Vec<Column<FleetPack>> {
    let of = |text: fn(&PackVersion) -> String| move |pack: &FleetPack| newest(pack).map(text).unwrap_or_default();
    vec![
        Column::new("Pack", |pack: &FleetPack| pack.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Stands", |pack: &FleetPack| format!("{} of {}", pack.running, pack.wanted))
            .cell(standing)
            .at(Slot::Value),
        Column::new("Newest version", of(|version| version.version.clone()))
            .class("font-mono text-sm")
            .at(Slot::Detail),
        Column::new("Rule files", of(|version| version.files.to_string())).num(),
        Column::new("By", of(|version| version.attribution.clone())).class("text-ink-2").fill(),
        Column::new("Licence", of(|version| first_line(&version.licence))).class("max-w-48! text-ink-2"),
        Column::new("Wanted on", |pack: &FleetPack| pack.wanted.to_string()).num(),
        Column::new("Runs on", |pack: &FleetPack| pack.running.to_string()).num(),
        Column::new("Uploaded", of(|version| format::iso(version.uploaded_at)))
            .cell(|pack| html! { <Ago at={newest(pack).map(|version| version.uploaded_at)} /> })
            .at(Slot::Meta),
    ]
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Every pack.
#[component]
fn All(props: &PartProps) -> Html {
    let PartProps { query, set } = props;
    let session = use_session();
    let packs = use_resource::<List<FleetPack>>(Some(PACKS.into()), NEWS);
    let (typed, on_type) = use_search(query, set, "q");
    let q = query.get("q").to_lowercase();
    let rows = use_rows(&packs, q, |pack, q| {
        let by = newest(pack).map(|version| version.attribution.to_lowercase()).unwrap_or_default();
        pack.name.contains(q.as_str()) || by.contains(q.as_str())
    });
    let columns = use_memo((), |()| pack_columns());
    let (uploading, upload, uploaded) = use_flag();
    let on_open = use_callback(set.clone(), |pack: FleetPack, set| {
        set.emit(vec![("pack", pack.name), ("q", String::new())]);
    });
    let may = session.may(WRITE);
    let empty = if query.get("q").is_empty() {
        html! {
            <Empty title="No packs yet" text="A pack is an archive of Sigma rules, SigmaHQ's releases for instance. Upload one, then choose the boxes whose logs its rules look at.">
                if may { <Button kind={Kind::Primary} onclick={upload.reform(|_: MouseEvent| ())}>{ "Upload a pack" }</Button> }
            </Empty>
        }
    } else {
        html! { <Empty title="No pack matches" text="Loosen the search." /> }
    };
    let actions = html! { if may { <NewButton label="Upload a pack" onclick={upload.clone()} /> } };
    html! {
        <>
            <Toolbar {actions}><Search value={typed} placeholder="Name or author" on={on_type} /></Toolbar>
            { listed(&packs, 6, |_| html! { <DataTable<FleetPack> {rows} {columns} name="Rule packs" {on_open} {empty} /> }) }
            if uploading { <Upload name="" on_close={uploaded} on_done={packs.reload.clone()} /> }
        </>
    }
}

fn box_columns() -> Vec<Column<PackBox>> {
    vec![
        Column::new("Stands", |row: &PackBox| row.state.clone()).cell(state).at(Slot::Value),
        Column::new("Box", |row: &PackBox| row.box_ref.name.clone())
            .cell(|row| html! { <Link<Route> to={Route::Machine { id: row.box_ref.id.to_string() }} classes="hover:underline">{ &row.box_ref.name }</Link<Route>> })
            .class("font-medium")
            .at(Slot::Title),
        Column::new("Branch", |row: &PackBox| row.branch.name.clone()).at(Slot::Detail),
        Column::new("Customer", |row: &PackBox| row.organization.name.clone()).class("text-ink-2"),
        Column::new("Wanted", |row: &PackBox| row.wanted.as_ref().map(|wish| wish.version.clone()).unwrap_or_default())
            .class("font-mono text-sm"),
        Column::new("Has", |row: &PackBox| row.version.clone().unwrap_or_default()).class("font-mono text-sm").at(Slot::Meta),
        Column::new("Rules", |row: &PackBox| row.rules.to_string()).num().cell(|row| format::count(row.rules).into()),
        Column::new("Broken", |row: &PackBox| row.broken.to_string()).num().cell(|row| match row.broken {
            0 => html! { <span class="text-ink-3">{ "—" }</span> },
            broken => html! { <span class="text-bad-ink">{ format::count(broken) }</span> },
        }),
        Column::new("Cause", |row: &PackBox| row.cause.clone())
            .cell(|row| html! { <span title={sentence(&row.cause)}>{ sentence(&row.cause) }</span> })
            .class("text-ink-2")
            .fill(),
        Column::new("Installed", |row: &PackBox| row.installed_at.map(format::iso).unwrap_or_default())
            .cell(|row| html! { <Ago at={row.installed_at} /> }),
    ]
}

/// How a pack stands on a box, in a word.
fn state(row: &PackBox) -> Html {
    let (tone, word) = match row.state.as_str() {
        "running" => (Tone::Ok, "Running"),
        "off" => (Tone::Plain, "Off"),
        "failed" => (Tone::Bad, "Failed"),
        "own" => (Tone::Plain, "Box's own"),
        _ => (Tone::Warn, "Waiting"),
    };
    html! { <Tag {tone}>{ word }</Tag> }
}

/// One pack: its versions, and the boxes that have it or are to.
#[component]
fn One(props: &PartProps) -> Html {
    let PartProps { query, set } = props;
    let name = query.get("pack").to_owned();
    let session = use_session();
    let packs = use_resource::<List<FleetPack>>(Some(PACKS.into()), NEWS);
    let pack = packs.data.as_ref().and_then(|list| list.items.iter().find(|pack| pack.name == name)).cloned();
    let (typed, on_type) = use_search(query, set, "q");
    let path = with_query(
        &format!("{PACKS}/{}/boxes", api::escape(&name)),
        &["organization", "branch", "q"].map(|name| (name, query.get(name).to_owned())),
    );
    let pages = use_pages::<PackBox>(path, NEWS);
    let columns = use_memo((), |()| box_columns());
    let selected = use_state(|| Rc::new(BTreeSet::<String>::new()));
    let on_select = {
        let selected = selected.setter();
        use_callback((), move |chosen: BTreeSet<String>, ()| selected.set(Rc::new(chosen)))
    };
    let (uploading, upload, uploaded) = use_flag();
    let rolling = use_state(|| None::<String>);
    let roll = {
        let rolling = rolling.setter();
        Callback::from(move |version: String| rolling.set(Some(version)))
    };
    let stop = {
        let rolling = rolling.setter();
        Callback::from(move |()| rolling.set(None))
    };
    let reload = {
        let (packs, pages) = (packs.reload.clone(), pages.reload.clone());
        Callback::from(move |()| {
            packs.emit(());
            pages.emit(());
        })
    };
    let done = {
        let (reload, on_select) = (reload.clone(), on_select.clone());
        Callback::from(move |()| {
            on_select.emit(BTreeSet::new());
            reload.emit(());
        })
    };
    let may = session.may(WRITE);
    let has_versions = pack.as_ref().is_some_and(|pack| !pack.versions.is_empty());
    let first = pack.as_ref().and_then(newest).map(|version| version.version.clone()).unwrap_or_default();
    let actions = html! {
        if may {
            <>
                <Button onclick={upload.reform(|_: MouseEvent| ())}>{ "New version…" }</Button>
                if has_versions {
                    <span data-create="true" onclick={roll.reform(move |_: MouseEvent| first.clone())}>
                        <Button kind={Kind::Primary} class="p">
                            { if selected.is_empty() { "Roll out…".to_owned() } else { format!("Act on {}…", format::counted(selected.len() as u64, "box", "boxes")) } }
                            <kbd class="kbd ml-1 hidden md:inline">{ "C" }</kbd>
                        </Button>
                    </span>
                }
            </>
        }
    };
    let back = set.reform(|_: MouseEvent| vec![("pack", String::new()), ("q", String::new())]);
    let empty = if query.any(&["q", "branch", "organization"]) {
        html! { <Empty title="No box matches" text="Loosen a filter." /> }
    } else {
        html! { <Empty title="No box has this pack" text="Roll a version out: choose where, see what would happen, then do it." /> }
    };
    html! {
        <>
            <Toolbar {actions}>
                <button type="button" class={LINK} onclick={back}><Icon name="left" class="size-3.5" />{ "All packs" }</button>
                <b class="font-mono font-semibold">{ &name }</b>
                <Search value={typed} placeholder="Box, branch, customer" on={on_type} />
                { chips(query, set, &[("organization", None), ("branch", None)]) }
            </Toolbar>
            { listed(&packs, 3, |_| match &pack {
                Some(pack) => html! { <Versions pack={Rc::new(pack.clone())} {may} roll={roll.clone()} reload={reload.clone()} /> },
                None => html! { <Empty title="There is no such pack" text="It may have been removed." /> },
            }) }
            { paged(&pages, |rows| html! {
                <DataTable<PackBox> {rows} {columns} name={format!("Boxes with {name}")} selected={may.then(|| (*selected).clone())} on_select={on_select.clone()}
                    on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
            if uploading { <Upload name={name.clone()} on_close={uploaded} on_done={reload.clone()} /> }
            if let (Some(version), Some(pack)) = (&*rolling, &pack) {
                <RollOut pack={Rc::new(pack.clone())} version={version.clone()} boxes={(*selected).clone()} on_close={stop} on_done={done} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct VersionsProps {
    pack: Rc<FleetPack>,
    may: bool,
    roll: Callback<String>,
    reload: Callback<()>,
}

/// The versions of a pack, with whose work they are.
#[component]
fn Versions(props: &VersionsProps) -> Html {
    let opened = use_opened::<PackVersion>();
    let removing = use_opened::<PackVersion>();
    let Some(about) = newest(&props.pack) else {
        return html! { <Card><p class="text-ink-2">{ "Boxes have this pack, but it did not come from here: upload it to decide where it runs." }</p></Card> };
    };
    let row = |version: &PackVersion| {
        let (roll, named) = (props.roll.clone(), version.version.clone());
        let (open, shown) = (opened.open.clone(), version.clone());
        let (remove, gone) = (removing.open.clone(), version.clone());
        html! {
            <li key={version.version.clone()} class="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line-2 px-3.5 py-2 last:border-0">
                <b class="min-w-24 font-mono text-sm font-medium">{ &version.version }</b>
                <span class="text-ink-2">{ format::counted(version.files.into(), "rule file", "rule files") }{ " · " }{ format::bytes(version.bytes as f64) }</span>
                <span class="min-w-0 flex-1 text-ink-3 max-md:basis-full">{ "uploaded " }<Ago at={version.uploaded_at} />{ " by " }{ &version.uploaded_by }</span>
                if version.wanted > 0 { <Tag tone={if version.running < version.wanted { Tone::Warn } else { Tone::Ok }}>{ format!("runs on {} of {}", version.running, version.wanted) }</Tag> }
                <Button kind={Kind::Ghost} onclick={Callback::from(move |_: MouseEvent| open.emit(shown.clone()))}>{ "Terms" }</Button>
                if props.may {
                    <>
                        <Button onclick={Callback::from(move |_: MouseEvent| roll.emit(named.clone()))}>{ "Roll out…" }</Button>
                        <Button kind={Kind::Ghost} class="px-1.5" disabled={version.wanted > 0} label={format!("Remove {}…", version.version)} onclick={Callback::from(move |_: MouseEvent| remove.emit(gone.clone()))}><Icon name="close" /></Button>
                    </>
                }
            </li>
        }
    };
    html! {
        <>
            <Card title="Versions" pad=false aside={html! { <span class="max-w-[50vw] truncate" title={about.attribution.clone()}>{ format!("{} · {}", about.attribution, first_line(&about.licence)) }</span> }}>
                <ul class="max-h-64 overflow-auto">{ for props.pack.versions.iter().map(row) }</ul>
            </Card>
            if let Some(version) = &opened.row {
                <Dialog title={format!("{} {}", props.pack.name, version.version)} wide=true on_close={opened.close.clone()}>
                    <dl class="grid grid-cols-[7rem_minmax(0,1fr)] gap-y-2">
                        <dt class="text-ink-3">{ "By" }</dt><dd class="whitespace-pre-wrap break-words">{ &version.attribution }</dd>
                        <dt class="text-ink-3">{ "Licence" }</dt><dd class="whitespace-pre-wrap break-words">{ &version.licence }</dd>
                        <dt class="text-ink-3">{ "SHA-256" }</dt><dd class="break-all font-mono text-sm">{ &version.sha256 }</dd>
                    </dl>
                </Dialog>
            }
            if let Some(version) = &removing.row {
                <Remove pack={props.pack.name.clone()} version={version.version.clone()} on_close={removing.close.clone()} on_done={props.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct RemoveProps {
    pack: String,
    version: String,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// Removing a version that no box is to have.
#[component]
fn Remove(props: &RemoveProps) -> Html {
    let sending = use_sending(&props.on_close, &props.on_done);
    let path = format!("{PACKS}/{}/{}", api::escape(&props.pack), api::escape(&props.version));
    let remove = {
        let sending = sending.clone();
        Callback::from(move |()| sending.act(Method::DELETE, path.clone(), "Version removed"))
    };
    html! {
        <Confirm title="Remove the version" verb="Remove" busy={sending.busy} error={sending.error.clone()} on_confirm={remove} on_close={props.on_close.clone()}>
            { format!("{} {} is deleted here. No box is to have it; to use it again it must be uploaded anew.", props.pack, props.version) }
        </Confirm>
    }
}

#[derive(Properties, PartialEq)]
struct UploadProps {
    /// The pack that gets a version; empty: a new one.
    name: String,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[derive(Clone, PartialEq)]
struct UploadForm {
    name: String,
    version: String,
    licence: String,
    attribution: String,
    file: Option<File>,
}

/// Brings an archive here.
#[component]
fn Upload(props: &UploadProps) -> Html {
    let form = use_form(|| UploadForm {
        name: props.name.clone(),
        version: String::new(),
        licence: String::new(),
        attribution: String::new(),
        file: None,
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let choose = {
        let set = form.on(|form: &mut UploadForm, file: File| {
            // What a release is called mostly says what and which it is.
            if form.name.is_empty() {
                form.name = name_of(&file.name());
            }
            form.file = Some(file);
        });
        Callback::from(move |event: Event| {
            let input: HtmlInputElement = event.target_unchecked_into();
            if let Some(file) = input.files().and_then(|files| files.get(0)) {
                set.emit(file);
            }
        })
    };
    let submit = {
        let (form, sending) = (form.clone(), sending.clone());
        Callback::from(move |()| {
            let Some(file) = form.file.clone() else { return };
            let path = with_query(
                &format!("{PACKS}/{}", api::escape(form.name.trim())),
                &[
                    ("version", form.version.trim().to_owned()),
                    ("licence", form.licence.trim().to_owned()),
                    ("attribution", form.attribution.trim().to_owned()),
                ],
            );
            sending.run(async move { api::put_file::<PackVersion>(&path, &file).await }, |kept| {
                format!("{} kept: {}", kept.version, format::counted(kept.files.into(), "rule file", "rule files"))
                    .into()
            });
        })
    };
    let missing = form.file.is_none()
        || [&form.name, &form.version, &form.licence, &form.attribution].iter().any(|text| text.trim().is_empty());
    let file = form.file.as_ref().map_or_else(|| "No file chosen".to_owned(), File::name);
    let fault = sending.field("archive");
    html! {
        <FormDialog title={if props.name.is_empty() { "Upload a pack".to_owned() } else { format!("New version of {}", props.name) }} verb="Upload" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={missing}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Archive" class="md:col-span-2" error={fault} hint="A zip or tar archive with Sigma rules (.yml) in it, at most 32 MiB">
                    <span class="flex items-center gap-3">
                        <span class={classes!(LINK, "relative", "focus-within:outline-2", "focus-within:outline-accent")}>
                            <input type="file" name="archive" accept=".zip,.tar,.gz,.tgz" onchange={choose} class="absolute inset-0 cursor-pointer opacity-0" />
                            { "Choose a file…" }
                        </span>
                        <span class="min-w-0 truncate text-ink-2">{ file }</span>
                    </span>
                </Field>
                if props.name.is_empty() {
                    <Field label="Name" error={sending.field("name")} hint="Small letters, digits, dashes"><Input name="name" value={form.name.clone()} on={form.on(|form, text| form.name = text)} placeholder="sigma-core" /></Field>
                }
                <Field label="Version" error={sending.field("version")}><Input name="version" value={form.version.clone()} on={form.on(|form, text| form.version = text)} placeholder="r2026-11-01" /></Field>
                <Field label="By" class="md:col-span-2" error={sending.field("attribution")} hint="Who wrote the rules, and where they are from"><Input name="attribution" value={form.attribution.clone()} on={form.on(|form, text| form.attribution = text)} placeholder="SigmaHQ, https://github.com/SigmaHQ/sigma" /></Field>
                <Field label="Licence" class="md:col-span-2" error={sending.field("licence")} hint="Its name in the first line; its whole text may follow"><TextArea value={form.licence.clone()} on={form.on(|form, text| form.licence = text)} placeholder="Detection Rule License 1.1" rows={3} /></Field>
            </div>
        </FormDialog>
    }
}

/// A pack's name out of a file's: `Sigma_Core+.zip` as `sigma-core`.
fn name_of(file: &str) -> String {
    let stem = file.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let parts = stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").chars().take(60).collect()
}

#[derive(Properties, PartialEq)]
struct RollOutProps {
    pack: Rc<FleetPack>,
    version: String,
    /// These boxes; if empty, those that match what is chosen.
    boxes: Rc<BTreeSet<String>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// What can be done with a pack on a box.
const DEEDS: [(&str, &str); 4] = [
    ("pin", "Pin a version and switch it on"),
    ("update", "Update to a version where the pack is wanted"),
    ("off", "Switch off"),
    ("remove", "Take away"),
];

/// What each of [`DEEDS`] means.
fn meaning(deed: &str) -> &'static str {
    match deed {
        "pin" => "The boxes fetch the archive, install it, and its rules look at what comes in from then on.",
        "update" => "Boxes that are not to have the pack are skipped; whether it is on or off stays.",
        "off" => "Its rules stop; the pack stays on the boxes, and what they found stays too.",
        _ => "The pack and its rules go from the boxes; what they found stays.",
    }
}

#[derive(Clone, PartialEq)]
struct RollForm {
    deed: String,
    version: String,
    organization: String,
    branch: String,
    tag: String,
}

/// Decides what boxes do with a pack. Begins with a dry run.
#[component]
fn RollOut(props: &RollOutProps) -> Html {
    let form = use_form(|| RollForm {
        deed: DEEDS[0].0.to_owned(),
        version: props.version.clone(),
        organization: String::new(),
        branch: String::new(),
        tag: String::new(),
    });
    let plan = use_state(|| None::<(PackAction, BulkOutcome)>);
    let trying = use_sending(&Callback::noop(), &Callback::noop());
    let doing = use_sending(&props.on_close, &props.on_done);
    let customers = use_resource::<List<Organization>>(Some("/api/fleet/organizations".into()), &[]);
    let path = format!("{PACKS}/{}/apply", api::escape(&props.pack.name));

    if let Some((planned, outcome)) = &*plan {
        let back = {
            let plan = plan.clone();
            Callback::from(move |_: MouseEvent| plan.set(None))
        };
        let affected = outcome.affected.len() as u64;
        let run = {
            let (doing, planned, path) = (doing.clone(), planned.clone(), format!("{path}?dry_run=false"));
            Callback::from(move |()| {
                let (planned, path) = (planned.clone(), path.clone());
                doing.run(async move { api::post::<BulkOutcome>(&path, &planned).await }, |outcome| {
                    format!("{} told", format::counted(outcome.affected.len() as u64, "box", "boxes")).into()
                });
            })
        };
        let kind = if planned.remove { Kind::Danger } else { Kind::Primary };
        let footer = html! {
            <>
                <Button onclick={back}>{ "Back" }</Button>
                <Button {kind} submit=true busy={doing.busy} disabled={affected == 0}>{ format!("Do it on {}", format::counted(affected, "box", "boxes")) }</Button>
            </>
        };
        return html! {
            <Dialog title="Dry run: nothing was changed yet" wide=true on_close={props.on_close.clone()} on_submit={run} {footer}>
                <Outcome title="Would happen" rows={outcome.affected.clone()} tone={Tone::Ok} />
                if !outcome.skipped.is_empty() { <Outcome title="Would be skipped" rows={outcome.skipped.clone()} tone={Tone::Warn} /> }
                <Refusal error={doing.error.clone()} />
            </Dialog>
        };
    }
    let submit = {
        let (form, trying, plan, boxes) = (form.clone(), trying.clone(), plan.clone(), props.boxes.clone());
        Callback::from(move |()| {
            let boxes: Vec<Uuid> = boxes.iter().filter_map(|id| id.parse().ok()).collect();
            let asked = action(&form, boxes);
            let (plan, path) = (plan.clone(), format!("{path}?dry_run=true"));
            trying.try_out(async move {
                let outcome = api::post::<BulkOutcome>(&path, &asked).await?;
                plan.set(Some((asked, outcome)));
                Ok(())
            });
        })
    };
    let pinned = matches!(form.deed.as_str(), "pin" | "update");
    let versions: Vec<_> = props
        .pack
        .versions
        .iter()
        .map(|version| (version.version.clone().into(), version.version.clone().into()))
        .collect();
    let known = customers.data.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
    let named = |first: &'static str, rows: Vec<(String, String)>| -> Vec<(AttrValue, AttrValue)> {
        std::iter::once(("".into(), first.into()))
            .chain(rows.into_iter().map(|(id, name)| (id.into(), name.into())))
            .collect()
    };
    let organizations = named("All customers", known.iter().map(|o| (o.id.to_string(), o.name.clone())).collect());
    let chosen = known.iter().find(|o| o.id.to_string() == form.organization);
    let branches = chosen.map(|o| {
        named("All branches", o.branches.iter().map(|branch| (branch.id.to_string(), branch.name.clone())).collect())
    });
    html! {
        <FormDialog title={format!("Roll out {}", props.pack.name)} verb="Show what would happen" sending={trying.clone()} on_close={props.on_close.clone()} on_submit={submit}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="What" class="md:col-span-2" hint={meaning(&form.deed)}><Pick name="deed" value={form.deed.clone()} options={options(&DEEDS)} on={form.on(|form, deed| form.deed = deed)} /></Field>
                if pinned {
                    <Field label="Version" class="md:col-span-2" error={trying.field("version")}><Pick name="version" value={form.version.clone()} options={versions} on={form.on(|form, version| form.version = version)} /></Field>
                }
                if props.boxes.is_empty() {
                    <>
                        <Field label="Customer"><Pick name="organization" value={form.organization.clone()} options={organizations} on={form.on(|form, id| { form.organization = id; form.branch = String::new(); })} /></Field>
                        if let Some(branches) = branches {
                            <Field label="Branch"><Pick name="branch" value={form.branch.clone()} options={branches} on={form.on(|form, id| form.branch = id)} /></Field>
                        }
                        <Field label="Tag" hint="Only boxes that have it; empty: all"><Input name="tag" value={form.tag.clone()} on={form.on(|form, tag| form.tag = tag)} placeholder="retail" /></Field>
                    </>
                } else {
                    <p class="text-ink-2 md:col-span-2">{ format!("On the {} selected.", format::counted(props.boxes.len() as u64, "box", "boxes")) }</p>
                }
            </div>
            <p class="mt-3 text-sm text-ink-3">{ "A box that is away does it when it comes back." }</p>
        </FormDialog>
    }
}

/// What a form asks for.
fn action(form: &RollForm, boxes: Vec<Uuid>) -> PackAction {
    let filter = with_query(
        "",
        &[
            ("organization", form.organization.clone()),
            ("branch", form.branch.clone()),
            ("tag", form.tag.trim().to_owned()),
        ],
    );
    let pinned = matches!(form.deed.as_str(), "pin" | "update").then(|| form.version.clone());
    PackAction {
        filter: boxes.is_empty().then_some(filter),
        boxes,
        version: pinned,
        enabled: match form.deed.as_str() {
            "pin" => Some(true),
            "off" => Some(false),
            _ => None,
        },
        remove: form.deed == "remove",
        only_wanted: form.deed == "update",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_its_pack() {
        assert_eq!(name_of("sigma_core+.zip"), "sigma-core");
        assert_eq!(name_of("Sigma All Rules.tar.gz"), "sigma-all-rules");
        assert_eq!(name_of(""), "");
    }
}
