//! Shows progress on standard error: as a bar on a terminal, otherwise as a few plain lines.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// If standard error is not a terminal, a line is printed each time that this many points are done.
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
            print_line(&format!("Killing at {points} points ..."));
        }
        Ok(Self { bar, on_terminal })
    }

    /// Counts one more kill point as done.
    pub(crate) fn point(&self) {
        self.bar.inc(1);
        let done = self.bar.position();
        if !self.on_terminal && done.is_multiple_of(POINTS_PER_LINE) {
            print_line(&format!("  {done} points"));
        }
    }

    pub(crate) fn end(&self) {
        let seconds = self.bar.elapsed().as_secs_f32();
        self.bar.finish_and_clear();
        print_line(&format!("Killing: done in {seconds:.1} s"));
    }
}

/// Prints a line. A closed standard error must not end the program.
fn print_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
