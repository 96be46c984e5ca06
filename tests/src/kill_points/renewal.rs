//! The check after a killed connect, reconnect, import, refresh or promotion. The connection must be whole (see
//! `is_whole`), or it must be lost for the only legal cause: TikTok Shop issued new tokens, and the kill prevented the
//! operation from storing them.

use fake_tiktok_shop::Decision;
use tiktok_shop_connector_core::contract::CLAIM_LIFE;
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_connector_core::secret::RefreshToken;
use tiktok_shop_host::CallError;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ReauthorizationReason, ShopStanding};
use tiktok_shop_host::refresh::RefreshMode;

use super::Operation;
use super::call::{Answer, Call};
use super::scene::{Found, SELLER, Scene};
use crate::refusal;

const SELLERS_SHOPS: usize = 3;

const TOKEN_REPLACED: &str = "answer lost after TikTok had replaced the token";
const CODE_SPENT: &str = "answer lost after TikTok had spent the code";

impl Scene {
    /// Moves the clocks forward, so that any claim that the kill has left has lapsed. (A claim is a note in the token
    /// record that one caller sends the refresh token now.) Then lets another host take over. Returns `None` if the
    /// connection is whole. If the connection is lost for the legal cause (see the module's documentation), restores it
    /// with a new consent and returns the cause. Everything else is an error.
    pub(super) async fn renew(&self, found: &Found) -> Result<Option<&'static str>, String> {
        self.stage.advance(CLAIM_LIFE.as_secs() + 1);
        let stored = self.stored().await;
        let tokens = || stored.iter().flat_map(|(_, record)| refresh_tokens(record));
        let mut issued = self.requests().into_iter().filter_map(|request| request.issued);
        let answer_lost = issued.any(|pair| tokens().all(|token| token.expose() != pair.refresh_token));
        // Without a stored record, a connection is lost if TikTok Shop has exchanged the code and the tokens were not
        // stored. An import is lost if TikTok Shop does not accept the token of the other system any more.
        let lost = match (&stored, &self.call) {
            (Some(_), _) => !tokens().any(|token| self.stage.fake.honours(token.expose())),
            (None, Call::Import(grant)) => !self.stage.fake.honours(grant.refresh_token.expose()),
            (None, _) => answer_lost,
        };
        if lost && !answer_lost {
            return Err("TikTok Shop honours no stored token, and has issued no other token".to_owned());
        }

        let is_stored = stored.is_some();
        let call = if !is_stored && matches!(self.call, Call::Connect(_) | Call::Import(_)) {
            self.call.clone()
        } else if self.operation == Operation::Reconnect {
            // The stored pair may be so fresh that no refresh is due. A forced refresh shows whether the pair works.
            Call::Refresh(RefreshMode::Forced)
        } else {
            Call::Refresh(RefreshMode::WhenDue)
        };
        let (connection, cause) = match call.make(self.stage.host_builder()).await.map(Answer::connection) {
            Ok(connection) if !lost => (connection, None),
            Ok(_) => return Err("the call succeeded although TikTok Shop honours no stored token".to_owned()),
            Err(error) if lost => {
                let spent_code = !is_stored && matches!(self.call, Call::Connect(_));
                let cause = if spent_code { CODE_SPENT } else { TOKEN_REPLACED };
                (self.reconnect(error, is_stored).await?, Some(cause))
            }
            Err(error) => {
                return Err(format!("lost without a legal cause: {error} (stored after the kill: {})", found.stored));
            }
        };
        self.is_whole(&connection).await?;
        Ok(cause)
    }

    /// Checks that the error and the row say that the connection is lost, and that a new consent restores the
    /// connection.
    async fn reconnect(&self, error: CallError, is_stored: bool) -> Result<Connection, String> {
        let expected = if is_stored {
            "refresh-outcome-unknown"
        } else if matches!(self.call, Call::Import(_)) {
            "authorization-revoked"
        } else {
            "authorization-code-spent"
        };
        let actual = refusal::<()>(Err(error));
        if actual != ("reauthorize", expected.to_owned()) {
            return Err(format!("the call ended in {actual:?} instead of {expected}"));
        }
        if is_stored {
            let status = self.listed().await.first().map(|row| row.status);
            let expected = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::RefreshOutcomeUnknown);
            if status != Some(expected) {
                return Err(format!("the row of a lost connection says {status:?}"));
            }
        }
        let connect = Call::Connect(self.stage.callback(SELLER, Decision::Allow));
        let outcome = connect.make(self.stage.host_builder()).await;
        outcome
            .map(Answer::connection)
            .map_err(|error| format!("a new consent did not restore the connection: {error}"))
    }

    /// Checks that a connection is whole. These rules must hold:
    ///
    /// - The connection is active, has all shops and shows no failure.
    /// - The stored row is equal to the connection.
    /// - The token record has no claim and no mark that the grant is dead. It has a refresh token that TikTok Shop
    ///   accepts.
    pub(super) async fn is_whole(&self, connection: &Connection) -> Result<(), String> {
        let failed = connection.last_failure.as_ref().map(|past| past.failure.code.as_str());
        let linked = connection.shops.iter().filter(|shop| shop.linked && shop.standing == ShopStanding::Granted);
        let shops = linked.count();
        if (connection.status, failed, shops) != (ConnectionStatus::Active, None, SELLERS_SHOPS) {
            return Err(format!("not whole: {:?}, {failed:?}, {shops} shops", connection.status));
        }
        if self.listed().await != [connection.clone()] {
            return Err("not whole: the stored row differs from the answer".to_owned());
        }
        let Some((_, record)) = self.stored().await else { return Err("not whole: no record".to_owned()) };
        // The access token needs no check, because the call has read the shops with it.
        let honoured = record.current().refresh.as_ref().is_some_and(|token| self.stage.fake.honours(token.expose()));
        if !honoured || record.current_claim().is_some() || record.dead().is_some() {
            return Err(format!("not whole: {} is stored", self.words().record(&record)));
        }
        Ok(())
    }
}

fn refresh_tokens(record: &TokenRecord) -> impl Iterator<Item = &RefreshToken> {
    record.current().refresh.iter().chain(record.fallbacks())
}
