//! The faults of the fake. A fault replaces the answer to one request. A test scripts a fault for a path. When a
//! request to this path comes, the fake plays the fault: it sends the fault's bytes in place of the answer.
//!
//! A fault says whether TikTok Shop acts on the request, which bytes are sent in place of TikTok Shop's answer, and how
//! the connection ends. The request log shows both TikTok Shop's own answer and the fault that replaced it.

mod catalogue;
mod codes;

use serde::{Deserialize, Serialize};

pub use catalogue::catalogue;

/// A fault that replaces one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Whether TikTok Shop acts on the request in the same way as without the fault.
    pub acts: bool,
    /// The pieces that are sent in place of the answer, in this order.
    pub sends: Vec<Piece>,
    /// The way in which the connection ends after the pieces were sent.
    pub then: Ending,
}

impl Fault {
    /// Returns the fault with this name in the [`catalogue`].
    pub fn named(name: &str) -> Option<Self> {
        catalogue().into_iter().find_map(|(known, fault)| (known == name).then_some(fault))
    }

    /// Returns the bytes of all pieces. `answer` is the body of TikTok Shop's own answer. It is empty if TikTok Shop
    /// did not act.
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

/// A part of the bytes that a fault sends. Together, the pieces make up the whole answer with its status line and
/// headers, because the fake adds nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Piece {
    /// This text.
    Text(String),
    /// These bytes.
    Bytes(Vec<u8>),
    /// This text, repeated this many times.
    Repeat(String, usize),
    /// The body of TikTok Shop's own answer, or a part of that body. This piece is empty if TikTok Shop did not act.
    Answer {
        /// The number of bytes to leave out at the beginning.
        #[serde(default)]
        skip: usize,
        /// The highest number of bytes to send. `None` means that all bytes are sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        take: Option<usize>,
    },
    /// The length of the body of TikTok Shop's own answer in bytes, as decimal digits.
    AnswerLength,
}

/// The way in which a connection ends after the bytes of a fault were sent on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The connection is closed properly.
    Close,
    /// The connection is reset.
    Reset,
    /// The fake sends nothing more and keeps the connection open until the client closes it.
    Stall,
    /// The fake sends this text again and again, until the client closes the connection.
    Endless(String),
}

/// A fault, and the requests whose answers it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FaultScript {
    /// The path of the requests.
    pub path: String,
    /// The name of the fault in the request log.
    pub name: String,
    /// The fault itself.
    pub fault: Fault,
    /// The number of requests for which the fault will still be played. `None` means every request.
    pub left: Option<u64>,
    /// The number of requests for which the fault was played.
    pub met: u64,
}

/// The scripts, in the order in which they were added. For each request, the fake plays the first script for the
/// request's path. A script that is used up is removed.
#[derive(Default)]
pub(crate) struct FaultScripts(Vec<FaultScript>);

impl FaultScripts {
    pub(crate) fn add(&mut self, path: &str, name: &str, fault: Fault, times: Option<u64>) {
        if times != Some(0) {
            self.0.push(FaultScript { path: path.to_owned(), name: name.to_owned(), fault, left: times, met: 0 });
        }
    }

    /// Returns the name and the fault to play for a request to this path.
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
