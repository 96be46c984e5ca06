//! Tests the shops of a connection and their order: first the shops that TikTok lists, in TikTok's order, then the
//! shops that TikTok no longer lists. A new list does not undo the customer's choice of shops.

use super::{connect_with, connected, refresh_when_due};
use crate::samples::{
    NOW, cause_and_delay, due, fresh, key, last_failure, outcome, pair_answer, row_of, shops_answer, shops_of, tokens,
    with,
};
use crate::scripted_host::{Answer, ScriptedHost};
use crate::stored_fields::Fields;
use serde_json::{Value, json};
use tiktok_shop_connector_core::connection::{ShopStanding, Status};
use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::record::ShopPolicy;
use tiktok_shop_connector_core::secret::ShopCipher;

/// Connects while TikTok lists the first of these `lists`, then refreshes once for each later list. Returns the shops
/// of the connection after each of these calls.
fn through(policy: ShopPolicy, lists: &[&[&str]]) -> Vec<String> {
    let answers = lists.iter().map(|ids| shops_answer(ids));
    let host = ScriptedHost::new().answers([pair_answer(1)]).answers(answers);
    let first = connect_with(&host, policy).unwrap();
    let later = lists[1..].iter().map(|_| refresh_when_due(&host).unwrap());
    std::iter::once(first).chain(later).map(|connection| shops_of(&connection)).collect()
}

#[test]
fn the_policy_of_the_consent_decides_what_is_linked() {
    use ShopPolicy::{All, ExactlyOne};
    type Lists = &'static [&'static [&'static str]];
    let table: [(&str, ShopPolicy, Lists, &[&str]); 8] = [
        ("none, then two", All, &[&[], &["1", "2"]], &["", "1 granted linked, 2 granted linked"]),
        ("one", All, &[&["1"]], &["1 granted linked"]),
        ("a later one", All, &[&["1"], &["1", "2"]], &["1 granted linked", "1 granted linked, 2 granted linked"]),
        ("none, then the only one", ExactlyOne, &[&[], &["1"]], &["", "1 granted linked"]),
        ("the only one", ExactlyOne, &[&["1"]], &["1 granted linked"]),
        ("a choice to make", ExactlyOne, &[&["1", "2"]], &["1 granted, 2 granted"]),
        (
            "a shop that appears later is not linked",
            ExactlyOne,
            &[&["1"], &["1", "2"]],
            &["1 granted linked", "1 granted linked, 2 granted"],
        ),
        ("two become one", ExactlyOne, &[&["1", "2"], &["2"]], &["1 granted, 2 granted", "2 granted, 1 gone"]),
    ];
    for (case, policy, lists, expected) in table {
        assert_eq!(through(policy, lists), expected, "{case}");
    }
}

#[test]
fn a_shop_that_vanishes_is_marked_and_comes_back_as_it_was() {
    let lists: [&[&str]; 3] = [&["1", "2"], &["2"], &["2", "1"]];
    let expected =
        ["1 granted linked, 2 granted linked", "2 granted linked, 1 gone linked", "2 granted linked, 1 granted linked"];
    assert_eq!(through(ShopPolicy::All, &lists), expected);
    assert_eq!(
        through(ShopPolicy::All, &[&["1"], &[], &["1"]]),
        ["1 granted linked", "1 gone linked", "1 granted linked"]
    );
}

#[test]
fn a_shop_that_the_customer_unlinked_stays_unlinked() {
    let host = ScriptedHost::with_record(&fresh()).answers([shops_answer(&["1", "2"])]);
    let mut row = row_of(&key(), &fresh(), &["1", "2"]);
    row.connection.shops[0].linked = false;
    host.put_row(&row);
    assert_eq!(shops_of(&refresh_when_due(&host).unwrap()), "1 granted, 2 granted linked");
}

#[test]
fn a_shop_listed_twice_is_one_shop() {
    assert_eq!(through(ShopPolicy::ExactlyOne, &[&["1", "1"]]), ["1 granted linked"]);
    assert_eq!(through(ShopPolicy::All, &[&["1", "2", "1"]]), ["1 granted linked, 2 granted linked"]);
}

#[test]
fn a_new_list_overwrites_everything_except_the_choice() {
    let list = json!({"shops": [
        {"id": "1", "name": "Renamed", "region": "DE", "seller_type": "CROSS_BORDER", "cipher": "new", "code": "D", "extra": [1]},
        {"id": "2"},
    ]});
    let host = connected(&fresh()).answers([Answer::success(&list)]);
    let connection = refresh_when_due(&host).unwrap();
    let [first, second] = connection.shops.as_slice() else { panic!("two shops") };
    let listed = &first.listed;
    assert_eq!((listed.name.as_str(), listed.region.as_str(), listed.code.as_str()), ("Renamed", "DE", "D"));
    assert_eq!(listed.cipher.as_ref().map(ShopCipher::expose), Some("new"));
    assert!(listed.raw.contains(r#""extra":[1]"#) && !listed.raw.contains("cipher"), "{}", listed.raw);
    assert!(second.listed.cipher.is_none());
    assert_eq!((second.listed.name.as_str(), second.linked), ("", true));
}

#[test]
fn a_list_that_cannot_be_read_keeps_the_known_shops() {
    for (answer, cause) in [
        (Answer::Broken(TransportFailure::Interrupted), Cause::AnswerIncomplete),
        (Answer::Broken(TransportFailure::NotConnected), Cause::TikTokUnreachable),
        (Answer::Broken(TransportFailure::Denied), Cause::EgressDenied),
        (Answer::limited(None), Cause::RateLimited),
        (Answer::page(500), Cause::TikTokUnavailable),
        (Answer::page(403), Cause::AnswerUnreadable),
        (Answer::code(106_001), Cause::SignatureRejected),
        (Answer::success(&json!({"shops": [{"name": "no id"}, {"id": "one"}]})), Cause::AnswerUnreadable),
        (Answer::success(&many(1001)), Cause::TooManyShops),
        (Answer::success(&json!(null)), Cause::AnswerUnreadable),
    ] {
        let host = connected(&fresh()).answers([answer]);
        assert_eq!(cause_and_delay(refresh_when_due(&host)).0, cause);
        let connection = host.row().unwrap().connection;
        assert_eq!(shops_of(&connection), "1 granted linked, 2 granted linked", "{cause:?}");
        assert_eq!(connection.shops_synced_at, Some(fresh().rotated_at()), "{cause:?}");
        assert_eq!(last_failure(&connection), Some(cause.code()));
        assert_eq!(host.refresh_due_at(), host.record().not_before(), "{cause:?}");
        assert_eq!(tokens(&host.record()), "AT-1 RT-1 []", "{cause:?}: the tokens are not affected");
    }
}

/// Returns the data of TikTok's answer: a list with this number of shops.
fn many(count: usize) -> Value {
    let shops: Vec<_> = (0..count).map(|id| json!({"id": id.to_string(), "cipher": "c"})).collect();
    json!({ "shops": shops })
}

/// Returns a list with one good entry and the entry `bad`.
fn good_and(bad: &Value) -> Answer {
    let good = json!({"id": "1", "name": "A", "region": "GB", "seller_type": "LOCAL", "cipher": "c", "code": "GB1"});
    Answer::success(&json!({"shops": [good, bad]}))
}

#[test]
fn a_new_seller_gets_the_good_entries_of_a_list_and_is_told_about_the_bad_one() {
    for (bad, shops, told) in [
        (
            json!({"id": 7_490_000_000_000_000_002_u64, "name": null}),
            "1 granted linked, 7490000000000000002 granted linked",
            "name of shop",
        ),
        (json!({"name": "no id"}), "1 granted linked", "entry 2 has no readable id"),
    ] {
        let host = ScriptedHost::new().answers([pair_answer(1), good_and(&bad), shops_answer(&["1"])]);
        let connection = connect_with(&host, ShopPolicy::All).unwrap();
        assert_eq!(shops_of(&connection), shops);
        assert_eq!(connection.shops_synced_at, Some(NOW));
        assert_eq!(last_failure(&connection), Some("shop-entry-unreadable"));
        assert!(connection.last_failure.unwrap().detail.contains(told), "{told}");
        assert_eq!(host.refresh_due_at(), Some(host.record().due_at()), "the list is read, so no refresh is due");
        assert_eq!(last_failure(&refresh_when_due(&host).unwrap()), None);
    }
}

#[test]
fn a_known_shop_that_may_be_the_bad_entry_keeps_its_standing_and_its_cipher() {
    let host = connected(&fresh()).answers([good_and(&json!({"id": "two"})), shops_answer(&["1"])]);
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!(shops_of(&connection), "1 granted linked, 2 granted linked");
    assert_eq!(connection.shops[1].listed.cipher.as_ref().map(ShopCipher::expose), Some("cipher-2"));
    assert_eq!(last_failure(&connection), Some("shop-entry-unreadable"));
    assert_eq!(shops_of(&refresh_when_due(&host).unwrap()), "1 granted linked, 2 gone linked", "the list is readable");
}

#[test]
fn one_good_and_one_bad_entry_are_a_choice_to_make() {
    let host = ScriptedHost::new().answers([pair_answer(1), good_and(&json!({"id": "two"}))]);
    assert_eq!(shops_of(&connect_with(&host, ShopPolicy::ExactlyOne).unwrap()), "1 granted");
}

#[test]
fn a_seller_with_too_many_shops_is_connected_and_told() {
    let host = ScriptedHost::new().answers([pair_answer(1), Answer::success(&many(1001)), shops_answer(&["1"])]);
    let connection = connect_with(&host, ShopPolicy::All).unwrap();
    assert_eq!((connection.shops.len(), connection.shops_synced_at), (0, None));
    assert_eq!(last_failure(&connection), Some("too-many-shops"));
    assert_eq!(host.refresh_due_at(), host.record().not_before(), "the list is read again later");
    assert_eq!(shops_of(&refresh_when_due(&host).unwrap()), "1 granted linked");
}

/// Creates a host whose row contains this number of shops. Their ids begin at 0.
fn knowing(count: usize) -> ScriptedHost {
    let ids: Vec<_> = (0..count).map(|id| id.to_string()).collect();
    let host = ScriptedHost::with_record(&fresh());
    host.put_row(&row_of(&key(), &fresh(), &ids.iter().map(String::as_str).collect::<Vec<_>>()));
    host
}

#[test]
fn a_connection_never_grows_beyond_1000_shops_and_keeps_what_it_has() {
    // A list without new shops is stored, even if the row has 1000 shops or more.
    for known in [1000, 20_000] {
        let host = knowing(known).answers([shops_answer(&["7"]), shops_answer(&["99999999"])]);
        let connection = refresh_when_due(&host).unwrap();
        assert_eq!((connection.shops.len(), last_failure(&connection)), (known, None));
        assert_eq!(connection.shops.iter().filter(|shop| shop.standing == ShopStanding::Granted).count(), 1);
        let before = shops_of(&connection);

        // A list with a new shop is refused. The stored shops stay.
        assert_eq!(cause_and_delay(refresh_when_due(&host)).0, Cause::TooManyShops);
        let connection = host.row().unwrap().connection;
        assert_eq!((shops_of(&connection), last_failure(&connection)), (before, Some("too-many-shops")));
        assert_eq!(connection.shops_synced_at, Some(NOW), "of the earlier list");
        assert_eq!(host.refresh_due_at(), host.record().not_before());
        assert_eq!(tokens(&host.record()), "AT-1 RT-1 []");
    }
    let host = knowing(999).answers([shops_answer(&["99999999"])]);
    assert_eq!(refresh_when_due(&host).unwrap().shops.len(), 1000);
}

#[test]
fn a_consent_of_a_connection_with_too_many_shops_keeps_them() {
    let host = knowing(1000).answers([pair_answer(2), shops_answer(&["99999999"])]);
    let connection = connect_with(&host, ShopPolicy::All).unwrap();
    assert_eq!((connection.shops.len(), last_failure(&connection)), (1000, Some("too-many-shops")));
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]", "the consent itself is stored");
}

#[test]
fn the_next_success_clears_the_last_failure() {
    let host = connected(&fresh()).answers([Answer::page(500), shops_answer(&["1", "2"])]);
    assert_eq!(outcome(&refresh_when_due(&host)), "tiktok-unavailable");
    assert_eq!((host.record().failures(), host.record().not_before().is_some()), (1, true));
    assert_eq!(last_failure(&refresh_when_due(&host).unwrap()), None);
    assert_eq!((host.record().failures(), host.record().not_before()), (0, None));
    assert_eq!(host.refresh_due_at(), Some(fresh().due_at()));
}

#[test]
fn an_inactive_seller_keeps_the_grant_and_the_shops_show_it() {
    for (code, failure) in [(36_009_044, "seller-inactive"), (36_009_043, "shop-inactive")] {
        let host = connected(&with(due(), |record| record.verify = true)).answers([pair_answer(2), Answer::code(code)]);
        let mut row = row_of(&key(), &due(), &["1", "2"]);
        row.connection.shops[1].standing = ShopStanding::NoLongerGranted;
        host.put_row(&row);
        let connection = refresh_when_due(&host).unwrap();
        assert_eq!(shops_of(&connection), "1 inactive linked, 2 gone linked");
        assert_eq!((connection.status, last_failure(&connection)), (Status::Active, Some(failure)));
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
        assert_eq!((host.record().awaits_verification(), host.refresh_due_at()), (false, Some(host.record().due_at())));
    }
}

#[test]
fn an_authorization_that_ends_within_thirty_days_is_shown_as_ending() {
    let ending = |days: u64| {
        let record = with(fresh(), |record: &mut Fields| record.current.refresh_ends = Some(NOW.plus(days * 86_400)));
        let host = connected(&record).answers([shops_answer(&["1"])]);
        refresh_when_due(&host).unwrap().status
    };
    assert_eq!(ending(30), Status::AuthorizationEnding(NOW.plus(30 * 86_400)));
    assert_eq!(ending(31), Status::Active);
}
