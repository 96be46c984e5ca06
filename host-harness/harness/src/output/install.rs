//! Prints an install from TikTok's App Store that nobody has confirmed yet, either as lines for people or as JSON.

use anstyle::Style;
use serde::Serialize;
use tiktok_shop_host::CustomerId;
use tiktok_shop_host::install::{InstallShop, PendingInstall};

use super::report::Report;

/// A pending install as JSON.
#[derive(Serialize)]
struct InstallLine<'a> {
    customer: &'a str,
    pending_install: &'a str,
    account: &'a str,
    app: &'a str,
    seller_name: &'a str,
    seller_base_region: &'a str,
    granted_scopes: &'a [String],
    shops: Vec<InstallShopLine<'a>>,
}

/// A shop of a pending install as JSON.
#[derive(Serialize)]
struct InstallShopLine<'a> {
    id: &'a str,
    name: &'a str,
    region: &'a str,
    seller_type: &'a str,
    code: &'a str,
}

impl<'a> From<&'a InstallShop> for InstallShopLine<'a> {
    fn from(InstallShop { id, name, region, seller_type, code }: &'a InstallShop) -> Self {
        Self { id: id.as_str(), name, region, seller_type, code }
    }
}

/// Adds a pending install to the report, in the report's format.
pub(crate) fn print_install(install: &PendingInstall, customer: &CustomerId, report: &mut Report) {
    let PendingInstall { id, app, account, seller_name, seller_base_region, granted_scopes, shops } = install;
    if report.is_json() {
        return report.json(&InstallLine {
            customer: customer.as_str(),
            pending_install: id.expose(),
            account: account.as_str(),
            app: app.as_str(),
            seller_name,
            seller_base_region,
            granted_scopes,
            shops: shops.iter().map(InstallShopLine::from).collect(),
        });
    }
    let plain = Style::new();
    report.line(&format!("{customer}: {seller_name} ({seller_base_region}), not connected yet"));
    report.detail("account", plain, account.as_str());
    report.detail("app", plain, app.as_str());
    for shop in shops {
        report.detail("shop", plain, &format!("{}  {} ({})", shop.id, shop.name, shop.region));
    }
    if shops.is_empty() {
        report.detail("shops", plain, "TikTok Shop lists none of this seller");
    }
    report.detail("confirm", plain, &format!("--confirm {}", id.expose()));
}
