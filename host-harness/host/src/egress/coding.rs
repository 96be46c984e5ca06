//! Decodes the body of a response that arrives in a content coding or a transfer coding.
//!
//! The connector asks for the coding `identity`, but a gateway may compress an answer all the same (RFC 9110, section
//! 12.5.3). Such an answer may contain new tokens. If it is not decoded, these tokens are lost, because the code or the
//! refresh token of the request is spent. So the host decodes the answer. The guest has no decoder, because the guest's
//! size is limited.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, TRANSFER_ENCODING};

/// The reason why a body was not decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// The decoded body is larger than the limit.
    TooLarge,
    /// The coding is unknown, or the body is not encoded in this coding.
    Unreadable,
}

/// Returns the codings of a response in the order in which they were applied, in lower case. Transfer codings are
/// applied last (RFC 9112, section 6.1). hyper removes the coding `chunked`, and the guest never sees the header
/// `transfer-encoding`.
pub(super) fn codings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter().chain(headers.get_all(TRANSFER_ENCODING));
    let names = values.map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let names: Vec<_> =
        names.flat_map(|value| value.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()).collect();
    names.into_iter().filter(|name| !matches!(name.as_str(), "" | "identity" | "chunked")).collect()
}

/// Decodes a body. The coding that was applied last is removed first. After each step the body may have at most `limit`
/// bytes.
pub(super) fn decoded(body: &[u8], codings: &[String], limit: u64) -> Result<Vec<u8>, Undecoded> {
    let mut body = body.to_vec();
    for coding in codings.iter().rev() {
        body = match coding.as_str() {
            "gzip" | "x-gzip" => read(MultiGzDecoder::new(body.as_slice()), limit)?,
            // `deflate` is the zlib format. Some servers send the bare deflate format instead.
            "deflate" => match read(ZlibDecoder::new(body.as_slice()), limit) {
                Err(Undecoded::Unreadable) => read(DeflateDecoder::new(body.as_slice()), limit)?,
                outcome => outcome?,
            },
            _ => return Err(Undecoded::Unreadable),
        };
    }
    Ok(body)
}

fn read(decoder: impl Read, limit: u64) -> Result<Vec<u8>, Undecoded> {
    let mut plain = Vec::new();
    let length = io::copy(&mut decoder.take(limit.saturating_add(1)), &mut plain).map_err(|_| Undecoded::Unreadable)?;
    if length > limit { Err(Undecoded::TooLarge) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;

    const PLAIN: &[u8] = br#"{"code":0,"data":{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}"#;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(plain: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(body: &[u8], names: &[&str], limit: u64) -> Result<Vec<u8>, Undecoded> {
        decoded(body, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), limit)
    }

    #[test]
    fn the_codings_of_all_header_lines_count_in_their_order() {
        let mut headers = HeaderMap::new();
        assert_eq!(codings(&headers), [""; 0]);
        headers.append(TRANSFER_ENCODING, HeaderValue::from_static("GZIP , chunked"));
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("identity, Deflate,,"));
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("br"));
        headers.append(CONTENT_ENCODING, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(codings(&headers), ["deflate", "br", "\u{fffd}", "gzip"]);
    }

    #[test]
    fn every_known_coding_is_decoded() {
        for (coded, names) in [
            (gzip(PLAIN), ["gzip"].as_slice()),
            (gzip(PLAIN), &["x-gzip"]),
            ([gzip(&PLAIN[..9]), gzip(&PLAIN[9..])].concat(), &["gzip"]),
            (zlib(PLAIN), &["deflate"]),
            (deflate(PLAIN), &["deflate"]),
            (gzip(&zlib(PLAIN)), &["deflate", "gzip"]),
            (PLAIN.to_vec(), &[]),
        ] {
            assert_eq!(decode(&coded, names, 1000).as_deref(), Ok(PLAIN), "{names:?}");
        }
    }

    #[test]
    fn a_body_that_grows_over_the_limit_is_too_large() {
        let length = PLAIN.len() as u64;
        for (coded, name) in [(gzip(PLAIN), "gzip"), (zlib(PLAIN), "deflate"), (deflate(PLAIN), "deflate")] {
            assert_eq!(decode(&coded, &[name], length).as_deref(), Ok(PLAIN), "{name}");
            assert_eq!(decode(&coded, &[name], length - 1), Err(Undecoded::TooLarge), "{name}");
        }
        let bomb = gzip(&gzip(&vec![0; 8 << 20]));
        assert!(bomb.len() < 10_000, "{}", bomb.len());
        assert_eq!(decode(&bomb, &["gzip", "gzip"], 1 << 20), Err(Undecoded::TooLarge));
    }

    #[test]
    fn what_is_not_in_the_named_coding_is_unreadable() {
        let coded = gzip(PLAIN);
        let mut wrong_checksum = coded.clone();
        let last = wrong_checksum.len() - 5;
        wrong_checksum[last] ^= 1;
        for (body, names) in [
            (PLAIN, ["gzip"].as_slice()),
            (PLAIN, &["br"]),
            (&coded, &["br"]),
            (&coded, &["br", "gzip"]),
            (&coded, &["gzip", "br"]),
            (&wrong_checksum, &["gzip"]),
            (b"\xff\xff\xff", &["deflate"]),
        ] {
            assert_eq!(decode(body, names, 1000), Err(Undecoded::Unreadable), "{names:?}");
        }
        for length in 1..coded.len() {
            assert_eq!(decode(&coded[..length], &["gzip"], 1000), Err(Undecoded::Unreadable), "{length}");
        }
    }
}
