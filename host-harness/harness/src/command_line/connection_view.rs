//! A connection, for people.

use anstyle::Style;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopStanding, UnixSeconds};

use super::output::{BAD, GOOD, Report};
use super::shapes::{Ciphers, ConnectionLine, cipher};
use super::words;

/// Reports a connection as the reader wants it.
pub(crate) fn tell(connection: &Connection, now: UnixSeconds, report: &mut Report) {
    if report.is_json() {
        return report.json(&ConnectionLine::from(connection));
    }
    let Connection { key, seller_name, seller_base_region, status, shops, .. } = connection;
    let style = if matches!(status, ConnectionStatus::ReauthorizationRequired(_)) { BAD } else { GOOD };
    report.styled(
        style,
        &format!("{}: {seller_name} ({seller_base_region}), {}", key.customer, words::status_in_full(*status, now)),
    );
    let plain = Style::new();
    report.detail("account", plain, key.account.as_str());
    report.detail("access", plain, &words::end(connection.access_expires_at, now));
    report.detail("ends", plain, &words::end(connection.ends_at(), now));
    for shop in shops {
        let linked = if shop.linked { "linked" } else { "not linked" };
        let standing = match shop.standing {
            ShopStanding::Granted => String::new(),
            other @ (ShopStanding::Inactive | ShopStanding::NoLongerGranted) => format!(", {}", words::standing(other)),
        };
        let cipher = cipher(shop, Ciphers::Hidden);
        let text = format!("{}  {} ({}), {linked}{standing}, cipher {cipher}", shop.id, shop.name, shop.region);
        report.detail("shop", plain, &text);
    }
    if connection.shops_synced_at.is_none() {
        report.detail("shops", BAD, "not read yet: refresh reads them");
    }
    if let Some(past) = &connection.last_failure {
        report.detail("failed", BAD, &format!("{}: {}", words::time(past.at), past.failure));
    }
}
