//! Lists the states that may be stored after a kill, for each list of requests that TikTok Shop got before the kill.
//!
//! Tokens have numbers, in the order in which they were issued. A record is written as access token, refresh token and
//! fallbacks in brackets, then `claimed` or `to be verified` if the record is in this state. A row is written as the
//! regions of its shops. `unlinked` or `gone` (no longer granted) stands behind a shop that is in this state.
//! `ending as announced` follows if TikTok Shop has announced the end of the authorization.

use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::refresh::RefreshMode;

use super::Operation;
use crate::{BEGIN, DAY};

/// The requests that TikTok Shop got, and the states that may be stored after them.
type Legal = (&'static str, &'static [&'static str]);

/// Returns the legal states of an operation, in the order in which the operation passes through them. Each state must
/// occur after at least one kill.
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

/// The expected final state of an operation that a second call finishes.
pub(super) struct End {
    /// The kind of the next refresh. `None` if no refresh follows.
    pub(super) refresh: Option<RefreshMode>,
    /// The state that is stored at the end.
    pub(super) stored: &'static str,
    /// The event that must be recorded exactly once after `Connected`, if any.
    pub(super) event: Option<EventKind>,
}

/// Returns the expected final state of an operation. `None` if the operation gets tokens, because the expected state
/// then depends on the tokens.
pub(super) const fn end(operation: Operation) -> Option<End> {
    let (refresh, stored, event) = match operation {
        Operation::Connect | Operation::Reconnect | Operation::Refresh | Operation::Promotion => return None,
        Operation::LinkShops => (None, "AT-1 RT-1 []; DE unlinked, FR, IE unlinked", None),
        Operation::Disconnect => (None, "no tokens; no row", Some(EventKind::Disconnected)),
        // The refresh is forced, because after some kills no refresh is due.
        Operation::DisconnectShop => (Some(RefreshMode::Forced), "AT-2 RT-2 [RT-1]; FR, IE, DE unlinked gone", None),
        // The webhook makes a refresh due. The tokens are fresh, so that refresh keeps them and only verifies the
        // connection.
        Operation::Webhook6 => (Some(RefreshMode::WhenDue), "AT-1 RT-1 []; FR, IE, DE gone", None),
        Operation::Webhook7 => (
            Some(RefreshMode::WhenDue),
            "AT-2 RT-2 [RT-1]; DE, FR, IE; ending as announced",
            Some(EventKind::AuthorizationEnding { ends: UnixSeconds(BEGIN + 365 * DAY) }),
        ),
    };
    Some(End { refresh, stored, event })
}
