//! The machine's clocks, by which SQLite measures ages.
//!
//! Before a call sends a refresh token, it writes a claim into the token record, so that no other call sends the same
//! token. The age of the record decides whether the claim still holds, so all hosts must measure this age by the same
//! clock. With PostgreSQL, this clock is the server's clock. SQLite has no server. All hosts that use an SQLite
//! database are processes of one machine, so they measure the age by the time since the machine's boot, which nobody
//! can set.

use std::time::{Duration, SystemTime};

/// A clock that gives all processes of this machine the same time.
pub trait MachineClock: Send + Sync {
    /// Returns the id of the machine's latest boot. Each boot has a different id.
    fn boot(&self) -> &str;

    /// Returns the time since the machine's latest boot. This time includes the time in which the machine slept. The
    /// returned time never goes backwards, and nobody can set it.
    fn since_boot(&self) -> Duration;

    /// Returns the time since 1970-01-01T00:00:00Z by the machine's wall clock, which can be set.
    fn wall(&self) -> Duration;
}

/// The clocks of the machine on which this process runs.
#[derive(Debug, Clone)]
pub struct BootClock {
    boot: String,
}

impl BootClock {
    /// Reads the id of the latest boot from the system.
    ///
    /// # Errors
    /// The id could not be read.
    #[cfg(target_os = "linux")]
    pub fn read() -> std::io::Result<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self { boot: boot.trim_end().to_owned() })
    }

    /// Reads the id of the latest boot from the system.
    ///
    /// # Errors
    /// The id could not be read.
    #[cfg(target_os = "macos")]
    pub fn read() -> std::io::Result<Self> {
        use sysctl::Sysctl as _;

        let id = sysctl::Ctl::new("kern.bootsessionuuid").and_then(|id| id.value_string());
        Ok(Self { boot: id.map_err(std::io::Error::other)? })
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where a storage reads the system's clocks")]
impl MachineClock for BootClock {
    fn boot(&self) -> &str {
        &self.boot
    }

    fn since_boot(&self) -> Duration {
        // On Linux the monotonic clock stands still while the machine sleeps.
        #[cfg(target_os = "linux")]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = rustix::time::ClockId::Monotonic;
        let now = rustix::time::clock_gettime(clock);
        let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
    }

    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a broken expectation is a failed test")]
mod tests {
    use super::*;

    /// Returns the time since the boot from the kernel's file `/proc/uptime`, with a resolution of a hundredth of a
    /// second. This time includes the time in which the machine slept.
    fn uptime() -> Duration {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let (seconds, hundredths) = text.split_whitespace().next().unwrap().split_once('.').unwrap();
        Duration::from_secs(seconds.parse().unwrap()) + Duration::from_millis(10 * hundredths.parse::<u64>().unwrap())
    }

    #[test]
    fn the_boot_clock_shows_the_time_since_the_boot() {
        let clock = BootClock::read().unwrap();
        assert!(!clock.boot().is_empty());
        let (before, shown, after) = (uptime(), clock.since_boot(), uptime());
        assert!(before <= shown && shown <= after + Duration::from_millis(10), "{before:?} {shown:?} {after:?}");
    }
}
