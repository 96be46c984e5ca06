//! Tests three operations that send no request: `list-connections`, `list-shops` and `authorization-url`.

use crate::samples::{customer, fresh, key_of, outcome, row_of};
use crate::scripted_host::{Fault, ScriptedHost, Step, run};
use tiktok_shop_connector_core::operation::authorization_url::authorization_url;
use tiktok_shop_connector_core::operation::list_connections::list_connections;
use tiktok_shop_connector_core::operation::list_shops::list_shops;
use tiktok_shop_connector_core::ports::StorageError;
use tiktok_shop_connector_core::secret::State;

/// Creates a host with three connections, each with two shops: two accounts of one customer, and one account of another
/// customer.
fn three_connections() -> ScriptedHost {
    let host = ScriptedHost::new();
    for (customer, account, shops) in [
        ("customer-1", "account-1", ["1", "2"]),
        ("customer-1", "account-2", ["3", "4"]),
        ("customer-2", "account-1", ["5", "6"]),
    ] {
        let key = key_of(customer, account);
        host.put(&key, &fresh());
        host.put_row(&row_of(&key, &fresh(), &shops));
    }
    host
}

fn accounts(host: &ScriptedHost) -> Vec<String> {
    let connections = run(list_connections(host, customer())).unwrap();
    connections.into_iter().map(|connection| connection.key.account.as_str().to_owned()).collect()
}

fn shops(host: &ScriptedHost) -> Vec<String> {
    let shops = run(list_shops(host, customer())).unwrap();
    shops.into_iter().map(|usable| format!("{} {}", usable.account.as_str(), usable.shop.listed.id)).collect()
}

#[test]
fn the_lists_show_a_customers_own_connections_and_no_others() {
    let host = three_connections();
    assert_eq!(accounts(&host), ["account-1", "account-2"]);
    assert_eq!(shops(&host), ["account-1 1", "account-1 2", "account-2 3", "account-2 4"]);
    assert!(host.sent().is_empty());
    assert!(!host.effects().iter().any(|step| matches!(step, Step::LoadToken | Step::Credentials)), "no secret opened");
}

#[test]
fn a_customer_without_connections_has_empty_lists() {
    let host = ScriptedHost::new();
    assert_eq!((accounts(&host).len(), shops(&host).len()), (0, 0));
}

#[test]
fn a_row_without_a_record_is_left_out_of_both_lists() {
    let host = three_connections();
    host.delete(&key_of("customer-1", "account-1"));
    assert_eq!(accounts(&host), ["account-2"]);
    assert_eq!(shops(&host), ["account-2 3", "account-2 4"]);
    assert_eq!(host.row().unwrap().connection.shops.len(), 2, "a list writes nothing");
}

#[test]
fn only_linked_shops_are_listed() {
    let host = three_connections();
    let key = key_of("customer-1", "account-2");
    let mut row = row_of(&key, &fresh(), &["3", "4"]);
    row.connection.shops[0].linked = false;
    host.put_row(&row);
    assert_eq!(shops(&host), ["account-1 1", "account-1 2", "account-2 4"]);
}

#[test]
fn a_list_fails_if_storage_fails() {
    for step in [Step::ListRows, Step::Accounts] {
        for (fault, expected) in [(Fault::Unavailable, "storage-unavailable"), (Fault::Refused, "storage-refused")] {
            let host = three_connections().fault(step, 1, fault).fault(step, 2, fault);
            assert_eq!(outcome(&run(list_connections(&host, customer()))), expected, "{step:?}");
            assert_eq!(outcome(&run(list_shops(&host, customer()))), expected, "{step:?}");
        }
    }
}

#[test]
fn the_consent_link_carries_the_state_and_needs_only_the_credentials() {
    let link = |host: &ScriptedHost, state: &str| run(authorization_url(host, None, State::new(state.into())));
    let host = ScriptedHost::new().link_is("https://services.tiktokshop.com/open/authorize?service_id=7");
    let url = link(&host, "a b").unwrap();
    assert_eq!(url, "https://services.tiktokshop.com/open/authorize?service_id=7&state=a%20b");
    assert_eq!(host.effects(), [Step::Apps, Step::Credentials]);
    assert_eq!(outcome(&link(&host, "")), "state-invalid");
    assert_eq!(outcome(&link(&ScriptedHost::new(), "s")), "authorization-link-missing");
    for (failure, expected) in [
        (StorageError::Refused("none".into()), "credentials-refused"),
        (StorageError::Unavailable("down".into()), "credentials-unavailable"),
    ] {
        let host = ScriptedHost::new().without_credentials(failure);
        assert_eq!(outcome(&link(&host, "s")), expected);
    }
}

#[test]
fn a_consent_link_without_tls_is_refused_unless_the_host_allows_it() {
    let host = || ScriptedHost::new().link_is("http://127.0.0.1:8080/open/authorize?service_id=7");
    let link = |host: &ScriptedHost| run(authorization_url(host, None, State::new("s".into())));
    assert_eq!(outcome(&link(&host())), "authorization-link-invalid");
    let allowed = link(&host().with_clear_links()).unwrap();
    assert_eq!(allowed, "http://127.0.0.1:8080/open/authorize?service_id=7&state=s");
}
