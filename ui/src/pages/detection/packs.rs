//! Packs of rules: installed out of an archive, switched, replaced by another version, removed.

use super::ViewProps;
use crate::{
    api::{self, List, escape},
    components::{
        Ago, Button, Column, Confirm, DataTable, Empty, Field, FormDialog, Input, Kind, NewButton, Row, Slot, Tag,
        Tone, Toolbar, listed, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::use_resource,
    format,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::radar::{Pack, PackChange};
use std::rc::Rc;
use web_sys::HtmlInputElement;
use yew::prelude::*;

impl Row for Pack {
    fn key(&self) -> String {
        self.name.clone()
    }
}

fn path(name: &str) -> String {
    format!("/api/radar/packs/{}", escape(name))
}

fn state(pack: &Pack) -> &'static str {
    if pack.enabled { "On" } else { "Off" }
}

fn columns() -> Vec<Column<Pack>> {
    vec![
        Column::new("Pack", |pack: &Pack| pack.name.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("Version", |pack: &Pack| pack.version.clone()).at(Slot::Detail),
        Column::new("Rules", |pack: &Pack| pack.rules.to_string())
            .num()
            .cell(|pack| if pack.enabled { format::count(pack.rules).into() } else { "—".into() })
            .at(Slot::Meta),
        Column::new("Installed", |pack: &Pack| format::iso(pack.installed_at))
            .cell(|pack| html! { <Ago at={pack.installed_at} /> })
            .class("text-ink-2")
            .at(Slot::Detail),
        Column::new("State", |pack: &Pack| state(pack).to_owned())
            .cell(|pack| html! { <Tag tone={if pack.enabled { Tone::Ok } else { Tone::Plain }}>{ state(pack) }</Tag> })
            .at(Slot::Value),
    ]
}

#[component]
pub(super) fn Packs(props: &ViewProps) -> Html {
    let may = use_session().may("radar.rule.write");
    let packs =
        use_resource::<List<Pack>>(Some("/api/radar/packs".into()), &["table:radar_packs", "table:radar_rules"]);
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&packs, (), |_, ()| true);
    let opened = use_opened::<Pack>();
    let (installing, install, installed) = use_flag();
    let actions = html! { if may { <NewButton label="Install a pack" onclick={install.clone()} /> } };
    let empty = html! {
        <Empty title="No packs yet" text="A pack is an archive of Sigma rules. SigmaHQ publishes several with each release: sigma_core is a good first.">
            if may { <Button kind={Kind::Primary} onclick={install.reform(|_: MouseEvent| ())}>{ "Install a pack" }</Button> }
        </Empty>
    };
    html! {
        <>
            <Toolbar {actions}>{ props.views.clone() }</Toolbar>
            { listed(&packs, 4, |_| html! { <DataTable<Pack> {rows} {columns} name="Packs" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if installing { <Install replaces={None::<Rc<Pack>>} on_close={installed} on_done={packs.reload.clone()} /> }
            if let Some(pack) = &opened.row { <Opened pack={pack.clone()} on_close={opened.close.clone()} on_done={packs.reload.clone()} /> }
        </>
    }
}

/// A file's name as a pack's name and a version: `sigma_core-r2026-11.zip` is `sigma-core`, `r2026-11`.
fn named(file: &str) -> (String, String) {
    let lower = file.to_ascii_lowercase();
    let stem = [".tar.gz", ".tgz", ".tar", ".zip"].iter().find_map(|end| lower.strip_suffix(end)).unwrap_or(&lower);
    let plain = |text: &str| {
        let dashed: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    };
    // A version begins with a digit, or with `r` or `v` and a digit.
    let versioned = |rest: &str| {
        let rest = rest.strip_prefix(['r', 'v']).unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_digit())
    };
    let cut = stem.match_indices(['-', '_']).map(|(at, _)| at).find(|at| versioned(&stem[at + 1..]));
    match cut {
        Some(at) => (plain(&stem[..at]), stem[at + 1..].to_owned()),
        None => (plain(stem), String::new()),
    }
}

#[derive(Clone, PartialEq)]
struct Draft {
    name: String,
    version: String,
    file: Option<web_sys::File>,
}

#[derive(Properties, PartialEq)]
struct InstallProps {
    /// The pack that gets another version; none: a new one.
    replaces: Option<Rc<Pack>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Install(props: &InstallProps) -> Html {
    let kept = props.replaces.as_ref().map(|pack| pack.name.clone());
    let form = use_form(|| Draft { name: kept.clone().unwrap_or_default(), version: String::new(), file: None });
    let sending = use_sending(&props.on_close, &props.on_done);
    let choose = {
        let kept = kept.clone();
        form.on(|form, (file, name): (web_sys::File, Option<String>)| {
            let (guessed, version) = named(&file.name());
            form.name = name.unwrap_or(guessed);
            form.version = if version.is_empty() { format::today() } else { version };
            form.file = Some(file);
        })
        .reform(move |file| (file, kept.clone()))
    };
    let onchange = Callback::from(move |event: Event| {
        let input: HtmlInputElement = event.target_unchecked_into();
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            choose.emit(file);
        }
    });
    let submit = {
        let (form, sending) = (form.clone(), sending.clone());
        Callback::from(move |()| {
            let Some(file) = form.file.clone() else { return };
            let url = api::with_query(&path(form.name.trim()), &[("version", form.version.trim().to_owned())]);
            let request = async move { api::upload::<Pack>(Method::PUT, &url, &file).await };
            sending.run(request, |pack| {
                format!("{} installed: {}", pack.name, format::counted(pack.rules, "rule", "rules")).into()
            });
        })
    };
    let title = kept.as_ref().map_or_else(|| "Install a pack".to_owned(), |name| format!("Another version of {name}"));
    html! {
        <FormDialog {title} verb={if sending.busy { "Installing…" } else { "Install" }} sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={form.file.is_none() || form.name.trim().is_empty()}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Archive" class="md:col-span-2" hint="zip, tar or tar.gz with Sigma rules (.yml), at most 64 MiB">
                    <span class="flex items-center gap-3">
                        <label class="relative inline-flex min-h-8 cursor-pointer items-center rounded-md border border-line bg-panel px-3 font-medium hover:border-ink-3 focus-within:outline-2 focus-within:outline-accent">
                            <input type="file" accept=".zip,.tar,.gz,.tgz" name="archive" {onchange} class="absolute inset-0 cursor-pointer opacity-0" />
                            { if form.file.is_some() { "Choose another…" } else { "Choose a file…" } }
                        </label>
                        <span class="min-w-0 truncate text-ink-2">{ form.file.as_ref().map_or_else(|| "No file chosen".to_owned(), |file| format!("{}, {}", file.name(), format::bytes(file.size()))) }</span>
                    </span>
                </Field>
                if kept.is_none() {
                    <Field label="Name" hint="Lower-case letters, digits and dashes" error={sending.field("name")}><Input name="name" value={form.name.clone()} on={form.on(|form, text| form.name = text)} /></Field>
                }
                <Field label="Version" hint="As you want to know it again" error={sending.field("version")}><Input name="version" value={form.version.clone()} on={form.on(|form, text| form.version = text)} /></Field>
            </div>
            <p class="mt-3 text-sm text-ink-3">{ "Its rules run at once, and no event is left out. A broken one is named among the rules; the others run." }</p>
        </FormDialog>
    }
}

#[derive(Properties, PartialEq)]
struct OpenedProps {
    pack: Rc<Pack>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// What is done with a pack.
#[component]
fn Opened(props: &OpenedProps) -> Html {
    let pack = &props.pack;
    let sending = use_sending(&props.on_close, &props.on_done);
    let (removing, ask, keep) = use_flag();
    let (replacing, replace, _) = use_flag();
    if replacing {
        return html! { <Install replaces={Some(pack.clone())} on_close={props.on_close.clone()} on_done={props.on_done.clone()} /> };
    }
    if removing {
        let remove = {
            let (sending, path) = (sending.clone(), path(&pack.name));
            Callback::from(move |()| sending.act(Method::DELETE, path.clone(), "Pack removed"))
        };
        return html! {
            <Confirm title={format!("Remove {}", pack.name)} verb="Remove" busy={sending.busy} error={sending.error.clone()} on_confirm={remove} on_close={keep}>
                { format!("Its {} look for nothing any more and are deleted from the box. What they found stays, with its cases.", format::counted(pack.rules, "rule", "rules")) }
            </Confirm>
        };
    }
    let switch = {
        let (sending, path, change) = (sending.clone(), path(&pack.name), PackChange { enabled: !pack.enabled });
        let done = if change.enabled { "The pack's rules run" } else { "The pack is switched off" };
        Callback::from(move |()| sending.send(Method::PATCH, path.clone(), change.clone(), done))
    };
    let extra = html! { <Button kind={Kind::Danger} onclick={ask.reform(|_: MouseEvent| ())}>{ "Remove…" }</Button> };
    html! {
        <FormDialog title={pack.name.clone()} verb={if pack.enabled { "Switch off" } else { "Switch on" }} sending={sending.clone()} on_close={props.on_close.clone()} on_submit={switch} {extra}>
            <dl class="grid grid-cols-[7.5rem_minmax(0,1fr)] gap-y-1">
                <dt class="text-ink-3">{ "Version" }</dt><dd>{ &pack.version }</dd>
                <dt class="text-ink-3">{ "Installed" }</dt><dd>{ format::absolute(pack.installed_at) }</dd>
                <dt class="text-ink-3">{ "Rules" }</dt><dd class="tabular-nums">{ if pack.enabled { format::count(pack.rules) } else { "none run: it is switched off".to_owned() } }</dd>
            </dl>
            <p class="mt-3"><Button onclick={replace.reform(|_: MouseEvent| ())}>{ "Install another version…" }</Button></p>
        </FormDialog>
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_files_name_tells_pack_and_version() {
        for (file, name, version) in [
            ("sigma_core-r2026-11.zip", "sigma-core", "r2026-11"),
            ("Windows Rules.tar.gz", "windows-rules", ""),
            ("hunting_1.2.0.tgz", "hunting", "1.2.0"),
            ("rules.zip", "rules", ""),
        ] {
            assert_eq!(named(file), (name.to_owned(), version.to_owned()));
        }
    }
}
