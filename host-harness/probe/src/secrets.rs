//! Keeps every secret and identifying text of the run, and removes them from the report.
//!
//! The report is made to be attached to an issue. So it contains no token, code, cipher or secret, and no id or name
//! that tells whose shop or app it is.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;
use zeroize::Zeroizing;

/// What stands in the report in place of a secret.
const REMOVED: &str = "[removed]";

/// A text shorter than this is not searched for, because it could be a part of any word.
const MIN_LENGTH: usize = 4;

/// A word of at least this length that contains a digit is removed from texts of TikTok Shop, even if it is not known.
const LONG_WORD: usize = 12;

/// The texts that must not be in the report.
#[derive(Default)]
pub(crate) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    pub(crate) fn add(&mut self, text: &str) {
        if text.len() >= MIN_LENGTH && !self.0.iter().any(|known| known.as_str() == text) {
            self.0.push(Zeroizing::new(text.to_owned()));
            // A secret may contain a shorter one, so the longest is removed first.
            self.0.sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// Removes every known secret from a text.
    pub(crate) fn removed_from(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), REMOVED);
            }
        }
        text
    }

    /// Prepares a text of TikTok Shop for the report: removes known secrets, links, IP addresses, and words that look
    /// like an id or a token.
    pub(crate) fn shown(&self, text: &str) -> String {
        let words = self.removed_from(text).split_whitespace().map(shown_word).collect::<Vec<_>>().join(" ");
        words.chars().filter(|c| !c.is_control()).take(200).collect()
    }

    /// Removes every known secret from all texts in a JSON value.
    pub(crate) fn remove_from_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.removed_from(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.remove_from_json(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.remove_from_json(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn shown_word(word: &str) -> &str {
    let looks_like_an_id = word.len() >= LONG_WORD && word.bytes().any(|byte| byte.is_ascii_digit());
    if word.contains("://") {
        "[link]"
    } else if (looks_like_an_id && word != REMOVED) || contains_an_address(word) {
        REMOVED
    } else {
        word
    }
}

/// Returns whether a word contains an IP address, also with punctuation or a port.
fn contains_an_address(word: &str) -> bool {
    let pieces = word.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != ':');
    pieces.map(|piece| piece.trim_matches('.').trim_end_matches(':')).any(|piece| {
        let is_ipv4 = |part: &str| part.trim_matches('.').parse::<Ipv4Addr>().is_ok();
        piece.parse::<IpAddr>().is_ok() || piece.split(':').any(is_ipv4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_links_and_unknown_ids_are_removed_from_a_text() {
        let mut secrets = Secrets::default();
        secrets.add("ROW_secret");
        secrets.add("ROW_secret_longer");
        secrets.add("abc");
        let text = "bad ROW_secret_longer and 'ROW_secret' of 7490000000000000001, see https://m.tiktok.shop/s/1 (abc)";
        let shown = "bad [removed] and '[removed]' of [removed] see [link] (abc)";
        assert_eq!(secrets.shown(text), shown);
        for address in
            ["10.0.0.1", "(10.0.0.1),", "10.0.0.1:80.", "ip=10.0.0.1;", "IP:9.9.9.9", "2001:db8::1.", "[::1]:80"]
        {
            assert_eq!(
                secrets.shown(&format!("from {address} to 1.2.3 ::")),
                "from [removed] to 1.2.3 ::",
                "{address}"
            );
        }
        let mut json = serde_json::json!({ "a": ["x ROW_secret"], "b": 7 });
        secrets.remove_from_json(&mut json);
        assert_eq!(json, serde_json::json!({ "a": ["x [removed]"], "b": 7 }));
    }
}
