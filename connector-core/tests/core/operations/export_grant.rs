//! Tests `export-grant`: it returns the stored tokens, and neither sends nor changes anything.

use super::{connected, import_of, importing};
use crate::samples::{
    DAY, NOW, account, cause_and_delay, customer, expired, fresh, key_of, outcome, pair_answer, shops_answer,
    stored_form, their_claim, tokens, with,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step, run};
use tiktok_shop_connector_core::connection::Connection;
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::existing_grant::ExistingGrant;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation::export_grant::export_grant;
use tiktok_shop_connector_core::operation::import::import;
use tiktok_shop_connector_core::record::{DeadReason, ShopPolicy, TokenRecord};
use tiktok_shop_connector_core::secret::{AccessToken, RefreshToken};

fn export(host: &ScriptedHost) -> Result<ExistingGrant, Error> {
    run(export_grant(host, customer(), None))
}

/// Returns the refresh token and the access token of an exported grant, or the code of the error.
fn exported(host: &ScriptedHost) -> String {
    match export(host) {
        Ok(grant) => {
            let access = grant.access.as_ref().map_or("-", AccessToken::expose);
            format!("{} {access}", RefreshToken::expose(&grant.refresh))
        }
        Err(error) => error.cause.code().to_owned(),
    }
}

fn claimed() -> TokenRecord {
    with(fresh(), |record| record.claim = Some(their_claim("RT-1")))
}

#[test]
fn the_newest_tokens_are_returned_and_nothing_changes() {
    let host = connected(&fresh());
    let grant = export(&host).map_err(|error| error.to_string()).unwrap();
    assert_eq!(grant.account, Some(account()));
    assert_eq!((grant.refresh.expose(), grant.access.as_ref().map(AccessToken::expose)), ("RT-1", Some("AT-1")));
    assert_eq!((grant.access_ends, grant.refresh_ends), (Some(NOW.plus(6 * DAY)), Some(NOW.plus(365 * DAY))));
    assert_eq!(host.effects(), [Step::Accounts, Step::SwapToken], "neither credentials nor a request");
    assert_eq!(stored_form(&host.record()), stored_form(&fresh()));
}

#[test]
fn an_access_token_that_has_ended_is_exported_with_its_end() {
    let grant = export(&connected(&expired())).map_err(|error| error.to_string()).unwrap();
    assert_eq!(grant.access.as_ref().map(AccessToken::expose), Some("AT-1"));
    assert_eq!(grant.access_ends, Some(NOW.minus(1)));
}

#[test]
fn a_claimed_record_is_exported_only_after_its_claim_has_lapsed() {
    let host = connected(&claimed());
    assert_eq!(cause_and_delay(export(&host)), (Cause::RefreshInProgress, 120));
    host.pass(119);
    assert_eq!(cause_and_delay(export(&host)), (Cause::RefreshInProgress, 1));
    host.pass(1);
    assert_eq!(exported(&host), "RT-1 AT-1");
    assert_eq!(stored_form(&host.record()), stored_form(&claimed()), "the claim stays");
}

#[test]
fn a_dead_connection_and_a_missing_one_are_refused() {
    for reason in DeadReason::ALL {
        let host = connected(&with(fresh(), |record| record.dead = Some(*reason)));
        assert_eq!(exported(&host), reason.as_str());
    }
    assert_eq!(exported(&ScriptedHost::new()), "not-connected");
    let named = run(export_grant(&ScriptedHost::new(), customer(), Some(account())));
    assert_eq!(outcome(&named), "not-connected");
    let two = connected(&fresh());
    two.put(&key_of("customer-1", "account-2"), &fresh());
    assert_eq!(exported(&two), "account-required");
}

/// A connection that has only a refresh token, because TikTok sent no access token, and a connection without a refresh
/// token. The core writes no record of the second kind.
#[test]
fn a_missing_access_token_is_none_and_a_missing_refresh_token_is_an_error() {
    let host = connected(&with(fresh(), |record| record.current.access = None));
    assert_eq!(exported(&host), "RT-1 -");
    let host = connected(&with(fresh(), |record| record.current.refresh = None));
    assert_eq!(exported(&host), "token-answer-incomplete");
}

/// The record is that of an import whose token was not sent yet.
#[test]
fn the_token_of_an_import_that_never_sent_it_is_exported() {
    let host = ScriptedHost::new().fault(Step::LoadToken, 1, Fault::Unavailable);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "storage-unavailable");
    host.restart();
    assert_eq!(exported(&host), "RT-1 -");
}

#[test]
fn a_storage_failure_is_returned() {
    for (fault, code) in [(Fault::Unavailable, "storage-unavailable"), (Fault::Refused, "storage-refused")] {
        assert_eq!(exported(&connected(&fresh()).fault(Step::SwapToken, 1, fault)), code);
    }
}

fn imported(host: &ScriptedHost, grant: &ExistingGrant) -> Result<Connection, Error> {
    run(import(host, customer(), None, grant, ShopPolicy::All))
}

/// Moves a connection from one installation to another, and back.
#[test]
fn an_exported_grant_is_imported_by_another_installation() {
    let first = connected(&fresh());
    let second = ScriptedHost::new().answers([pair_answer(2), shops_answer(&["1", "2"])]);
    let grant = export(&first).map_err(|error| error.to_string()).unwrap();
    assert_eq!(outcome(&imported(&second, &grant)), "ok");
    assert_eq!((second.sent(), first.sent()), (vec!["refresh RT-1".into(), "shops AT-2".into()], Vec::<String>::new()));
    assert_eq!(tokens(&second.record()), "AT-2 RT-2 [RT-1]");
    assert_eq!(outcome(&imported(&second, &grant)), "already-connected");

    let third = ScriptedHost::new().answers([pair_answer(3), shops_answer(&["1", "2"])]);
    let grant = export(&second).map_err(|error| error.to_string()).unwrap();
    assert_eq!(outcome(&imported(&third, &grant)), "ok");
    assert_eq!(tokens(&third.record()), "AT-3 RT-3 [RT-2]");
}

/// While the answer to the token of an import is on its way, nobody can export this token.
#[test]
fn a_token_that_is_under_way_is_not_exported() {
    let host =
        ScriptedHost::new()
            .answers([Answer::Broken(TransportFailure::Interrupted)])
            .meanwhile(Step::Send, 1, |host| assert_eq!(exported(host), "refresh-in-progress"));
    assert_eq!(outcome(&run(importing(&host, Some("account-1"), "RT-1"))), "answer-incomplete");
    assert_eq!(exported(&host), "refresh-in-progress");
}
