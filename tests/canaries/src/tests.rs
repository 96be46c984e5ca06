#![allow(clippy::indexing_slicing, reason = "tests: a broken expectation is a failed test")]

use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::*;

/// Bytes that look different in every encoding.
const SECRET: &[u8] = b"ROW_k9/\xfe\xffQz+7 v";

fn canaries() -> Canaries {
    let mut canaries = Canaries::default();
    canaries.add("refresh token", SECRET);
    canaries.add("app secret", "1f0e8a5b7c2d4396a1b2c3d4e5f60718293a4b5c");
    canaries
}

fn found(text: impl AsRef<[u8]>) -> Vec<String> {
    let around = [b"before ", text.as_ref(), b" after"].concat();
    canaries().found_in(&around).iter().map(Found::to_string).collect()
}

#[test]
fn a_secret_is_found_in_every_encoding() {
    assert_eq!(found(SECRET), ["refresh token (raw)"]);
    assert_eq!(found(hex::encode(SECRET)), ["refresh token (hex)"]);
    assert_eq!(found(hex::encode_upper(SECRET)), ["refresh token (hex)"]);
    let percent = percent_encode(SECRET, NON_ALPHANUMERIC).to_string();
    assert_eq!(found(&percent), ["refresh token (percent-encoded)"]);
    assert_eq!(found(percent.to_lowercase()), ["refresh token (percent-encoded)"]);
    let all: String = SECRET.iter().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(found(all), ["refresh token (percent-encoded throughout)"]);
    assert_eq!(found(format!("{SECRET:?}")), ["refresh token (list of bytes)"]);
    assert_eq!(found(format!("{SECRET:?}").replace(' ', "")), ["refresh token (list of bytes)"]);
}

#[test]
fn base64_is_found_at_every_offset() {
    for (engine, name) in [(STANDARD, "refresh token (base64)"), (URL_SAFE, "refresh token (base64, URL-safe)")] {
        for before in 0..4 {
            for after in 0..4 {
                let whole = [&b"{\"t\""[..before], SECRET, &b"\"}, "[..after]].concat();
                assert_eq!(found(engine.encode(whole)), [name], "{before} bytes before, {after} after");
            }
        }
    }
}

#[test]
fn a_finding_has_the_kind_but_not_the_secret() {
    let both = [SECRET, b" 1F0E8A5B7C2D4396A1B2C3D4E5F60718293A4B5C"].concat();
    assert_eq!(found(both), ["app secret (raw)", "refresh token (raw)"]);
    assert!(!format!("{:?}", canaries()).contains("ROW_"));
}

#[test]
fn text_without_a_secret_has_no_findings() {
    assert_eq!(found("ROW_k9 [redacted] 1f0e8a5b7c2d4396a1b2c3d4e5f60718293a4b5d"), [""; 0]);
    assert_eq!(found(""), [""; 0]);
}

#[test]
#[should_panic = "a state of 11 bytes cannot be searched for"]
fn a_secret_that_is_too_short_is_refused() {
    Canaries::default().add("state", "eleven byte");
}
