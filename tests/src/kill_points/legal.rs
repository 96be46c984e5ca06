//! Lists the states that may be stored after a kill, for each list of requests that TikTok Shop got before the kill.
//!
//! Requests, token records and rows are written in a short notation. Access tokens are `AT-1`, `AT-2` and so on, and
//! refresh tokens are `RT-1`, `RT-2` and so on, in the order in which TikTok Shop issued them.
//!
//! - Requests: `exchange: RT-1` means that TikTok Shop exchanged a code and issued `RT-1`. `refresh RT-1: RT-2` means
//!   that TikTok Shop got `RT-1` and issued `RT-2`. A number after the colon is TikTok's error code. `shops AT-1` is a
//!   request for the shops with `AT-1`. `revoke DE` is a request that deauthorizes the shop in the region DE.
//! - A token record is written as its access token, its refresh token, and in brackets its fallbacks (earlier refresh
//!   tokens). `claimed` follows if the record contains a claim: a note that one caller sends the refresh token now.
//!   `to be verified` follows if the next refresh must ask TikTok Shop whether the authorization still exists.
//! - A row is written as the regions of its shops. `unlinked` follows the region of a shop that is not linked, and
//!   `gone` follows the region of a shop that is no longer granted. `ending as announced` follows the shops if TikTok
//!   Shop has announced the end of the authorization.
//! - An event is written as the word of its kind, and the regions of its shops.

use tiktok_shop_host::refresh::RefreshMode;

use super::Operation;

/// The requests that TikTok Shop got, and the states that may be stored after them.
type Legal = (&'static str, &'static [&'static str]);

/// Returns the legal states of an operation, in the order in which they occur during the operation. Each state must
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
        // `begin_install` has already exchanged the code.
        Operation::ConfirmInstall => &[
            ("", &["no tokens; no row", "AT-1 RT-1 []; no row"]),
            ("shops AT-1", &["AT-1 RT-1 []; no row", "AT-1 RT-1 []; DE, FR, IE"]),
        ],
        // The other system holds `AT-1` and `RT-1`.
        Operation::Import => &[
            ("", &["nothing", "AT-1 RT-1 []", "AT-1 RT-1 [] claimed"]),
            ("refresh RT-1: RT-2", &["AT-1 RT-1 [] claimed", "AT-2 RT-2 [RT-1]"]),
            ("refresh RT-1: RT-2, shops AT-2", &["AT-2 RT-2 [RT-1]"]),
        ],
        Operation::ImportUnnamed => &[
            ("", &["nothing"]),
            ("refresh RT-1: RT-2", &["nothing", "AT-2 RT-2 [RT-1]"]),
            ("refresh RT-1: RT-2, shops AT-2", &["AT-2 RT-2 [RT-1]"]),
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

/// The expected final state of an operation that gets no tokens, or of an install that is confirmed in the end. If such
/// an operation is killed, the same call is made a second time and must reach this state.
pub(super) struct End {
    /// The mode of the refresh that the test makes after the operation. `None` if the test makes no refresh.
    pub(super) refresh: Option<RefreshMode>,
    /// The state that is stored after the operation and this refresh.
    pub(super) stored: &'static str,
    /// The events that must be recorded after the events of the `connect`, each exactly once and in this order.
    pub(super) events: &'static [&'static str],
}

/// Returns the expected final state of an operation. `None` if the operation stores new tokens, because the expected
/// state then depends on the tokens.
pub(super) const fn end(operation: Operation) -> Option<End> {
    let (refresh, stored, events): (_, _, &[&str]) = match operation {
        Operation::Connect
        | Operation::Reconnect
        | Operation::Import
        | Operation::ImportUnnamed
        | Operation::Refresh
        | Operation::Promotion => return None,
        Operation::ConfirmInstall => (None, "AT-1 RT-1 []; DE, FR, IE", &[]),
        Operation::LinkShops => (None, "AT-1 RT-1 []; DE unlinked, FR, IE unlinked", &["shops-unlinked DE, IE"]),
        Operation::Disconnect => (None, "no tokens; no row", &["disconnected"]),
        // The refresh is forced, because no refresh is due after some of the kills.
        Operation::DisconnectShop => (
            Some(RefreshMode::Forced),
            "AT-2 RT-2 [RT-1]; FR, IE, DE unlinked gone",
            &["shops-unlinked DE", "refresh-forced"],
        ),
        // The webhook makes a refresh due. This refresh does not renew the tokens, because they are fresh. It only
        // verifies the connection.
        Operation::Webhook6 => (Some(RefreshMode::WhenDue), "AT-1 RT-1 []; FR, IE, DE gone", &["shops-lost DE"]),
        Operation::Webhook7 => (
            Some(RefreshMode::WhenDue),
            "AT-2 RT-2 [RT-1]; DE, FR, IE; ending as announced",
            &["authorization-ending after 365 days"],
        ),
    };
    Some(End { refresh, stored, events })
}
