//! Decodes the body of an answer that arrives in a content coding (RFC 9110, section 8.4).
//!
//! The connector asks for the coding `identity`, but a gateway may compress an answer all the same. The tokens in such
//! an answer are worth decoding: the code or the refresh token that paid for them is spent.

use alloc::vec::Vec;
use miniz_oxide::inflate::{
    DecompressError, TINFLStatus, decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit,
};

/// The reason why a body was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecoded {
    /// The decoded body is larger than the limit.
    TooLarge,
    /// The coding is unknown, or the body is not in this coding.
    Unreadable,
}

/// The lengths of gzip's header and trailer (RFC 1952): 10 and 8 bytes.
const GZIP_HEADER: usize = 10;
const GZIP_TRAILER: usize = 8;

/// Decodes a body. `codings` is the value of the header `content-encoding`: the codings in the order in which they were
/// applied. The body may have at most `limit` bytes after each step.
pub(crate) fn decoded(body: &[u8], codings: &str, limit: usize) -> Result<Vec<u8>, Undecoded> {
    let mut body = body.to_vec();
    for coding in codings.rsplit(',') {
        body = match coding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => body,
            "gzip" | "x-gzip" => gunzip(&body, limit)?,
            "deflate" => inflate(&body, limit)?,
            _ => return Err(Undecoded::Unreadable),
        };
    }
    Ok(body)
}

fn undecoded(error: DecompressError) -> Undecoded {
    if error.status == TINFLStatus::HasMoreOutput { Undecoded::TooLarge } else { Undecoded::Unreadable }
}

/// Decodes `deflate`, which is the zlib format. Some servers send the bare deflate format instead.
fn inflate(body: &[u8], limit: usize) -> Result<Vec<u8>, Undecoded> {
    match decompress_to_vec_zlib_with_limit(body, limit).map_err(undecoded) {
        Err(Undecoded::Unreadable) => decompress_to_vec_with_limit(body, limit).map_err(undecoded),
        outcome => outcome,
    }
}

/// Decodes one gzip member. The length in its trailer must be the length of the result.
fn gunzip(body: &[u8], limit: usize) -> Result<Vec<u8>, Undecoded> {
    let (deflated, length) = gzip_parts(body).ok_or(Undecoded::Unreadable)?;
    let plain = decompress_to_vec_with_limit(deflated, limit).map_err(undecoded)?;
    if u32::try_from(plain.len()) == Ok(length) { Ok(plain) } else { Err(Undecoded::Unreadable) }
}

/// Returns the deflated part of a gzip member, and the length in its trailer.
fn gzip_parts(body: &[u8]) -> Option<(&[u8], u32)> {
    let (member, trailer) = body.split_at_checked(body.len().checked_sub(GZIP_TRAILER)?)?;
    let (header, mut rest) = member.split_at_checked(GZIP_HEADER)?;
    let [0x1f, 0x8b, 8, flags, ..] = header else { return None };
    let has = |flag: u8| flags & flag != 0;
    if has(4) {
        let (length, extra) = rest.split_first_chunk()?;
        rest = extra.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    // The file name and the comment each end with a zero byte.
    for flag in [8, 16] {
        if has(flag) {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if has(2) {
        rest = rest.get(2..)?;
    }
    Some((rest, u32::from_le_bytes(*trailer.last_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"code":0,"data":{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}`, as Python's `zlib` compresses it.
    const PLAIN: &[u8] = br#"{"code":0,"data":{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}"#;
    const DEFLATE: &str = "ab564ace4f4955b232d0514a492c4954b2aa5602124a890480526d2d00";
    const ZLIB: &str = "78daab564ace4f4955b232d0514a492c4954b2aa5602124a890480526d2d00264d13c1";
    /// With extra field, file name, comment and checksum of the header.
    const GZIP_FULL: &str = "1f8b081e00000000000303006162636e616d65006e6f746500008aab564ace4f4955b232d0514a492c4954b2aa5602124a890480526d2d003d2f684d3a000000";
    const GZIP: &str = "1f8b0800000000000003ab564ace4f4955b232d0514a492c4954b2aa5602124a890480526d2d003d2f684d3a000000";

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).expect("hexadecimal digits")
    }

    #[test]
    fn every_known_coding_is_decoded() {
        for (coded, codings) in [
            (bytes(GZIP), "gzip"),
            (bytes(GZIP), " GZip "),
            (bytes(GZIP), "x-gzip"),
            (bytes(GZIP_FULL), "gzip"),
            (bytes(ZLIB), "deflate"),
            (bytes(DEFLATE), "deflate"),
            (PLAIN.to_vec(), "identity"),
            (PLAIN.to_vec(), ""),
            (bytes(GZIP), "identity, gzip, identity,"),
        ] {
            assert_eq!(decoded(&coded, codings, 1000).as_deref(), Ok(PLAIN), "{codings}");
        }
        let twice = bytes(
            "1f8b0800000000000003abb8b53acceb9cbf67e826a30b815e9e3a9e219b568531097975b23404e5ea32a8f90a1f0400d1e767fe23000000",
        );
        assert_eq!(decoded(&twice, "deflate, gzip", 1000).as_deref(), Ok(PLAIN));
    }

    #[test]
    fn a_body_that_grows_over_the_limit_is_too_large() {
        for (coded, coding) in [(GZIP, "gzip"), (ZLIB, "deflate"), (DEFLATE, "deflate")] {
            assert_eq!(decoded(&bytes(coded), coding, PLAIN.len()).as_deref(), Ok(PLAIN));
            assert_eq!(decoded(&bytes(coded), coding, PLAIN.len() - 1), Err(Undecoded::TooLarge), "{coding}");
        }
        // 300 000 zero bytes.
        let deflated = ["edc1010d000000c2a0f74f6d0f0714", &"00".repeat(290), "fc18"].concat();
        let bomb = bytes(&["1f8b0800000000000003", &deflated, "00000000", "e0930400"].concat());
        assert_eq!(decoded(&bomb, "gzip", 300_000).map(|zeros| zeros.len()), Ok(300_000));
        assert_eq!(decoded(&bomb, "gzip", 65_536), Err(Undecoded::TooLarge));
    }

    #[test]
    fn what_is_not_in_the_named_coding_is_unreadable() {
        let gzip = bytes(GZIP);
        let wrong_length = [&gzip[..gzip.len() - 4], &[0, 0, 0, 0]].concat();
        for (body, coding) in [
            (PLAIN, "gzip"),
            (PLAIN, "br"),
            (PLAIN, "zstd"),
            (&gzip, "br"),
            (&gzip, "gzip, br"),
            (&gzip, "br, gzip"),
            (&gzip[..gzip.len() - 9], "gzip"),
            (&wrong_length, "gzip"),
            (b"", "gzip"),
            (b"\x1f\x8b\x08\x1f", "gzip"),
            (b"", "deflate"),
            (b"\xff\xff\xff", "deflate"),
        ] {
            assert_eq!(decoded(body, coding, 1000), Err(Undecoded::Unreadable), "{coding}");
        }
        for length in 0..gzip.len() {
            let _no_panic = decoded(&gzip[..length], "gzip", 1000);
            let _no_panic = decoded(&bytes(GZIP_FULL)[length..], "gzip", 1000);
        }
    }
}
