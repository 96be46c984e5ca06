//! What may be stored after a kill, by what TikTok Shop saw before it.
//!
//! Tokens are numbered as they were issued. A record is its access token, its refresh token, its fallbacks, and whether
//! it is claimed or to be verified. A row is its shops, by region, and whether an end was announced.

use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::refresh::RefreshMode;

use super::Operation;
use crate::{BEGIN, DAY};

/// What TikTok Shop saw, and what may be stored then.
type Legal = (&'static str, &'static [&'static str]);

/// In the order in which an operation passes through them. Every one is met by some kill.
pub(super) fn legal(operation: Operation) -> &'static [Legal] {
    match operation {
        Operation::Connect => &[
            ("", &["nothing"]),
            ("exchange: RT-1", &["nothing", "AT-1 RT-1 []"]),
            ("exchange: RT-1, shops AT-1", &["AT-1 RT-1 []"]),
        ],
        Operation::Reconnect => &[
            ("", &["AT-1 RT-1 []"]),
            ("exchange: RT-2", &["AT-1 RT-1 []", "AT-2 RT-2 [RT-1]"]),
            ("exchange: RT-2, shops AT-2", &["AT-2 RT-2 [RT-1]"]),
        ],
        Operation::Refresh => &[
            ("", &["AT-1 RT-1 []", "AT-1 RT-1 [] claimed"]),
            ("refresh RT-1: RT-2", &["AT-1 RT-1 [] claimed", "AT-2 RT-2 [RT-1]"]),
            ("refresh RT-1: RT-2, shops AT-2", &["AT-2 RT-2 [RT-1]"]),
        ],
        Operation::Promotion => &[
            ("", &["AT-2 RT-2 [RT-1]", "AT-2 RT-2 [RT-1] claimed"]),
            ("refresh RT-2: 36004005", &["AT-2 RT-2 [RT-1] claimed", "AT-2 RT-1 [] claimed"]),
            ("refresh RT-2: 36004005, refresh RT-1: RT-3", &["AT-2 RT-1 [] claimed", "AT-3 RT-3 [RT-1]"]),
            ("refresh RT-2: 36004005, refresh RT-1: RT-3, shops AT-3", &["AT-3 RT-3 [RT-1]"]),
        ],
        Operation::LinkShops => &[("", &["AT-1 RT-1 []; DE, FR, IE", "AT-1 RT-1 []; DE unlinked, FR, IE unlinked"])],
        Operation::Disconnect => &[
            ("", &["AT-1 RT-1 []; DE, FR"]),
            ("revoke DE", &["AT-1 RT-1 []; DE, FR"]),
            ("revoke DE, revoke FR", &["AT-1 RT-1 []; DE, FR", "no tokens; DE, FR", "no tokens; no row"]),
        ],
        Operation::DisconnectShop => &[
            ("", &["AT-1 RT-1 []; DE, FR, IE"]),
            (
                "revoke DE",
                &[
                    "AT-1 RT-1 []; DE, FR, IE",
                    "AT-1 RT-1 []; DE unlinked gone, FR, IE",
                    "AT-1 RT-1 [] to be verified; DE unlinked gone, FR, IE",
                ],
            ),
        ],
        Operation::Webhook6 => &[("", &["AT-1 RT-1 []; DE, FR, IE", "AT-1 RT-1 [] to be verified; DE, FR, IE"])],
        Operation::Webhook7 => &[("", &["AT-1 RT-1 []; DE, FR, IE", "AT-1 RT-1 []; DE, FR, IE; ending as announced"])],
    }
}

/// What follows an operation that is finished by making it again.
pub(super) struct End {
    /// How tokens that are left are refreshed next.
    pub(super) refresh: Option<Rotation>,
    /// What is stored then.
    pub(super) stored: &'static str,
    /// The event that came after `Connected`, once.
    pub(super) event: Option<EventKind>,
}

/// None: the operation gets tokens, and what follows it is judged by them.
pub(super) const fn end(operation: Operation) -> Option<End> {
    let (refresh, stored, event) = match operation {
        Operation::Connect | Operation::Reconnect | Operation::Refresh | Operation::Promotion => return None,
        Operation::LinkShops => (None, "AT-1 RT-1 []; DE unlinked, FR, IE unlinked", None),
        Operation::Disconnect => (None, "no tokens; no row", Some(EventKind::Disconnected)),
        // Whether one is due depends on what the kill left.
        Operation::DisconnectShop => (Some(RefreshMode::Forced), "AT-2 RT-2 [RT-1]; FR, IE, DE unlinked gone", None),
        // The notice makes one due; the tokens are fresh.
        Operation::Webhook6 => (Some(RefreshMode::WhenDue), "AT-1 RT-1 []; FR, IE, DE gone", None),
        Operation::Webhook7 => (
            Some(RefreshMode::WhenDue),
            "AT-2 RT-2 [RT-1]; DE, FR, IE; ending as announced",
            Some(EventKind::AuthorizationEnding { ends: UnixSeconds(BEGIN + 365 * DAY) }),
        ),
    };
    Some(End { refresh, stored, event })
}
