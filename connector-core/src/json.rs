//! JSON as TikTok and storage send it: objects whose members keep the text of their values, read leniently one by one.
//!
//! One reader for every object there is: an odd member costs itself, never its neighbours, a value that is passed on
//! keeps its exact text, and the component carries one deserializer instead of one per type.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The members of an object, in their order, values as written.
#[derive(Default)]
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// None if this is not one whole JSON object. Values are passed over, not descended into, so their depth is no matter.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// How many members there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The text of a member's value; of the first, should it be repeated.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| value.get())
    }

    /// A member that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        text(self.raw(name)?)
    }

    /// A member that is text, or a number kept digit by digit.
    #[must_use]
    pub fn text_or_digits(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        text(raw).or_else(|| raw.starts_with(|c: char| c.is_ascii_digit()).then(|| raw.to_owned()))
    }

    /// A member that is a whole number, or one as text.
    #[must_use]
    pub fn whole_number(&self, name: &str) -> Option<i64> {
        let raw = self.raw(name)?;
        raw.parse().ok().or_else(|| text(raw)?.trim().parse().ok())
    }

    /// A member that is true or false.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.raw(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// A member that is an object.
    #[must_use]
    pub fn members(&self, name: &str) -> Option<Self> {
        Self::parse(self.raw(name)?.as_bytes())
    }

    /// A member that is a list, each item as written.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        serde_json::from_slice(self.raw(name)?.as_bytes()).ok()
    }

    /// A member that is a list of text; other items are passed over.
    #[must_use]
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        Some(self.list(name)?.iter().filter_map(|item| text(item.get())).collect())
    }

    /// The object again, but for one member.
    #[must_use]
    pub fn without(&self, name: &str) -> Option<String> {
        serde_json::to_string(&Without { members: self, name }).ok()
    }
}

/// A JSON text; none if it is anything else.
#[must_use]
pub fn text(raw: &str) -> Option<String> {
    serde_json::from_slice(raw.as_bytes()).ok()
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

struct Without<'a> {
    members: &'a Members<'a>,
    name: &'a str,
}

impl Serialize for Without<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = self.members.0.iter().filter(|(name, _)| name != self.name);
        serializer.collect_map(kept.map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_member_costs_itself_alone() {
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
        assert_eq!(members.texts("f"), Some(alloc::vec!["y".to_owned()]));
        assert_eq!(members.members("g").and_then(|g| g.flag("h")), Some(true));
        assert_eq!(
            members.without("f").as_deref(),
            Some(r#"{"a":"x","b":7,"c":"7","d":1.5,"e":null,"g":{"h":true},"i":-3}"#)
        );
    }

    #[test]
    fn what_is_no_object_is_none() {
        let deep = "{\"a\":".repeat(100_000);
        for text in ["", "null", "[]", "1", "{", "{\"a\":1", "{\"a\":1}x", "<html>", &deep] {
            assert!(Members::parse(text.as_bytes()).is_none(), "{text}");
        }
        let closed = deep.clone() + "1" + &"}".repeat(100_000);
        assert_eq!(Members::parse(closed.as_bytes()).map(|members| members.count()), Some(1));
    }
}
