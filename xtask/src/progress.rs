//! Shows the progress of a build on standard error: as a bar on a terminal, and otherwise as a few plain lines.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use xtask::BuildEvent;

/// Without a terminal, a line is printed each time that this many more packages are ready.
const PACKAGES_PER_LINE: usize = 50;

/// Runs `build` and shows its progress under `title`. `packages` is the number of packages in the build, or an error if
/// the number is unknown.
pub(crate) fn show<T>(
    title: &'static str,
    packages: Result<usize>,
    build: impl FnOnce(&(dyn Fn(BuildEvent<'_>) + Sync)) -> Result<T>,
) -> Result<T> {
    let bar = match packages {
        Ok(packages) => ProgressBar::new(packages.try_into()?),
        Err(_) => ProgressBar::no_length(),
    };
    let terminal = io::stderr().is_terminal();
    if terminal {
        bar.set_style(ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {elapsed}  {wide_msg}")?);
        bar.set_prefix(title);
        bar.enable_steady_tick(Duration::from_millis(100));
    } else {
        say(&format!("{title} ..."));
    }

    let done = AtomicUsize::new(0);
    let outcome = build(&|event| match event {
        BuildEvent::Package => {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            bar.inc(1);
            if !terminal && done.is_multiple_of(PACKAGES_PER_LINE) {
                say(&format!("  {done} packages"));
            }
        }
        BuildEvent::Text(line) => bar.set_message(line.trim().to_owned()),
        _ => {}
    });
    let seconds = bar.elapsed().as_secs_f32();
    bar.finish_and_clear();
    if outcome.is_ok() {
        say(&format!("{title}: done in {seconds:.1} s"));
    }
    outcome
}

/// Writes a line to standard error. A closed standard error does not end the task.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
