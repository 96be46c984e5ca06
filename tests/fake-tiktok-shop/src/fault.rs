//! Faults: what goes wrong with single answers, scripted per path and played at the level of bytes.
//!
//! A fault says whether TikTok Shop acts on the request, what is sent, and how it ends. The request log tells of both
//! sides: what TikTok Shop made of the request, and the fault that its answer met.

mod catalogue;
mod codes;

use serde::{Deserialize, Serialize};

pub use catalogue::catalogue;

/// What goes wrong with one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Does TikTok Shop act on the request, as it would without the fault?
    pub acts: bool,
    /// What is sent, one after the other, in place of the answer.
    pub sends: Vec<Piece>,
    /// What follows.
    pub then: Ending,
}

impl Fault {
    /// The fault of this name in the [`catalogue`].
    pub fn named(name: &str) -> Option<Self> {
        catalogue().into_iter().find_map(|(known, fault)| (known == name).then_some(fault))
    }

    /// All that is sent before the end. `answer` is the body of what TikTok Shop answered, empty if it did not act.
    pub(crate) fn bytes(&self, answer: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in &self.sends {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Piece::Bytes(raw) => bytes.extend_from_slice(raw),
                Piece::Repeat(text, times) => bytes.extend_from_slice(text.repeat(*times).as_bytes()),
                Piece::Answer { skip, take } => {
                    bytes.extend(answer.iter().skip(*skip).take(take.unwrap_or(usize::MAX)));
                }
                Piece::AnswerLength => bytes.extend_from_slice(answer.len().to_string().as_bytes()),
            }
        }
        bytes
    }
}

/// A part of what is sent: status line, headers and body alike, nothing is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Piece {
    /// This text.
    Text(String),
    /// These bytes.
    Bytes(Vec<u8>),
    /// This text, so many times.
    Repeat(String, usize),
    /// The body of what TikTok Shop answered, or a part of it. Nothing if it did not act.
    Answer {
        /// So many bytes are left out at its beginning.
        #[serde(default)]
        skip: usize,
        /// At most so many are sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        take: Option<usize>,
    },
    /// The length of that body, in decimal digits.
    AnswerLength,
}

/// How a faulty answer ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The connection is closed in order.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays open until the client closes it.
    Stall,
    /// This text again and again, until the client closes the connection.
    Endless(String),
}

/// A fault and the requests it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FaultScript {
    /// Path of the requests.
    pub path: String,
    /// What the request log calls the fault.
    pub name: String,
    /// The fault itself.
    pub fault: Fault,
    /// How many requests are still to meet it; `None` is every one.
    pub left: Option<u64>,
    /// How many have met it.
    pub met: u64,
}

/// The scripts, in the order they were written. The first that is for a path is played; one that is used up is gone.
#[derive(Default)]
pub(crate) struct FaultScripts(Vec<FaultScript>);

impl FaultScripts {
    pub(crate) fn add(&mut self, path: &str, name: &str, fault: Fault, times: Option<u64>) {
        if times != Some(0) {
            self.0.push(FaultScript { path: path.to_owned(), name: name.to_owned(), fault, left: times, met: 0 });
        }
    }

    /// Name and fault for a request to this path.
    pub(crate) fn next(&mut self, path: &str) -> Option<(String, Fault)> {
        let script = self.0.iter_mut().find(|script| script.path == path)?;
        script.met += 1;
        script.left = script.left.map(|left| left - 1);
        let next = (script.name.clone(), script.fault.clone());
        self.0.retain(|script| script.left != Some(0));
        Some(next)
    }

    pub(crate) fn all(&self) -> &[FaultScript] {
        &self.0
    }

    pub(crate) fn take(&mut self) -> Vec<FaultScript> {
        std::mem::take(&mut self.0)
    }
}
