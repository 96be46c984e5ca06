//! The transcript of a history: for each call, everything that crossed the boundary between the component and its host.
//! The README of this package describes the lines.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// The transcript of one history.
#[derive(Default)]
pub struct Transcript {
    /// The lines of each call, by the number of the call.
    calls: Mutex<BTreeMap<usize, Vec<String>>>,
}

/// Ends the line of an import that was answered.
const END: char = '}';

impl Transcript {
    /// Returns the whole text. A call that has not ended counts as crashed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in self.calls.lock().unwrap().values().flatten() {
            text.push_str(line);
            // The process crashed while the component waited for the answer.
            if !line.ends_with(END) {
                text.push_str(",\"crash\":true}");
            }
            text.push('\n');
        }
        text
    }

    /// Adds a line to a call.
    pub(crate) fn add(&self, call: usize, line: String) {
        self.calls.lock().unwrap().entry(call).or_default().push(line);
    }

    /// Ends the line that was added last.
    pub(crate) fn end(&self, call: usize, rest: &str) {
        if let Some(line) = self.calls.lock().unwrap().get_mut(&call).and_then(|lines| lines.last_mut()) {
            line.push_str(rest);
            line.push(END);
        }
    }
}
