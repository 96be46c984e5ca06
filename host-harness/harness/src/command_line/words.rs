//! What times, states and events are called, for people and for programs.

use jiff::Timestamp;
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, ShopPolicy, ShopStanding, UnixSeconds};
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::webhook::WebhookEffect;

/// Hours, days: what a time is told in when it is relative.
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// In UTC, as RFC 3339 writes it.
pub(crate) fn time(at: UnixSeconds) -> String {
    let time = i64::try_from(at.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {}", at.0), |time| time.to_string())
}

/// The same, and how far from now. `None` where TikTok named no believable time.
pub(crate) fn end(at: Option<UnixSeconds>, now: UnixSeconds) -> String {
    let Some(at) = at else { return "unknown".to_owned() };
    let apart = at.0.abs_diff(now.0);
    let span = match (apart / DAY, apart / HOUR, apart / 60) {
        (0, 0, 1) => "1 minute".to_owned(),
        (0, 0, minutes) => format!("{minutes} minutes"),
        (0, 1, _) => "1 hour".to_owned(),
        (0, hours, _) => format!("{hours} hours"),
        (1, ..) => "1 day".to_owned(),
        (days, ..) => format!("{days} days"),
    };
    if at < now { format!("{}, {span} ago", time(at)) } else { format!("{}, in {span}", time(at)) }
}

pub(crate) const fn policy(policy: ShopPolicy) -> &'static str {
    match policy {
        ShopPolicy::All => "all",
        ShopPolicy::ExactlyOne => "exactly-one",
    }
}

pub(crate) const fn reason(reason: ReauthorizationReason) -> &'static str {
    match reason {
        ReauthorizationReason::AuthorizationExpired => "authorization-expired",
        ReauthorizationReason::AuthorizationRevoked => "authorization-revoked",
        ReauthorizationReason::RefreshOutcomeUnknown => "refresh-outcome-unknown",
    }
}

pub(crate) const fn status(status: ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::Active => "active",
        ConnectionStatus::AuthorizationEnding(_) => "authorization-ending",
        ConnectionStatus::ReauthorizationRequired(_) => "reauthorization-required",
    }
}

/// With the end, or the reason.
pub(crate) fn status_in_full(of: ConnectionStatus, now: UnixSeconds) -> String {
    let word = status(of);
    match of {
        ConnectionStatus::Active => word.to_owned(),
        ConnectionStatus::AuthorizationEnding(at) => format!("{word}: {}", end(Some(at), now)),
        ConnectionStatus::ReauthorizationRequired(why) => format!("{word}: {}", reason(why)),
    }
}

pub(crate) const fn standing(standing: ShopStanding) -> &'static str {
    match standing {
        ShopStanding::Granted => "granted",
        ShopStanding::Inactive => "inactive",
        ShopStanding::NoLongerGranted => "no-longer-granted",
    }
}

pub(crate) const fn effect(effect: WebhookEffect) -> &'static str {
    match effect {
        WebhookEffect::None => "none",
        WebhookEffect::VerificationDue => "verification-due",
        WebhookEffect::AuthorizationEnding => "authorization-ending",
    }
}

pub(crate) const fn event(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Connected => "connected",
        EventKind::AuthorizationEnding { .. } => "authorization-ending",
        EventKind::ReauthorizationRequired(_) => "reauthorization-required",
        EventKind::Recovered => "recovered",
        EventKind::Disconnected => "disconnected",
        EventKind::Notice { .. } => "notice",
        _ => "unknown",
    }
}

/// So many of something.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_and_a_span_from_now() {
        let now = 1_767_225_600;
        for (at, told) in [
            (now + 7 * DAY, "2026-01-08T00:00:00Z, in 7 days"),
            (now + DAY, "2026-01-02T00:00:00Z, in 1 day"),
            (now + DAY - 1, "2026-01-01T23:59:59Z, in 23 hours"),
            (now + HOUR, "2026-01-01T01:00:00Z, in 1 hour"),
            (now + 61, "2026-01-01T00:01:01Z, in 1 minute"),
            (now, "2026-01-01T00:00:00Z, in 0 minutes"),
            (now - 2 * DAY, "2025-12-30T00:00:00Z, 2 days ago"),
            (u64::MAX, "second 18446744073709551615, in 213503982314147 days"),
        ] {
            assert_eq!(end(Some(UnixSeconds(at)), UnixSeconds(now)), told);
        }
        assert_eq!(end(None, UnixSeconds(now)), "unknown");
    }
}
