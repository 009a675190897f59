//! What the servers' processes spend and hold, from /proc.

use std::time::Duration;

use anyhow::Context as _;
use e2e::children_of;

/// Clock ticks in a second of `/proc/PID/stat`: fixed at 100 for user space on Linux.
const TICKS_PER_SECOND: u32 = 100;

/// The children of one `up`: the tiers, without their supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    /// Process id of `up`.
    pub(crate) parent: u32,
    /// Process ids of a database and a broker, whose children count too.
    pub(crate) behind: Vec<u32>,
}

/// Memory of all servers together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident bytes, shared pages counted in every process that maps them.
    pub(crate) resident: u64,
    /// Resident bytes, shared pages divided between those that map them.
    pub(crate) proportional: u64,
}

// === impl Servers ===

impl Servers {
    /// Returns the CPU time that all servers have spent since they started, database and broker
    /// included.
    pub(crate) async fn cpu(&self) -> anyhow::Result<Duration> {
        let mut ticks = 0;
        for (id, _) in children_of(self.parent).await {
            ticks += spent(id)?;
        }
        for parent in &self.behind {
            ticks += spent(*parent)?;
            for (id, _) in children_of(*parent).await {
                // Connections come and go.
                ticks += spent(id).unwrap_or(0);
            }
        }
        Ok(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
    }

    /// Returns the memory that all servers hold.
    pub(crate) async fn memory(&self) -> anyhow::Result<Memory> {
        let mut memory = Memory::default();
        for (id, _) in children_of(self.parent).await {
            let rollup = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
            memory.resident += kilobytes(&rollup, "Rss:")? * 1024;
            memory.proportional += kilobytes(&rollup, "Pss:")? * 1024;
        }
        Ok(memory)
    }
}

/// Returns the clock ticks that a process has spent.
fn spent(id: u32) -> anyhow::Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name may hold spaces: fields are counted after it, from the state on.
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let spent = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(spent.sum::<Result<u32, _>>()?)
}

fn kilobytes(rollup: &str, name: &str) -> anyhow::Result<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("the kernel does not tell {name}"))?.parse()?)
}
