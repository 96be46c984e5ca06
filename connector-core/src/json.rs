//! Reads JSON objects from TikTok and from storage. Each member keeps the exact text of its value, and the members are
//! read one by one.
//!
//! Every object is read with [`Members`]. This has three advantages: a member that cannot be read does not affect the
//! other members; a value that is passed on keeps its exact text; the component contains one deserializer instead of
//! one for each type.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The members of an object in their order, each with the text of its value.
#[derive(Default)]
pub struct Members<'a>(Vec<(Name<'a>, &'a RawValue)>);

/// The name of a member, or another text. It is copied only if it contains an escape.
#[derive(PartialEq)]
struct Name<'a>(Cow<'a, str>);

impl<'a> Members<'a> {
    /// Reads the members of one complete JSON object. Returns `None` for anything else. Nested values are skipped, so
    /// their depth does not matter.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        core::str::from_utf8(bytes).ok().and_then(Self::of)
    }

    /// Does the same as [`parse`](Self::parse), but need not check that a text is UTF-8, so it is faster.
    #[must_use]
    pub fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Returns the number of members.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the JSON text of a member's value. If several members have this name, the first member counts.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member.0 == name).map(|(_, value)| value.get())
    }

    /// Returns the value of a member that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        text(self.raw(name)?)
    }

    /// Returns the value of a member that is a text, as [`text`](Self::text) does. Copies the value only if it contains
    /// an escape.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<Cow<'a, str>> {
        serde_json::from_str(self.raw(name)?).ok().map(|Name(word)| word)
    }

    /// Returns the value of a member that is a text or a number. A number keeps its exact digits.
    #[must_use]
    pub fn text_or_digits(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        text(raw).or_else(|| raw.starts_with(|c: char| c.is_ascii_digit()).then(|| raw.to_owned()))
    }

    /// Returns the value of a member that is a whole number, or a text that contains only a whole number.
    #[must_use]
    pub fn whole_number(&self, name: &str) -> Option<i64> {
        let raw = self.raw(name)?;
        raw.parse().ok().or_else(|| text(raw)?.trim().parse().ok())
    }

    /// Returns the value of a member that is true or false.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.raw(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Returns the members of a member that is an object.
    #[must_use]
    pub fn members(&self, name: &str) -> Option<Self> {
        Self::of(self.raw(name)?)
    }

    /// Returns the items of a member that is a list, each with its exact text.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// Returns the texts in a member that is a list. Items of the list that are not texts are skipped.
    #[must_use]
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        Some(self.list(name)?.iter().filter_map(|item| text(item.get())).collect())
    }

    /// Returns the object as JSON, without the members of this name.
    #[must_use]
    pub fn without(&self, name: &str) -> Option<String> {
        serde_json::to_string(&Without { members: self, name }).ok()
    }
}

/// Decodes a JSON string. Returns `None` for any other JSON value.
#[must_use]
pub fn text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

struct Without<'a> {
    members: &'a Members<'a>,
    name: &'a str,
}

impl Serialize for Without<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = self.members.0.iter().filter(|(name, _)| name.0 != self.name);
        serializer.collect_map(kept.map(|(name, value)| (&name.0, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_cannot_be_read_does_not_affect_the_others() {
        let members =
            Members::parse(br#"{"a":"x","b":7,"c":"7","d":1.5,"e":null,"f":[1,"y"],"g":{"h":true},"i":-3}"#).unwrap();
        assert_eq!(members.text("a").as_deref(), Some("x"));
        assert_eq!((members.text("b"), members.text_or_digits("b").as_deref()), (None, Some("7")));
        assert_eq!(
            (members.whole_number("b"), members.whole_number("c"), members.whole_number("i")),
            (Some(7), Some(7), Some(-3))
        );
        assert_eq!(
            (members.whole_number("d"), members.whole_number("e"), members.whole_number("z")),
            (None, None, None)
        );
        let escaped = r#"{"\u0061\n":"x"}"#;
        assert_eq!(Members::of(escaped).and_then(|members| members.text("a\n")).as_deref(), Some("x"));
        assert_eq!(members.texts("f"), Some(alloc::vec!["y".to_owned()]));
        assert_eq!(members.members("g").and_then(|g| g.flag("h")), Some(true));
        assert_eq!(
            members.without("f").as_deref(),
            Some(r#"{"a":"x","b":7,"c":"7","d":1.5,"e":null,"g":{"h":true},"i":-3}"#)
        );
    }

    #[test]
    fn only_a_complete_object_is_parsed() {
        let deep = "{\"a\":".repeat(100_000);
        for text in ["", "null", "[]", "1", "{", "{\"a\":1", "{\"a\":1}x", "<html>", &deep] {
            assert!(Members::parse(text.as_bytes()).is_none(), "{text}");
        }
        let closed = deep.clone() + "1" + &"}".repeat(100_000);
        assert_eq!(Members::parse(closed.as_bytes()).map(|members| members.count()), Some(1));
    }
}
