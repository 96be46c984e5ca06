//! Reads the event of a webhook. [`crate::signing::Webhook`] checks the signature first.
//!
//! Source: partner.tiktokshop.com/docv2/page/tts-webhooks-overview (2026). TikTok repeats a delivery for up to 15.5
//! hours. Deliveries may arrive late, out of order or never. Not all pages of TikTok's documentation show
//! `tts_notification_id`.

use crate::endpoint::shops::is_shop_id;
use crate::http::text_of;
use crate::json::{Members, text};
use crate::time::{EARLIEST_EVENT, UnixSeconds, event_time};
use alloc::borrow::ToOwned;
use alloc::string::String;

/// The largest body that is read: 1 MiB. The bodies that TikTok sends have some hundred bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The maximum length of a notification id, in bytes. A longer id is ignored.
const MAX_ID_BYTES: usize = 256;

/// Every host remembers for at least this many seconds that a webhook was handled: three days.
pub const HANDLED_MEMORY: u64 = 3 * 86_400;
/// An event that happened more than this many seconds ago counts as handled: two days. This is one day less than
/// [`HANDLED_MEMORY`], so an event becomes too old before a host forgets that it was handled. The difference of one day
/// allows for a host whose clock is wrong, for example by its time zone.
pub const MAX_EVENT_AGE: u64 = 2 * 86_400;
/// TikTok's last repetition of a delivery comes this many seconds after the first delivery. The pauses between the
/// deliveries are 2 minutes, 30 minutes, 3 hours and 12 hours.
const LAST_REPETITION: u64 = 120 + 30 * 60 + 3 * 3600 + 12 * 3600;

// When TikTok repeats a delivery for the last time, the event is not too old yet. And an event becomes too old before a
// host forgets it.
const _: () = assert!(LAST_REPETITION < MAX_EVENT_AGE && MAX_EVENT_AGE < HANDLED_MEMORY);

const SELLER_DEAUTHORIZATION: u32 = 6;
const UPCOMING_AUTHORIZATION_EXPIRATION: u32 = 7;

/// TikTok announces the end of an authorization 30 days ahead, and then daily. An announced end is believed if it lies
/// between two times: one day before the event that announces it, and 400 days after this event. Any other number is
/// not the time of an end. It may be a duration.
const EARLIEST_ANNOUNCED_END: u64 = 86_400;
const LATEST_ANNOUNCED_END: u64 = 400 * 86_400;

/// An event of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// `tts_notification_id`: the same in every repetition of the webhook. `None` if it is missing or too long.
    pub id: Option<String>,
    /// `type`. TikTok may add new types.
    pub event_type: u32,
    /// `shop_id`; `None` if the event concerns no shop.
    pub shop: Option<String>,
    /// `timestamp`: when the event happened, not when it was sent. `None` if the event has no time, or a time that
    /// cannot be true.
    pub occurred: Option<UnixSeconds>,
    /// `data` as TikTok sent it, but with U+FFFD in place of everything that is not a valid character.
    pub data: String,
}

/// The meaning of an event for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Type 6: according to the event, the seller has revoked this shop or all shops.
    MayHaveEnded,
    /// Type 7: the authorization ends at this time.
    Ends(UnixSeconds),
    /// Any other event: it means nothing for a connection.
    Nothing,
}

impl Notification {
    /// Reads an event. Bytes that are not UTF-8 and a byte order mark do not affect the rest of the event: see
    /// [`crate::http::text_of`]. Returns `None` if the body is not a JSON object with a type.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let text = text_of(body, None);
        let event = Members::of(&text)?;
        Some(Self {
            id: event.text_or_digits("tts_notification_id").filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES),
            event_type: u32::try_from(event.whole_number("type")?).ok()?,
            shop: event.text_or_digits("shop_id").filter(|id| !id.is_empty() && is_shop_id(id)),
            occurred: event.whole_number("timestamp").and_then(event_time),
            data: event.raw("data").unwrap_or("null").to_owned(),
        })
    }

    /// Returns the meaning of the event. An event of type 7 without a believable end means nothing, because there is no
    /// end to show. `now` is the time at which the event was received. It is used only if the event has no believable
    /// time of its own.
    #[must_use]
    pub fn meaning(&self, now: UnixSeconds) -> Meaning {
        match self.event_type {
            SELLER_DEAUTHORIZATION => Meaning::MayHaveEnded,
            UPCOMING_AUTHORIZATION_EXPIRATION => {
                // The documentation leaves open whether `data` is an object or a text that contains an object.
                let wrapped = text(&self.data);
                let data = wrapped.as_ref().unwrap_or(&self.data);
                let data = Members::of(data).unwrap_or_default();
                let at = self.occurred.unwrap_or(now);
                let believed = at.minus(EARLIEST_ANNOUNCED_END)..=at.plus(LATEST_ANNOUNCED_END);
                let end = data.whole_number("expiration_time").and_then(event_time);
                end.filter(|end| believed.contains(end)).map_or(Meaning::Nothing, Meaning::Ends)
            }
            _ => Meaning::Nothing,
        }
    }
}

/// Returns true if an event that happened at this time counts as already handled, because that is more than
/// [`MAX_EVENT_AGE`] ago. TikTok does not deliver an event that late. So somebody has recorded the webhook and sends it
/// again, after hosts have forgotten that they handled it. The signature covers the time of the event, so nobody can
/// make an event look younger.
///
/// An event without a believable time does not count as handled, because otherwise it would be lost. A time is not
/// believable if it is missing, before 2020, or in the future.
#[must_use]
pub fn counts_as_handled(occurred: Option<UnixSeconds>, now: UnixSeconds) -> bool {
    occurred.is_some_and(|at| at >= EARLIEST_EVENT && now.since(at) > MAX_EVENT_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const NOW: UnixSeconds = UnixSeconds::new(1_767_225_600);

    fn read(body: &str) -> Notification {
        Notification::read(body.as_bytes()).expect(body)
    }

    #[test]
    fn a_documented_event_is_read_completely() {
        let body = r#"{"type":6,"tts_notification_id":"7600000000000000006","shop_id":"7490000000000000001","timestamp":1767225600,"data":{"message":"gone"}}"#;
        let expected = Notification {
            id: Some("7600000000000000006".to_owned()),
            event_type: 6,
            shop: Some("7490000000000000001".to_owned()),
            occurred: Some(UnixSeconds::new(1_767_225_600)),
            data: r#"{"message":"gone"}"#.to_owned(),
        };
        assert_eq!(read(body), expected);
        assert_eq!(expected.meaning(NOW), Meaning::MayHaveEnded);
    }

    #[test]
    fn ids_may_be_numbers_and_only_the_type_is_required() {
        let event = read(r#"{"type":"68","shop_id":7490000000000000001}"#);
        assert_eq!((event.event_type, event.shop.as_deref()), (68, Some("7490000000000000001")));
        assert_eq!((event.id.as_ref(), event.occurred, event.data.as_str()), (None, None, "null"));
        assert_eq!(event.meaning(NOW), Meaning::Nothing);
    }

    #[test]
    fn a_time_may_be_in_milliseconds_and_must_be_believable() {
        assert_eq!(read(r#"{"type":6,"timestamp":1767225600123}"#).occurred, Some(NOW));
        for time in ["9223372036854775808", "604800", "0", "1", "-1767225600", "\"soon\"", "1767225600.5"] {
            assert_eq!(read(&format!(r#"{{"type":6,"timestamp":{time}}}"#)).occurred, None, "{time}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_and_a_byte_order_mark_do_not_cost_the_event() {
        let table: [(&[u8], &str); 5] = [
            (b"{\"type\":6,\"shop_id\":\"7\",\"data\":{\"message\":\"Caf\xe9\"}}", "{\"message\":\"Caf\u{fffd}\"}"),
            (b"{\"type\":6,\"shop_id\":\"7\",\"data\":\"\xe4\xb8\"}", "\"\u{fffd}\""),
            (b"\xef\xbb\xbf{\"type\":6,\"shop_id\":\"7\",\"data\":1}", "1"),
            (b"\xef\xbb\xbf{\"\xff\":0,\"type\":6,\"shop_id\":\"7\",\"data\":1}", "1"),
            (b"{\"type\":6,\"shop_id\":\"7\",\"data\":\"\\ud83d\"}", "\"\\ufffd\""),
        ];
        for (body, data) in table {
            let event = Notification::read(body).expect(data);
            assert_eq!((event.event_type, event.shop.as_deref(), event.data.as_str()), (6, Some("7"), data));
        }
        let utf16: alloc::vec::Vec<u8> = "\u{feff}{\"type\":6}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(Notification::read(&utf16).map(|event| event.event_type), Some(6));
    }

    #[test]
    fn an_event_counts_as_handled_before_a_host_forgets_it_and_after_tiktoks_last_repetition() {
        let now = UnixSeconds::new(1_767_225_600);
        let table = [
            (Some(now), false),
            (Some(now.minus(LAST_REPETITION)), false),
            (Some(now.minus(MAX_EVENT_AGE)), false),
            (Some(now.minus(MAX_EVENT_AGE + 1)), true),
            (Some(now.minus(HANDLED_MEMORY)), true),
            (Some(EARLIEST_EVENT), true),
            // These times are not believable, so the events do not count as handled.
            (None, false),
            (Some(EARLIEST_EVENT.minus(1)), false),
            (Some(UnixSeconds::new(1_767_225)), false),
            (Some(now.plus(86_400)), false),
            (Some(UnixSeconds::MAX), false),
        ];
        for (occurred, handled) in table {
            assert_eq!(counts_as_handled(occurred, now), handled, "{occurred:?}");
        }
    }

    #[test]
    fn unreadable_members_become_none() {
        let event = read(r#"{"type":1,"tts_notification_id":"","shop_id":"shop one","timestamp":-5,"data":"text"}"#);
        assert_eq!((event.id, event.shop, event.occurred, event.data.as_str()), (None, None, None, "\"text\""));
    }

    #[test]
    fn a_body_without_a_type_is_not_an_event() {
        for body in
            ["", "null", "[]", "{}", r#"{"type":null}"#, r#"{"type":-1}"#, r#"{"type":4294967296}"#, r#"{"type":1"#]
        {
            assert_eq!(Notification::read(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn the_end_that_type_7_announces_is_text_or_a_number() {
        for (end, meaning) in [
            (r#""1769817600""#, Meaning::Ends(UnixSeconds::new(1_769_817_600))),
            ("1769817600", Meaning::Ends(UnixSeconds::new(1_769_817_600))),
            (r#""1769817600000""#, Meaning::Ends(UnixSeconds::new(1_769_817_600))),
            ("1769817600000000", Meaning::Ends(UnixSeconds::new(1_769_817_600))),
            (r#""soon""#, Meaning::Nothing),
            ("0", Meaning::Nothing),
            ("null", Meaning::Nothing),
            ("2592000", Meaning::Nothing),
            (r#""2592000000""#, Meaning::Nothing),
            ("1767139199", Meaning::Nothing),
            ("4912765591", Meaning::Nothing),
        ] {
            let event = read(&format!(r#"{{"type":7,"data":{{"expiration_time":{end}}}}}"#));
            assert_eq!(event.meaning(NOW), meaning, "{end}");
        }
        let wrapped = read(r#"{"type":7,"data":"{\"expiration_time\":\"1769817600\"}"}"#);
        assert_eq!(wrapped.meaning(NOW), Meaning::Ends(UnixSeconds::new(1_769_817_600)));
        assert_eq!(read(r#"{"type":7}"#).meaning(NOW), Meaning::Nothing);
        // The event's own time counts, so a host with a wrong clock loses no announcement.
        let far = read(r#"{"type":7,"timestamp":1767225600,"data":{"expiration_time":"1769817600"}}"#);
        assert_eq!(far.meaning(UnixSeconds::MAX), Meaning::Ends(UnixSeconds::new(1_769_817_600)));
    }
}
