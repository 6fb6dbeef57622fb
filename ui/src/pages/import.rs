//! Entries out of a CSV file: choose it, see what would happen, then do it. Doing it twice changes nothing.

use crate::{
    api::{self, Failure, with_query},
    components::{Button, Card, Icon, Kind, Tag, Toggle, Tone, button::LINK, status::sentence, use_toast},
    csv, format,
    route::Route,
};
use sent_contract::capital::ImportReport;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::HtmlInputElement;
use yew::prelude::*;
use yew_router::prelude::*;

#[derive(Clone, PartialEq)]
struct File {
    name: String,
    text: String,
}

/// The page.
#[component]
pub fn Import() -> Html {
    let toast = use_toast();
    let file = use_state(|| None::<File>);
    let create = use_state_eq(|| false);
    let busy = use_state_eq(|| false);
    let report = use_state(|| None::<ImportReport>);
    let error = use_state(|| None::<Failure>);

    let run = {
        let (busy, report, error, toast) = (busy.clone(), report.clone(), error.clone(), toast);
        Callback::from(move |(text, create, dry): (String, bool, bool)| {
            let (busy, report, error, toast) = (busy.clone(), report.clone(), error.clone(), toast.clone());
            busy.set(true);
            error.set(None);
            wasm_bindgen_futures::spawn_local(async move {
                let path = with_query(
                    "/api/capital/import",
                    &[("dry_run", dry.to_string()), ("create_accounts", create.to_string())],
                );
                match api::post_text::<ImportReport>(&path, "text/csv", text).await {
                    Ok(answer) => {
                        if !answer.dry_run {
                            toast.ok(format!("{} posted", format::counted(answer.posted, "entry", "entries")));
                        }
                        report.set(Some(answer));
                    }
                    Err(failure) => error.set(Some(failure)),
                }
                busy.set(false);
            });
        })
    };
    let choose = {
        let (file, report, create, run) = (file.clone(), report.clone(), create.clone(), run.clone());
        Callback::from(move |event: Event| {
            let input: HtmlInputElement = event.target_unchecked_into();
            let Some(chosen) = input.files().and_then(|files| files.get(0)) else { return };
            let (file, report, create, run) = (file.clone(), report.clone(), *create, run.clone());
            report.set(None);
            wasm_bindgen_futures::spawn_local(async move {
                let text = JsFuture::from(chosen.unchecked_ref::<web_sys::Blob>().text())
                    .await
                    .ok()
                    .and_then(|text| text.as_string());
                if let Some(text) = text {
                    file.set(Some(File { name: chosen.name(), text: text.clone() }));
                    run.emit((text, create, true));
                }
            });
            // The same file can be chosen again after it was mended.
            input.set_value("");
        })
    };
    let toggle = {
        let (create, file, run) = (create.clone(), file.clone(), run.clone());
        Callback::from(move |on| {
            create.set(on);
            if let Some(file) = &*file {
                run.emit((file.text.clone(), on, true));
            }
        })
    };
    let import = {
        let (file, create, run) = (file.clone(), create.clone(), run);
        Callback::from(move |_: MouseEvent| {
            if let Some(file) = &*file {
                run.emit((file.text.clone(), *create, false));
            }
        })
    };
    let ready = report.as_ref().is_some_and(|report| report.dry_run && report.errors.is_empty() && report.posted > 0);
    html! {
        <div class="mx-auto flex w-full max-w-[52rem] flex-col gap-3.5">
            <Card title="File">
                <div class="flex flex-wrap items-center gap-3">
                    <label class="relative inline-flex min-h-8 cursor-pointer items-center gap-1.5 rounded-md border border-line bg-panel px-3 font-medium hover:border-ink-3 focus-within:outline-2 focus-within:outline-accent">
                        <input type="file" accept=".csv,text/csv" onchange={choose} class="absolute inset-0 cursor-pointer opacity-0" name="file" />
                        { if file.is_some() { "Choose another file…" } else { "Choose a CSV file…" } }
                    </label>
                    <span class="min-w-0 truncate text-ink-2">{ file.as_ref().map(|file| file.name.clone()).unwrap_or_else(|| "No file chosen".to_owned()) }</span>
                    <span class="ml-auto"><Toggle checked={*create} on={toggle} label="Make unknown accounts" /></span>
                </div>
                <p class="mt-3 text-sm text-ink-3">
                    { "Columns: " }<code class="font-mono">{ "transaction_id, date, description, account, amount, currency" }</code>
                    { ". Rows of one transaction_id are one entry; debits are positive, credits negative. Importing the same file again changes nothing." }
                </p>
            </Card>
            if let Some(error) = error.as_ref() {
                <p role="alert" class="text-bad-ink">{ sentence(&error.to_string()) }</p>
            }
            if let Some(report) = report.as_ref() {
                <Report report={report.clone()} />
                <div class="flex items-center justify-end gap-2">
                    if report.dry_run {
                        <Button kind={Kind::Primary} busy={*busy} disabled={!ready} onclick={import}>{ format!("Import {}", format::counted(report.posted, "entry", "entries")) }</Button>
                    } else {
                        <Link<Route> to={Route::Journal} classes={LINK}>{ "Go to the journal" }</Link<Route>>
                    }
                </div>
            } else if *busy {
                <p class="text-ink-3" role="status">{ "Reading the file…" }</p>
            }
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct ReportProps {
    report: ImportReport,
}

#[component]
fn Report(props: &ReportProps) -> Html {
    let report = &props.report;
    let export = {
        let errors = report.errors.clone();
        Callback::from(move |_: MouseEvent| {
            let mut text = csv::line(["line", "column", "message"]);
            for error in &errors {
                text += &csv::line([
                    error.line.to_string().as_str(),
                    error.column.as_deref().unwrap_or_default(),
                    &error.message,
                ]);
            }
            csv::download("Import errors.csv", &text);
        })
    };
    let verb = |dry: &'static str, done: &'static str| if report.dry_run { dry } else { done };
    html! {
        <Card title={if report.dry_run { "Dry run: nothing was written" } else { "Imported" }} pad=false aside={html! { format::counted(report.rows, "row read", "rows read") }}>
            <dl class="grid grid-cols-2 gap-px bg-line-2 md:grid-cols-4">
                { for [
                    (report.posted, verb("entries would be posted", "entries posted")),
                    (report.unchanged, "entries were there already"),
                    (report.accounts_created.len() as u64, verb("accounts would be made", "accounts made")),
                    (report.errors.len() as u64, "faults"),
                ].map(|(count, label)| html! {
                    <div key={label} class="flex flex-col-reverse bg-panel px-3.5 py-2.5"><dt class="text-sm text-ink-3">{ label }</dt><dd class="text-lg font-semibold tabular-nums">{ format::count(count) }</dd></div>
                }) }
            </dl>
            if !report.accounts_created.is_empty() {
                <p class="flex flex-wrap gap-1.5 border-t border-line-2 px-3.5 py-2.5">{ for report.accounts_created.iter().map(|name| html! { <Tag>{ name }</Tag> }) }</p>
            }
            if report.errors.is_empty() {
                <p class="border-t border-line-2 px-3.5 py-2.5"><Tag tone={Tone::Ok}>{ "No errors" }</Tag></p>
            } else {
                <div class="max-h-96 overflow-auto border-t border-line-2">
                    <table class="table">
                        <thead><tr><th scope="col" class="num">{ "Line" }</th><th scope="col">{ "Column" }</th><th scope="col">{ "What is wrong" }</th></tr></thead>
                        <tbody>
                            for (index, error) in report.errors.iter().enumerate() {
                                <tr key={index}><td class="num w-16">{ error.line }</td><td class="font-mono text-sm text-ink-2">{ error.column.clone().unwrap_or_default() }</td><td class="py-1.5! whitespace-normal!">{ sentence(&error.message) }</td></tr>
                            }
                        </tbody>
                    </table>
                </div>
                <div class="flex border-t border-line px-3.5 py-1.5"><Button kind={Kind::Ghost} class="ml-auto" onclick={export}><Icon name="download" />{ "Errors as CSV" }</Button></div>
            }
        </Card>
    }
}
