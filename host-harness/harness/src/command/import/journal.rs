//! The journal of an import: a private file that remembers the lines without an account. Only TikTok's answer names the
//! account of such a line, so the storage can't tell whether the line was imported. The journal also remembers every line
//! whose account is not a seller, because the next run would only learn that the token is spent.
//!
//! A line without an account is written into the journal before its token is sent, and again after TikTok's answer. The journal contains
//! digests, but no token and no customer.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tiktok_shop_private_file as private_file;

use super::lines::Digest;
use crate::failure::Failure;

/// The maximum length of a journal: 1 GiB. Each run adds at most 82 bytes for each line of the import.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The state of a line, according to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The token was about to be sent, or was sent, and nobody knows whether TikTok has replaced it.
    Begun,
    /// The customer was connected then, in the storage of that run.
    Connected,
    /// TikTok has replaced the token, and has answered that the account is not a seller.
    NotASeller,
}

/// The outcome of a line, if it is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Connected,
    /// TikTok has certainly not replaced the token, so a later run may send it again.
    NotConnected,
    NotASeller,
}

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    states: HashMap<Digest, State>,
}

impl Journal {
    /// Opens the journal, or creates it. Only one import at a time can use a journal.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let file = private_file::open_to_append(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::Refused(format!("another import uses the journal {}", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(failed(path, &error)),
        }
        let text = private_file::read(path, MAX_BYTES)?.unwrap_or_default();
        let mut journal = Self { path: path.to_owned(), file, states: read(&text) };
        // A crash may have cut off the last line.
        if !text.is_empty() && !text.ends_with('\n') {
            journal.write("\n")?;
        }
        Ok(journal)
    }

    /// Returns what the journal says about a line. `None` if the token of the line may be sent.
    pub(super) fn state(&self, line: &Digest) -> Option<State> {
        self.states.get(line).copied()
    }

    /// Records that the token of a line is about to be sent.
    pub(super) fn begin(&mut self, line: &Digest) -> Result<(), Failure> {
        self.write(&format!("begun {}\n", hex::encode(line)))
    }

    /// Records the outcome of a line.
    pub(super) fn end(&mut self, line: &Digest, outcome: Outcome) -> Result<(), Failure> {
        let word = match outcome {
            Outcome::Connected => "connected",
            Outcome::NotConnected => "ended",
            Outcome::NotASeller => "not-a-seller",
        };
        self.write(&format!("{word} {}\n", hex::encode(line)))
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| failed(&self.path, &error))
    }
}

/// Reads the states from a journal and does not lock it. There is none if the journal does not exist.
pub(super) fn states(path: &Path) -> Result<HashMap<Digest, State>, Failure> {
    Ok(read(&private_file::read(path, MAX_BYTES)?.unwrap_or_default()))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Unavailable(format!("journal {}: {error}", path.display()))
}

/// Reads the lines of a journal. Ignores a line that was cut off: its token was not sent, because the journal is
/// written first.
fn read(text: &str) -> HashMap<Digest, State> {
    let mut states = HashMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (word, digest) = (words.next(), words.next().and_then(decoded));
        let Some(digest) = digest else { continue };
        match word {
            Some("begun") => {
                states.insert(digest, State::Begun);
            }
            Some("connected") => {
                states.insert(digest, State::Connected);
            }
            Some("not-a-seller") => {
                states.insert(digest, State::NotASeller);
            }
            Some("ended") => {
                states.remove(&digest);
            }
            Some(_) | None => {}
        }
    }
    states
}

fn decoded(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    hex::decode_to_slice(text, &mut digest).ok().map(|()| digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [Digest; 4] = [[1; 16], [2; 16], [3; 16], [4; 16]];

    #[test]
    fn a_journal_remembers_what_became_of_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.journal");
        let mut journal = Journal::open(&path).unwrap();
        for line in &LINES {
            assert_eq!(journal.state(line), None);
            journal.begin(line).unwrap();
        }
        journal.end(&LINES[0], Outcome::Connected).unwrap();
        journal.end(&LINES[1], Outcome::NotConnected).unwrap();
        journal.end(&LINES[3], Outcome::NotASeller).unwrap();
        assert!(matches!(Journal::open(&path), Err(Failure::Refused(_))), "another import uses it");
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        let states = LINES.map(|line| journal.state(&line));
        assert_eq!(states, [Some(State::Connected), None, Some(State::Begun), Some(State::NotASeller)]);
        let unlocked = super::states(&path).unwrap();
        assert_eq!(LINES.map(|line| unlocked.get(&line).copied()), states);
        assert!(super::states(&folder.path().join("missing")).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.journal");
        let whole = format!("begun {}", hex::encode(LINES[0]));
        private_file::create(&path, &whole[..whole.len() - 1]).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.state(&LINES[0]), None);
        journal.begin(&LINES[1]).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().state(&LINES[1]), Some(State::Begun));
    }
}
