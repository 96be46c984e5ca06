//! Reads whole numbers from JSON. JSON has only one kind of number, so `86.0` is the whole number 86.

use serde::{Deserialize as _, Deserializer, de};
use serde_json::Number;

/// The largest time: 2^53 - 1, which every JSON library keeps exactly. A later time means the same, in practice: never.
const MAX_SECONDS: u64 = (1 << 53) - 1;

/// Reads a number from 0 to 4294967295.
pub(crate) fn u32<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = read(&Number::deserialize(from)?).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| de::Error::custom("must be a whole number from 0 to 4294967295"))
}

/// Reads a time in seconds, or null.
pub(crate) fn optional_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(from)? else { return Ok(None) };
    let seconds = read(&number).ok_or_else(|| de::Error::custom("must be a whole number that is not negative"))?;
    Ok(Some(seconds.min(MAX_SECONDS)))
}

fn read(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0)?;
        // A number that is too large becomes the largest one.
        Some(float as u64)
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "u32")]
        small: u32,
        #[serde(default, deserialize_with = "optional_seconds")]
        large: Option<u64>,
    }

    #[test]
    fn a_whole_number_may_have_a_fraction_of_zero() {
        let read = |text: &str| serde_json::from_str::<Body>(text).ok().map(|body| (body.small, body.large));
        for (text, expected) in [
            ("{}", (0, None)),
            (r#"{"small":86,"large":null}"#, (86, None)),
            (r#"{"small":86.0,"large":1e3}"#, (86, Some(1000))),
            (r#"{"small":4294967295,"large":9007199254740993}"#, (u32::MAX, Some(MAX_SECONDS))),
            (r#"{"large":1e300}"#, (0, Some(MAX_SECONDS))),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for wrong in [
            r#"{"small":0.5}"#,
            r#"{"small":-1}"#,
            r#"{"small":4294967296}"#,
            r#"{"small":"1"}"#,
            r#"{"small":null}"#,
            r#"{"small":1e300}"#,
            r#"{"large":-1.0}"#,
            r#"{"large":0.5}"#,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
