//! One measured value on its way into a series.

use std::borrow::Cow;

use sent_protocol::series::Labels;

/// The host every measurement of the box itself is labelled with.
pub const SELF: &str = "this box";

/// One measured value. Its series is named by metric and labels; the time is given to all samples of one run at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Metric name, Prometheus style: `cpu_usage_ratio`.
    pub metric: Cow<'static, str>,
    /// Labels; `host` is always among them.
    pub labels: Labels,
    /// Unit: `ratio`, `bytes`, `seconds`, `celsius`, `count`, …
    pub unit: Cow<'static, str>,
    /// Value; one that is not finite is not recorded.
    pub value: f64,
}

impl Sample {
    /// A value measured at a host.
    pub fn new(
        metric: impl Into<Cow<'static, str>>,
        unit: impl Into<Cow<'static, str>>,
        host: &str,
        value: f64,
    ) -> Self {
        let labels = Labels::from([("host".to_owned(), host.to_owned())]);
        Self { metric: metric.into(), labels, unit: unit.into(), value }
    }

    /// The same with one more label.
    pub fn with(mut self, label: &str, value: impl Into<String>) -> Self {
        self.labels.insert(label.to_owned(), value.into());
        self
    }
}

/// The unit a metric's name promises (Prometheus' naming rules: the base unit is the last word, before `_total`).
pub fn unit_of(metric: &str) -> &'static str {
    if metric.ends_with("_per_second") {
        return if metric.contains("bytes") { "bytes_per_second" } else { "per_second" };
    }
    let base = metric.strip_suffix("_total").unwrap_or(metric);
    match base.rsplit('_').next() {
        Some("bytes") => "bytes",
        Some("seconds") => "seconds",
        Some("ratio") => "ratio",
        Some("celsius") => "celsius",
        Some("volts") => "volts",
        Some("amperes") => "amperes",
        Some("joules") => "joules",
        Some("meters") => "meters",
        Some("grams") => "grams",
        Some("percent") => "percent",
        _ => "count",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_name() {
        assert_eq!(unit_of("process_resident_memory_bytes"), "bytes");
        assert_eq!(unit_of("process_cpu_seconds_total"), "seconds");
        assert_eq!(unit_of("net_receive_bytes_per_second"), "bytes_per_second");
        assert_eq!(unit_of("up"), "count");
    }
}
