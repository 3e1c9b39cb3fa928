//! What a check costs, and how that is read from the system.

use std::{fs, io, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Result;

/// What a round of checks cost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// From the first check's begin to the last one's end.
    pub elapsed: Duration,
    /// The client's CPU, user and system, per check.
    pub cpu: Duration,
    /// How long each check took.
    pub walls: Vec<Duration>,
    /// The most memory that the client's process had resident.
    pub resident_kib: u64,
}

impl Cost {
    /// Checks in a second.
    pub fn rate(&self) -> f64 {
        self.walls.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// The middle one.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The CPU that this process has used, to the nanosecond: the scheduler's own count of each of its threads.
pub fn own_cpu() -> Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}

/// The CPU that a process has used, to 10 ms, or that its children have that it waited for.
pub fn cpu(pid: &str, whose: Whose) -> Result<Duration> {
    // proc(5): the name in parentheses may hold spaces; utime is the 14th field, and the fields behind the name begin at
    // the third. USER_HZ is 100 on every architecture that Linux runs on today.
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let at = match whose {
        Whose::Own => 11,
        Whose::Children => 13,
    };
    let ticks: u64 = fields
        .get(at..at + 2)
        .ok_or_else(|| io::Error::other("/proc/.../stat is short"))?
        .iter()
        .map(|t| t.parse().unwrap_or(0))
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Of whom [`cpu`] tells.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    /// The process.
    Own,
    /// Its children that ended.
    Children,
}

/// The most memory that a process has had resident, in KiB; 0 when it is gone.
pub fn peak_kib(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
