//! A webhook of the probed app.

use serde_json::Value;

/// A webhook whose signature fits.
pub(crate) struct Notification {
    pub(crate) at: u64,
    pub(crate) answered: u16,
    /// Whether the body arrived as it was signed.
    pub(crate) as_signed: bool,
    /// The body as it arrived. Copies of a webhook have the same body.
    pub(crate) raw: bytes::Bytes,
    pub(crate) body: Value,
}

impl Notification {
    pub(crate) fn event(&self) -> Option<u64> {
        self.body.get("type")?.as_u64()
    }

    pub(crate) fn shop_id(&self) -> Option<String> {
        match self.body.get("shop_id")? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Returns the time of the event in seconds.
    pub(crate) fn timestamp(&self) -> Option<u64> {
        let number = match self.body.get("timestamp")? {
            Value::String(text) => text.parse().ok()?,
            Value::Number(number) => number.as_u64()?,
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(if is_milliseconds(number) { number / 1_000 } else { number })
    }

    pub(crate) fn data(&self) -> Option<Value> {
        let data = self.body.get("data")?;
        match data.as_str() {
            Some(text) => serde_json::from_str(text).ok(),
            None => Some(data.clone()),
        }
    }
}

/// Times of this century in milliseconds have 13 digits, and in seconds 10.
pub(crate) const fn is_milliseconds(number: u64) -> bool {
    number >= 100_000_000_000
}
