//! What webhooks can look like, and how they can arrive.
//!
//! Official pages `tts-webhooks-overview` (as of May 2026) and `configuration-guide` (as of December 2025), and the pages
//! of types 6 and 7. Some shapes are documented nowhere: a receiver that survives them is safe from a change.

use serde::{Deserialize, Serialize};

/// Notices of a removal, or of a coming end, that concerns several shops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantNotices {
    /// One for each shop.
    #[default]
    EachShop,
    /// One in all, with the id of the first shop.
    One,
}

/// The time zone in whose midnights the daily notices of a coming end are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndingNoticeZone {
    /// UTC.
    #[default]
    Utc,
    /// Eight hours ahead of UTC, as in Singapore.
    UtcPlus8,
}

impl EndingNoticeZone {
    /// How far it is ahead of UTC, in seconds.
    pub(crate) fn ahead(self) -> u64 {
        match self {
            Self::Utc => 0,
            Self::UtcPlus8 => 8 * 3_600,
        }
    }
}

/// The member `tts_notification_id` of a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotificationId {
    /// Text of 19 digits.
    #[default]
    Text,
    /// A number.
    Number,
    /// It is not there, as in the parameter table.
    Missing,
}

/// The member `shop_id` of a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookShopId {
    /// Text, as documented.
    #[default]
    Text,
    /// A number, if it is one.
    Number,
}

/// The member `timestamp` of a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookTimestamp {
    /// Unix seconds, as documented.
    #[default]
    Seconds,
    /// Unix milliseconds.
    Milliseconds,
    /// Unix seconds, as text.
    Text,
}

/// The member `data` of a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookData {
    /// JSON, as documented.
    #[default]
    Json,
    /// The same JSON as text.
    Text,
}

/// The member `expiration_time` in the data of a webhook of type 7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpirationTime {
    /// Unix seconds as text, as documented.
    #[default]
    Text,
    /// A number, as in the example of a neighbouring type.
    Number,
}

/// How often a webhook is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookCopies {
    /// Once, and again after a failure.
    #[default]
    One,
    /// Twice, with the same notification id, and each again after its failure.
    Two,
}

/// In which order webhooks that are due together are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookOrder {
    /// As it happened.
    #[default]
    OldestFirst,
    /// What happened last comes first.
    NewestFirst,
}

/// What becomes of a webhook's body after it was signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookBody {
    /// It arrives byte for byte.
    #[default]
    AsSigned,
    /// Something on its way writes the same JSON with other spaces: the signature no longer fits.
    ReEncoded,
}

/// How long after the event a webhook is first sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookDelay {
    /// At once.
    #[default]
    None,
    /// So many seconds later.
    Seconds(u64),
}

impl WebhookDelay {
    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Seconds(seconds) => seconds,
        }
    }
}

/// What TikTok Shop makes of a receiver that answers a webhook with 401.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedWebhook {
    /// It counts as delivered, as documented.
    #[default]
    Delivered,
    /// It is sent again, as after any other failure.
    SentAgain,
}
