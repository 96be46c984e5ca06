//! The clear text that the host seals for a row: the ciphers of its shops, together with a digest of its document.
//!
//! The digest binds the document to the sealed value. Everything else in a row is either part of the place for which
//! the value is sealed (tenant, customer, account, revision), or a copy of what the document says (the index, the
//! lineage and the generation). If somebody without a data key changes the row in the database, the host notices it.
//! The digest is in the clear text and not in the associated data, so that a value can be sealed with another key
//! without reading the row.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The first byte of the clear text. The clear text of a host of release 0.1 is a JSON object, which begins with `{`.
const VERSION: u8 = 1;
const DIGEST: usize = 32;

/// Puts the digest of the document in front of the secrets.
pub(super) fn bound(document: &str, secrets: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut clear = Zeroizing::new(Vec::with_capacity(1 + DIGEST + secrets.len()));
    clear.push(VERSION);
    clear.extend(Sha256::digest(document));
    clear.extend(secrets);
    clear
}

/// Returns the secrets if the clear text was sealed with this document. Returns `None` otherwise.
pub(super) fn secrets_of(document: &str, clear: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (digest, secrets) = clear.strip_prefix(&[VERSION])?.split_first_chunk::<DIGEST>()?;
    let is_same: bool = Sha256::digest(document).as_slice().ct_eq(digest).into();
    is_same.then(|| Zeroizing::new(secrets.to_vec()))
}

/// Converts the clear text of a host of release 0.1, which is a JSON object with the ciphers, to the secrets of today.
/// Returns `None` if the clear text is something else, for example if it was sealed together with a document.
pub(super) fn secrets_of_columns(clear: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !clear.starts_with(b"{") {
        return None;
    }
    let (begin, end) = (br#"{"version":1,"ciphers":"#, b"}");
    let mut secrets = Zeroizing::new(Vec::with_capacity(begin.len() + clear.len() + end.len()));
    secrets.extend(begin);
    secrets.extend(clear);
    secrets.extend(end);
    Some(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_come_back_with_their_document_only() {
        for secrets in [b"".as_slice(), b"secrets"] {
            let clear = bound("{}", secrets);
            assert_eq!(secrets_of("{}", &clear).unwrap().as_slice(), secrets);
            assert_eq!(secrets_of("{ }", &clear), None);
            assert_eq!(secrets_of("{}", &clear[..20]), None);
            assert_eq!(secrets_of_columns(&clear), None);
        }
        assert_eq!(secrets_of("{}", b""), None);
        assert_eq!(secrets_of("{}", br#"{"1":"cipher"}"#), None);
    }

    #[test]
    fn the_ciphers_of_an_earlier_release_become_secrets() {
        let secrets = secrets_of_columns(br#"{"1":"cipher"}"#).unwrap();
        assert_eq!(secrets.as_slice(), br#"{"version":1,"ciphers":{"1":"cipher"}}"#);
    }
}
