//! What may be stored after a kill, by what TikTok Shop saw before it.
//!
//! Tokens are numbered as they were issued. A record is its access token, its refresh token, its fallbacks, and whether
//! it is claimed.

use super::Operation;

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
    }
}
