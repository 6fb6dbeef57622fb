//! The box itself: processors, memory, disks, network, temperatures, processes, and whether its clock can be trusted.
//!
//! What changes by the second (processors, memory, network) is read every second for the pages and kept as the mean of an
//! interval, so that a peak between two kept points still counts. What costs more (disks, temperatures, the list of
//! processes) is read once an interval.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use sent_core::{
    Timestamp,
    clock::{SharedClock, SystemClock},
};
use sent_protocol::series::series_id;
use sysinfo::{
    Components, CpuRefreshKind, Disks, MemoryRefreshKind, Networks, ProcessRefreshKind, ProcessesToUpdate, RefreshKind,
    System,
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    model::{
        SECOND,
        counter::{Counter, Width},
        sample::{SELF, Sample},
    },
    recorder::Recorder,
};

/// Processes that are shown by processor time and as many by memory.
const TOP: usize = 5;
/// A clock before this was never set: 1 January 2026.
const EARLIEST: i64 = 1_767_225_600 * SECOND;
/// A step of the clock is told for so long.
const STEP_TOLD: usize = 10;

/// Reads the machine.
pub struct Probe {
    system: System,
    disks: Disks,
    networks: Networks,
    components: Components,
    counters: HashMap<(String, &'static str), Counter>,
}

impl Probe {
    /// Opens what is to be read.
    pub fn new() -> Result<Self, String> {
        let fail = |what: &str, e: sysinfo::Error| format!("cannot read the machine's {what}: {e}");
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::everything());
        Ok(Self {
            system: System::new_with_specifics(kinds).map_err(|e| fail("processors and memory", e))?,
            disks: Disks::new_with_refreshed_list().map_err(|e| fail("disks", e))?,
            networks: Networks::new_with_refreshed_list().map_err(|e| fail("network", e))?,
            components: Components::new_with_refreshed_list().map_err(|e| fail("sensors", e))?,
            counters: HashMap::new(),
        })
    }

    /// Processors, memory and network. Rates need a reading before this one.
    pub fn quick(&mut self, at: i64) -> Vec<Sample> {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.networks.refresh(true);
        let mut samples = vec![Sample::new("cpu_usage_ratio", "ratio", SELF, share(self.system.global_cpu_usage()))];
        for (n, cpu) in self.system.cpus().iter().enumerate() {
            samples.push(
                Sample::new("cpu_core_usage_ratio", "ratio", SELF, share(cpu.usage())).with("core", n.to_string()),
            );
        }
        if let Ok(load) = System::load_average() {
            for (metric, value) in [("load1", load.one), ("load5", load.five), ("load15", load.fifteen)] {
                samples.push(Sample::new(metric, "count", SELF, value));
            }
        }
        let (total, available) = (self.system.total_memory(), self.system.available_memory());
        samples.push(Sample::new("memory_total_bytes", "bytes", SELF, total as f64));
        samples.push(Sample::new("memory_available_bytes", "bytes", SELF, available as f64));
        samples.push(Sample::new("memory_used_bytes", "bytes", SELF, total.saturating_sub(available) as f64));
        if total > 0 {
            samples.push(Sample::new("memory_used_ratio", "ratio", SELF, 1.0 - available as f64 / total as f64));
        }
        let (total, used) = (self.system.total_swap(), self.system.used_swap());
        samples.push(Sample::new("swap_total_bytes", "bytes", SELF, total as f64));
        samples.push(Sample::new("swap_used_bytes", "bytes", SELF, used as f64));
        for (name, data) in &self.networks {
            let name = name.to_string_lossy();
            // The loopback, and the box's own ends of containers' cables.
            if name == "lo" || name.starts_with("veth") {
                continue;
            }
            for (metric, unit, value) in [
                ("net_receive_bytes_per_second", "bytes_per_second", data.total_received()),
                ("net_transmit_bytes_per_second", "bytes_per_second", data.total_transmitted()),
                ("net_receive_errors_per_second", "per_second", data.total_errors_on_received()),
                ("net_transmit_errors_per_second", "per_second", data.total_errors_on_transmitted()),
            ] {
                let counter = self.counters.entry((name.to_string(), metric)).or_default();
                if let Some(rate) = counter.advance(at, value, Width::Bits64, false) {
                    samples.push(Sample::new(metric, unit, SELF, rate).with("interface", name.to_string()));
                }
            }
        }
        samples
    }

    /// Disks, temperatures, processes, up-time.
    pub fn slow(&mut self, at: i64) -> Vec<Sample> {
        self.disks.refresh(true);
        self.components.refresh(true);
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks(),
        );
        let mut samples = Vec::new();
        self.read_disks(at, &mut samples);
        for component in &self.components {
            if let Some(celsius) = component.temperature() {
                samples.push(
                    Sample::new("temperature_celsius", "celsius", SELF, f64::from(celsius))
                        .with("sensor", component.label()),
                );
            }
        }
        self.read_processes(&mut samples);
        if let Ok(seconds) = System::uptime() {
            samples.push(Sample::new("uptime_seconds", "seconds", SELF, seconds as f64));
        }
        samples
    }

    fn read_disks(&mut self, at: i64, samples: &mut Vec<Sample>) {
        // One device may be mounted at many places; the shortest path is the one a person knows.
        let mut shortest: BTreeMap<(String, u64), (String, &sysinfo::Disk)> = BTreeMap::new();
        for disk in &self.disks {
            let mount = disk.mount_point().to_string_lossy().into_owned();
            let key = (disk.name().to_string_lossy().into_owned(), disk.total_space());
            let better = shortest.get(&key).is_none_or(|(known, _)| (mount.len(), &mount) < (known.len(), known));
            if better && disk.total_space() > 0 {
                shortest.insert(key, (mount, disk));
            }
        }
        for (mount, disk) in shortest.into_values() {
            let (total, free) = (disk.total_space(), disk.available_space());
            let used = total.saturating_sub(free);
            let mut put = |metric: &'static str, unit: &'static str, value: f64| {
                samples.push(Sample::new(metric, unit, SELF, value).with("mount", mount.clone()));
            };
            put("disk_total_bytes", "bytes", total as f64);
            put("disk_free_bytes", "bytes", free as f64);
            put("disk_used_bytes", "bytes", used as f64);
            put("disk_used_ratio", "ratio", used as f64 / total as f64);
            let usage = disk.usage();
            for (metric, value) in [
                ("disk_read_bytes_per_second", usage.total_read_bytes),
                ("disk_write_bytes_per_second", usage.total_written_bytes),
            ] {
                let counter = self.counters.entry((mount.clone(), metric)).or_default();
                if let Some(rate) = counter.advance(at, value, Width::Bits64, false) {
                    put(metric, "bytes_per_second", rate);
                }
            }
        }
    }

    /// The heaviest programs; processes of one name count together, so that a restart does not start a new series.
    fn read_processes(&self, samples: &mut Vec<Sample>) {
        let cores = self.system.cpus().len().max(1) as f64;
        let mut programs: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for process in self.system.processes().values().filter(|p| p.memory() > 0) {
            let (cpu, memory) = programs.entry(process.name().to_string_lossy().into_owned()).or_default();
            *cpu += f64::from(process.cpu_usage()) / 100.0 / cores;
            *memory += process.memory() as f64;
        }
        samples.push(Sample::new("processes", "count", SELF, self.system.processes().len() as f64));
        let mut heaviest = |metric: &'static str, unit: &'static str, of: fn(&(f64, f64)) -> f64| {
            let mut order: Vec<_> = programs.iter().collect();
            order.sort_by(|a, b| of(b.1).total_cmp(&of(a.1)));
            for (name, load) in order.into_iter().take(TOP) {
                samples.push(Sample::new(metric, unit, SELF, of(load)).with("process", name.clone()));
            }
        };
        heaviest("process_cpu_usage_ratio", "ratio", |load| load.0);
        heaviest("process_memory_bytes", "bytes", |load| load.1);
    }
}

/// Measures the box every second until it is told to stop; the means of `keep` readings are kept, as many as that is at the
/// time. Fails when the machine cannot be read.
pub async fn measure(
    recorder: &Recorder,
    clock: &SharedClock,
    keep: watch::Receiver<u32>,
    stop: CancellationToken,
) -> Result<(), String> {
    let broken = |e| format!("this machine cannot be measured; the log says why: {e}");
    let mut probe = spawn_blocking(Probe::new).await.map_err(broken)??;
    let mut watch = ClockWatch::default();
    let mut means = Means::default();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since_kept = 0;
    for n in 0u64.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let at = clock.now().0;
        // The second reading is the first with rates: the pages are full from then on.
        let full = n == 1 || since_kept >= *keep.borrow();
        // Reading a disk may take long; the runtime's threads are not for that.
        let read = spawn_blocking(move || {
            let quick = probe.quick(at);
            let slow = if full { probe.slow(at) } else { Vec::new() };
            (probe, quick, slow)
        });
        let (back, quick, slow) = read.await.map_err(broken)?;
        probe = back;
        since_kept = if full { 1 } else { since_kept + 1 };
        if n > 0 {
            // The load of processors is a difference: the first reading has none.
            means.add(&quick);
        }
        if full {
            recorder.record(at, means.take());
            recorder.record(at, slow);
            recorder.record(at, vec![watch.offset(Instant::now(), SystemClock::raw())]);
        }
        if n > 0 {
            recorder.glance(at, quick);
        }
    }
    Ok(())
}

fn share(percent: f32) -> f64 {
    (f64::from(percent) / 100.0).clamp(0.0, 1.0)
}

/// Means of what is read more often than it is kept.
#[derive(Default)]
pub struct Means {
    sums: HashMap<u64, (Sample, u32)>,
}

impl Means {
    /// Takes one reading.
    pub fn add(&mut self, samples: &[Sample]) {
        for sample in samples {
            let (sum, count) = self
                .sums
                .entry(series_id(&sample.metric, &sample.labels))
                .or_insert_with(|| (Sample { value: 0.0, ..sample.clone() }, 0));
            sum.value += sample.value;
            *count += 1;
        }
    }

    /// The means since the last time.
    pub fn take(&mut self) -> Vec<Sample> {
        let mut means: Vec<Sample> =
            self.sums.drain().map(|(_, (sum, count))| Sample { value: sum.value / f64::from(count), ..sum }).collect();
        means.sort_by(|a, b| (&a.metric, &a.labels).cmp(&(&b.metric, &b.labels)));
        means
    }
}

/// Watches the machine's clock against the time that really passes.
#[derive(Default)]
pub struct ClockWatch {
    /// Where both stood at each reading.
    anchors: VecDeque<(Instant, i64)>,
}

impl ClockWatch {
    /// By how many seconds the clock is wrong: how far it stepped within the last readings, or how far it is before a day
    /// that is certainly past. `passed` only moves forward; `wall` is what the machine says.
    pub fn offset(&mut self, passed: Instant, wall: Timestamp) -> Sample {
        let stepped = self
            .anchors
            .iter()
            .map(|(then, wall_then)| {
                let real = i64::try_from(passed.duration_since(*then).as_micros()).unwrap_or(i64::MAX);
                (wall.0 - wall_then).abs_diff(real)
            })
            .max()
            .unwrap_or(0);
        self.anchors.push_back((passed, wall.0));
        if self.anchors.len() > STEP_TOLD {
            self.anchors.pop_front();
        }
        let unset = EARLIEST.saturating_sub(wall.0).max(0).unsigned_abs();
        Sample::new("clock_offset_seconds", "seconds", SELF, stepped.max(unset) as f64 / SECOND as f64)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared was never calculated")]
mod tests {
    use super::*;

    fn value(samples: &[Sample], metric: &str) -> Option<f64> {
        samples.iter().find(|s| s.metric == metric).map(|s| s.value)
    }

    #[test]
    fn reads_this_machine() {
        let mut probe = Probe::new().expect("a machine that can be read");
        probe.quick(0);
        let quick = probe.quick(SECOND);
        let slow = probe.slow(SECOND);
        assert!((0.0..=1.0).contains(&value(&quick, "cpu_usage_ratio").expect("processors")));
        let (used, total) = (value(&quick, "memory_used_bytes"), value(&quick, "memory_total_bytes"));
        assert!(used > Some(0.0) && used <= total);
        assert!(value(&slow, "uptime_seconds") > Some(0.0));
        assert!(slow.iter().any(|s| s.metric == "process_memory_bytes"));
        let mut series: Vec<u64> = quick.iter().chain(&slow).map(|s| series_id(&s.metric, &s.labels)).collect();
        series.sort_unstable();
        let all = series.len();
        series.dedup();
        assert_eq!(series.len(), all, "one value for each series");
    }

    #[test]
    fn means_are_means() {
        let mut means = Means::default();
        let sample = |value| vec![Sample::new("m", "count", "h", value)];
        means.add(&sample(1.0));
        means.add(&sample(3.0));
        assert_eq!(means.take(), sample(2.0));
        assert!(means.take().is_empty());
    }

    #[tokio::test]
    async fn notices_a_step_and_forgets_it() {
        let mut watch = ClockWatch::default();
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        assert_eq!(watch.offset(at(0), Timestamp(EARLIEST)).value, 0.0);
        assert_eq!(watch.offset(at(10), Timestamp(EARLIEST + 10 * SECOND)).value, 0.0);
        assert_eq!(watch.offset(at(20), Timestamp(EARLIEST + 80 * SECOND)).value, 60.0);
        for n in 3..3 + STEP_TOLD as u64 {
            watch.offset(at(n * 10), Timestamp(EARLIEST + (n as i64 * 10 + 60) * SECOND));
        }
        assert_eq!(watch.offset(at(200), Timestamp(EARLIEST + 260 * SECOND)).value, 0.0);
        assert!(watch.offset(at(210), Timestamp(0)).value > 1e9, "a clock that was never set");
    }
}
