//! What the monitoring pages share: the row of tabs, and how a series and a check are named.

use crate::route::Route;
use sent_contract::pulse::{CheckKind, Series};
use yew::prelude::*;
use yew_router::prelude::*;

/// The tabs of monitoring.
#[component]
pub fn Tabs() -> Html {
    let here = use_route::<Route>().unwrap_or(Route::Missing);
    let tabs = [
        (Route::Hosts, "Hosts"),
        (Route::Checks, "Checks"),
        (Route::Charts, "Charts"),
        (Route::Alerts, "Alerts"),
        (Route::Rules, "Rules"),
    ];
    html! {
        <nav aria-label="Monitoring" class="inline-flex rounded-md border border-line bg-panel p-0.5">
            for (route, name) in tabs {
                <Link<Route> classes={classes!("rounded-sm", "px-2.5", "py-1", "font-medium", if route == here { "bg-accent-soft text-accent" } else { "text-ink-2 hover:text-ink" })} to={route}>{ name }</Link<Route>>
            }
        </nav>
    }
}

/// `cpu_usage_ratio · this box` and what else tells it from its neighbours.
pub fn series_name(series: &Series) -> String {
    let labels: Vec<&str> = series.labels.values().map(String::as_str).collect();
    if labels.is_empty() { series.metric.clone() } else { format!("{} · {}", series.metric, labels.join(" · ")) }
}

/// What a check does, in a word.
pub fn check_word(kind: &CheckKind) -> &'static str {
    match kind {
        CheckKind::Ping { .. } => "Ping",
        CheckKind::Tcp { .. } => "TCP",
        CheckKind::Http { .. } => "HTTP",
        CheckKind::Tls { .. } => "Certificate",
        CheckKind::Snmp { .. } => "SNMP",
        CheckKind::Prometheus { .. } => "Prometheus",
        CheckKind::Mqtt { .. } => "MQTT",
    }
}

/// What it looks at.
pub fn check_target(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Ping { host } => host.clone(),
        CheckKind::Tcp { host, port } | CheckKind::Tls { host, port } => format!("{host}:{port}"),
        CheckKind::Http { url, .. } | CheckKind::Prometheus { url } => url.clone(),
        CheckKind::Snmp { host, port, .. } => format!("{host}:{}", port.unwrap_or(161)),
        CheckKind::Mqtt { broker, topic } => format!("{broker} {topic}"),
    }
}
