//! Searches bytes for secrets, in every encoding in which a secret may have been written. Tests use this crate to show
//! that logs, errors and requests contain no secret.
//!
//! ```
//! use tiktok_shop_canaries::Canaries;
//!
//! let mut canaries = Canaries::default();
//! canaries.add("refresh token", "ROW_5f3a9d0c7b1e");
//! assert_eq!(canaries.found_in(b"GET /?refresh_token=ROW%5F5f3a9d0c7b1e").len(), 1);
//! assert_eq!(canaries.found_in(b"GET /?refresh_token=[redacted]").len(), 0);
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode, percent_encode_byte};

/// The minimum length of a secret, in bytes. A shorter text could occur by chance, so [`Canaries::add`] refuses it.
pub const MIN_SECRET_BYTES: usize = 12;

/// The secrets to search for.
#[derive(Default)]
pub struct Canaries {
    /// The encoded secrets in lower case, each with its kind and encoding. The search ignores letter case.
    patterns: BTreeMap<Vec<u8>, Found>,
    /// The compiled search. It is built on first use.
    search: OnceLock<AhoCorasick>,
}

/// A secret that was found: its kind and its encoding, but not its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The kind, as it was passed to [`Canaries::add`].
    pub kind: &'static str,
    /// The encoding in which the secret was found.
    pub encoding: &'static str,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.encoding)
    }
}

impl Canaries {
    /// Adds a secret to search for.
    ///
    /// # Panics
    /// Panics if the secret is shorter than [`MIN_SECRET_BYTES`].
    pub fn add(&mut self, kind: &'static str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= MIN_SECRET_BYTES, "a {kind} of {} bytes cannot be searched for", secret.len());
        for (encoding, pattern) in encodings(secret) {
            self.search.take();
            self.patterns.entry(pattern.to_ascii_lowercase()).or_insert(Found { kind, encoding });
        }
    }

    /// Searches `bytes` for all added secrets. Returns the kind and the encoding of each secret that was found.
    ///
    /// # Panics
    /// Panics if the added secrets are too large for one search, which takes gigabytes of secrets.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> BTreeSet<Found> {
        let search = self.search.get_or_init(|| {
            // This search is used only a few times. A faster kind of automaton would take more time to build than it
            // would save.
            let kind = Some(AhoCorasickKind::NoncontiguousNFA);
            let search = AhoCorasick::builder().ascii_case_insensitive(true).kind(kind).build(self.patterns.keys());
            #[expect(clippy::expect_used, reason = "documented")]
            search.expect("a search")
        });
        let kinds: Vec<Found> = self.patterns.values().copied().collect();
        search.find_overlapping_iter(bytes).filter_map(|found| kinds.get(found.pattern().as_usize()).copied()).collect()
    }
}

impl fmt::Debug for Canaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canaries").field("patterns", &self.patterns.len()).finish()
    }
}

/// Returns the secret in every encoding that the search knows, and the name of each encoding.
fn encodings(secret: &[u8]) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let decimals: Vec<_> = secret.iter().map(u8::to_string).collect();
    let percent: String = secret.iter().map(|byte| percent_encode_byte(*byte)).collect();
    let simple = [
        ("raw", secret.to_vec()),
        ("hex", hex::encode(secret).into_bytes()),
        ("percent-encoded", percent_encode(secret, NON_ALPHANUMERIC).to_string().into_bytes()),
        ("percent-encoded throughout", percent.into_bytes()),
        ("list of bytes", decimals.join(", ").into_bytes()),
        ("list of bytes", decimals.join(",").into_bytes()),
    ];
    let base64 = [("base64", STANDARD_NO_PAD), ("base64, URL-safe", URL_SAFE_NO_PAD)].into_iter().flat_map(
        move |(name, engine)| (0..3).map(move |before| (name, in_base64(secret, before, &engine))).collect::<Vec<_>>(),
    );
    simple.into_iter().chain(base64)
}

/// Returns the part of the secret's Base64 text that does not depend on the bytes around the secret. Base64 encodes
/// groups of three bytes. `before` (0 to 2) is the number of bytes that stand before the secret in its first group.
fn in_base64(secret: &[u8], before: usize, engine: &GeneralPurpose) -> Vec<u8> {
    let digits = engine.encode([&[0].repeat(before), secret].concat());
    let (first, end) = ((before * 8).div_ceil(6), (before + secret.len()) * 8 / 6);
    digits.into_bytes().drain(first..end).collect()
}

#[cfg(test)]
mod tests;
