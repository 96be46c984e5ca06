//! A bar on a terminal, a few plain lines anywhere else. All of it on standard error.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Without a terminal, one line for so many points.
const POINTS_PER_LINE: u64 = 500;

pub(crate) struct Progress {
    bar: ProgressBar,
    on_terminal: bool,
}

impl Progress {
    pub(crate) fn over(points: u64) -> Result<Self> {
        let (bar, on_terminal) = (ProgressBar::new(points), io::stderr().is_terminal());
        if on_terminal {
            bar.set_style(ProgressStyle::with_template("Killing {bar:30} {pos}/{len} {elapsed}, {eta} left")?);
        } else {
            say(&format!("Killing at {points} points ..."));
        }
        Ok(Self { bar, on_terminal })
    }

    /// One more is done.
    pub(crate) fn point(&self) {
        self.bar.inc(1);
        let done = self.bar.position();
        if !self.on_terminal && done.is_multiple_of(POINTS_PER_LINE) {
            say(&format!("  {done} points"));
        }
    }

    pub(crate) fn end(&self) {
        let seconds = self.bar.elapsed().as_secs_f32();
        self.bar.finish_and_clear();
        say(&format!("Killing: done in {seconds:.1} s"));
    }
}

/// A line for the person who waits; a closed standard error must not end the task.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
