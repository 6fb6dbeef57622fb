//! Limits of a worker: a cgroup v2 of its own where this process may make one, otherwise niceness.
//!
//! Failing to limit is logged and never keeps a worker from running.

use std::{fs, path::PathBuf};

use crate::settings::Workers;

/// Niceness of a worker without a cgroup: the lowest priority.
const NICENESS: i32 = 19;

fn group(name: &str) -> PathBuf {
    PathBuf::from(format!("/sys/fs/cgroup/sent-{}-{name}", std::process::id()))
}

/// Puts a process under the limits.
pub fn confine(name: &str, pid: u32, limits: &Workers) {
    lower_priority(pid);
    if let Err(error) = confine_in_group(name, pid, limits) {
        tracing::debug!(%error, name, "no cgroup for this worker; it has the lowest priority instead");
    }
}

#[expect(clippy::disallowed_methods, reason = "these are knobs of the kernel, not files")]
fn confine_in_group(name: &str, pid: u32, limits: &Workers) -> std::io::Result<()> {
    let group = group(name);
    if !PathBuf::from("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "there is no cgroup v2"));
    }
    fs::create_dir_all(&group)?;
    fs::write(group.join("cpu.weight"), limits.cpu_weight.to_string())?;
    fs::write(group.join("memory.max"), (limits.memory_mib * 1024 * 1024).to_string())?;
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

#[expect(unsafe_code, reason = "setpriority has no safe wrapper; it only reads its three numbers")]
fn lower_priority(pid: u32) {
    // SAFETY: setpriority takes plain numbers and touches no memory of ours.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, NICENESS) };
    if result != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), pid, "a worker's priority could not be lowered");
    }
}

/// Removes a worker's group once it has ended.
pub fn release(name: &str) {
    // There is none where cgroups are not available.
    let _ = fs::remove_dir(group(name));
}
