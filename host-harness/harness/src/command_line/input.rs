//! What commands read: bytes, a line, or JSON on standard input: one object, or an array of them.
//!
//! What is wrong with it is told in our own words and by its place, never by its content: that may be a secret. Values
//! stay as written until they are asked for, so nothing here recurses and no depth of nesting can do harm.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead, IsTerminal as _, Read};

use serde_json::value::RawValue;
use tiktok_shop_connector_core::json::{self, Members};

/// Longest input, in bytes: 16 MiB.
const MAX_BYTES: u64 = 16 * MIB;
const MIB: u64 = 1024 * 1024;

/// Why the input cannot be used: one line, with the place and without the content.
pub(crate) struct Malformed(String);

impl Display for Malformed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything up to the end, unless that is more than `most`; `what` it is read from.
pub(crate) fn bytes(from: impl Read, what: &str, most: u64) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes).map_err(|error| Malformed(format!("cannot read {what}: {error}")))?;
    if bytes.len() as u64 > most {
        let most = if most < MIB { format!("{} KiB", most / 1024) } else { format!("{} MiB", most / MIB) };
        return Err(Malformed(format!("{what} is longer than {most}")));
    }
    Ok(bytes)
}

/// Everything up to the end, as text.
pub(crate) fn read(from: impl Read) -> Result<String, Malformed> {
    text(bytes(from, "standard input", MAX_BYTES)?)
}

/// The only line, without the blanks around it. At a terminal it ends with the key Enter.
pub(crate) fn line(mut from: impl BufRead, most: u64) -> Result<String, Malformed> {
    let mut line = Vec::new();
    if io::stdin().is_terminal() {
        let read = from.take(most).read_until(b'\n', &mut line);
        read.map_err(|error| Malformed(format!("cannot read standard input: {error}")))?;
    } else {
        line = bytes(&mut from, "standard input", most)?;
    }
    let line = text(line)?.trim().to_owned();
    if line.contains('\n') { Err(Malformed("standard input has more than one line".to_owned())) } else { Ok(line) }
}

fn text(bytes: Vec<u8>) -> Result<String, Malformed> {
    String::from_utf8(bytes).map_err(|error| {
        Malformed(format!("standard input is not UTF-8: byte {}", error.utf8_error().valid_up_to() + 1))
    })
}

/// The one object of the input, or those of its array; there is at least one.
pub(crate) fn objects(text: &str) -> Result<Vec<Object<'_>>, Malformed> {
    if text.trim().is_empty() {
        return Err(Malformed("standard input is empty".to_owned()));
    }
    let whole = serde_json::from_str(text).map_err(|error| Malformed(format!("not JSON: {error}")))?;
    let whole = Value { place: String::new(), raw: whole };
    if whole.raw.get().starts_with('{') {
        return Ok(vec![whole.object()?]);
    }
    let items = whole.items().map_err(|_| whole.malformed("neither an object nor an array of objects"))?;
    if items.is_empty() {
        return Err(whole.malformed("an empty array"));
    }
    items.iter().map(Value::object).collect()
}

/// A value as written, and its place, written as `jq` would: `.[1].query[0].name`.
pub(crate) struct Value<'a> {
    place: String,
    raw: &'a RawValue,
}

impl<'a> Value<'a> {
    pub(crate) fn malformed(&self, what: &str) -> Malformed {
        malformed(&self.place, what)
    }

    pub(crate) fn object(&self) -> Result<Object<'a>, Malformed> {
        let raw = self.raw.get();
        if !raw.starts_with('{') {
            return Err(self.malformed("not an object"));
        }
        let (Ok(members), Some(all)) = (serde_json::from_str::<BTreeMap<_, _>>(raw), Members::parse(raw.as_bytes()))
        else {
            return Err(self.malformed("half a surrogate pair in a name"));
        };
        if members.len() < all.count() {
            return Err(self.malformed("a member stands in it twice"));
        }
        Ok(Object { place: self.place.clone(), members })
    }

    pub(crate) fn items(&self) -> Result<Vec<Self>, Malformed> {
        let items: Vec<&RawValue> = serde_json::from_str(self.raw.get()).map_err(|_| self.malformed("not an array"))?;
        let prefix = if self.place.is_empty() { "." } else { &self.place };
        Ok((0_usize..).zip(items).map(|(at, raw)| Value { place: format!("{prefix}[{at}]"), raw }).collect())
    }

    pub(crate) fn text(&self) -> Result<String, Malformed> {
        json::text(self.raw.get()).ok_or_else(|| {
            // The reader of the whole lets escapes pass that name half a character.
            self.malformed(if self.raw.get().starts_with('"') { "half a surrogate pair in it" } else { "not text" })
        })
    }

    pub(crate) fn filled_text(&self) -> Result<String, Malformed> {
        self.text().and_then(|text| if text.is_empty() { Err(self.malformed("empty")) } else { Ok(text) })
    }

    pub(crate) fn whole_number(&self) -> Result<u64, Malformed> {
        self.raw.get().parse().map_err(|_| self.malformed("not a whole number"))
    }
}

/// An object of the input. A member that is null is as good as missing; unknown ones are passed over.
pub(crate) struct Object<'a> {
    place: String,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    pub(crate) fn optional(&self, name: &str) -> Option<Value<'a>> {
        let raw = self.members.get(name).filter(|raw| raw.get() != "null")?;
        Some(Value { place: self.place_of(name), raw })
    }

    pub(crate) fn required(&self, name: &str) -> Result<Value<'a>, Malformed> {
        self.optional(name).ok_or_else(|| malformed(&self.place_of(name), "missing"))
    }

    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<String>, Malformed> {
        self.optional(name).map(|value| value.text()).transpose()
    }

    /// Of a member that is a remark to the reader and no part of what is asked: anything but text is none.
    pub(crate) fn remark(&self, name: &str) -> Option<String> {
        self.optional(name)?.text().ok()
    }

    /// Where a member is or would be.
    pub(crate) fn place_of(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }
}

fn malformed(place: &str, what: &str) -> Malformed {
    Malformed(format!("{}: {what}", if place.is_empty() { "." } else { place }))
}
