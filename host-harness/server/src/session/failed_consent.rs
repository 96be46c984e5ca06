//! Why a consent was refused or has failed.

use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::storage::BrowserDigest;

use crate::problem::{Next, Problem};

/// The size of a stored digest, in bytes.
const SIZE: usize = 32;

/// What the platform should do after a consent that was refused or has failed, and the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedConsent {
    pub(crate) next: Next,
    pub(crate) code: String,
}

impl From<&ConsentError> for FailedConsent {
    fn from(error: &ConsentError) -> Self {
        let problem = Problem::from(error.clone());
        Self { next: problem.next(), code: problem.code().to_owned() }
    }
}

impl FailedConsent {
    /// Returns the failure in the form of a digest, because the record of an outcome has no other place for it: the number
    /// of the next step, the code, and zeros. `None` if the code has more than 31 bytes. The digest of a browser
    /// session is never equal to these bytes, because nobody can find a text with a given HMAC-SHA256 or SHA-256.
    pub(super) fn to_digest(&self) -> Option<BrowserDigest> {
        let number = Next::ALL.iter().position(|next| *next == self.next)?;
        let mut bytes = [0; SIZE];
        let (first, rest) = bytes.split_first_mut()?;
        *first = u8::try_from(number).ok()?;
        rest.get_mut(..self.code.len())?.copy_from_slice(self.code.as_bytes());
        Some(BrowserDigest::new(bytes))
    }

    /// Reads a stored failure. Returns `None` if the bytes are not a failure: an earlier release stored none, or the
    /// code was too long.
    pub(super) fn of_digest(digest: &BrowserDigest) -> Option<Self> {
        let (number, rest) = digest.as_bytes().split_first()?;
        let next = *Next::ALL.get(usize::from(*number))?;
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        let (code, zeros) = rest.split_at_checked(end)?;
        let is_code =
            !code.is_empty() && code.iter().all(|byte| byte.is_ascii_lowercase() || b"-0123456789".contains(byte));
        let code = is_code.then(|| String::from_utf8(code.to_vec()).ok()).flatten()?;
        zeros.iter().all(|byte| *byte == 0).then_some(Self { next, code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(next: Next, code: &str) -> FailedConsent {
        FailedConsent { next, code: code.to_owned() }
    }

    #[test]
    fn every_failure_with_a_code_of_up_to_31_bytes_is_read_as_it_was_stored() {
        for next in Next::ALL {
            for code in ["a", "not-a-seller", "unrecognised-answer-repeated", &"x".repeat(31)] {
                let failure = failure(next, code);
                assert_eq!(FailedConsent::of_digest(&failure.to_digest().unwrap()), Some(failure));
            }
        }
        assert_eq!(failure(Next::Upstream, &"x".repeat(32)).to_digest(), None);
    }

    /// The documented table of codes.
    #[test]
    fn every_code_of_the_connector_can_be_stored() {
        let page = include_str!("../../../../docs/errors.md");
        let codes: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        assert!(codes.contains(&"not-a-seller") && codes.contains(&"unrecognised-answer-repeated"), "{codes:?}");
        for code in codes {
            assert!(failure(Next::Internal, code).to_digest().is_some(), "{code}");
        }
    }

    /// Storages keep the numbers.
    #[test]
    fn a_stored_number_keeps_its_meaning() {
        let numbers: Vec<_> = Next::ALL.iter().map(|next| next.as_str()).collect();
        let expected = [
            "retry-after",
            "reauthorize",
            "misconfigured",
            "invalid-request",
            "upstream",
            "storage-conflict",
            "storage-failed",
            "internal",
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn a_digest_that_is_no_failure_is_not_read_as_one() {
        let with = |number: u8, text: &[u8]| {
            let mut bytes = [0; SIZE];
            bytes[0] = number;
            bytes[1..=text.len()].copy_from_slice(text);
            BrowserDigest::new(bytes)
        };
        assert_eq!(
            FailedConsent::of_digest(&with(3, b"not-a-seller")),
            Some(failure(Next::InvalidRequest, "not-a-seller"))
        );
        for digest in [
            BrowserDigest::new([0; SIZE]),
            BrowserDigest::new([7; SIZE]),
            with(8, b"not-a-seller"),
            with(3, b"not-a-seller\0x"),
            with(3, b"Not-a-seller"),
            with(3, b"not a seller"),
            with(3, b"\xff"),
        ] {
            assert_eq!(FailedConsent::of_digest(&digest), None, "{:?}", digest.as_bytes());
        }
    }
}
