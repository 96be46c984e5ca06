//! Tests rows that cannot be used: the host notices that somebody changed the row, or the row cannot be decoded. The
//! error names the row's connection only, and other connections of the customer go on.

use super::call::call_for_shop;
use super::receive_webhook::{deauthorization, effect, order_event};
use super::{connected, refresh_when_due};
use crate::samples::{NOW, customer, due, fresh, key, key_of, outcome, pair_answer, row_of, shops_answer, tokens};
use crate::scripted_host::{Damage, ScriptedHost, run};
use tiktok_shop_connector_core::connection::document::DocumentError;
use tiktok_shop_connector_core::operation::disconnect::{DisconnectTarget, RemoteGrant, disconnect};
use tiktok_shop_connector_core::operation::link_shops::link_shops;
use tiktok_shop_connector_core::operation::list_connections::list_connections;
use tiktok_shop_connector_core::operation::list_shops::list_shops;
use tiktok_shop_connector_core::operation::receive_webhook::WebhookEffect;

/// Each damage, and the code of its error.
const DAMAGES: [(Damage, &str); 3] = [
    (Damage::Changed, "row-changed"),
    (Damage::Unreadable(DocumentError::TooNew), "row-too-new"),
    (Damage::Unreadable(DocumentError::Unreadable), "row-unreadable"),
];

/// Creates a host with two connections of one customer. The row of the first connection, with the shops 1 and 2, is
/// damaged. The row of the second connection has the shop 3.
fn damaged(damage: Damage) -> ScriptedHost {
    let host = connected(&fresh());
    let other = key_of("customer-1", "account-2");
    host.put(&other, &fresh());
    host.put_row(&row_of(&other, &fresh(), &["3"]));
    host.damage_row(&key(), damage);
    host
}

fn end(host: &ScriptedHost, target: DisconnectTarget) -> &'static str {
    outcome(&run(disconnect(host, customer(), target, RemoteGrant::Keep)))
}

#[test]
fn the_lists_leave_out_the_row_and_show_the_others() {
    for (damage, _) in DAMAGES {
        let host = damaged(damage);
        let connections = run(list_connections(&host, customer())).unwrap();
        let accounts: Vec<_> = connections.iter().map(|connection| connection.key.account.as_str()).collect();
        assert_eq!(accounts, ["account-2"], "{damage:?}");
        let shops = run(list_shops(&host, customer())).unwrap();
        let shops: Vec<_> = shops.iter().map(|usable| usable.shop.listed.id.as_str()).collect();
        assert_eq!(shops, ["3"], "{damage:?}");
    }
}

#[test]
fn a_refresh_renews_the_tokens_and_tells_the_error() {
    for (damage, code) in DAMAGES {
        let host = connected(&due()).answers([pair_answer(2), shops_answer(&["1", "2"])]);
        host.damage_row(&key(), damage);
        assert_eq!(outcome(&refresh_when_due(&host)), code);
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
        assert_eq!(host.row().unwrap().generation, row_of(&key(), &due(), &[]).generation, "the row stays");
    }
}

#[test]
fn links_are_not_changed() {
    for (damage, code) in DAMAGES {
        let host = damaged(damage);
        let account = Some(key().account);
        assert_eq!(outcome(&run(link_shops(&host, customer(), account, vec!["1".into()]))), code);
    }
}

#[test]
fn a_call_for_a_shop_that_no_other_row_has_tells_the_error() {
    for (damage, code) in DAMAGES {
        let host = damaged(damage);
        assert_eq!(call_for_shop(&host, "1"), code);
        assert_eq!(call_for_shop(&host, "9"), code, "the damaged row may have any shop");
        assert!(host.sent().is_empty());
    }
}

#[test]
fn a_disconnect_deletes_the_row() {
    for (damage, _) in DAMAGES {
        let host = damaged(damage);
        assert_eq!(end(&host, DisconnectTarget::All(None)), "ok");
        assert!(host.row().is_none() && host.find_record(&key()).is_none(), "{damage:?}");
        let one = damaged(damage);
        assert_eq!(end(&one, DisconnectTarget::All(Some(key().account))), "ok");
        assert!(one.row().is_none() && one.find_record(&key()).is_none(), "{damage:?}");
        assert!(one.find_record(&key_of("customer-1", "account-2")).is_some());
    }
}

#[test]
fn a_disconnect_of_a_shop_ends_the_other_connections_and_tells_the_error() {
    for (damage, code) in DAMAGES {
        let host = damaged(damage);
        assert_eq!(end(&host, DisconnectTarget::Shop("3".into())), code);
        assert!(host.find_record(&key_of("customer-1", "account-2")).is_none(), "{damage:?}");
        assert!(host.find_record(&key()).is_some(), "{damage:?}");
    }
}

#[test]
fn a_webhook_reaches_the_other_owners_and_its_event_is_verified() {
    for (damage, _) in DAMAGES {
        let host = connected(&fresh());
        let other = key_of("customer-2", "account-2");
        host.put(&other, &fresh());
        host.put_row(&row_of(&other, &fresh(), &["1"]));
        host.damage_row(&key(), damage);
        let owners = order_event(&host).owners;
        let owners: Vec<_> = owners.iter().map(|owner| (owner.key.customer.as_str(), owner.may_use)).collect();
        assert_eq!(owners, [("customer-1", false), ("customer-2", true)], "{damage:?}");
        assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue);
    }
}
