//! Writes the body of an HTTP answer into a JSON object: as JSON if the body is JSON, otherwise as text or in Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

/// The body of an HTTP answer, and the form in which the body is written.
#[derive(Serialize)]
pub(crate) struct JsonBody {
    /// How `body` is written: `json`, `text` or `base64`.
    body_format: &'static str,
    body: Box<RawValue>,
}

impl JsonBody {
    /// Chooses the form in which a body is written. In a JSON body, every number, name and duplicate member stays as it
    /// was sent. Only the white space between the tokens of the JSON is removed, because the output has one line per
    /// object.
    pub(crate) fn of(body: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(body) else {
            return Self { body_format: "base64", body: raw(&STANDARD.encode(body)) };
        };
        match serde_json::from_str::<&RawValue>(text).and_then(|json| RawValue::from_string(compact(json.get()))) {
            Ok(body) => Self { body_format: "json", body },
            Err(_) => Self { body_format: "text", body: raw(text) },
        }
    }
}

/// Returns a text as a JSON string.
fn raw(text: &str) -> Box<RawValue> {
    // Serializing a text can't fail.
    serde_json::value::to_raw_value(text).unwrap_or_default()
}

/// Removes the white space outside strings from valid JSON.
fn compact(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::with_capacity(json.len()), false, false);
    for c in json.chars() {
        if !in_string && c.is_ascii_whitespace() {
            continue;
        }
        in_string = if c == '"' && !escaped { !in_string } else { in_string };
        escaped = in_string && c == '\\' && !escaped;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json_and_everything_else_says_how_it_is_written() {
        for (body, expected) in [
            (
                b"{\"id\": 12345678901234567890123,\r\n\t\"a b\" : \"c \\\" d\\\\\", \"a b\":[ 1e400 ]}\n".as_slice(),
                r#"{"body_format":"json","body":{"id":12345678901234567890123,"a b":"c \" d\\","a b":[1e400]}}"#,
            ),
            (b"null", r#"{"body_format":"json","body":null}"#),
            (b"", r#"{"body_format":"text","body":""}"#),
            (b"<html>\n", r#"{"body_format":"text","body":"<html>\n"}"#),
            (b"{\"a\":1}{", r#"{"body_format":"text","body":"{\"a\":1}{"}"#),
            (b"%\x1b[\0\xff\n", r#"{"body_format":"base64","body":"JRtbAP8K"}"#),
        ] {
            assert_eq!(serde_json::to_string(&JsonBody::of(body)).unwrap(), expected);
        }
    }
}
