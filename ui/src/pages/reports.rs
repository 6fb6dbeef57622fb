//! Reports: those that were made, when they are made by themselves, and how they look.

use crate::{
    api::List,
    components::{
        Ago, Button, Card, Column, Confirm, DataTable, Empty, Field, FormDialog, Input, Kind, NewButton, Pick, Row,
        Slot, Tag, TextArea, Toggle, Tone, Toolbar, Until, button::LINK, form::options, listed, use_flag, use_form,
        use_opened, use_rows, use_sending,
    },
    data::use_resource,
    format,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::{
    Micros, Uuid,
    shield::{NewReport, NewSchedule, NewTemplate, Report, Schedule, Template},
};
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::HtmlInputElement;
use yew::prelude::*;

const REPORTS: &str = "/api/shield/reports";
const SCHEDULES: &str = "/api/shield/schedules";
const TEMPLATES: &str = "/api/shield/templates";
/// The look of a box that has no template: the server knows it by this id.
const PLAIN: Uuid = Uuid::nil();
/// Bytes of a logo that the server takes.
const MOST_LOGO: f64 = 262_144.0;
const DAYS: [(&str, &str); 7] = [
    ("1", "Monday"),
    ("2", "Tuesday"),
    ("3", "Wednesday"),
    ("4", "Thursday"),
    ("5", "Friday"),
    ("6", "Saturday"),
    ("7", "Sunday"),
];

impl Row for Report {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

impl Row for Schedule {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

impl Row for Template {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// The days a report is about.
fn span(from: Micros, to: Micros) -> String {
    let (first, last) = (format::day(from), format::day(to - 1));
    if first == last { first } else { format!("{first} – {last}") }
}

fn mail(report: &Report) -> Html {
    let people = format::counted(report.recipients.len() as u64, "recipient", "recipients");
    let (tone, text) = match report.mail.as_str() {
        "sent" => (Tone::Ok, format!("Sent to {people}")),
        "waiting" if report.mail_error.is_some() => (Tone::Warn, "Will be tried again".to_owned()),
        "waiting" => (Tone::Plain, "Being sent".to_owned()),
        "failed" => (Tone::Bad, "Could not be sent".to_owned()),
        _ => return html! { <span class="text-ink-3">{ "—" }</span> },
    };
    html! { <span title={report.mail_error.clone()}><Tag {tone}>{ text }</Tag></span> }
}

fn report_columns() -> Vec<Column<Report>> {
    vec![
        Column::new("Report", |report: &Report| report.title.clone())
            .cell(|report| {
                let path = format!("{REPORTS}/{}/report.pdf", report.id);
                html! { <a href={path} target="_blank" rel="noopener" class={LINK}>{ report.title.clone() }</a> }
            })
            .fill()
            .at(Slot::Title),
        Column::new("About", |report: &Report| span(report.from, report.to)).at(Slot::Detail),
        Column::new("Made", |report: &Report| format::iso(report.made_at))
            .cell(|report| html! { <Ago at={report.made_at} /> })
            .at(Slot::Meta),
        Column::new("By", |report: &Report| report.made_by.clone()).class("text-ink-2"),
        Column::new("Pages", |report: &Report| report.pages.to_string()).num(),
        Column::new("Size", |report: &Report| report.bytes.to_string())
            .num()
            .cell(|report| format::bytes(report.bytes as f64).into()),
        Column::new("Mail", |report: &Report| report.mail.clone()).cell(mail).at(Slot::Value),
        Column::new("Complete", |report: &Report| report.missing.join("; ")).cell(|report| {
            if report.missing.is_empty() {
                html! { <span class="text-ink-3">{ "Yes" }</span> }
            } else {
                html! { <span title={report.missing.join("\n")}><Tag tone={Tone::Warn}>{ "Something is missing" }</Tag></span> }
            }
        }),
    ]
}

fn schedule_columns() -> Vec<Column<Schedule>> {
    let day = |schedule: &Schedule| {
        let day = DAYS.iter().find(|(number, _)| *number == schedule.weekday.to_string()).map_or("", |(_, name)| *name);
        format!("{day}, {}", schedule.at)
    };
    vec![
        Column::new("Schedule", |schedule: &Schedule| schedule.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Every", day).at(Slot::Detail),
        Column::new("Sent to", |schedule: &Schedule| {
            if schedule.recipients.is_empty() {
                "nobody: kept here only".into()
            } else {
                schedule.recipients.join(", ")
            }
        })
        .fill()
        .class("text-ink-2"),
        Column::new("Next", |schedule: &Schedule| schedule.next.map(format::iso).unwrap_or_default())
            .cell(|schedule| match schedule.next {
                Some(next) => html! { <Until at={next} /> },
                None => html! { <Tag>{ "Paused" }</Tag> },
            })
            .at(Slot::Meta),
    ]
}

fn template_columns() -> Vec<Column<Template>> {
    vec![
        Column::new("Look", |template: &Template| template.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Headline", |template: &Template| template.title.clone()).fill().at(Slot::Detail),
        Column::new("Sent by", |template: &Template| template.sender.clone()).class("text-ink-2").at(Slot::Meta),
        Column::new("Logo", |template: &Template| if template.logo.is_some() { "Yes" } else { "No" }.into())
            .class("text-ink-2"),
    ]
}

/// The page.
#[component]
pub fn Reports() -> Html {
    let session = use_session();
    let (make, write) = (session.may("shield.report.make"), session.may("shield.write"));
    let reports = use_resource::<List<Report>>(Some(REPORTS.into()), &["table:reports", "table:report_mails"]);
    let schedules = use_resource::<List<Schedule>>(Some(SCHEDULES.into()), &["table:report_schedules"]);
    let templates = use_resource::<List<Template>>(Some(TEMPLATES.into()), &["table:report_templates"]);
    let report_columns = use_memo((), |()| report_columns());
    let schedule_columns = use_memo((), |()| schedule_columns());
    let template_columns = use_memo((), |()| template_columns());
    let report_rows = use_rows(&reports, (), |_, ()| true);
    let schedule_rows = use_rows(&schedules, (), |_, ()| true);
    let template_rows = use_rows(&templates, (), |_, ()| true);
    let (opened, schedule, template) = (use_opened::<Report>(), use_opened::<Schedule>(), use_opened::<Template>());
    let (ordering, order, ordered) = use_flag();
    let (planning, plan, planned) = use_flag();
    let (drawing, draw, drawn) = use_flag();
    let known: Rc<Vec<Template>> = template_rows.clone();
    let none_made = html! {
        <Empty title="No reports yet" text="A report tells a branch what happened in a week: alerts, devices, traffic, and whether everything was there.">
            if make { <Button kind={Kind::Primary} onclick={order.reform(|_: MouseEvent| ())}>{ "Make a report" }</Button> }
        </Empty>
    };
    let none_planned = html! { <Empty title="No schedule" text="With one, last week's report is made and mailed each week by itself." /> };
    let none_drawn =
        html! { <Empty title="The plain look" text="Add a look of your own: logo, colour and closing words." /> };
    let actions = html! { if make { <NewButton label="Make a report" onclick={order.clone()} /> } };
    html! {
        <>
            <Toolbar {actions} />
            { listed(&reports, 4, |_| html! { <DataTable<Report> rows={report_rows} columns={report_columns} name="Reports" on_open={write.then(|| opened.open.clone())} empty={none_made} /> }) }
            <div class="grid grid-cols-1 items-start gap-3.5 lg:grid-cols-2">
                <Card title="Schedules" pad=false aside={html! { if write { <Button kind={Kind::Ghost} onclick={plan.reform(|_: MouseEvent| ())}>{ "New schedule" }</Button> } }}>
                    { listed(&schedules, 2, |_| html! { <DataTable<Schedule> rows={schedule_rows} columns={schedule_columns} name="Schedules" on_open={write.then(|| schedule.open.clone())} empty={none_planned} /> }) }
                </Card>
                <Card title="Looks" pad=false aside={html! { if write { <Button kind={Kind::Ghost} onclick={draw.reform(|_: MouseEvent| ())}>{ "New look" }</Button> } }}>
                    { listed(&templates, 2, |_| html! { <DataTable<Template> rows={template_rows} columns={template_columns} name="Looks" on_open={write.then(|| template.open.clone())} empty={none_drawn} /> }) }
                </Card>
            </div>
            if ordering { <Order templates={known.clone()} on_close={ordered} on_done={reports.reload.clone()} /> }
            if let Some(report) = &opened.row { <Made report={report.clone()} on_close={opened.close.clone()} on_done={reports.reload.clone()} /> }
            if planning { <Plan schedule={None::<Rc<Schedule>>} templates={known.clone()} on_close={planned} on_done={schedules.reload.clone()} /> }
            if let Some(row) = &schedule.row { <Plan schedule={Some(row.clone())} templates={known} on_close={schedule.close.clone()} on_done={schedules.reload.clone()} /> }
            if drawing { <Look template={None::<Rc<Template>>} on_close={drawn} on_done={templates.reload.clone()} /> }
            if let Some(row) = &template.row { <Look template={Some(row.clone())} on_close={template.close.clone()} on_done={templates.reload.clone()} /> }
        </>
    }
}

fn lines(text: &str) -> Vec<String> {
    text.split(['\n', ',']).map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
}

fn looks(templates: &[Template]) -> Vec<(AttrValue, AttrValue)> {
    let plain = (PLAIN.to_string().into(), "Plain".into());
    let own = templates.iter().map(|template| (template.id.to_string().into(), template.name.clone().into()));
    std::iter::once(plain).chain(own).collect()
}

#[derive(Properties, PartialEq)]
struct OrderProps {
    templates: Rc<Vec<Template>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[derive(Clone, PartialEq)]
struct OrderForm {
    template: String,
    recipients: String,
}

/// Asks for last week's report.
#[component]
fn Order(props: &OrderProps) -> Html {
    let first = props.templates.first().map_or(PLAIN, |template| template.id);
    let form = use_form(|| OrderForm { template: first.to_string(), recipients: String::new() });
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (form, sending) = (form.clone(), sending.clone());
        Callback::from(move |()| {
            let order = NewReport {
                template: form.template.parse().ok(),
                recipients: lines(&form.recipients),
                ..NewReport::default()
            };
            sending.send(Method::POST, REPORTS, order, "Report made");
        })
    };
    html! {
        <FormDialog title="Make a report" verb="Make report" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit}>
            <div class="grid gap-3">
                <p class="text-ink-2">{ "About the seven days before today, in the branch's time zone." }</p>
                <Field label="Look" error={sending.field("template")}><Pick name="template" value={form.template.clone()} options={looks(&props.templates)} on={form.on(|form, value| form.template = value)} /></Field>
                <Field label="Mail it to" hint="Addresses, one a line; empty: it is only kept here" error={sending.field("recipients")}>
                    <TextArea rows=2 value={form.recipients.clone()} on={form.on(|form, text| form.recipients = text)} />
                </Field>
            </div>
        </FormDialog>
    }
}

#[derive(Properties, PartialEq)]
struct MadeProps {
    report: Rc<Report>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// Removing a report.
#[component]
fn Made(props: &MadeProps) -> Html {
    let sending = use_sending(&props.on_close, &props.on_done);
    let path = format!("{REPORTS}/{}", props.report.id);
    let remove = {
        let sending = sending.clone();
        Callback::from(move |()| sending.act(Method::DELETE, path.clone(), "Report removed"))
    };
    let about = span(props.report.from, props.report.to);
    html! {
        <Confirm title="Remove the report" verb="Remove" busy={sending.busy} error={sending.error.clone()} on_confirm={remove} on_close={props.on_close.clone()}>
            { format!("“{}” about {about} is deleted, with what is still to be mailed of it.", props.report.title) }
        </Confirm>
    }
}

#[derive(Properties, PartialEq)]
struct PlanProps {
    schedule: Option<Rc<Schedule>>,
    templates: Rc<Vec<Template>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[derive(Clone, PartialEq)]
struct PlanForm {
    name: String,
    template: String,
    weekday: String,
    at: String,
    recipients: String,
    paused: bool,
}

/// Makes or changes a schedule.
#[component]
fn Plan(props: &PlanProps) -> Html {
    let form = use_form(|| match props.schedule.as_deref() {
        Some(schedule) => PlanForm {
            name: schedule.name.clone(),
            template: schedule.template.to_string(),
            weekday: schedule.weekday.to_string(),
            at: schedule.at.clone(),
            recipients: schedule.recipients.join("\n"),
            paused: schedule.paused,
        },
        None => PlanForm {
            name: "Weekly report".into(),
            template: props.templates.first().map_or(PLAIN, |template| template.id).to_string(),
            weekday: "1".into(),
            at: "07:00".into(),
            recipients: String::new(),
            paused: false,
        },
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let (removing, ask, keep) = use_flag();
    let id = props.schedule.as_ref().map(|schedule| schedule.id);
    let path = id.map_or_else(|| SCHEDULES.to_owned(), |id| format!("{SCHEDULES}/{id}"));
    let submit = {
        let (form, sending, path) = (form.clone(), sending.clone(), path.clone());
        Callback::from(move |()| {
            let new = NewSchedule {
                name: form.name.clone(),
                template: form.template.parse().unwrap_or(PLAIN),
                weekday: form.weekday.parse().unwrap_or_default(),
                at: form.at.trim().to_owned(),
                recipients: lines(&form.recipients),
                paused: form.paused,
            };
            let (method, done) =
                if id.is_some() { (Method::PUT, "Schedule changed") } else { (Method::POST, "Schedule made") };
            sending.send(method, path.clone(), new, done);
        })
    };
    if removing {
        let remove = {
            let sending = sending.clone();
            Callback::from(move |()| sending.act(Method::DELETE, path.clone(), "Schedule removed"))
        };
        return html! {
            <Confirm title="Remove the schedule" verb="Remove" busy={sending.busy} error={sending.error.clone()} on_confirm={remove} on_close={keep}>
                { "No report is made or mailed by it any more. Those that were made stay." }
            </Confirm>
        };
    }
    let extra = html! { if id.is_some() { <Button kind={Kind::Danger} onclick={ask.reform(|_: MouseEvent| ())}>{ "Remove…" }</Button> } };
    html! {
        <FormDialog title={if id.is_some() { "Schedule" } else { "New schedule" }} verb={if id.is_some() { "Save" } else { "Make schedule" }} sending={sending.clone()}
            on_close={props.on_close.clone()} on_submit={submit} {extra}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" error={sending.field("name")}><Input name="name" value={form.name.clone()} on={form.on(|form, text| form.name = text)} /></Field>
                <Field label="Look" error={sending.field("template")}><Pick name="template" value={form.template.clone()} options={looks(&props.templates)} on={form.on(|form, value| form.template = value)} /></Field>
                <Field label="Every" error={sending.field("weekday")}><Pick name="weekday" value={form.weekday.clone()} options={options(&DAYS)} on={form.on(|form, value| form.weekday = value)} /></Field>
                <Field label="At" hint="In the branch's time zone" error={sending.field("at")}><Input name="at" value={form.at.clone()} on={form.on(|form, text| form.at = text)} /></Field>
                <Field label="Mail it to" class="md:col-span-2" hint="Addresses, one a line" error={sending.field("recipients")}>
                    <TextArea rows=3 value={form.recipients.clone()} on={form.on(|form, text| form.recipients = text)} />
                </Field>
                <Toggle checked={form.paused} on={form.on(|form, paused| form.paused = paused)} label="Paused" />
            </div>
        </FormDialog>
    }
}

#[derive(Properties, PartialEq)]
struct LookProps {
    template: Option<Rc<Template>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[derive(Clone, PartialEq)]
struct LookForm {
    name: String,
    title: String,
    sender: String,
    accent: String,
    closing: String,
}

/// Makes or changes a look.
#[component]
fn Look(props: &LookProps) -> Html {
    let me = use_session();
    let form = use_form(|| match props.template.as_deref() {
        Some(template) => LookForm {
            name: template.name.clone(),
            title: template.title.clone(),
            sender: template.sender.clone(),
            accent: template.accent.clone(),
            closing: template.closing.clone(),
        },
        None => LookForm {
            name: String::new(),
            title: "Security report".into(),
            sender: me.me.organization.name.clone(),
            accent: "#2563eb".into(),
            closing: String::new(),
        },
    });
    let logo = use_state(|| props.template.as_ref().and_then(|template| template.logo.clone()));
    let wrong = use_state(|| None::<&'static str>);
    let sending = use_sending(&props.on_close, &props.on_done);
    let (removing, ask, keep) = use_flag();
    let id = props.template.as_ref().map(|template| template.id);
    let path = id.map_or_else(|| TEMPLATES.to_owned(), |id| format!("{TEMPLATES}/{id}"));
    let submit = {
        let (form, logo, sending, path) = (form.clone(), logo.clone(), sending.clone(), path.clone());
        Callback::from(move |()| {
            let new = NewTemplate {
                name: form.name.clone(),
                title: form.title.clone(),
                sender: form.sender.clone(),
                accent: form.accent.clone(),
                closing: form.closing.clone(),
                logo: (*logo).clone(),
            };
            let (method, done) = if id.is_some() { (Method::PUT, "Look changed") } else { (Method::POST, "Look made") };
            sending.send(method, path.clone(), new, done);
        })
    };
    if removing {
        let remove = {
            let sending = sending.clone();
            Callback::from(move |()| sending.act(Method::DELETE, path.clone(), "Look removed"))
        };
        return html! {
            <Confirm title="Remove the look" verb="Remove" busy={sending.busy} error={sending.error.clone()} on_confirm={remove} on_close={keep}>
                { "New reports cannot be made with it any more. Those that were made stay as they are." }
            </Confirm>
        };
    }
    let choose = {
        let (logo, wrong) = (logo.clone(), wrong.clone());
        Callback::from(move |event: Event| {
            let input: HtmlInputElement = event.target_unchecked_into();
            let Some(file) = input.files().and_then(|files| files.get(0)) else { return };
            if file.size() > MOST_LOGO {
                wrong.set(Some("A logo has at most 256 KiB."));
                return;
            }
            wrong.set(None);
            let logo = logo.clone();
            let Ok(reader) = web_sys::FileReader::new() else { return };
            let read = {
                let reader = reader.clone();
                wasm_bindgen::closure::Closure::once_into_js(move || {
                    logo.set(reader.result().ok().and_then(|url| url.as_string()));
                })
            };
            reader.set_onload(Some(read.unchecked_ref()));
            // A file that cannot be read leaves the logo as it was.
            let _ = reader.read_as_data_url(&file);
            input.set_value("");
        })
    };
    let drop_logo = {
        let logo = logo.clone();
        Callback::from(move |_: MouseEvent| logo.set(None))
    };
    let logo_error = wrong.map(ToOwned::to_owned).or_else(|| sending.field("logo"));
    let extra = html! { if id.is_some() { <Button kind={Kind::Danger} onclick={ask.reform(|_: MouseEvent| ())}>{ "Remove…" }</Button> } };
    html! {
        <FormDialog title={if id.is_some() { "Look" } else { "New look" }} verb={if id.is_some() { "Save" } else { "Make look" }} sending={sending.clone()}
            on_close={props.on_close.clone()} on_submit={submit} {extra}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" error={sending.field("name")}><Input name="name" value={form.name.clone()} on={form.on(|form, text| form.name = text)} /></Field>
                <Field label="Headline" error={sending.field("title")}><Input name="title" value={form.title.clone()} on={form.on(|form, text| form.title = text)} /></Field>
                <Field label="Sent by" hint="The company that looks after the branch" error={sending.field("sender")}><Input name="sender" value={form.sender.clone()} on={form.on(|form, text| form.sender = text)} /></Field>
                <Field label="Colour" hint="As #2563eb" error={sending.field("accent")}><Input name="accent" value={form.accent.clone()} on={form.on(|form, text| form.accent = text)} /></Field>
                <Field label="Logo" class="md:col-span-2" hint="PNG, JPEG or SVG, at most 256 KiB" error={logo_error}>
                    <div class="flex flex-wrap items-center gap-3">
                        if let Some(url) = &*logo { <img src={url.clone()} alt="The logo" class="h-10 max-w-48 object-contain" /> }
                        <label class="relative inline-flex min-h-8 cursor-pointer items-center rounded-md border border-line bg-panel px-3 font-medium hover:border-ink-3 focus-within:outline-2 focus-within:outline-accent">
                            <input type="file" accept="image/png,image/jpeg,image/svg+xml" onchange={choose} class="absolute inset-0 cursor-pointer opacity-0" name="logo" />
                            { if logo.is_some() { "Choose another…" } else { "Choose a file…" } }
                        </label>
                        if logo.is_some() { <Button kind={Kind::Ghost} onclick={drop_logo}>{ "Take it away" }</Button> }
                    </div>
                </Field>
                <Field label="Closing words" class="md:col-span-2" hint="How to reach you, for instance" error={sending.field("closing")}>
                    <TextArea rows=3 value={form.closing.clone()} on={form.on(|form, text| form.closing = text)} />
                </Field>
            </div>
        </FormDialog>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_one_a_line_or_behind_commas() {
        assert_eq!(lines("a@b.example\n\n c@d.example, e@f.example "), ["a@b.example", "c@d.example", "e@f.example"]);
    }

    #[test]
    fn the_plain_look_is_always_there() {
        assert_eq!(looks(&[]).len(), 1);
    }
}
