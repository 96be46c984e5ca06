//! The values of the switches that choose the form of the webhooks and the way in which the webhooks are sent.
//!
//! Source: the official pages `tts-webhooks-overview` (as of May 2026) and `configuration-guide` (as of December 2025),
//! and the pages of types 6 and 7. Some of the forms are not documented. A receiver should also accept these forms,
//! because TikTok Shop may change the form of its webhooks.

use serde::{Deserialize, Serialize};

/// The number of webhooks when a grant with several shops is removed or about to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantNotices {
    /// One webhook for each shop.
    #[default]
    EachShop,
    /// One webhook in total, with the id of the first shop.
    One,
}

/// The time zone in which TikTok Shop announces daily at 0:00 that an authorization will end.
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
    /// Returns by how many seconds the time zone is ahead of UTC.
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
    /// A text of 19 digits.
    #[default]
    Text,
    /// A number.
    Number,
    /// The member is missing, as in the official table of parameters.
    Missing,
}

/// The member `shop_id` of a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookShopId {
    /// Text, as documented.
    #[default]
    Text,
    /// A number. An id that is not numeric stays text.
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
    /// A text that contains the JSON.
    Text,
}

/// The member `expiration_time` in the data of a webhook of type 7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpirationTime {
    /// Unix seconds as text, as documented.
    #[default]
    Text,
    /// A number, as in the official example of a similar type of webhook.
    Number,
}

/// The number of copies of each webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookCopies {
    /// One copy. It is sent again if its delivery fails.
    #[default]
    One,
    /// Two copies with the same notification id. Each copy is sent again if its own delivery fails.
    Two,
}

/// The sending order of webhooks that are due at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookOrder {
    /// In the order of the events.
    #[default]
    OldestFirst,
    /// In the reverse order of the events.
    NewestFirst,
}

/// Whether a webhook's body changes after it was signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookBody {
    /// The body arrives unchanged.
    #[default]
    AsSigned,
    /// A proxy on the way to the receiver writes the JSON with other spaces, so the signature no longer fits.
    ReEncoded,
}

/// The time between an event and the first sending of its webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookDelay {
    /// The webhook is sent at once.
    #[default]
    None,
    /// The webhook is sent this many seconds later.
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

/// TikTok Shop's reaction to a receiver that answers a webhook with 401.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedWebhook {
    /// The webhook counts as delivered, as documented.
    #[default]
    Delivered,
    /// The webhook is sent again, as after any other failure.
    SentAgain,
}
