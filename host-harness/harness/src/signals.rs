//! The signals that ask the program to end: SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives the signals that ask the program to end. While this value exists, none of these signals ends the program by
/// itself.
pub(crate) struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if SIGHUP was ignored when the program started.
    hangup: Option<Signal>,
}

impl EndSignals {
    /// Begins to receive the signals.
    pub(crate) fn install() -> io::Result<Self> {
        let hangup = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Waits until one of the signals arrives.
    pub(crate) async fn first(&mut self) {
        let Self { interrupt, terminate, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
    }

    /// Waits until Ctrl-C is pressed after this call. Earlier presses do not count.
    ///
    /// A further SIGTERM or SIGHUP changes nothing: systemd may send SIGHUP after SIGTERM, and a shell whose terminal
    /// is closed sends SIGHUP after the system has already sent SIGHUP. Neither signal means that a person accepts a
    /// loss.
    pub(crate) fn another_interrupt(self) -> impl Future<Output = ()> {
        // A new receiver gets only the signals that arrive after it was created. It is created at once, and not when
        // the future is polled for the first time.
        let later = signal(SignalKind::interrupt());
        async move {
            match later {
                Ok(mut interrupt) => {
                    interrupt.recv().await;
                }
                Err(_) => std::future::pending().await,
            }
        }
    }
}

/// Returns true if SIGHUP was ignored when the program started. `nohup` starts programs with SIGHUP ignored, so that
/// they continue after the terminal is closed. Only Linux answers this question without unsafe code. On other systems,
/// SIGHUP always ends the program.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// Reads the mask of ignored signals in `/proc/self/status`. Its lowest bit is signal 1, which is SIGHUP.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bit_of_the_mask_of_ignored_signals_is_sighup() {
        let status = |mask: &str| format!("Name:\tharness\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0\n");
        assert!(ignores_hangup(&status("0000000000001001")));
        assert!(!ignores_hangup(&status("0000000000001000")), "Rust programs ignore SIGPIPE, which is signal 13");
        assert!(!ignores_hangup(""));
    }
}
