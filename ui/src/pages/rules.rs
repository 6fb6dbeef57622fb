//! Alert rules: what is raised, when it clears, who is told, and who is told next.

use super::monitoring::Tabs;
use crate::{
    api::{self, List},
    components::{
        Button, Column, Confirm, DataTable, Empty, Field, FormDialog, Input, Kind, NewButton, Pick, Row, Slot, Tag,
        TextArea, Toggle, Tone, Toolbar, form::options, listed, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::use_resource,
    format,
    session::use_session,
    words,
};
use gloo_net::http::Method;
use sent_contract::{
    Uuid,
    pulse::{Rule, Series},
};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;

impl Row for Rule {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn condition(rule: &Rule) -> String {
    let hold = format::duration(i64::from(rule.hold_seconds) * 1_000_000);
    match rule.condition.as_str() {
        "absent" => format!("silent for {hold}"),
        word => {
            format!(
                "{word} {} for {hold}, clears at {}",
                limit(&rule.metric, rule.raise),
                limit(&rule.metric, rule.clear)
            )
        }
    }
}

/// A limit with the unit that a metric's name ends in (Prometheus's manner): a ratio reads as a share.
fn limit(metric: &str, value: f64) -> String {
    let unit = ["ratio", "seconds", "bytes", "celsius"].into_iter().find(|unit| metric.ends_with(&format!("_{unit}")));
    match unit {
        Some(unit) => format::measure(value, unit),
        None => value.to_string(),
    }
}

fn series(rule: &Rule) -> String {
    let labels: Vec<String> = rule.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    if labels.is_empty() { rule.metric.clone() } else { format!("{}{{{}}}", rule.metric, labels.join(",")) }
}

fn columns() -> Vec<Column<Rule>> {
    vec![
        Column::new("Rule", |rule: &Rule| rule.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Series", series).class("font-mono text-sm text-ink-2"),
        Column::new("Raised when", condition).at(Slot::Detail),
        Column::new("Severity", |rule: &Rule| rule.severity.clone())
            .cell(|rule| html! { <Tag tone={if rule.severity == "bad" { Tone::Bad } else { Tone::Warn }}>{ words::severity(&rule.severity) }</Tag> })
            .at(Slot::Value),
        Column::new("Notifies", |rule: &Rule| {
            if rule.notify.is_empty() { "nobody: shown here only".into() } else { rule.notify.join(", ") }
        })
        .fill()
        .class("text-ink-2"),
        Column::new("State", |rule: &Rule| if rule.paused { "Paused" } else { "Watching" }.into())
            .class("text-ink-2")
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Rules() -> Html {
    let may = use_session().may("pulse.rule.write");
    let rules = use_resource::<List<Rule>>(Some("/api/pulse/rules".into()), &["table:rules"]);
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&rules, (), |_, ()| true);
    let opened = use_opened::<Rule>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New rule" onclick={make.clone()} /> } };
    let empty = html! {
        <Empty title="No rules yet" text="A rule watches a series and tells people when it leaves its limits.">
            if may { <Button kind={Kind::Primary} onclick={make.reform(|_: MouseEvent| ())}>{ "New rule" }</Button> }
        </Empty>
    };
    html! {
        <>
            <Toolbar {actions}><Tabs /></Toolbar>
            { listed(&rules, 6, |_| html! { <DataTable<Rule> {rows} {columns} name="Rules" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if making {
                <Editor rule={None::<Rc<Rule>>} on_close={made} on_done={rules.reload.clone()} />
            }
            if let Some(rule) = &opened.row {
                <Editor rule={Some(rule.clone())} on_close={opened.close.clone()} on_done={rules.reload.clone()} />
            }
        </>
    }
}

/// The form as it is typed.
#[derive(Clone, Debug, PartialEq)]
struct Form {
    name: String,
    metric: String,
    labels: String,
    condition: String,
    raise: String,
    clear: String,
    hold: String,
    severity: String,
    notify: String,
    escalate_after: String,
    escalate_to: String,
    paused: bool,
}

fn lines(text: &str) -> Vec<String> {
    text.split(['\n', ',']).map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
}

impl Form {
    fn of(rule: Option<&Rule>) -> Self {
        let Some(rule) = rule else {
            return Form {
                name: String::new(),
                metric: String::new(),
                labels: String::new(),
                condition: "above".into(),
                raise: String::new(),
                clear: String::new(),
                hold: "60".into(),
                severity: "warn".into(),
                notify: String::new(),
                escalate_after: String::new(),
                escalate_to: String::new(),
                paused: false,
            };
        };
        Form {
            name: rule.name.clone(),
            metric: rule.metric.clone(),
            labels: rule.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n"),
            condition: rule.condition.clone(),
            raise: rule.raise.to_string(),
            clear: rule.clear.to_string(),
            hold: rule.hold_seconds.to_string(),
            severity: rule.severity.clone(),
            notify: rule.notify.join("\n"),
            escalate_after: rule.escalate_after.map(|seconds| (seconds / 60).to_string()).unwrap_or_default(),
            escalate_to: rule.escalate_to.join("\n"),
            paused: rule.paused,
        }
    }

    /// The request, or the field that is wrong and why.
    fn request(&self, id: Uuid) -> Result<Rule, (&'static str, String)> {
        let number = |field: &'static str, text: &str| {
            text.trim().parse::<f64>().ok().filter(|value| value.is_finite()).ok_or((field, "not a number".to_owned()))
        };
        let whole = |field: &'static str, text: &str| {
            text.trim().parse::<u32>().map_err(|_| (field, "not a whole number".to_owned()))
        };
        let metric = self.metric.trim();
        if metric.is_empty() {
            return Err(("metric", "which series?".to_owned()));
        }
        let mut labels = BTreeMap::new();
        for line in lines(&self.labels) {
            let (name, value) = line.split_once('=').ok_or(("labels", format!("`{line}` is not name=value")))?;
            labels.insert(name.trim().to_owned(), value.trim().trim_matches('"').to_owned());
        }
        let absent = self.condition == "absent";
        let raise = if absent { 0.0 } else { number("raise", &self.raise)? };
        let clear = match self.clear.trim() {
            "" => raise,
            _ if absent => 0.0,
            text => number("clear", text)?,
        };
        let wrong_side = (self.condition == "above" && clear > raise) || (self.condition == "below" && clear < raise);
        if wrong_side {
            return Err(("clear", "it would clear while it is still raised".to_owned()));
        }
        let escalate_after = match self.escalate_after.trim() {
            "" => None,
            text => Some(whole("escalate_after", text)?.saturating_mul(60)),
        };
        Ok(Rule {
            id,
            name: if self.name.trim().is_empty() {
                format!("{metric} {}", self.condition)
            } else {
                self.name.trim().to_owned()
            },
            metric: metric.to_owned(),
            labels,
            condition: self.condition.clone(),
            raise,
            clear,
            hold_seconds: whole("hold_seconds", &self.hold)?,
            severity: self.severity.clone(),
            notify: lines(&self.notify),
            escalate_after,
            escalate_to: lines(&self.escalate_to),
            paused: self.paused,
        })
    }
}

#[derive(Properties, PartialEq)]
struct EditorProps {
    rule: Option<Rc<Rule>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Editor(props: &EditorProps) -> Html {
    let known = use_resource::<List<Series>>(Some("/api/pulse/series".into()), &[]);
    let form = use_form(|| Form::of(props.rule.as_deref()));
    let wrong = use_state(|| None::<(&'static str, String)>);
    let sending = use_sending(&props.on_close, &props.on_done);
    let (removing, ask, keep) = use_flag();
    let id = props.rule.as_ref().map(|rule| rule.id);
    let path = id.map_or_else(|| "/api/pulse/rules".to_owned(), |id| format!("/api/pulse/rules/{id}"));

    let submit = {
        let (form, wrong, sending, path) = (form.clone(), wrong.clone(), sending.clone(), path.clone());
        Callback::from(move |()| match form.request(id.unwrap_or_else(api::new_id)) {
            Err(problem) => wrong.set(Some(problem)),
            Ok(rule) => {
                wrong.set(None);
                let (method, done) =
                    if id.is_some() { (Method::PUT, "Rule changed") } else { (Method::POST, "Rule made") };
                sending.send(method, path.clone(), rule, done);
            }
        })
    };
    if removing {
        let remove = {
            let sending = sending.clone();
            Callback::from(move |()| sending.act(Method::DELETE, path.clone(), "Rule removed"))
        };
        return html! {
            <Confirm title="Remove the rule" verb="Remove" busy={sending.busy} error={sending.error.clone()} on_confirm={remove} on_close={keep}>
                { "Nobody is told any more when its series leaves the limits. Open alerts of it are resolved." }
            </Confirm>
        };
    }
    let failure = |field: &str| {
        let own = wrong.as_ref().filter(|(name, _)| *name == field).map(|(_, message)| message.clone());
        own.or_else(|| sending.field(field))
    };
    let mut metrics: Vec<String> = known
        .data
        .as_ref()
        .map(|list| list.items.iter().map(|series| series.metric.clone()).collect())
        .unwrap_or_default();
    metrics.sort();
    metrics.dedup();
    let unit = known.data.as_ref().and_then(|list| {
        list.items.iter().find(|series| series.metric == form.metric.trim()).map(|series| series.unit.clone())
    });
    let limits = form.condition != "absent";
    let extra = html! {
        if id.is_some() { <Button kind={Kind::Danger} onclick={ask.reform(|_: MouseEvent| ())}>{ "Remove…" }</Button> }
    };
    html! {
        <FormDialog title={if id.is_some() { "Rule" } else { "New rule" }} verb={if id.is_some() { "Save" } else { "Make rule" }} sending={sending.clone()}
            on_close={props.on_close.clone()} on_submit={submit} {extra}>
            <datalist id="metrics">{ for metrics.into_iter().map(|metric| html! { <option value={metric} /> }) }</datalist>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" error={failure("name")}><Input name="name" value={form.name.clone()} on={form.on(|form, text| form.name = text)} /></Field>
                <Field label="Metric" error={failure("metric")} hint={unit.map(|unit| AttrValue::from(format!("Unit: {unit}")))}>
                    <Input name="metric" list="metrics" value={form.metric.clone()} on={form.on(|form, text| form.metric = text)} invalid={failure("metric").is_some()} />
                </Field>
                <Field label="Only with these labels" class="md:col-span-2" error={failure("labels")} hint="name=value, one a line; empty: all">
                    <TextArea rows=2 mono=true value={form.labels.clone()} on={form.on(|form, text| form.labels = text)} />
                </Field>
                <Field label="Raised when it is">
                    <Pick name="condition" value={form.condition.clone()} on={form.on(|form, text| form.condition = text)} options={options(&[("above", "Above"), ("below", "Below"), ("absent", "Silent")])} />
                </Field>
                <Field label="For, seconds" error={failure("hold_seconds")}><Input name="hold" mode="numeric" value={form.hold.clone()} on={form.on(|form, text| form.hold = text)} /></Field>
                if limits {
                    <Field label="Limit" error={failure("raise")} hint="In the series' own unit: a ratio of 90 % is 0.9"><Input name="raise" mode="decimal" value={form.raise.clone()} on={form.on(|form, text| form.raise = text)} /></Field>
                    <Field label="Clears at" error={failure("clear")} hint="As the limit, if empty"><Input name="clear" mode="decimal" value={form.clear.clone()} on={form.on(|form, text| form.clear = text)} /></Field>
                }
                <Field label="Severity"><Pick value={form.severity.clone()} on={form.on(|form, text| form.severity = text)} options={options(&[("warn", "Warning"), ("bad", "Critical")])} /></Field>
                <Field label="Escalate after, minutes" error={failure("escalate_after")} hint="Empty: never"><Input mode="numeric" value={form.escalate_after.clone()} on={form.on(|form, text| form.escalate_after = text)} /></Field>
                <Field label="Notify" error={failure("notify")} hint="mail:name@example.org or webhook:https://…, one a line"><TextArea rows=2 value={form.notify.clone()} on={form.on(|form, text| form.notify = text)} /></Field>
                <Field label="Then notify" error={failure("escalate_to")} hint="If nobody acknowledged"><TextArea rows=2 value={form.escalate_to.clone()} on={form.on(|form, text| form.escalate_to = text)} /></Field>
                <Toggle checked={form.paused} on={form.on(|form, paused| form.paused = paused)} label="Paused" />
            </div>
        </FormDialog>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        Rule {
            id: Uuid::nil(),
            name: "Disk".into(),
            metric: "disk_used_ratio".into(),
            labels: BTreeMap::from([("mount".into(), "/data".into())]),
            condition: "above".into(),
            raise: 0.9,
            clear: 0.85,
            hold_seconds: 300,
            severity: "bad".into(),
            notify: vec!["mail:a@b".into()],
            escalate_after: Some(1800),
            escalate_to: vec!["webhook:https://c".into()],
            paused: false,
        }
    }

    #[test]
    fn a_rule_comes_back_out_of_the_form_as_it_went_in() {
        assert_eq!(Form::of(Some(&rule())).request(Uuid::nil()), Ok(rule()));
    }

    #[test]
    fn limits_that_cannot_clear_are_refused() {
        let form = Form { clear: "0.95".into(), ..Form::of(Some(&rule())) };
        assert_eq!(form.request(Uuid::nil()).expect_err("on the wrong side").0, "clear");
        let form = Form { raise: "NaN".into(), ..Form::of(Some(&rule())) };
        assert_eq!(form.request(Uuid::nil()).expect_err("not finite").0, "raise");
    }
}
