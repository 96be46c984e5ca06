//! The texts that the page shows for the library's enums and times.

use jiff::Timestamp;
use tiktok_shop_host::ShopId;
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, ShopStanding, UnixSeconds};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::webhook::WebhookEffect;

const DAY: u64 = 86_400;

pub(super) fn status(status: ConnectionStatus) -> String {
    match status {
        ConnectionStatus::Active => "active".to_owned(),
        ConnectionStatus::AuthorizationEnding(at) => format!("ending {}", date(at)),
        ConnectionStatus::ReauthorizationRequired(reason) => match reason {
            ReauthorizationReason::AuthorizationExpired => "dead: expired".to_owned(),
            ReauthorizationReason::AuthorizationRevoked => "dead: revoked".to_owned(),
            ReauthorizationReason::RefreshOutcomeUnknown => "dead: answer to refresh lost".to_owned(),
        },
    }
}

pub(super) fn effect(effect: WebhookEffect) -> &'static str {
    match effect {
        WebhookEffect::None => "none",
        WebhookEffect::VerificationDue => "verification due",
        WebhookEffect::AuthorizationEnding => "authorization ending",
    }
}

pub(super) fn kind(kind: &EventKind) -> String {
    let shops = |shops: &[ShopId]| shops.iter().map(ShopId::as_str).collect::<Vec<_>>().join(", ");
    match kind {
        EventKind::InstallBegun => "install begun".to_owned(),
        EventKind::InstallCancelled => "install cancelled".to_owned(),
        EventKind::Connected => "connected".to_owned(),
        EventKind::ConsentRenewed => "consented again".to_owned(),
        EventKind::ShopsLinked { shops: linked } => format!("linked {}", shops(linked)),
        EventKind::ShopsUnlinked { shops: unlinked } => format!("unlinked {}", shops(unlinked)),
        EventKind::ShopsLost { shops: lost } => format!("lost {}", shops(lost)),
        EventKind::ShopsRegained { shops: regained } => format!("regained {}", shops(regained)),
        EventKind::RefreshForced => "refresh forced".to_owned(),
        EventKind::TokenShown => "token shown".to_owned(),
        EventKind::GrantExported => "grant exported".to_owned(),
        EventKind::AuthorizationEnding { ends } => format!("authorization ending {}", date(*ends)),
        EventKind::ReauthorizationRequired(reason) => status(ConnectionStatus::ReauthorizationRequired(*reason)),
        EventKind::Recovered => "recovered".to_owned(),
        EventKind::Disconnected => "disconnected".to_owned(),
        EventKind::Notice { days, ends } => format!("notice: at most {days} days are left until {}", date(*ends)),
        EventKind::HostKeyAdded { host_key } => format!("host key {host_key} added"),
        EventKind::HostKeyPromoted { host_key } => format!("host key {host_key} promoted"),
        EventKind::KeysRotated { host_key } => format!("keys rotated to {host_key}"),
        EventKind::HostKeyRetired { host_key } => format!("host key {host_key} retired"),
        EventKind::TenantErased => "tenant erased".to_owned(),
        _ => "unknown".to_owned(),
    }
}

pub(super) fn standing(standing: ShopStanding) -> &'static str {
    match standing {
        ShopStanding::Granted => "granted",
        ShopStanding::Inactive => "inactive",
        ShopStanding::NoLongerGranted => "no longer granted",
        ShopStanding::Unconfirmed => "unconfirmed",
    }
}

/// Says what the host does after an error with this action.
pub(super) fn next_move(action: Action) -> String {
    match action {
        Action::RetryAfter(pause) => {
            format!("the host makes the same call again, after at least {} s", pause.as_secs_f64())
        }
        Action::Reauthorize => "the host sends the seller a new consent link".to_owned(),
        Action::Misconfigured => {
            "the host alerts an operator; it does not retry and does not ask the seller".to_owned()
        }
        Action::InvalidRequest => "the host's arguments are wrong: a bug in the host".to_owned(),
        Action::Upstream => "the host shows the error to a person; it does not retry in a loop".to_owned(),
        Action::StorageConflict => "the host makes the same call again".to_owned(),
        Action::StorageFailed => "the host makes the same call again once its storage works".to_owned(),
        Action::Internal => "the operator reports a bug in the connector".to_owned(),
    }
}

pub(super) fn end(at: Option<UnixSeconds>, now: UnixSeconds) -> String {
    at.map_or_else(|| "unknown".to_owned(), |at| format!("{}, {}", date(at), relative(at, now)))
}

fn relative(at: UnixSeconds, now: UnixSeconds) -> String {
    let days = at.0.abs_diff(now.0) / DAY;
    let unit = if days == 1 { "day" } else { "days" };
    match days {
        0 if date(at) == date(now) => "today".to_owned(),
        0 if at > now => "tomorrow".to_owned(),
        0 => "yesterday".to_owned(),
        _ if at > now => format!("in {days} {unit}"),
        _ => format!("{days} {unit} ago"),
    }
}

/// Formats the date in UTC.
pub(super) fn date(at: UnixSeconds) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("second {}", at.0), |time| time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_shown_as_a_date_and_as_days_from_now() {
        let now = UnixSeconds(1_767_225_600);
        for (at, shown) in [
            (now.0 + 7 * DAY, "2026-01-08, in 7 days"),
            (now.0 + 2 * DAY - 1, "2026-01-02, in 1 day"),
            (now.0 + DAY - 1, "2026-01-01, today"),
            (now.0, "2026-01-01, today"),
            (now.0 - 1, "2025-12-31, yesterday"),
            (now.0 - DAY, "2025-12-31, 1 day ago"),
            (4_903_858_076, "2125-05-25, in 36303 days"),
            (u64::MAX, "second 18446744073709551615, in 213503982314147 days"),
        ] {
            assert_eq!(end(Some(UnixSeconds(at)), now), shown);
        }
        let noon = UnixSeconds(now.0 + DAY / 2);
        assert_eq!(end(Some(UnixSeconds(now.0 + DAY)), noon), "2026-01-02, tomorrow");
        assert_eq!(end(None, now), "unknown");
    }
}
