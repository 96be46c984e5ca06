//! Says what is wrong with a JSON body: which member, and what it should be. The text contains no value and no name of an
//! unknown member, because either may be a secret.

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

/// Reads a JSON body.
///
/// # Errors
/// A text for the caller: the place of the mistake, and what is expected there.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let segments: Vec<_> = error.path().iter().collect();
        describe(&segments, error.inner())
    })?;
    reader.end().map_err(|error| describe(&[], &error))?;
    Ok(read)
}

fn describe(path: &[&Segment], error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => format!("line {line}, column {column}: not JSON"),
        Category::Data => {
            let text = error.to_string();
            let text = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
            // The last segment is then the unknown name.
            let is_unknown = text.starts_with("unknown field");
            let known = path.len().saturating_sub(usize::from(is_unknown));
            match place(path.iter().take(known)) {
                place if place.is_empty() => rule(text),
                place => format!("{place}: {}", rule(text)),
            }
        }
    }
}

/// Returns the path to a member, for example `shops[1]`.
fn place<'a>(path: impl Iterator<Item = &'a &'a Segment>) -> String {
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => place.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                place.push_str(if place.is_empty() { "" } else { "." });
                place.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    place
}

/// Turns the parser's text into a rule. The parser quotes values only before the words `, expected`.
fn rule(text: &str) -> String {
    let expected = text.rsplit_once(", expected ").map(|(_, expected)| expected);
    match expected {
        Some(members) if text.starts_with("unknown field") => {
            format!("there is no such member; the members are {}", listed(members))
        }
        Some(words) if text.starts_with("unknown variant") => format!("must be one of {}", listed(words)),
        Some(expected) => format!("must be {}", in_words(expected)),
        None if text.starts_with("missing field") || text.starts_with("duplicate field") => {
            text.replace("field", "member")
        }
        // A text of an id's own rule, which contains no value.
        None => text.to_owned(),
    }
}

fn listed(words: &str) -> String {
    words.trim_start_matches("one of ").replace('`', "").replace(" or ", ", ")
}

/// Returns a JSON word for a type of Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "a string" | "string" => "a text",
        "a JSON number" => "a number",
        "a sequence" => "a list",
        "string or map" => "a text",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tiktok_shop_host::ShopId;

    use super::*;
    use crate::model::ShopPolicy;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default)]
        _shops: Vec<ShopId>,
        #[serde(default)]
        _policy: ShopPolicy,
        #[serde(deserialize_with = "crate::whole_number::u32")]
        _number: u32,
        _text: Option<String>,
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_no_value_is_repeated() {
        for (body, expected) in [
            (r#"{"_number":1,"_shops":["7","CANARY"]}"#, "_shops[1]: shop id: 1 to 19 digits"),
            (r#"{"_number":1,"_shops":7}"#, "_shops: must be a list"),
            (r#"{"_number":1,"_shops":"CANARY, expected CANARY"}"#, "_shops: must be a list"),
            (r#"{"_number":1,"_policy":"CANARY"}"#, "_policy: must be one of all, exactly-one"),
            (r#"{"_number":-1}"#, "_number: must be a whole number from 0 to 4294967295"),
            (r#"{"_number":"CANARY"}"#, "_number: must be a number"),
            (r#"{"_number":1,"_text":["CANARY"]}"#, "_text: must be a text"),
            (r#"{"_number":1,"_number":2}"#, "duplicate member `_number`"),
            ("{}", "missing member `_number`"),
            ("[]", "must be an object"),
            ("null", "must be an object"),
            (r#""CANARY""#, "must be an object"),
            ("", "line 1, column 0: not JSON"),
            (r#"{"_number":1"#, "line 1, column 12: not JSON"),
            (r#"{"_number":1}CANARY"#, "line 1, column 14: not JSON"),
        ] {
            assert_eq!(read::<Body>(body.as_bytes()).unwrap_err(), expected, "{body}");
        }
        let unknown = read::<Body>(br#"{"CANARY":1}"#).unwrap_err();
        assert_eq!(unknown, "there is no such member; the members are _shops, _policy, _number, _text");
    }
}
