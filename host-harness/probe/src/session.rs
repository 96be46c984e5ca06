//! One run: it sends requests, records what it sees, and knows the tokens of its grant.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::endpoint::api::target;
use tiktok_shop_connector_core::http::{Authority, Method, Request};
use tiktok_shop_connector_core::secret::{AccessToken, RefreshToken, ShopCipher};
use tiktok_shop_connector_core::signing::Signable;
use zeroize::Zeroizing;

use crate::finding::Finding;
use crate::http::{Answer, Away, Client};
use crate::missing_option::missing;
use crate::notification::Notification;
use crate::report::{Ended, Report, SeenAnswer, Step};
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::switch::Switch;
use crate::world::World;

/// The largest answer that a request allows. The client has a limit of its own, too.
const MAX_BYTES: usize = 1 << 20;
/// How often a read is sent again after TikTok Shop has asked for a pause.
const MAX_PAUSES: usize = 3;
/// TikTok Shop accepts a timestamp that is less than 30 s ahead. A smaller offset needs no correction.
const SMALL_OFFSET: u64 = 1;

/// The codes with which TikTok Shop refuses a refresh token or a code.
pub(crate) const ENDED_REFRESH_TOKEN: i64 = 36_004_001;
pub(crate) const UNKNOWN_CODE: i64 = 36_004_004;
pub(crate) const UNKNOWN_REFRESH_TOKEN: i64 = 36_004_005;
/// The code for many mistakes in a request.
pub(crate) const BAD_REQUEST: i64 = 36_009_004;
const ALLOW_LIST: i64 = 36_009_033;

/// The tokens of one consent, and what the answer said about them.
pub(crate) struct Grant {
    pub(crate) access: AccessToken,
    pub(crate) refresh: RefreshToken,
    /// When the access token ends, in seconds since 1970.
    pub(crate) access_ends: u64,
    /// When the authorization ends, in seconds since 1970.
    pub(crate) ends: u64,
    pub(crate) account: Option<String>,
}

impl Grant {
    pub(crate) fn copy(&self) -> Self {
        Self {
            access: self.access.duplicate(),
            refresh: self.refresh.duplicate(),
            access_ends: self.access_ends,
            ends: self.ends,
            account: self.account.clone(),
        }
    }
}

/// A shop of the grant.
pub(crate) struct Shop {
    pub(crate) id: String,
    pub(crate) cipher: Option<ShopCipher>,
}

/// A call of Deauthorize Shop that succeeded.
pub(crate) struct Removal {
    pub(crate) shop_id: String,
    /// The time of the call, in TikTok Shop's seconds since 1970.
    pub(crate) at: u64,
}

/// Whether TikTok Shop accepts an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenState {
    Works,
    Expired,
    Invalid,
    /// The answer says neither.
    Unknown,
}

/// A signed call. Each member after `body` makes one mistake.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) cipher: Option<&'a ShopCipher>,
    pub(crate) body: &'a [u8],
    /// Whether the signature leaves the body out.
    pub(crate) leaves_body_out: bool,
    /// Added to the timestamp, in seconds.
    pub(crate) timestamp_shift: i64,
    /// Whether every digit of the signature is wrong.
    pub(crate) spoils_signature: bool,
    /// Sent in place of the app key.
    pub(crate) app_key: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(crate) const fn get(path: &'a str) -> Self {
        Self {
            method: Method::Get,
            path,
            query: &[],
            cipher: None,
            body: b"",
            leaves_body_out: false,
            timestamp_shift: 0,
            spoils_signature: false,
            app_key: None,
        }
    }

    pub(crate) const fn with_body(method: Method, path: &'a str, body: &'a [u8]) -> Self {
        Self { method, body, ..Self::get(path) }
    }
}

/// The path of Get Authorized Shops.
pub(crate) const LIST_SHOPS: &str = "/authorization/202309/shops";

pub(crate) struct Session<'w, W> {
    pub(crate) world: &'w mut W,
    pub(crate) settings: Settings,
    client: Client,
    secrets: Secrets,
    findings: BTreeMap<Switch, Finding>,
    facts: Vec<(String, String)>,
    steps: Vec<Step>,
    still_valid: Vec<String>,
    pub(crate) began_at: u64,
    /// How far TikTok Shop's clock is ahead of this machine's clock, in seconds. `None` until it is known.
    pub(crate) offset: Option<i64>,
    /// How long the authorization of the latest consent lasts, in seconds.
    pub(crate) lasts: u64,
    /// The current grant. `None` if there is none, or if it may have ended.
    pub(crate) grant: Option<Grant>,
    /// The account of the first consent. `None` if there is none, or if its answer has named none.
    pub(crate) account: Option<String>,
    /// The grant of the first consent, if a second consent followed it.
    pub(crate) earlier: Option<Grant>,
    pub(crate) shops: Vec<Shop>,
    /// The scopes that the token answer lists. `None` if it lists none.
    pub(crate) scopes: Option<Vec<String>>,
    /// The verdict on a list of shops with an access token that works.
    pub(crate) good: Option<(u16, Option<i64>)>,
    /// The verdict on a list of shops with an access token that does not exist.
    pub(crate) invented_token: Option<(u16, Option<i64>)>,
    /// The verdict on a cipher that belongs to no shop.
    pub(crate) wrong_cipher: Option<(u16, Option<i64>)>,
    /// The webhooks whose signature fits.
    pub(crate) notifications: Vec<Notification>,
    /// The number of webhooks whose signature does not fit.
    pub(crate) others: usize,
    /// The shops that the run has removed.
    pub(crate) removals: Vec<Removal>,
    /// The number of shops of the grant that one call of Deauthorize Shop has removed as a whole.
    pub(crate) removed_at_once: Option<usize>,
}

impl<'w, W: World> Session<'w, W> {
    pub(crate) fn new(settings: Settings, world: &'w mut W) -> Result<Self, Away> {
        let client = Client::new(settings.route)?;
        let mut secrets = Secrets::default();
        secrets.add(settings.app.app_secret.expose());
        secrets.add(&settings.app.app_key);
        let link = settings.app.authorization_link.as_deref().unwrap_or_default();
        let query = link.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).for_each(|(_, value)| secrets.add(&value));
        let began_at = world.now().as_secs();
        Ok(Self {
            world,
            settings,
            client,
            secrets,
            findings: BTreeMap::new(),
            facts: Vec::new(),
            steps: Vec::new(),
            still_valid: Vec::new(),
            began_at,
            offset: None,
            lasts: u64::MAX,
            grant: None,
            account: None,
            earlier: None,
            shops: Vec::new(),
            scopes: None,
            good: None,
            invented_token: None,
            wrong_cipher: None,
            notifications: Vec::new(),
            others: 0,
            removals: Vec::new(),
            removed_at_once: None,
        })
    }

    /// Returns the report. Questions without an answer get the reason why the run has not answered them.
    pub(crate) fn into_report(mut self, ended: Ended) -> Report {
        let why = if ended == Ended::Complete {
            "the steps of this run did not answer it".to_owned()
        } else {
            format!("the run ended before: {ended}")
        };
        for switch in Switch::ALL {
            let finding = self.findings.entry(*switch).or_insert_with(|| Finding::not_observable(&why));
            // A run that ended early should first run to its end.
            let missing = if ended == Ended::Complete { missing(*switch, &self.settings) } else { None };
            if let (Finding::NotObservable { why }, Some(missing)) = (finding, missing) {
                *why = format!("{why}; {missing}");
            }
        }
        let clean = |text: &mut String| *text = self.secrets.removed_from(text);
        for step in &mut self.steps {
            clean(&mut step.did);
            step.seen.iter_mut().for_each(clean);
            // An answer may have repeated a secret that a later answer has shown to be one.
            for answer in &mut step.answers {
                let SeenAnswer { request, message, members, data_members, content_type, .. } = answer;
                let names = members.iter_mut().chain(data_members);
                [request, message].into_iter().chain(names).chain(content_type).for_each(clean);
            }
        }
        self.facts.iter_mut().for_each(|(_, fact)| clean(fact));
        for finding in self.findings.values_mut() {
            match finding {
                Finding::Seen { value, why, .. } | Finding::AtLeast { value, why } => {
                    self.secrets.remove_from_json(value);
                    clean(why);
                }
                Finding::NotObservable { why } | Finding::Unclear { why } => clean(why),
            }
        }
        let ended = match ended {
            Ended::Complete => Ended::Complete,
            Ended::Stopped => Ended::Stopped,
            Ended::AllowList(why) => Ended::AllowList(self.secrets.removed_from(&why)),
            Ended::Away(why) => Ended::Away(self.secrets.removed_from(&why)),
            Ended::NoConsent(why) => Ended::NoConsent(self.secrets.removed_from(&why)),
            Ended::Refused(why) => Ended::Refused(self.secrets.removed_from(&why)),
            Ended::WrongSecret(why) => Ended::WrongSecret(self.secrets.removed_from(&why)),
        };
        Report {
            is_fake: self.settings.route != crate::http::Route::TikTokShop,
            began_at: self.began_at,
            ended,
            still_valid: self.still_valid,
            findings: self.findings,
            facts: self.facts,
            steps: self.steps,
        }
    }

    /// Records the answer to a question. It replaces an earlier answer.
    pub(crate) fn find(&mut self, switch: Switch, finding: Finding) {
        self.findings.insert(switch, finding);
    }

    /// Returns whether the question has an answer that names a value.
    pub(crate) fn has_seen(&self, switch: Switch) -> bool {
        self.findings.get(&switch).is_some_and(|finding| finding.value().is_some())
    }

    /// Returns whether this value was seen.
    pub(crate) fn has_value(&self, switch: Switch, value: &str) -> bool {
        self.findings.get(&switch).and_then(Finding::value).and_then(Value::as_str) == Some(value)
    }

    /// Returns whether the question is unclear for this reason.
    pub(crate) fn is_unclear_because(&self, switch: Switch, reason: &str) -> bool {
        matches!(self.findings.get(&switch), Some(Finding::Unclear { why }) if why == reason)
    }

    pub(crate) fn fact(&mut self, what: &str, fact: impl Into<String>) {
        self.facts.push((what.to_owned(), fact.into()));
    }

    pub(crate) fn keep_secret(&mut self, text: &str) {
        self.secrets.add(text);
    }

    /// Prepares a text of TikTok Shop for the report.
    pub(crate) fn shown(&self, text: &str) -> String {
        self.secrets.shown(text)
    }

    /// Sets what may still be valid after the run.
    pub(crate) fn set_still_valid(&mut self, what: impl IntoIterator<Item = String>) {
        self.still_valid = what.into_iter().collect();
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, did: &str) {
        self.steps.push(Step { did: did.to_owned(), answers: Vec::new(), seen: Vec::new() });
        self.world.say(did);
    }

    /// Adds something to the current step.
    pub(crate) fn saw(&mut self, what: String) {
        if let Some(step) = self.steps.last_mut() {
            step.seen.push(what);
        }
    }

    /// Returns TikTok Shop's time in seconds since 1970, as far as it is known.
    pub(crate) fn now(&self) -> u64 {
        self.at_tiktok_shop(self.world.now())
    }

    /// Converts a time of this machine into TikTok Shop's time.
    pub(crate) fn at_tiktok_shop(&self, time: Duration) -> u64 {
        let offset = self.offset.filter(|offset| offset.unsigned_abs() > SMALL_OFFSET).unwrap_or_default();
        time.as_secs().saturating_add_signed(offset)
    }

    /// Lets time pass, and keeps the webhooks that arrive.
    pub(crate) async fn wait(&mut self, seconds: u64) -> Result<(), Ended> {
        if seconds > 0 {
            self.world.wait(Duration::from_secs(seconds)).await.map_err(|_| Ended::Stopped)?;
        }
        self.take_webhooks();
        self.check_stop()
    }

    pub(crate) fn check_stop(&self) -> Result<(), Ended> {
        if self.world.is_stopped() { Err(Ended::Stopped) } else { Ok(()) }
    }

    /// Sends a request and records the answer. `what` names the mistake in the request, if it has one.
    async fn send(&mut self, request: &Request<'_>, what: &str) -> Result<Answer, Ended> {
        self.check_stop()?;
        let path = request.path_and_query.expose().split('?').next().unwrap_or_default();
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        };
        let name = format!("{method} {}{path}", request.authority.host());
        let name = if what.is_empty() { name } else { format!("{name}, {what}") };
        let sent = self.client.send(request).await;
        let answer = sent.map_err(|away| Ended::Away(self.secrets.shown(&away.0)))?;
        self.record(name, &answer);
        let message = answer.message().to_ascii_lowercase();
        let names_a_list = ["allow list", "allowlist", "white list", "whitelist"].iter().any(|w| message.contains(w));
        if answer.code() == Some(ALLOW_LIST) || (answer.code() != Some(0) && names_a_list) {
            let message = self.secrets.shown(answer.message());
            return Err(Ended::AllowList(format!("{}, “{message}”", answer.in_words())));
        }
        Ok(answer)
    }

    fn record(&mut self, request: String, answer: &Answer) {
        let names = |members: Option<&Map<String, Value>>| -> Vec<String> {
            members.into_iter().flat_map(Map::keys).map(|name| self.secrets.shown(name)).collect()
        };
        let data = match answer.data() {
            None => "missing",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "boolean",
            Some(Value::Number(_)) => "number",
            Some(Value::String(_)) => "text",
            Some(Value::Array(_)) => "array",
            Some(Value::Object(_)) => "object",
        };
        let mut headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        headers.sort_unstable();
        let content_type = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
        let seen = SeenAnswer {
            request,
            status: answer.status,
            code: answer.code(),
            message: self.secrets.shown(answer.message()),
            members: names(answer.members.as_ref()),
            data,
            data_members: names(answer.data().and_then(Value::as_object)),
            headers,
            content_type: content_type.map(|text| self.secrets.shown(text)),
        };
        if let Some(step) = self.steps.last_mut() {
            step.answers.push(seen);
        }
    }

    /// Sends a request to the token host.
    pub(crate) async fn token_request(
        &mut self,
        path: &str,
        app_secret: Option<&str>,
        parameters: [(&str, &str); 2],
        what: &str,
    ) -> Result<Answer, Ended> {
        let app = &self.settings.app;
        let secret = app_secret.unwrap_or_else(|| app.app_secret.expose());
        let [first, second] = parameters;
        let pairs = [("app_key", app.app_key.as_str()), ("app_secret", secret), first, second];
        let request = Request {
            authority: Authority::TokenHost,
            method: Method::Get,
            path_and_query: target(path, &pairs),
            access_token: None,
            content_type: None,
            body: &[],
            max_response_bytes: MAX_BYTES,
        };
        self.send(&request, what).await
    }

    /// Exchanges a code.
    pub(crate) async fn exchange(&mut self, code: &str, app_secret: Option<&str>, what: &str) -> Result<Answer, Ended> {
        let parameters = [("auth_code", code), ("grant_type", "authorized_code")];
        self.token_request("/api/v2/token/get", app_secret, parameters, what).await
    }

    /// Exchanges a refresh token.
    pub(crate) async fn refresh(&mut self, token: &RefreshToken, what: &str) -> Result<Answer, Ended> {
        self.refresh_with(token, None, "refresh_token", what).await
    }

    pub(crate) async fn refresh_with(
        &mut self,
        token: &RefreshToken,
        app_secret: Option<&str>,
        grant_type: &str,
        what: &str,
    ) -> Result<Answer, Ended> {
        let parameters = [("refresh_token", token.expose()), ("grant_type", grant_type)];
        self.token_request("/api/v2/token/refresh", app_secret, parameters, what).await
    }

    /// Reads the tokens of a successful answer. `before` is the grant whose refresh token was sent. If the answer has no
    /// refresh token, the earlier one stays in use. If it does not say when the authorization ends, the earlier end
    /// stays.
    pub(crate) fn read_grant(&mut self, answer: &Answer, before: Option<&Grant>) -> Option<Grant> {
        for name in ["access_token", "refresh_token", "open_id", "seller_name"] {
            if let Some(text) = answer.text(name) {
                self.secrets.add(text);
            }
        }
        if !answer.is_success() {
            return None;
        }
        let filled = |name| answer.text(name).filter(|text| !text.trim().is_empty());
        let refresh = match (filled("refresh_token"), before) {
            (Some(token), _) => RefreshToken::new(token.to_owned()),
            (None, Some(before)) => before.refresh.duplicate(),
            (None, None) => return None,
        };
        Some(Grant {
            access: AccessToken::new(filled("access_token")?.to_owned()),
            refresh,
            access_ends: answer.number("access_token_expire_in").unwrap_or_default(),
            ends: answer
                .number("refresh_token_expire_in")
                .or_else(|| before.map(|grant| grant.ends))
                .unwrap_or_default(),
            account: filled("open_id").map(str::to_owned),
        })
    }

    /// Makes a signed call. If TikTok Shop asks for a pause, waits and sends the call again.
    pub(crate) async fn call(
        &mut self,
        call: &Call<'_>,
        token: Option<&AccessToken>,
        what: &str,
    ) -> Result<Answer, Ended> {
        for _ in 0..MAX_PAUSES {
            let answer = self.call_once(call, token, what).await?;
            let Some(pause) = answer.pause() else { return Ok(answer) };
            self.wait(pause.as_secs()).await?;
        }
        self.call_once(call, token, what).await
    }

    async fn call_once(&mut self, call: &Call<'_>, token: Option<&AccessToken>, what: &str) -> Result<Answer, Ended> {
        let timestamp = self.now().saturating_add_signed(call.timestamp_shift).to_string();
        let app: &Credentials = &self.settings.app;
        let mut query = call.query.to_vec();
        query.extend([("app_key", call.app_key.unwrap_or(&app.app_key)), ("timestamp", timestamp.as_str())]);
        query.extend(call.cipher.map(|cipher| ("shop_cipher", cipher.expose())));
        let content_type = (call.method != Method::Get).then_some("application/json");
        let body = (!call.body.is_empty() && !call.leaves_body_out).then_some((call.body, content_type));
        let mut sign = Signable { path: call.path, query: &query, body }.signature(&app.app_secret);
        if call.spoils_signature {
            sign = sign.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
        }
        query.push(("sign", &sign));
        let request = Request {
            authority: Authority::Api,
            method: call.method,
            path_and_query: target(call.path, &query),
            access_token: token.map(AccessToken::duplicate),
            content_type,
            body: call.body,
            max_response_bytes: MAX_BYTES,
        };
        self.send(&request, what).await
    }

    /// Lists the shops with an access token.
    pub(crate) async fn list_shops(&mut self, token: &AccessToken, what: &str) -> Result<Answer, Ended> {
        self.call(&Call::get(LIST_SHOPS), Some(token), what).await
    }

    /// Reads the shops of a successful answer. Returns `None` if the answer has no list of shops.
    pub(crate) fn read_shops(&mut self, answer: &Answer) -> Option<Vec<Shop>> {
        let rows = answer.is_success().then(|| answer.data()?.get("shops")?.as_array())??;
        let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut shops = Vec::new();
        for row in rows {
            for name in ["id", "name", "code", "cipher"] {
                if let Some(text) = text(row, name) {
                    self.secrets.add(&text);
                }
            }
            let id = text(row, "id").or_else(|| Some(row.get("id")?.as_u64()?.to_string()));
            shops.extend(id.map(|id| Shop { id, cipher: text(row, "cipher").map(ShopCipher::new) }));
        }
        Some(shops)
    }

    /// Tells whether the token of a call was accepted. `good` is the verdict on the same call with a token that works. If
    /// an invented token gets this verdict, too, the call does not show whether a token works.
    pub(crate) fn token_state(&self, answer: &Answer, good: (u16, Option<i64>)) -> TokenState {
        match answer.code() {
            _ if answer.verdict() == good && self.invented_token == Some(good) => TokenState::Unknown,
            _ if answer.verdict() == good => TokenState::Works,
            Some(105_002) => TokenState::Expired,
            Some(105_001) => TokenState::Invalid,
            Some(BAD_REQUEST) if names_the_token(answer.message()) => TokenState::Invalid,
            Some(_) | None => TokenState::Unknown,
        }
    }

    /// Asks whether an access token works, by listing the shops.
    pub(crate) async fn state_of(
        &mut self,
        token: &AccessToken,
        good: (u16, Option<i64>),
        what: &str,
    ) -> Result<TokenState, Ended> {
        let answer = self.list_shops(token, what).await?;
        Ok(self.token_state(&answer, good))
    }
}

/// Returns whether a message with the code 36009004 says that the access token is invalid, and not that it is missing
/// or malformed.
pub(crate) fn names_the_token(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("x-tts-access-token") && message.contains("credential") && message.contains("invalid")
}

/// Returns whether a refresh was refused because of its token.
pub(crate) fn refuses_refresh_token(answer: &Answer) -> bool {
    matches!(answer.code(), Some(ENDED_REFRESH_TOKEN | UNKNOWN_REFRESH_TOKEN))
}

/// Draws a random text of hexadecimal digits. Nothing depends on it being unguessable, except the state of a consent.
pub(crate) fn random_text() -> Result<Zeroizing<String>, Ended> {
    let mut bytes = Zeroizing::new([0_u8; 16]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| Ended::Refused(format!("no randomness: {error}")))?;
    Ok(Zeroizing::new(hex::encode(bytes.as_slice())))
}

/// Returns a text with the same form, but with other letters and digits at its end.
pub(crate) fn mangled(text: &str) -> String {
    let kept = text.len().saturating_sub(12);
    let changed = |(at, c): (usize, char)| match c {
        _ if at < kept => c,
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        c if c.is_ascii_alphanumeric() => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        c => c,
    };
    text.char_indices().map(changed).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tiktok_shop_connector_core::secret::AppSecret;

    use super::*;
    use crate::http::Route;
    use crate::settings::{Refusal, Risk, Webhooks};
    use crate::webhook_receiver::Arrival;
    use crate::world::{Decision, NoCallback, Stopped};

    /// A world in which nothing happens.
    struct Still;

    impl World for Still {
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn is_stopped(&self) -> bool {
            false
        }

        async fn callback(&mut self, _link: &str, _decision: Decision) -> Result<Zeroizing<String>, NoCallback> {
            Err(NoCallback::Skipped)
        }

        async fn wait(&mut self, _time: Duration) -> Result<(), Stopped> {
            Ok(())
        }

        fn webhooks(&mut self) -> Vec<Arrival> {
            Vec::new()
        }

        fn say(&mut self, _text: &str) {}
    }

    #[test]
    fn a_refresh_that_does_not_tell_the_end_keeps_it() {
        let settings = Settings {
            app: Credentials {
                app_key: "key".to_owned(),
                app_secret: AppSecret::new("secret".to_owned()),
                previous_app_secret: None,
                authorization_link: None,
                link_scheme: tiktok_shop_connector_core::authorization_link::LinkScheme::Https,
            },
            route: Route::TikTokShop,
            risk: Risk::None,
            longest_wait: Duration::ZERO,
            refusal: Refusal::Omitted,
            webhooks: Webhooks::None,
            app_scopes: Vec::new(),
        };
        let mut world = Still;
        let Ok(mut session) = Session::new(settings, &mut world) else { panic!("TLS") };
        let before = Grant {
            access: AccessToken::new("a".to_owned()),
            refresh: RefreshToken::new("b".to_owned()),
            access_ends: 50,
            ends: 100,
            account: None,
        };
        let mut ends = |data: Value| {
            let members = serde_json::json!({ "code": 0, "data": data }).as_object().cloned();
            let answer = Answer { status: 200, headers: HeaderMap::new(), members };
            let after = session.read_grant(&answer, Some(&before))?;
            Some((after.access_ends, after.ends))
        };
        // The end of the new access token is another one than the end of the earlier.
        assert_eq!(ends(serde_json::json!({ "access_token": "c" })), Some((0, 100)));
        let told = serde_json::json!({ "access_token": "c", "refresh_token_expire_in": 90 });
        assert_eq!(ends(told), Some((0, 90)));
    }

    #[test]
    fn a_mangled_text_keeps_its_form_and_differs() {
        assert_eq!(mangled("ROW_prefixabcXYZ019_-z"), "ROW_prefixbcdYZA120_-a");
        assert_eq!(mangled("a"), "b");
        assert_eq!(mangled(""), "");
    }

    #[test]
    fn only_an_invalid_token_counts_as_one() {
        assert!(names_the_token("Invalid credentials. The 'x-tts-access-token' header is invalid. For more…"));
        assert!(!names_the_token("Missing or malformed access token in x-tts-access-token"));
        assert!(!names_the_token("Invalid app_key"));
    }
}
