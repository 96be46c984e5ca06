//! Prints a connection, either as lines for people or as JSON.

use anstyle::Style;
use tiktok_shop_host::AppKey;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopStanding, UnixSeconds};

use super::json::{Ciphers, ConnectionLine, cipher};
use super::report::Report;
use super::terminal::{BAD, GOOD};
use super::words::{end, time};

/// Adds a connection to the report, in the report's format.
pub(crate) fn print_connection(connection: &Connection, now: UnixSeconds, report: &mut Report) {
    if report.is_json() {
        return report.json(&ConnectionLine::from(connection));
    }
    let Connection { key, seller_name, seller_base_region, status, shops, .. } = connection;
    let has_ended = status.ends_at().is_some_and(|at| at <= now);
    let is_dead = matches!(status, ConnectionStatus::ReauthorizationRequired(_));
    let style = if is_dead || has_ended { BAD } else { GOOD };
    report.styled(
        style,
        &format!("{}: {seller_name} ({seller_base_region}), {}", key.customer, status_in_full(*status, now)),
    );
    let plain = Style::new();
    report.detail("account", plain, key.account.as_str());
    report.detail("app", plain, connection.app.as_ref().map_or("not known before the next refresh", AppKey::as_str));
    report.detail("token", plain, &format!("ends {}", end(connection.access_expires_at, now)));
    report.detail("consent", plain, &format!("ends {}", end(connection.ends_at(), now)));
    if has_ended {
        report.detail(
            "ended",
            BAD,
            "the consent has ended by its date; refresh asks TikTok Shop whether it still works",
        );
    }
    for shop in shops {
        let linked = if shop.linked { "linked" } else { "not linked" };
        let standing = match shop.standing {
            ShopStanding::Granted => String::new(),
            other @ (ShopStanding::Inactive | ShopStanding::NoLongerGranted | ShopStanding::Unconfirmed) => {
                format!(", {}", other.as_str())
            }
        };
        let cipher = cipher(shop, Ciphers::Hidden);
        let text = format!("{}  {} ({}), {linked}{standing}, cipher {cipher}", shop.id, shop.name, shop.region);
        report.detail("shop", plain, &text);
    }
    match connection.shops_synced_at {
        None => report.detail("shops", BAD, "not read yet; refresh reads them"),
        Some(_) if shops.is_empty() => report.detail("shops", BAD, "none is granted to this app"),
        Some(_) => {}
    }
    if let Some(past) = &connection.last_failure {
        report.detail("failed", BAD, &format!("{}: {}", time(past.at), past.failure));
    }
}

/// Returns the word for a status. If the status has an expiry time or a reason, this time or reason follows the word.
fn status_in_full(status: ConnectionStatus, now: UnixSeconds) -> String {
    let word = status.as_str();
    match status {
        ConnectionStatus::Active => word.to_owned(),
        ConnectionStatus::AuthorizationEnding(at) => format!("{word}: {}", end(Some(at), now)),
        ConnectionStatus::ReauthorizationRequired(reason) => format!("{word}: {}", reason.as_str()),
    }
}
