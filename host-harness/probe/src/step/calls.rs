//! Calls the API host: reads that change nothing, and the same reads with one mistake each.

use serde_json::{Value, json};
use tiktok_shop_connector_core::http::Method;
use tiktok_shop_connector_core::secret::{AccessToken, ShopCipher};

use crate::finding::Finding;
use crate::http::Answer;
use crate::report::Ended;
use crate::session::{BAD_REQUEST, Call, Grant, LIST_SHOPS, Session, mangled, names_the_token};
use crate::switch::Switch;
use crate::world::World;

const ACTIVE_SHOPS: &str = "/seller/202309/shops";
const WEBHOOKS: &str = "/event/202309/webhooks";
const ORDERS: &str = "/order/202309/orders/search";
const PRODUCTS: &str = "/product/202309/products/search";
const ONE_ROW: &[(&str, &str)] = &[("page_size", "1")];
const EMPTY_FILTER: &[u8] = b"{}";

/// The code for a missing scope.
const NO_SCOPE: i64 = 105_005;
/// The code for a missing or wrong cipher.
pub(super) const NO_CIPHER: i64 = 106_013;
/// The code for a token or a shop that does not fit the call.
pub(super) const DOES_NOT_FIT: i64 = 101_000;
const WRONG_SIGNATURE: i64 = 106_001;

/// Events for which a webhook address may be deleted, if the shop has none for it.
const EVENTS: [&str; 3] = ["PACKAGE_UPDATE", "PRODUCT_STATUS_CHANGE", "ORDER_STATUS_CHANGE"];

/// The scopes that a read of this run needs, and the read.
const READS: [(&str, Read); 4] = [
    ("seller.authorization.info", Read::Shops),
    ("seller.shop.info", Read::ActiveShops),
    ("seller.order.info", Read::Orders),
    ("seller.product.basic", Read::Products),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Shops,
    ActiveShops,
    Orders,
    Products,
    Webhooks,
}

impl Read {
    /// Returns the call. `cipher` is left out of a call for the seller.
    fn call(self, cipher: Option<&ShopCipher>) -> Call<'_> {
        match self {
            Self::Shops => Call::get(LIST_SHOPS),
            Self::ActiveShops => Call::get(ACTIVE_SHOPS),
            Self::Orders => Call { cipher, query: ONE_ROW, ..Call::with_body(Method::Post, ORDERS, EMPTY_FILTER) },
            Self::Products => Call { cipher, query: ONE_ROW, ..Call::with_body(Method::Post, PRODUCTS, EMPTY_FILTER) },
            Self::Webhooks => Call { cipher, ..Call::get(WEBHOOKS) },
        }
    }
}

impl<W: World> Session<'_, W> {
    /// Lists the shops, and makes a read for each scope that has one.
    pub(crate) async fn read_shops_and_scopes(&mut self) -> Result<(), Ended> {
        let Some(grant) = self.grant.as_ref().map(Grant::copy) else { return Ok(()) };
        self.step("Listed the shops.");
        let answer = self.list_shops(&grant.access, "").await?;
        self.good = Some(answer.verdict());
        if answer.code() == Some(DOES_NOT_FIT) {
            self.find(Switch::Status101000, failure_status(&answer));
        }
        if let Some(shops) = self.read_shops(&answer) {
            let with_cipher = shops.iter().filter(|shop| shop.cipher.is_some()).count();
            self.fact("shops", format!("{}, of which {with_cipher} have a cipher", shops.len()));
            self.shops = shops;
        } else {
            self.fact("shops", format!("unknown: {}", answer.in_words()));
        }

        self.step("Made a read for each scope that has one.");
        let cipher = self.cipher();
        let mut refused = Vec::new();
        for (scope, read) in READS {
            let answer = self.call(&read.call(cipher.as_ref()), Some(&grant.access), "").await?;
            let is_refused = answer.code() == Some(NO_SCOPE);
            self.fact(
                &format!("read with the scope {scope}"),
                if is_refused { format!("refused: {}", answer.in_words()) } else { answer.in_words() },
            );
            if is_refused {
                refused.push(scope);
            }
        }
        if let Some(listed) = self.scopes.clone() {
            let finding = self.judge_scopes(&listed, &refused);
            self.find(Switch::GrantedScopesField, finding);
        }
        Ok(())
    }

    /// Decides whether `granted_scopes` lists what the seller has granted, or what the app asks for.
    fn judge_scopes(&self, listed: &[String], refused: &[&str]) -> Finding {
        let is_listed = |scope: &str| listed.iter().any(|known| known == scope);
        if let Some(scope) = refused.iter().find(|scope| is_listed(scope)) {
            return Finding::seen("requested", format!("{scope} is listed, but a call that needs it is refused"));
        }
        let app = &self.settings.app_scopes;
        match app.iter().find(|scope| !is_listed(scope)) {
            Some(scope) => Finding::seen("present", format!("the app asks for {scope}, and it is not listed")),
            None if app.is_empty() => Finding::not_observable(
                "every listed scope works, and it is unknown which scopes the app asks for; name them with --scopes to \
                     see it",
            ),
            None => Finding::not_observable(
                "the seller has granted every scope that the app asks for, as far as reads show",
            ),
        }
    }

    /// Returns the cipher of the first shop that has one.
    pub(crate) fn cipher(&self) -> Option<ShopCipher> {
        self.shops.iter().find_map(|shop| shop.cipher.as_ref()).map(ShopCipher::duplicate)
    }

    /// Makes calls with one mistake each.
    pub(crate) async fn make_mistakes(&mut self) -> Result<(), Ended> {
        let Some(grant) = self.grant.as_ref().map(Grant::copy) else { return Ok(()) };
        let token = &grant.access;
        self.step("Sent an access token that does not exist.");
        let junk = AccessToken::new(mangled(token.expose()));
        self.keep_secret(junk.expose());
        let answer = self.list_shops(&junk, "an invented access token").await?;
        self.invented_token = Some(answer.verdict());
        self.judge_invalid_token(&answer);
        self.send_ciphers(token).await?;
        self.leave_the_body_out(token).await?;
        self.delete_nothing(token).await?;

        self.step("Made other mistakes, one in each call.");
        let shops = || Call::get(LIST_SHOPS);
        let invented = ShopCipher::new(mangled("a-cipher-that-does-not-exist"));
        for (what, call, token) in [
            ("a timestamp of 10 minutes ago", Call { timestamp_shift: -600, ..shops() }, Some(token)),
            ("a timestamp of 10 minutes from now", Call { timestamp_shift: 600, ..shops() }, Some(token)),
            ("an invented app key", Call { app_key: Some("0probe000000"), ..shops() }, Some(token)),
            ("no access token", shops(), None),
            ("a cipher in a call for the seller", Call { cipher: Some(&invented), ..shops() }, Some(token)),
            ("a wrong signature", Call { spoils_signature: true, ..shops() }, Some(token)),
            ("a path that does not exist", Call::get("/authorization/202309/probe"), Some(token)),
        ] {
            let answer = self.call(&call, token, what).await?;
            let message = self.shown(answer.message());
            self.fact(what, format!("{}, “{message}”", answer.in_words()));
        }
        Ok(())
    }

    fn judge_invalid_token(&mut self, answer: &Answer) {
        let words = answer.in_words();
        let (code, status) = match answer.verdict() {
            (_, Some(105_001)) => {
                (Finding::seen("105001", format!("an invented access token gets {words}")), failure_status(answer))
            }
            (400, Some(BAD_REQUEST)) if names_the_token(answer.message()) => (
                Finding::seen(
                    "36009004",
                    format!("an invented access token gets {words}, and the message names its header"),
                ),
                Finding::not_observable("an invented access token does not get 105001"),
            ),
            _ => {
                let unclear = Finding::unclear(format!("an invented access token gets {words}"));
                (unclear.clone(), unclear)
            }
        };
        self.find(Switch::InvalidAccessToken, code);
        self.find(Switch::Status105001, status);
    }

    /// Makes a call for a shop without a cipher, with the right cipher, and with a wrong one.
    async fn send_ciphers(&mut self, token: &AccessToken) -> Result<(), Ended> {
        self.step("Made a call for a shop without a cipher, with its cipher, and with an invented cipher.");
        let mut read = None;
        for candidate in [Read::Webhooks, Read::Orders, Read::Products] {
            let answer = self.call(&candidate.call(None), Some(token), "without a cipher").await?;
            if answer.code() != Some(NO_SCOPE) {
                read = Some((candidate, answer));
                break;
            }
        }
        let Some((read, missing)) = read else {
            for switch in [Switch::Status106013, Switch::WrongCipher] {
                self.find(switch, Finding::not_observable("the app has no scope for a call that needs a cipher"));
            }
            return Ok(());
        };
        let words = missing.in_words();
        if missing.code() == Some(DOES_NOT_FIT) {
            self.find(Switch::Status101000, failure_status(&missing));
            for switch in [Switch::Status106013, Switch::WrongCipher] {
                self.find(switch, Finding::not_observable("the token's user type fits no call that needs a cipher"));
            }
            return Ok(());
        }
        let cipher = self.cipher();
        if cipher.is_some() {
            self.call(&read.call(cipher.as_ref()), Some(token), "with its cipher").await?;
        }
        let wrong = ShopCipher::new(mangled(cipher.as_ref().map_or("ROW_probe0000000000", ShopCipher::expose)));
        self.keep_secret(wrong.expose());
        let refused = self.call(&read.call(Some(&wrong)), Some(token), "with an invented cipher").await?;
        self.wrong_cipher = Some(refused.verdict());
        let same_status = refused.code() != missing.code() || refused.status == missing.status;
        self.find(
            Switch::Status106013,
            match missing.verdict() {
                _ if !same_status => Finding::unclear("a missing and a wrong cipher get 106013 with two HTTP statuses"),
                (400, Some(NO_CIPHER)) => Finding::seen("bad-request", format!("a missing cipher gets {words}")),
                (200, Some(NO_CIPHER)) => Finding::seen("ok", format!("a missing cipher gets {words}")),
                _ => Finding::unclear(format!("a missing cipher gets {words}")),
            },
        );
        let words = refused.in_words();
        let finding = match refused.code() {
            Some(NO_CIPHER) => Finding::seen("like-missing", format!("an invented cipher gets {words}")),
            Some(DOES_NOT_FIT) => Finding::seen("does-not-fit", format!("an invented cipher gets {words}")),
            Some(_) | None => Finding::unclear(format!("an invented cipher gets {words}")),
        };
        self.find(Switch::WrongCipher, finding);
        let status = if refused.code() == Some(DOES_NOT_FIT) {
            failure_status(&refused)
        } else {
            Finding::not_observable("no call got 101000")
        };
        self.find(Switch::Status101000, status);
        Ok(())
    }

    /// Sends the body `{}` with a signature that leaves it out. A right and a wrong signature show what that means.
    async fn leave_the_body_out(&mut self, token: &AccessToken) -> Result<(), Ended> {
        self.step("Signed a search with and without its body {}, and with a wrong signature.");
        let cipher = self.cipher();
        let search = || Read::Orders.call(cipher.as_ref());
        let signed = self.call(&search(), Some(token), "the body signed").await?;
        let left_out = Call { leaves_body_out: true, ..search() };
        let left_out = self.call(&left_out, Some(token), "the body {} not signed").await?;
        let spoiled = Call { spoils_signature: true, ..search() };
        let spoiled = self.call(&spoiled, Some(token), "a wrong signature").await?;
        let [signed, left_out, spoiled] = [signed, left_out, spoiled].map(|answer| answer.verdict());
        let is_wrong = |verdict: (u16, Option<i64>)| verdict.1 == Some(WRONG_SIGNATURE);
        let finding = if is_wrong(signed) || !is_wrong(spoiled) {
            Finding::unclear("a right signature is refused, or a wrong one is not")
        } else if is_wrong(left_out) {
            Finding::seen("refused", "it gets 106001, as a wrong signature does")
        } else if left_out == signed {
            Finding::seen("accepted", "it gets the same answer as a right signature")
        } else {
            Finding::unclear("it gets neither 106001 nor the answer to a right signature")
        };
        self.find(Switch::UnsignedEmptyObject, finding);
        Ok(())
    }

    /// Deletes a webhook address that is not set, because this call succeeds and returns nothing.
    async fn delete_nothing(&mut self, token: &AccessToken) -> Result<(), Ended> {
        let Some(cipher) = self.cipher() else {
            self.find(Switch::EmptyData, Finding::not_observable("no shop has a cipher"));
            return Ok(());
        };
        self.step("Read the webhook addresses of a shop, and deleted one that is not set.");
        let listed = self.call(&Read::Webhooks.call(Some(&cipher)), Some(token), "").await?;
        let rows = listed.is_success().then(|| listed.data()?.get("webhooks")?.as_array()).flatten();
        let Some(rows) = rows else {
            let why = format!("the webhook addresses can't be read: {}", listed.in_words());
            self.find(Switch::EmptyData, Finding::not_observable(why));
            return Ok(());
        };
        // An address whose event is unknown may be set for any event, so then none is deleted.
        let set: Option<Vec<_>> = rows.iter().map(|row| row.get("event_type").and_then(Value::as_str)).collect();
        let Some(set) = set else {
            self.find(Switch::EmptyData, Finding::not_observable("a webhook address has no event that can be read"));
            return Ok(());
        };
        let Some(event) = EVENTS.iter().find(|event| !set.contains(event)) else {
            self.find(Switch::EmptyData, Finding::not_observable("every event has a webhook address"));
            return Ok(());
        };
        let body = json!({ "event_type": event }).to_string();
        let call = Call { cipher: Some(&cipher), ..Call::with_body(Method::Delete, WEBHOOKS, body.as_bytes()) };
        let answer = self.call(&call, Some(token), "of an event without an address").await?;
        self.judge_empty_data(&answer);
        Ok(())
    }

    /// Records how a success without data shows its data.
    pub(super) fn judge_empty_data(&mut self, answer: &Answer) {
        let finding = if answer.is_success() {
            match answer.data() {
                None => Finding::seen("missing", "the member data is missing"),
                Some(Value::Null) => Finding::seen("null", "data is null"),
                Some(Value::Object(members)) if members.is_empty() => Finding::seen("object", "data is {}"),
                Some(_) => Finding::unclear("data has another form"),
            }
        } else {
            Finding::not_observable(format!("the call did not succeed: {}", answer.in_words()))
        };
        self.find(Switch::EmptyData, finding);
    }
}

/// Returns the finding about the HTTP status of a code that goes with 401 or 200.
pub(super) fn failure_status(answer: &Answer) -> Finding {
    let words = answer.in_words();
    match answer.status {
        401 => Finding::seen("unauthorized", words),
        200 => Finding::seen("ok", words),
        _ => Finding::unclear(words),
    }
}
