//! What SQLite and PostgreSQL do in their own way: time.
//!
//! The age of a token record decides whether a claim still holds, so it must not depend on a clock that somebody sets. The
//! server's clock measures it in PostgreSQL, for every host alike. A file has no server: SQLite's hosts are processes of one
//! machine, and share the time since its boot.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Statement, StorageError};

/// Time as all processes of this machine measure it.
pub trait MachineClock: Send + Sync {
    /// Names the machine's latest boot: another after each.
    fn boot(&self) -> &str;

    /// Time since then, sleep included. Never goes backwards, and nobody can set it.
    fn since_boot(&self) -> Duration;

    /// Time since 1970, as far as this machine knows.
    fn wall(&self) -> Duration;
}

/// This machine's clocks.
#[derive(Debug, Clone)]
pub struct BootClock {
    boot: String,
}

impl BootClock {
    /// Asks the system for the boot's id.
    ///
    /// # Errors
    /// It does not tell.
    #[cfg(target_os = "linux")]
    pub fn read() -> std::io::Result<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self { boot: boot.trim_end().to_owned() })
    }

    /// Asks the system for the boot's id.
    ///
    /// # Errors
    /// It does not tell.
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

/// Which database, and what measures time in it.
#[derive(Clone)]
pub(super) enum Dialect {
    Sqlite(Arc<dyn MachineClock>),
    Postgres,
}

/// The columns of a moment begin with this word.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    Written,
    Begun,
}

impl Moment {
    fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Begun => "begun",
        }
    }
}

impl Dialect {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The columns that hold a moment.
    pub(super) fn columns(&self, moment: Moment) -> String {
        let word = moment.word();
        match self {
            Self::Sqlite(_) => format!("{word}_boot, {word}_ms"),
            Self::Postgres => format!("{word}_at"),
        }
    }

    /// Now, for these columns, where `first` is the first parameter that is free: [`bind_now`](Self::bind_now) binds it.
    pub(super) fn now(&self, first: usize) -> String {
        match self {
            Self::Sqlite(_) => format!("${first}, ${}", first + 1),
            Self::Postgres => "clock_timestamp()".to_owned(),
        }
    }

    /// How long ago a moment was, in milliseconds; null: before this boot. For parameters as for [`now`](Self::now).
    pub(super) fn age(&self, moment: Moment, first: usize) -> String {
        let word = moment.word();
        match self {
            Self::Sqlite(_) => format!("CASE WHEN {word}_boot = ${first} THEN ${} - {word}_ms END", first + 1),
            Self::Postgres => {
                format!("CAST(EXTRACT(EPOCH FROM clock_timestamp() - {word}_at) * 1000 AS BIGINT)")
            }
        }
    }

    pub(super) fn bind_now(&self, query: Statement) -> Result<Statement, StorageError> {
        Ok(match self {
            Self::Sqlite(clock) => query.bind(clock.boot().to_owned()).bind(milliseconds(clock.since_boot())?),
            Self::Postgres => query,
        })
    }
}

fn milliseconds(time: Duration) -> Result<i64, StorageError> {
    i64::try_from(time.as_millis()).map_err(|_| StorageError::Unavailable("the machine's clock is absurd".to_owned()))
}

/// An age as a database tells it. One that is negative, because a server's clock was set back, is none.
pub(super) fn age_of(milliseconds: Option<i64>) -> Duration {
    milliseconds.map_or(Duration::MAX, |ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
}
