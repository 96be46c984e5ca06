//! Reads input: the bytes of a source, one line of standard input, or JSON on standard input. The JSON is one object or
//! an array of objects.
//!
//! An error says where in the input a mistake is. It never quotes the input, because the input may contain a secret.
//! JSON values stay unparsed until they are used. So no function here is recursive, and deeply nested input does no
//! harm.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead, IsTerminal as _, Read, StdinLock};

use serde_json::value::RawValue;
use tiktok_shop_connector_core::json::{self, Members};
use tiktok_shop_private_file as private_file;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// The maximum length of JSON input: 16 MiB.
const MAX_BYTES: u64 = 16 * MIB;
const MIB: u64 = 1024 * 1024;

/// Why the input can't be used. The text says where the mistake is, and does not quote the input. `Display` names
/// standard input as the source.
pub(crate) enum Malformed {
    /// The whole input can't be used.
    Whole(String),
    /// The input is not JSON. Lines and columns are counted from 1.
    NotJson { why: String, line: usize, column: usize },
    /// A value can't be used. The text begins with its place.
    Value(String),
}

impl Malformed {
    /// Returns the text for a line of a file. The caller names the line, so only the column is named.
    pub(crate) fn in_line(&self) -> String {
        match self {
            Self::Whole(text) | Self::Value(text) => text.clone(),
            Self::NotJson { why, column, .. } => format!("not JSON: {why} at column {column}"),
        }
    }
}

impl Display for Malformed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(text) => f.write_str(text),
            Self::NotJson { why, line, column } => {
                write!(f, "standard input: not JSON: {why} at line {line} column {column}")
            }
            Self::Value(text) => write!(f, "standard input: {text}"),
        }
    }
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let why = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text).to_owned();
        Self::NotJson { why, line, column }
    }
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Reads standard input with `read` on a separate thread, so that a signal can end the program while `read` waits for
/// input.
pub(crate) async fn standard_input<T: Send + 'static>(
    stop: &CancellationToken,
    read: impl FnOnce(StdinLock<'static>) -> Result<T, Malformed> + Send + 'static,
) -> Result<T, Failure> {
    let reading = tokio::task::spawn_blocking(move || read(io::stdin().lock()));
    tokio::select! {
        biased;
        () = stop.cancelled() => {
            Err(Failure::Stopped("standard input was not read to its end, and nothing was begun".to_owned()))
        }
        read = reading => match read {
            Ok(read) => Ok(read?),
            Err(error) => Err(Failure::Unavailable(format!("cannot read standard input: {error}"))),
        }
    }
}

/// Reads all bytes of a source. Fails if there are more than `limit` bytes. `name` is the name of the source in error
/// messages.
pub(crate) fn bytes(source: impl Read, name: &str, limit: u64) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    let read = source.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| Malformed::Whole(format!("cannot read {name}: {}", private_file::reason(&error))))?;
    if bytes.len() as u64 > limit {
        let limit = if limit < MIB { format!("{} KiB", limit / 1024) } else { format!("{} MiB", limit / MIB) };
        return Err(Malformed::Whole(format!("{name} is longer than {limit}")));
    }
    Ok(bytes)
}

/// Reads the text of standard input up to its end, at most 16 MiB.
pub(crate) fn read(stdin: impl Read) -> Result<String, Malformed> {
    text(bytes(stdin, "standard input", MAX_BYTES)?)
}

/// Reads standard input, which must be a single line, and trims it. If standard input is a terminal, reading ends when
/// the user presses Enter.
pub(crate) fn line(mut stdin: impl BufRead, limit: u64) -> Result<String, Malformed> {
    let mut line = Vec::new();
    if io::stdin().is_terminal() {
        let read = stdin.take(limit).read_until(b'\n', &mut line);
        read.map_err(|error| Malformed::Whole(format!("cannot read standard input: {error}")))?;
    } else {
        line = bytes(&mut stdin, "standard input", limit)?;
    }
    let line = text(line)?.trim().to_owned();
    if line.contains('\n') {
        Err(Malformed::Whole("standard input has more than one line".to_owned()))
    } else {
        Ok(line)
    }
}

/// Reads the next line of standard input, and trims it. Returns `None` at the end.
pub(crate) fn next_line(stdin: impl BufRead, limit: u64) -> Result<Option<String>, Malformed> {
    let mut line = Vec::new();
    let read = stdin.take(limit + 1).read_until(b'\n', &mut line);
    let read = read.map_err(|error| Malformed::Whole(format!("cannot read standard input: {error}")))?;
    if read as u64 > limit {
        return Err(Malformed::Whole(format!("a line of standard input is longer than {} KiB", limit / 1024)));
    }
    if read == 0 { Ok(None) } else { Ok(Some(text(line)?.trim().to_owned())) }
}

fn text(bytes: Vec<u8>) -> Result<String, Malformed> {
    String::from_utf8(bytes).map_err(|error| {
        Malformed::Whole(format!("standard input is not UTF-8 at byte {}", error.utf8_error().valid_up_to() + 1))
    })
}

/// Parses the input: one object, or an array of at least one object.
pub(crate) fn objects(text: &str) -> Result<Vec<Object<'_>>, Malformed> {
    if text.trim().is_empty() {
        return Err(Malformed::Whole("standard input is empty".to_owned()));
    }
    let whole = Value { place: String::new(), raw: serde_json::from_str(text)? };
    if whole.raw.get().starts_with('{') {
        return Ok(vec![whole.object()?]);
    }
    let items = whole.items().map_err(|_| whole.malformed("neither an object nor an array of objects"))?;
    if items.is_empty() {
        return Err(whole.malformed("an empty array"));
    }
    items.iter().map(Value::object).collect()
}

/// An unparsed JSON value, and its place in the input. The place is written in the notation of `jq`, for example
/// `.[1].query[0].name`.
pub(crate) struct Value<'a> {
    place: String,
    raw: &'a RawValue,
}

impl<'a> Value<'a> {
    /// Returns an error that contains the place of this value.
    pub(crate) fn malformed(&self, what: &str) -> Malformed {
        malformed(&self.place, what)
    }

    /// Parses the value as an object without duplicate members.
    pub(crate) fn object(&self) -> Result<Object<'a>, Malformed> {
        let raw = self.raw.get();
        if !raw.starts_with('{') {
            return Err(self.malformed("not an object"));
        }
        let (Ok(members), Some(all)) = (serde_json::from_str::<BTreeMap<_, _>>(raw), Members::parse(raw.as_bytes()))
        else {
            return Err(self.malformed("an unpaired surrogate in a name"));
        };
        if members.len() < all.count() {
            return Err(self.malformed("a duplicate member"));
        }
        Ok(Object { place: self.place.clone(), members })
    }

    /// Parses the value as an array.
    pub(crate) fn items(&self) -> Result<Vec<Self>, Malformed> {
        let items: Vec<&RawValue> = serde_json::from_str(self.raw.get()).map_err(|_| self.malformed("not an array"))?;
        let prefix = if self.place.is_empty() { "." } else { &self.place };
        Ok((0_usize..).zip(items).map(|(at, raw)| Value { place: format!("{prefix}[{at}]"), raw }).collect())
    }

    /// Parses the value as text.
    pub(crate) fn text(&self) -> Result<String, Malformed> {
        json::text(self.raw.get()).ok_or_else(|| {
            // The parser of the whole input accepted escapes of unpaired surrogates, so this text may contain such an
            // escape.
            self.malformed(if self.raw.get().starts_with('"') { "an unpaired surrogate" } else { "not text" })
        })
    }

    /// Parses the value as text that is not empty.
    pub(crate) fn filled_text(&self) -> Result<String, Malformed> {
        self.text().and_then(|text| if text.is_empty() { Err(self.malformed("empty")) } else { Ok(text) })
    }

    /// Parses the value as a whole number.
    pub(crate) fn whole_number(&self) -> Result<u64, Malformed> {
        self.raw.get().parse().map_err(|_| self.malformed("not a whole number"))
    }
}

/// An object of the input. A member that is null counts as missing, and unknown members are ignored.
pub(crate) struct Object<'a> {
    place: String,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// Returns a member. `None` if the member is missing.
    pub(crate) fn optional(&self, name: &str) -> Option<Value<'a>> {
        let raw = self.members.get(name).filter(|raw| raw.get() != "null")?;
        Some(Value { place: self.place_of(name), raw })
    }

    /// Returns a member. Fails if the member is missing.
    pub(crate) fn required(&self, name: &str) -> Result<Value<'a>, Malformed> {
        self.optional(name).ok_or_else(|| malformed(&self.place_of(name), "missing"))
    }

    /// Returns the text of a member. `None` if the member is missing.
    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<String>, Malformed> {
        self.optional(name).map(|value| value.text()).transpose()
    }

    /// Returns the text of a member that the command only shows or compares. `None` if the member is missing or is not
    /// text.
    pub(crate) fn remark(&self, name: &str) -> Option<String> {
        self.optional(name)?.text().ok()
    }

    /// Returns the names of all members.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Returns the place of a member, even if the member is missing.
    pub(crate) fn place_of(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }
}

fn malformed(place: &str, what: &str) -> Malformed {
    let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
    Malformed::Value(format!("{place}{what}"))
}
