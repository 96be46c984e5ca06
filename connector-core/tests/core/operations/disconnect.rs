//! Tests `disconnect`: it deletes the connection whatever TikTok answers, and reports the shops that TikTok did not
//! revoke.

use super::{connected, refresh_when_due};
use crate::samples::{
    DAY, NOW, access, account, customer, due, expired, fresh, key, key_of, outcome, pair_answer, refresh_token, row_of,
    shops_answer, shops_of, tokens, with,
};
use crate::scripted_host::{Answer, Fault, Kill, ScriptedHost, Step, run, run_or_die};
use serde_json::json;
use tiktok_shop_connector_core::connection::ShopStanding;
use tiktok_shop_connector_core::error::Error;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation::disconnect::{DisconnectTarget, Disconnected, RemoteGrant, disconnect};
use tiktok_shop_connector_core::operation::list_connections::list_connections;
use tiktok_shop_connector_core::ports::{Effects as _, StorageError};
use tiktok_shop_connector_core::record::{DeadReason, Lineage};
use tiktok_shop_connector_core::time::UnixSeconds;

fn end(host: &ScriptedHost, ending: DisconnectTarget, remote: RemoteGrant) -> Result<Disconnected, Error> {
    run(disconnect(host, customer(), ending, remote))
}

fn all(host: &ScriptedHost, remote: RemoteGrant) -> Disconnected {
    end(host, DisconnectTarget::All(None), remote).unwrap_or_else(|error| panic!("{error}"))
}

fn shop(host: &ScriptedHost, id: &str, remote: RemoteGrant) -> Disconnected {
    end(host, DisconnectTarget::Shop(id.into()), remote).unwrap_or_else(|error| panic!("{error}"))
}

/// Describes the shops that were not revoked, for example `1: tiktok-refused`.
fn not_revoked(ended: &Disconnected) -> Vec<String> {
    let text = |shop: &Option<String>| shop.clone().unwrap_or_else(|| "all".into());
    ended.not_revoked.iter().map(|left| format!("{}: {}", text(&left.shop), left.error.cause.code())).collect()
}

/// Returns the requests that were sent, without their timestamps. A request to revoke a shop is shortened to `DELETE`,
/// its token and its cipher.
fn sent(host: &ScriptedHost) -> Vec<String> {
    let short = |request: &String| request.split(" @").next().unwrap_or_default().replace(DEAUTHORIZE, "DELETE");
    host.sent().iter().map(short).collect()
}

const DEAUTHORIZE: &str = "DELETE /authorization/202403/shops";

fn taken_back() -> Answer {
    Answer::json(200, &json!({"code": 0, "message": "success", "request_id": "req-1"}))
}

fn assert_nothing_is_left(host: &ScriptedHost) {
    assert!(host.find_record(&key()).is_none(), "no tokens");
    assert!(host.row().is_none(), "no row");
}

#[test]
fn disconnecting_an_account_sends_no_request_and_is_idempotent() {
    let host = connected(&fresh());
    for _ in 0..2 {
        let ended = all(&host, RemoteGrant::Keep);
        assert!(ended.remaining.is_empty() && ended.not_revoked.is_empty());
        assert_nothing_is_left(&host);
    }
    assert!(host.sent().is_empty());
}

#[test]
fn one_account_or_all_accounts_of_the_customer_are_disconnected() {
    let other = key_of("customer-1", "account-2");
    for (ending, left) in [(DisconnectTarget::All(Some(account())), true), (DisconnectTarget::All(None), false)] {
        let host = connected(&fresh());
        host.put(&other, &fresh());
        let stranger = key_of("customer-2", "account-1");
        host.put(&stranger, &fresh());
        end(&host, ending, RemoteGrant::Keep).unwrap_or_else(|error| panic!("{error}"));
        assert_nothing_is_left(&host);
        assert_eq!(host.find_record(&other).is_some(), left);
        assert!(host.find_record(&stranger).is_some(), "the record of another customer stays");
    }
}

#[test]
fn a_row_without_a_record_is_deleted_with_the_others() {
    let host = connected(&fresh());
    let lost = key_of("customer-1", "account-2");
    host.put_row(&row_of(&lost, &fresh(), &["1"]));
    assert!(all(&host, RemoteGrant::Keep).remaining.is_empty());
    assert_nothing_is_left(&host);
    assert!(run(host.load_row(&lost)).unwrap().is_none());
}

#[test]
fn a_consent_during_a_disconnect_keeps_its_record_and_row() {
    let anew = || with(fresh(), |record| record.lineage = Lineage([0x22; 16]));
    let host = connected(&fresh()).meanwhile(Step::LoadRow, 1, move |host| {
        host.put(&key(), &anew());
        host.put_row(&row_of(&key(), &anew(), &["9"]));
    });
    assert!(all(&host, RemoteGrant::Keep).remaining.is_empty());
    assert!(host.find_record(&key()).is_some() && host.row().is_some());
}

/// Stores a consent for the account that is already connected, as `connect` does: the lineage stays, the time of the
/// consent and the tokens change.
fn consent_again(host: &ScriptedHost) {
    host.edit(|record| {
        record.granted_at = NOW.plus(1);
        record.current.access = Some(access("AT-7"));
        record.current.refresh = Some(refresh_token("RT-7"));
    });
    host.put_row(&row_of(&key(), &host.record(), &["1", "2"]));
}

#[test]
fn a_consent_that_is_stored_during_a_disconnect_stays() {
    let targets =
        [DisconnectTarget::All(None), DisconnectTarget::All(Some(account())), DisconnectTarget::Shop("1".into())];
    for target in targets {
        // The new consent is stored just before the second swap, which would delete the record.
        let host = ScriptedHost::with_record(&fresh()).meanwhile(Step::SwapToken, 2, consent_again);
        host.put_row(&row_of(&key(), &fresh(), &["1"]));
        end(&host, target, RemoteGrant::Keep).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(tokens(&host.record()), "AT-7 RT-7 []");
        assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked, 2 granted linked");
        assert!(!host.record().awaits_verification());
    }
    // The clock of the host that stores the new consent is behind.
    let behind = |host: &ScriptedHost| {
        consent_again(host);
        host.edit(|record| record.granted_at = record.granted_at.minus(5));
    };
    for target in [DisconnectTarget::All(None), DisconnectTarget::Shop("1".into())] {
        let host = ScriptedHost::with_record(&fresh()).meanwhile(Step::SwapToken, 2, behind);
        host.put_row(&row_of(&key(), &fresh(), &["1"]));
        end(&host, target, RemoteGrant::Keep).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(tokens(&host.record()), "AT-7 RT-7 []");
        assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked, 2 granted linked");
    }
    // Nothing is stored when the disconnect begins. The seller's first consent is stored during the disconnect.
    let host = ScriptedHost::new().meanwhile(Step::LoadRow, 1, |host| {
        host.put(&key(), &fresh());
        host.put_row(&row_of(&key(), &fresh(), &["1"]));
    });
    assert_eq!(outcome(&end(&host, DisconnectTarget::All(Some(account())), RemoteGrant::Keep)), "ok");
    assert!(host.find_record(&key()).is_some() && host.row().is_some());
    // A refresh during the disconnect is not a consent, so the tokens that it stores are deleted.
    let host = connected(&fresh()).meanwhile(Step::SwapToken, 2, |host| {
        host.edit(|record| record.current.access = Some(access("AT-7")));
    });
    all(&host, RemoteGrant::Keep);
    assert_nothing_is_left(&host);
}

/// The first refresh of an imported grant, and one that revives a dead grant, date the grant earlier if the clock of the
/// host was ahead. This is not a consent, so the disconnect ends the grant. Every other change of the date is a consent.
#[test]
fn only_a_refresh_that_may_date_the_grant_earlier_does_not_stop_a_disconnect() {
    let dated_earlier = |host: &ScriptedHost| {
        host.edit(|record| {
            record.granted_at = record.granted_at.minus(5);
            record.rotated_at = NOW;
            record.dead = None;
            record.current.access = Some(access("AT-7"));
        });
    };
    let imported = || with(fresh(), |record| record.rotated_at = UnixSeconds::new(0));
    let dead = with(fresh(), |record| record.dead = Some(DeadReason::AuthorizationExpired));
    for (record, ends) in [(imported(), true), (dead, true), (fresh(), false)] {
        let host = connected(&record).meanwhile(Step::SwapToken, 2, dated_earlier);
        all(&host, RemoteGrant::Keep);
        assert_eq!(host.find_record(&key()).is_none(), ends);
    }

    let host = connected(&imported()).answers([taken_back(), taken_back()]).meanwhile(Step::Send, 1, dated_earlier);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    assert_eq!(sent(&host), ["DELETE AT-1 cipher-1", "DELETE AT-7 cipher-2"]);
    assert_nothing_is_left(&host);
}

#[test]
fn a_consent_that_is_stored_while_tiktok_is_asked_stays_and_is_verified() {
    // The seller consents again while TikTok revokes the first shop. The disconnect then revokes no other shop. TikTok
    // does not document which consent a revocation concerns, so the next refresh checks the new grant.
    let host = connected(&fresh()).answers([taken_back()]).meanwhile(Step::Send, 1, consent_again);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), ["2: revocation-not-tried"]);
    assert_eq!(sent(&host), ["DELETE AT-1 cipher-1"]);
    assert_eq!(tokens(&host.record()), "AT-7 RT-7 []");
    assert!(host.record().awaits_verification() && host.refresh_due_at() == Some(NOW));
    assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked, 2 granted linked");

    let host = connected(&fresh()).answers([taken_back()]).meanwhile(Step::Send, 1, consent_again);
    let ended = shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(shops_of(&ended.remaining[0]), "1 granted linked, 2 granted linked", "the new consent has the shop");
    assert!(host.record().awaits_verification());
}

#[test]
fn the_shops_of_a_dead_connection_have_no_cipher_and_are_reported_by_the_reason() {
    for (reason, reported) in [
        (DeadReason::AuthorizationExpired, &[][..]),
        (DeadReason::AuthorizationRevoked, &[]),
        (DeadReason::RefreshOutcomeUnknown, &["1: refresh-outcome-unknown"]),
    ] {
        let dead = with(fresh(), |record| record.dead = Some(reason));
        let host = ScriptedHost::with_record(&dead);
        let mut row = row_of(&key(), &dead, &["1"]);
        row.connection.shops[0].standing = ShopStanding::Unconfirmed;
        row.connection.shops[0].listed.cipher = None;
        host.put_row(&row);
        assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), reported, "{reason:?}");
        assert_eq!(sent(&host), [""; 0], "{reason:?}");
        assert_nothing_is_left(&host);
    }
}

#[test]
fn tiktok_is_asked_to_take_back_every_shop_it_still_lists() {
    let host = ScriptedHost::with_record(&fresh()).answers([taken_back(), taken_back()]);
    let mut row = row_of(&key(), &fresh(), &["1", "2", "3"]);
    row.connection.shops[0].linked = false;
    row.connection.shops[1].standing = ShopStanding::NoLongerGranted;
    host.put_row(&row);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    assert_eq!(sent(&host), ["DELETE AT-1 cipher-1", "DELETE AT-1 cipher-3"]);
    assert_nothing_is_left(&host);
}

#[test]
fn whatever_tiktok_answers_everything_is_deleted_here_and_failures_are_reported() {
    let unreachable = || Answer::Broken(TransportFailure::NotConnected);
    let cut = || Answer::Broken(TransportFailure::Interrupted);
    let table = [
        ("refused", vec![Answer::code(36_009_003), Answer::code(101_000)], ["1: tiktok-refused", "2: tiktok-refused"]),
        ("a page", vec![Answer::page(403), taken_back()], ["1: outcome-unknown", ""]),
        (
            "an error with code 0",
            vec![Answer::json(500, &json!({"code": 0})), taken_back()],
            ["1: outcome-unknown", ""],
        ),
        ("limited", vec![Answer::limited(None), Answer::limited(Some("7"))], ["1: rate-limited", "2: rate-limited"]),
        ("unreachable", vec![unreachable(), unreachable()], ["1: tiktok-unreachable", "2: tiktok-unreachable"]),
        ("the answer is lost", vec![taken_back(), cut()], ["", "2: outcome-unknown"]),
        ("a scope is missing", vec![Answer::code(105_005), taken_back()], ["1: missing-permission", ""]),
    ];
    for (case, answers, expected) in table {
        let host = connected(&fresh()).answers(answers);
        let expected: Vec<_> = expected.into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected, "{case}");
        assert_nothing_is_left(&host);
    }
}

#[test]
fn an_expired_or_refused_token_is_renewed_once_to_ask_tiktok() {
    let host = connected(&expired()).answers([pair_answer(2), taken_back(), taken_back()]);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    assert_eq!(sent(&host), ["refresh RT-1", "DELETE AT-2 cipher-1", "DELETE AT-2 cipher-2"]);

    let answers = [Answer::code(105_002), pair_answer(2), taken_back(), taken_back()];
    let host = connected(&fresh()).answers(answers);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    let expected = ["DELETE AT-1 cipher-1", "refresh RT-1", "DELETE AT-2 cipher-1", "DELETE AT-2 cipher-2"];
    assert_eq!(sent(&host), expected);
}

#[test]
fn nothing_is_reported_as_not_revoked_if_the_grant_is_gone() {
    let host = connected(&fresh()).answers([taken_back(), Answer::code(105_001), Answer::code(36_004_005)]);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    assert_nothing_is_left(&host);

    let dead = with(expired(), |record| record.dead = Some(DeadReason::AuthorizationExpired));
    let host = connected(&dead);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    assert!(host.sent().is_empty());

    let unknown = with(expired(), |record| record.dead = Some(DeadReason::RefreshOutcomeUnknown));
    let host = connected(&unknown);
    let expected = ["1: refresh-outcome-unknown", "2: refresh-outcome-unknown"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
}

#[test]
fn a_revocation_that_cannot_be_requested_is_reported() {
    let why = StorageError::Refused("no key".into());
    let host = connected(&fresh()).without_credentials(why);
    let expected = ["1: credentials-refused", "2: credentials-refused"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    assert_nothing_is_left(&host);

    let host = connected(&with(fresh(), |record| record.app_key = "an app before".into()));
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), ["1: app-unknown", "2: app-unknown"]);
    assert_nothing_is_left(&host);
}

/// Returns a host whose row contains these shops. No shop has a cipher.
fn without_ciphers(shops: &[&str]) -> ScriptedHost {
    let host = ScriptedHost::with_record(&fresh());
    let mut row = row_of(&key(), &fresh(), shops);
    row.connection.shops.iter_mut().for_each(|shop| shop.listed.cipher = None);
    host.put_row(&row);
    host
}

const LIST: &str = "shops AT-1";

#[test]
fn a_missing_cipher_is_read_from_tiktok_before_the_revocation() {
    // TikTok lists shop 3, which is not in the row, so shop 3 is also revoked. TikTok does not list shop 2, so shop 2
    // counts as revoked.
    let host = without_ciphers(&["1", "2"]).answers([shops_answer(&["1", "3"]), taken_back(), taken_back()]);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), [""; 0]);
    assert_eq!(sent(&host), [LIST, "DELETE AT-1 cipher-1", "DELETE AT-1 cipher-3"]);
    assert_nothing_is_left(&host);

    // If the caller names one shop, only this shop is revoked, although TikTok lists more shops.
    let host = without_ciphers(&["1", "2"]).answers([shops_answer(&["1", "2", "3"]), taken_back()]);
    let ended = shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(sent(&host), [LIST, "DELETE AT-1 cipher-1"]);
    assert_eq!((not_revoked(&ended), shops_of(&ended.remaining[0])), (vec![], "1 gone, 2 granted linked".into()));

    // An interrupted `connect` has stored the tokens but no row.
    let host = ScriptedHost::with_record(&fresh()).answers([shops_answer(&["1"]), taken_back()]);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), [""; 0]);
    assert_eq!(sent(&host), [LIST, "DELETE AT-1 cipher-1"]);
    assert_nothing_is_left(&host);

    let host = ScriptedHost::with_record(&fresh()).answers([shops_answer(&[])]);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), [""; 0], "TikTok grants no shop");
}

#[test]
fn a_shop_whose_cipher_cannot_be_read_is_reported_and_disconnected() {
    let without = Answer::success(&json!({"shops": [{"id": "1"}]}));
    for (answer, note) in [
        (without, "the shop has no cipher"),
        (Answer::page(502), "the list of shops could not be read: "),
        (Answer::Broken(TransportFailure::NotConnected), ""),
    ] {
        let host = without_ciphers(&["1"]).answers([answer]);
        let ended = all(&host, RemoteGrant::Revoke);
        let [left] = ended.not_revoked.as_slice() else { panic!("one shop") };
        assert_eq!((left.shop.as_deref(), left.error.detail().contains(note)), (Some("1"), true), "{}", left.error);
        assert_eq!(sent(&host), [LIST]);
        assert_nothing_is_left(&host);
    }
    // One entry of TikTok's list can't be read. This entry may be shop 1, so shop 1 does not count as revoked.
    let unreadable = Answer::success(&json!({"shops": [{"id": "2", "cipher": "c"}, {"id": "one"}]}));
    let host = without_ciphers(&["1"]).answers([unreadable, taken_back()]);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), ["1: revocation-not-tried"]);
    // No row is stored and TikTok's list can't be read, so the call knows no shop that it could revoke.
    let host = ScriptedHost::with_record(&fresh()).answers([Answer::page(502)]);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), ["all: revocation-not-tried"], "no shop is known");
    assert_nothing_is_left(&host);
}

#[test]
fn tiktok_is_not_asked_after_20_seconds_so_that_the_deletion_has_time() {
    let host =
        ScriptedHost::with_record(&fresh()).answers([taken_back()]).meanwhile(Step::Send, 1, |host| host.pass(21));
    host.put_row(&row_of(&key(), &fresh(), &["1", "2", "3"]));
    let expected = ["2: revocation-not-tried", "3: revocation-not-tried"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    assert_nothing_is_left(&host);
}

/// A renewal takes 21 s, either before the first request or after TikTok has refused the token. In both cases
/// `disconnect` asks TikTok for nothing more, because it begins no request after 20 s. The rest of the time is for the
/// deletion.
#[test]
fn tiktok_is_not_asked_after_a_slow_renewal() {
    let slow = |host: &ScriptedHost| host.pass(21);
    let host = connected(&expired()).answers([pair_answer(2)]).meanwhile(Step::Send, 1, slow);
    let expected = ["1: revocation-not-tried", "2: revocation-not-tried"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    assert_nothing_is_left(&host);

    let host = connected(&fresh()).answers([Answer::code(105_002), pair_answer(2)]).meanwhile(Step::Send, 2, slow);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    assert_nothing_is_left(&host);
}

#[test]
fn a_grant_replaced_while_its_last_shop_is_disconnected_is_kept() {
    let anew = || with(fresh(), |record| record.lineage = Lineage([0x22; 16]));
    let host = ScriptedHost::with_record(&fresh()).meanwhile(Step::LoadRow, 1, move |host| {
        host.put(&key(), &anew());
        host.put_row(&row_of(&key(), &anew(), &["1"]));
    });
    host.put_row(&row_of(&key(), &fresh(), &["1"]));
    assert!(shop(&host, "1", RemoteGrant::Keep).remaining.is_empty());
    assert_eq!(host.record().lineage(), anew().lineage());
    assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked");
}

#[test]
fn unreadable_tokens_are_deleted_too() {
    let host = connected(&fresh());
    host.put_bytes(&key(), b"not a record");
    let expected = ["1: token-record-unreadable", "2: token-record-unreadable"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    assert!(host.row().is_none() && run(tokens_are_gone(&host)));
}

async fn tokens_are_gone(host: &ScriptedHost) -> bool {
    host.accounts(&customer()).await.is_ok_and(|accounts| accounts.is_empty())
}

#[test]
fn disconnecting_one_shop_keeps_the_tokens_for_the_other() {
    let host = connected(&fresh());
    let ended = shop(&host, "1", RemoteGrant::Keep);
    let [left] = ended.remaining.as_slice() else { panic!("one connection") };
    assert_eq!(shops_of(left), "1 granted, 2 granted linked");
    assert!(host.find_record(&key()).is_some());
    assert!(!host.record().awaits_verification());

    let ended = shop(&host, "2", RemoteGrant::Keep);
    assert!(ended.remaining.is_empty());
    assert_nothing_is_left(&host);
    assert!(shop(&host, "2", RemoteGrant::Keep).remaining.is_empty(), "a repetition succeeds");
    assert!(host.sent().is_empty());
}

#[test]
fn after_a_shop_is_revoked_the_next_refresh_checks_the_other_shops() {
    let host = connected(&fresh()).answers([taken_back()]);
    let ended = shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(shops_of(&ended.remaining[0]), "1 gone, 2 granted linked");
    assert_eq!(sent(&host), ["DELETE AT-1 cipher-1"]);
    assert!(host.record().awaits_verification() && host.refresh_due_at() == Some(host.wall()), "due at once");

    // In this case TikTok has revoked the whole grant. The next refresh detects that.
    let host = connected(&fresh()).answers([taken_back(), Answer::code(105_001), Answer::code(36_004_005)]);
    shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked");
    assert_eq!(tokens(&host.record()), "- - [] dead");

    // In this case TikTok has revoked only shop 1.
    let host = connected(&fresh()).answers([taken_back(), shops_answer(&["2"])]);
    shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(shops_of(&refresh_when_due(&host).unwrap()), "2 granted linked, 1 gone");
    assert!(!host.record().awaits_verification() && host.refresh_due_at() > Some(host.wall().plus(DAY)));
}

#[test]
fn a_shop_that_was_not_revoked_is_still_unlinked() {
    let host = connected(&fresh()).answers([Answer::code(36_009_003)]);
    let ended = shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(not_revoked(&ended), ["1: tiktok-refused"]);
    assert_eq!(shops_of(&ended.remaining[0]), "1 granted, 2 granted linked");
    assert!(!host.record().awaits_verification());
}

#[test]
fn a_shop_of_two_accounts_is_disconnected_from_both() {
    let host = connected(&fresh());
    let other = key_of("customer-1", "account-2");
    host.put(&other, &fresh());
    host.put_row(&row_of(&other, &fresh(), &["1"]));
    let ended = shop(&host, "1", RemoteGrant::Keep);
    assert_eq!(ended.remaining.iter().map(shops_of).collect::<Vec<_>>(), ["1 granted, 2 granted linked"]);
    assert!(host.find_record(&other).is_none(), "the shop was the only one of this account");
}

#[test]
fn disconnecting_an_unknown_shop_changes_nothing() {
    let host = connected(&fresh());
    let ended = shop(&host, "7", RemoteGrant::Revoke);
    assert!(ended.remaining.is_empty() && ended.not_revoked.is_empty() && host.sent().is_empty());
    assert!(host.find_record(&key()).is_some());
}

#[test]
fn a_refresh_in_flight_finds_nothing_and_discards_its_pair() {
    let host = connected(&due())
        .answers([pair_answer(2)])
        .meanwhile(Step::SwapToken, 2, |host| assert!(all(host, RemoteGrant::Keep).remaining.is_empty()));
    assert_eq!(outcome(&refresh_when_due(&host)), "not-connected");
    assert_nothing_is_left(&host);
}

#[test]
fn a_disconnect_killed_anywhere_is_completed_by_a_repetition() {
    for ending in ["all", "shop"] {
        let ending = || if ending == "all" { DisconnectTarget::All(None) } else { DisconnectTarget::Shop("1".into()) };
        let host = |point| {
            let host = ScriptedHost::with_record(&fresh()).tiktok(|_| taken_back());
            host.put_row(&row_of(&key(), &fresh(), &["1"]));
            match point {
                Some(point) => host.killed(point),
                None => host,
            }
        };
        let undisturbed = host(None);
        end(&undisturbed, ending(), RemoteGrant::Revoke).unwrap_or_else(|error| panic!("{error}"));
        let effects = undisturbed.effects().len();
        assert!(undisturbed.effects().contains(&Step::Send) && effects > 6);
        for point in (1..=effects).flat_map(|number| [Kill::Before(number), Kill::After(number)]) {
            let host = host(Some(point));
            assert!(run_or_die(disconnect(&host, customer(), ending(), RemoteGrant::Revoke)).is_none(), "killed");
            assert!(
                host.find_record(&key()).is_none() || host.row().is_some(),
                "{point:?}: the record is deleted first"
            );
            host.restart();
            if host.find_record(&key()).is_none() && host.row().is_some() {
                assert!(run(rows_shown(&host)) == 0, "a row without tokens is not listed");
            }
            end(&host, DisconnectTarget::All(None), RemoteGrant::Keep)
                .unwrap_or_else(|error| panic!("{point:?}: {error}"));
            assert_nothing_is_left(&host);
        }
    }
}

async fn rows_shown(host: &ScriptedHost) -> usize {
    list_connections(host, customer()).await.map_or(usize::MAX, |connections| connections.len())
}

#[test]
fn a_failed_deletion_is_reported() {
    let failing = || connected(&fresh()).fault(Step::SwapToken, 1, Fault::Refused);
    assert_eq!(outcome(&end(&failing(), DisconnectTarget::All(None), RemoteGrant::Keep)), "storage-refused");
    let host = connected(&fresh()).fault(Step::SwapToken, 2, Fault::AnswerLost);
    assert_eq!(outcome(&end(&host, DisconnectTarget::All(None), RemoteGrant::Keep)), "ok", "it was deleted");
    assert_nothing_is_left(&host);
}
