//! The header `Idempotency-Key`. The draft writes its value in quotation marks; many clients leave them out. Both forms
//! of a key are the same key.

use http::{HeaderMap, HeaderName};

use crate::problem::Problem;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The maximum length of a key, in bytes.
const MAX_BYTES: usize = 256;

/// The key of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IdempotencyKey(String);

/// Returns whether a request has the header.
pub(super) fn is_present(headers: &HeaderMap) -> bool {
    headers.contains_key(HEADER)
}

impl IdempotencyKey {
    /// Reads the header.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(HEADER).iter();
        let value = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
        value.and_then(Self::parse).ok_or_else(|| {
            Problem::invalid_parameter("Idempotency-Key: not one text of 1 to 256 visible ASCII characters")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let key = match text.strip_prefix('"') {
            Some(rest) => unescaped(rest.strip_suffix('"')?)?,
            None => text.to_owned(),
        };
        let is_key = (1..=MAX_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        is_key.then_some(Self(key))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads the inner part of a quoted text.
fn unescaped(text: &str) -> Option<String> {
    let mut key = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        key.push(match character {
            '\\' => rest.next().filter(|escaped| ['"', '\\'].contains(escaped))?,
            '"' => return None,
            other => other,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_and_without_quotation_marks() {
        let parsed = |text: &str| IdempotencyKey::parse(text).map(|IdempotencyKey(key)| key);
        for (text, key) in
            [("8e03-9f", "8e03-9f"), ("\"8e03-9f\"", "8e03-9f"), (r#""a\"b\\c""#, "a\"b\\c"), ("a\"", "a\"")]
        {
            assert_eq!(parsed(text).as_deref(), Some(key));
        }
        let long = "k".repeat(256);
        assert_eq!(parsed(&long), Some(long.clone()));
        for wrong in ["", "\"\"", "\"", "\"a", "\"a\"b\"", "\"a\\b\"", "\"a\\", "a b", "é", &format!("{long}k")] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_header_must_occur_once() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, "a".parse().unwrap());
        assert_eq!(IdempotencyKey::of(&headers).unwrap().as_str(), "a");
        headers.append(HEADER, "a".parse().unwrap());
        assert_eq!(IdempotencyKey::of(&headers).unwrap_err().code(), "invalid-parameter");
    }
}
