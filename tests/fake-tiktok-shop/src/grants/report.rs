//! Reports about grants, for tests.

use std::collections::BTreeMap;

use super::{Authorization, GrantKey, Grants};
use crate::issued::{Issued, IssuedSecret, IssuedToken, SecretKind};
use crate::switches::Switches;

impl Grants {
    /// Tells whether a refresh with this token would succeed now if the token's own app sent it.
    pub(crate) fn honours(&self, refresh_token: &str, now: u64, switches: &Switches) -> bool {
        let token = self.refresh_tokens.get(refresh_token);
        token.is_some_and(|token| self.judge_refresh_token(token, now, switches).is_ok())
    }

    /// Returns the tokens that were issued to an app for a seller, and tells which of them are valid now.
    pub(crate) fn issued(&self, key: &GrantKey, now: u64, switches: &Switches) -> Issued {
        let access_tokens = self.access_tokens.iter().filter(|(_, token)| token.key == *key).map(|(value, token)| {
            let honoured = self.judge_access_token(token, now, switches).is_ok();
            (token.number, IssuedToken::new(value, token.issued_at, token.expires_at, honoured))
        });
        let refresh_tokens = self.refresh_tokens.iter().filter(|(_, token)| token.key == *key).map(|(value, token)| {
            let honoured = self.judge_refresh_token(token, now, switches).is_ok();
            (token.number, IssuedToken::new(value, token.issued_at, token.expires_at, honoured))
        });
        Issued {
            open_id: self.authorizations.get(key).map(|authorization| authorization.open_id.clone()),
            access_tokens: access_tokens.collect::<BTreeMap<_, _>>().into_values().collect(),
            refresh_tokens: refresh_tokens.collect::<BTreeMap<_, _>>().into_values().collect(),
        }
    }

    /// Returns every code and token that was ever issued.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = IssuedSecret> {
        let codes = self.codes_issued.iter().map(|(app, code)| (SecretKind::AuthorizationCode, app, code));
        let access = self.access_tokens.iter().map(|(value, t)| (SecretKind::AccessToken, &t.key.service_id, value));
        let refresh = self.refresh_tokens.iter().map(|(value, t)| (SecretKind::RefreshToken, &t.key.service_id, value));
        codes.chain(access).chain(refresh).map(|(kind, app, value)| IssuedSecret::new(kind, app, value))
    }

    /// Returns every cipher that one of the seller's shops has had at any app. `first` is the shop's first cipher.
    pub(crate) fn ciphers<'a>(&'a self, seller: &'a str, first: &'a str) -> impl Iterator<Item = IssuedSecret> {
        self.authorizations.iter().filter(move |(key, _)| key.seller == seller).flat_map(move |(key, authorization)| {
            (0..=authorization.cipher_changes).map(move |changes| {
                let cipher = Authorization::cipher_after(first, changes);
                IssuedSecret::new(SecretKind::ShopCipher, &key.service_id, &cipher)
            })
        })
    }
}
