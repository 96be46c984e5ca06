//! `disconnect`: the record goes first, and nothing of the connection stays.

use super::connected;
use crate::samples::{account, customer, fresh, key, key_of, outcome, row_of, with};
use crate::scripted_host::{Kill, ScriptedHost, Step, run, run_or_die};
use tiktok_shop_connector_core::error::Error;
use tiktok_shop_connector_core::identity::ConnectionKey;
use tiktok_shop_connector_core::operation::disconnect::disconnect;
use tiktok_shop_connector_core::operation::list_connections::list_connections;
use tiktok_shop_connector_core::ports::Effects as _;
use tiktok_shop_connector_core::record::Lineage;

fn disconnect_one(host: &ScriptedHost) -> Result<(), Error> {
    run(disconnect(host, customer(), Some(account())))
}

fn is_gone(host: &ScriptedHost, key: &ConnectionKey) -> bool {
    host.find_record(key).is_none() && run(host.load_row(key)).unwrap().is_none()
}

#[test]
fn neither_record_nor_row_stays_and_twice_is_once() {
    let host = connected(&fresh());
    for _ in 0..2 {
        assert_eq!(outcome(&disconnect_one(&host)), "ok");
        assert!(is_gone(&host, &key()));
    }
    assert!(host.sent().is_empty(), "nothing of it is asked of TikTok");
}

#[test]
fn a_disconnect_killed_anywhere_never_leaves_a_record_without_its_row_and_is_finished_by_the_next() {
    let undisturbed = connected(&fresh());
    disconnect_one(&undisturbed).unwrap();
    for kill in (1..=undisturbed.effects().len()).flat_map(|effect| [Kill::Before(effect), Kill::After(effect)]) {
        let host = connected(&fresh()).killed(kill);
        assert!(run_or_die(disconnect(&host, customer(), Some(account()))).is_none(), "{kill:?}");
        assert!(host.find_record(&key()).is_none() || host.row().is_some(), "{kill:?}");
        host.restart();
        assert_eq!(outcome(&disconnect_one(&host)), "ok", "{kill:?}");
        assert!(is_gone(&host, &key()), "{kill:?}");
    }
}

#[test]
fn a_consent_that_comes_in_between_keeps_its_row() {
    let anew = || with(fresh(), |record| record.lineage = Lineage([0x22; 16]));
    let host = connected(&fresh()).meanwhile(Step::LoadRow, 1, move |host| {
        host.put(&key(), &anew());
        host.put_row(&row_of(&key(), &anew(), &["9"]));
    });
    assert_eq!(outcome(&disconnect_one(&host)), "ok");
    assert!(host.find_record(&key()).is_some() && host.row().is_some());
}

#[test]
fn without_an_account_everything_of_the_customer_goes_and_nothing_of_another() {
    let [first, second, other] =
        [("customer-1", "account-1"), ("customer-1", "account-2"), ("customer-2", "account-1")]
            .map(|(customer, account)| key_of(customer, account));
    let host = ScriptedHost::new();
    for key in [&first, &other] {
        host.put(key, &fresh());
    }
    // The row of the second has lost its record.
    for key in [&first, &second, &other] {
        host.put_row(&row_of(key, &fresh(), &["1"]));
    }
    assert_eq!(outcome(&run(disconnect(&host, customer(), None))), "ok");
    assert!(is_gone(&host, &first) && is_gone(&host, &second));
    assert_eq!(run(list_connections(&host, other.customer.clone())).unwrap().len(), 1);
}
