//! Remembers the secrets of one call, and checks that the guest hands out none of them unencrypted.
//!
//! The host sees every secret that it gives to the guest: the app's credentials, the arguments of the call, stored
//! tokens and ciphers, and TikTok's answers. The host remembers these secrets until the call ends. It searches for them
//! in everything that the guest hands out and that the host does not seal: rows, ids and revisions for the storage,
//! results, and errors. The one exception is the body that `call` returns, because this body is TikTok's answer to the
//! caller.
//!
//! The check finds a secret in each of these forms: unchanged, in any letter case, percent-encoded, in hexadecimal, in
//! Base64, and as a list of decimal numbers. The check stops mistakes and simple leaks. It can't stop a guest that
//! hides a secret in another way.

mod members;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use http::Request;
use memchr::memmem;
use percent_encoding::percent_decode;
use serde_json::Value;
use tiktok_shop_connector_core::pending_install::PendingInstall as CorePendingInstall;
use tiktok_shop_connector_core::record::TokenRecord;

pub(super) use self::members::Tapped;
use super::convert::GuestEffect;
use crate::access_token::ValidToken;
use crate::call::CallResponse;
use crate::connect::Grant;
use crate::connection::{Connection, ConnectionKey, PastFailure, Shop};
use crate::credentials::AppCredentials;
use crate::disconnect::{Disconnected, NotRevoked, RevokedShop};
use crate::error::Failure;
use crate::existing_grant::ExistingGrant;
use crate::install::{ExchangedInstall, InstallShop, InstallTokens};
use crate::seal::OpenToken;
use crate::secret::Secret;
use crate::storage::OpenRow;
use crate::webhook::{Webhook, WebhookOwner};

/// The length in bytes of the shortest secret for which the host searches. A shorter text could occur by chance. TikTok
/// Shop's secrets are longer.
const MIN_SECRET_BYTES: usize = 12;
/// The largest number of secrets that are searched for one after the other. For more secrets, the host builds an
/// automaton, which searches for all of them at once. Building it takes longer than a few searches.
const MAX_SINGLE_SEARCHES: usize = 32;
/// The query parameters whose values are secrets.
const SECRET_PARAMETERS: [&str; 6] =
    ["access_token", "app_secret", "auth_code", "refresh_token", "shop_cipher", "sign"];
/// The header that carries the access token.
const TOKEN_HEADER: &str = "x-tts-access-token";
/// This text replaces each text of an error that contains a secret.
const REMOVED: &str = "[removed, because it contained a secret]";

/// Decodes Base64 in the standard alphabet. The caller first replaces `-` and `_`, which belong to the URL-safe
/// alphabet. Accepts a text that was cut off anywhere.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How many secrets are learned from one request. A request of the connector has fewer than ten. The more
/// secrets are known, the longer each search takes.
const MAX_SECRETS_OF_A_REQUEST: usize = 64;

/// The secrets of one call. All clones share the same secrets.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    known: Arc<Mutex<Known>>,
    /// The secrets that the result of the call may contain.
    in_result: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// The secrets in lower case.
    texts: BTreeSet<Vec<u8>>,
    /// The automaton that searches for all `texts`. It is built when it is needed, and dropped when a text is added.
    automaton: Option<AhoCorasick>,
}

impl Secrets {
    /// Returns the secrets of a call that builds a link to the consent page. The only secret is the state. The result
    /// of the call may contain the state, because it is a part of the link.
    pub(crate) fn of_link(state: &Secret) -> Self {
        let secrets = Self::default();
        lock(&secrets.in_result).learn(state.expose());
        secrets
    }

    /// Returns the secrets of the grant that a call turns into a connection.
    pub(crate) fn of_grant(grant: &Grant) -> Self {
        let secrets = Self::default();
        match grant {
            Grant::Code(code) => secrets.learn(code.expose()),
            Grant::Callback { query, state } => {
                secrets.learn_callback(query);
                secrets.learn(state.expose());
            }
            Grant::Existing(grant) => {
                secrets.learn(grant.refresh_token.expose());
                grant.access_token.iter().for_each(|token| secrets.learn(token.expose()));
            }
            Grant::Pending(tokens) => secrets.learn_install(tokens),
        }
        secrets
    }

    /// Returns the secrets in the callback of an install from TikTok's App Store.
    pub(crate) fn of_install_callback(query: &Secret) -> Self {
        let secrets = Self::default();
        secrets.learn_callback(query);
        secrets
    }

    /// Returns the secrets of a pending install.
    pub(crate) fn of_install(tokens: &InstallTokens) -> Self {
        let secrets = Self::default();
        secrets.learn_install(tokens);
        secrets
    }

    fn learn_callback(&self, query: &Secret) {
        for (name, value) in form_urlencoded::parse(query.expose().as_bytes()) {
            if matches!(&*name, "code" | "state") {
                self.learn(&value);
            }
        }
    }

    fn learn_install(&self, tokens: &InstallTokens) {
        if let Ok(install) = CorePendingInstall::decode(tokens.expose()) {
            self.learn_tokens(&install.record);
        }
    }

    /// Adds a secret.
    pub(super) fn learn(&self, text: &str) {
        lock(&self.known).learn(text);
    }

    pub(super) fn learn_credentials(&self, credentials: &AppCredentials) {
        self.learn(credentials.app_secret.expose());
        if let Some(previous) = &credentials.previous_app_secret {
            self.learn(previous.expose());
        }
    }

    /// Adds the tokens of a stored token record. If the connector's own code can't read the record, adds nothing. The
    /// host then learns the tokens of this record only if it sees them in an answer of TikTok or in a request.
    pub(super) fn learn_record(&self, value: &[u8]) {
        if let Ok(record) = TokenRecord::decode(value) {
            self.learn_tokens(&record);
        }
    }

    fn learn_tokens(&self, record: &TokenRecord) {
        let current = record.current();
        let access = current.access.iter().map(|token| token.expose());
        let refresh = current.refresh.iter().chain(record.fallbacks()).chain(record.rejected());
        access.chain(refresh.map(|token| token.expose())).for_each(|token| self.learn(token));
    }

    pub(super) fn learn_records<'a>(&self, entries: impl IntoIterator<Item = &'a OpenToken>) {
        entries.into_iter().for_each(|entry| self.learn_record(&entry.value));
    }

    /// Adds the ciphers of a row.
    pub(super) fn learn_ciphers(&self, row: &OpenRow) {
        row.connection
            .shops
            .iter()
            .filter_map(|shop| shop.cipher.as_ref())
            .for_each(|cipher| self.learn(cipher.expose()));
    }

    /// Adds the secrets that a request of the guest contains.
    pub(super) fn learn_request<B>(&self, request: &Request<B>) {
        let tokens = request.headers().get_all(TOKEN_HEADER).into_iter().filter_map(|token| token.to_str().ok());
        let query = request.uri().query().unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes());
        let parameters = parameters.filter(|(name, _)| SECRET_PARAMETERS.contains(&&**name));
        let secrets = tokens.map(Cow::from).chain(parameters.map(|(_, value)| value));
        secrets.take(MAX_SECRETS_OF_A_REQUEST).for_each(|secret| self.learn(&secret));
    }

    /// Returns whether a clear text of `value` contains a secret.
    pub(super) fn are_in(&self, value: &(impl ClearTexts + ?Sized)) -> bool {
        self.are_in_result(value) || lock(&self.in_result).are_in(value)
    }

    /// Returns whether a clear text of `value` contains a secret that the result of the call may not contain.
    pub(super) fn are_in_result(&self, value: &(impl ClearTexts + ?Sized)) -> bool {
        lock(&self.known).are_in(value)
    }

    /// Replaces each text of an error that contains a secret. The error keeps its action, which says what to do next.
    pub(super) fn removed_from(&self, failure: Failure) -> Failure {
        if !self.are_in(&failure) {
            return failure;
        }
        let keep = |text: String| if self.are_in(&text) { REMOVED.to_owned() } else { text };
        tracing::error!("an error of the component contained a secret, which was removed");
        let Failure { code, detail, http_status, request_id } = failure;
        Failure { code: keep(code), detail: keep(detail), http_status, request_id: request_id.map(keep) }
    }
}

impl Known {
    fn learn(&mut self, text: &str) {
        if text.len() >= MIN_SECRET_BYTES && self.texts.insert(text.to_ascii_lowercase().into_bytes()) {
            self.automaton = None;
        }
    }

    fn are_in(&mut self, value: &(impl ClearTexts + ?Sized)) -> bool {
        let Some(shortest) = self.texts.iter().map(Vec::len).min() else { return false };
        if self.automaton.is_none() && self.texts.len() > MAX_SINGLE_SEARCHES {
            // Each automaton runs only a few times, so the kind that is built fastest is best.
            let kind = Some(AhoCorasickKind::NoncontiguousNFA);
            self.automaton = AhoCorasick::builder().kind(kind).build(&self.texts).ok();
            if self.automaton.is_none() {
                // Building the automaton fails only for gigabytes of secrets. Every value then counts as one that
                // contains a secret.
                return true;
            }
        }
        let search = Search { texts: &self.texts, automaton: self.automaton.as_ref(), shortest };
        let mut found = false;
        value.each_clear_text(&mut |text| found = found || search.finds_in(text));
        found
    }
}

/// Searches texts for secrets.
struct Search<'a> {
    /// The secrets in lower case.
    texts: &'a BTreeSet<Vec<u8>>,
    automaton: Option<&'a AhoCorasick>,
    /// The length in bytes of the shortest secret. A text that is shorter needs no search.
    shortest: usize,
}

impl Search<'_> {
    /// Returns whether the text contains a secret, unchanged or in an encoding.
    fn finds_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        if bytes.len() < self.shortest {
            return false;
        }
        self.is_match(bytes)
            || (text.contains('%') && self.is_match(&Cow::from(percent_decode(bytes))))
            || runs(bytes, 2 * self.shortest, |byte| byte.is_ascii_hexdigit())
                .any(|run| (0..2).any(|start| self.is_match(&from_hex(run, start))))
            || runs(bytes, self.shortest / 3 * 4, is_base64)
                .any(|run| (0..4).any(|start| self.is_match(&from_base64(run, start))))
            || (numbers(text).nth(self.shortest - 1).is_some() && self.is_match(&from_decimals(text)))
    }

    /// Returns whether the bytes contain a secret in any letter case.
    fn is_match(&self, bytes: &[u8]) -> bool {
        if bytes.len() < self.shortest {
            return false;
        }
        let bytes = bytes.to_ascii_lowercase();
        match self.automaton {
            Some(automaton) => automaton.is_match(&bytes),
            None => self.texts.iter().any(|text| memmem::find(&bytes, text).is_some()),
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Splits the text at the bytes that `belongs` does not accept. Returns the parts that have at least `least` bytes.
fn runs(text: &[u8], least: usize, belongs: impl Fn(u8) -> bool) -> impl Iterator<Item = &[u8]> {
    text.split(move |byte| !belongs(*byte)).filter(move |run| run.len() >= least)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Decodes the hexadecimal digits from `start` on. The caller tries the starts 0 and 1, because the character before
/// the secret may also be a hexadecimal digit.
fn from_hex(run: &[u8], start: usize) -> Vec<u8> {
    let digits = run.get(start..).unwrap_or_default();
    let pairs = digits.get(..digits.len() / 2 * 2).unwrap_or_default();
    hex::decode(pairs).unwrap_or_default()
}

/// Decodes the Base64 digits from `start` on. The caller tries the starts 0 to 3, because characters before the secret
/// may also be Base64 digits.
fn from_base64(run: &[u8], start: usize) -> Vec<u8> {
    let standard = |digit: &u8| match digit {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    let mut digits: Vec<u8> = run.get(start..).unwrap_or_default().iter().map(standard).collect();
    // A single digit at the end contains less than a byte.
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    BASE64.decode(digits).unwrap_or_default()
}

/// Reads a list of decimal numbers as bytes, whatever stands between the numbers. A number that does not fit into a
/// byte becomes a zero. If the number were left out, the bytes before and after it could form a secret.
fn from_decimals(text: &str) -> Vec<u8> {
    numbers(text).map(|number| number.parse().unwrap_or_default()).collect()
}

/// Returns the decimal numbers in a text.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty())
}

/// A value with clear texts: texts that leave the guest unencrypted. Every implementation names all fields of its type,
/// so a new field breaks the build.
pub(crate) trait ClearTexts {
    /// Calls `see` with every clear text of the value.
    fn each_clear_text(&self, see: &mut dyn FnMut(&str));
}

impl ClearTexts for str {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        see(self);
    }
}

impl ClearTexts for String {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        see(self);
    }
}

/// A result of this type is the link to the consent page. The seller's browser gets the link.
impl ClearTexts for Secret {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        see(self.expose());
    }
}

impl<T: ClearTexts> ClearTexts for Vec<T> {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        self.iter().for_each(|item| item.each_clear_text(see));
    }
}

impl<T: ClearTexts> ClearTexts for Option<T> {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        self.iter().for_each(|item| item.each_clear_text(see));
    }
}

impl ClearTexts for Failure {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { code, detail, http_status: _, request_id } = self;
        see(code);
        see(detail);
        request_id.each_clear_text(see);
    }
}

impl ClearTexts for ConnectionKey {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { customer, account } = self;
        see(customer.as_str());
        see(account.as_str());
    }
}

impl ClearTexts for Shop {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { id, account, app, name, region, seller_type, cipher: _, code, raw, standing: _, linked: _ } = self;
        if let Some(app) = app {
            see(app.as_str());
        }
        for text in [id.as_str(), account.as_str(), name, region, seller_type, code, raw] {
            see(text);
        }
    }
}

impl ClearTexts for Connection {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self {
            key,
            app,
            seller_name,
            seller_base_region,
            granted_scopes,
            shop_policy: _,
            status: _,
            access_expires_at: _,
            refresh_expires_at: _,
            authorization_ends_at: _,
            connected_at: _,
            granted_at: _,
            refreshed_at: _,
            shops_synced_at: _,
            shops,
            last_failure,
        } = self;
        key.each_clear_text(see);
        if let Some(app) = app {
            see(app.as_str());
        }
        see(seller_name);
        see(seller_base_region);
        granted_scopes.each_clear_text(see);
        shops.each_clear_text(see);
        if let Some(PastFailure { at: _, failure }) = last_failure {
            failure.each_clear_text(see);
        }
    }
}

impl ClearTexts for ExchangedInstall {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { app, account, seller_name, seller_base_region, granted_scopes, tokens: _ } = self;
        for text in [app.as_str(), account.as_str(), seller_name, seller_base_region] {
            see(text);
        }
        granted_scopes.each_clear_text(see);
    }
}

impl ClearTexts for InstallShop {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { id, name, region, seller_type, code } = self;
        for text in [id.as_str(), name, region, seller_type, code] {
            see(text);
        }
    }
}

/// The answer of `refresh`.
impl ClearTexts for (Connection, GuestEffect) {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let (connection, effect) = self;
        connection.each_clear_text(see);
        match effect {
            GuestEffect::Renewed | GuestEffect::ShopsRead => {}
            GuestEffect::NothingSent(_, failure) => failure.each_clear_text(see),
        }
    }
}

/// The document of a row. It may have members that this host does not know, so every text in it is searched: as it
/// stands in the document, and decoded.
pub(super) struct Document<'a> {
    text: &'a str,
    value: Value,
}

impl<'a> Document<'a> {
    /// Reads a document. Returns `None` if it is not JSON, or if it is nested more than 128 levels deep.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        Some(Self { text, value: serde_json::from_str(text).ok()? })
    }
}

impl ClearTexts for Document<'_> {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        see(self.text);
        self.value.each_clear_text(see);
    }
}

impl ClearTexts for Value {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
            Self::String(text) => see(text),
            Self::Array(items) => items.iter().for_each(|item| item.each_clear_text(see)),
            Self::Object(members) => members.iter().for_each(|(name, value)| {
                see(name);
                value.each_clear_text(see);
            }),
        }
    }
}

impl ClearTexts for ValidToken {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { account, token: _, expires_at: _ } = self;
        see(account.as_str());
    }
}

impl ClearTexts for ExistingGrant {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { account, refresh_token: _, access_token: _, access_token_ends: _, refresh_token_ends: _ } = self;
        if let Some(account) = account {
            see(account.as_str());
        }
    }
}

/// The body is not searched: it is TikTok's answer to the caller, who may have asked for secrets. For example, TikTok's
/// list of shops contains ciphers.
impl ClearTexts for CallResponse {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { http_status: _, code, request_id, content_type, body: _ } = self;
        code.each_clear_text(see);
        request_id.each_clear_text(see);
        content_type.each_clear_text(see);
    }
}

impl ClearTexts for NotRevoked {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { account, shop, failure } = self;
        see(account.as_str());
        if let Some(shop) = shop {
            see(shop.as_str());
        }
        failure.each_clear_text(see);
    }
}

impl ClearTexts for RevokedShop {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { account, shop } = self;
        see(account.as_str());
        see(shop.as_str());
    }
}

impl ClearTexts for Disconnected {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { found, remaining, revoked, not_revoked } = self;
        found.each_clear_text(see);
        remaining.each_clear_text(see);
        revoked.each_clear_text(see);
        not_revoked.each_clear_text(see);
    }
}

impl ClearTexts for Webhook {
    fn each_clear_text(&self, see: &mut dyn FnMut(&str)) {
        let Self { app, notification_id, event_type: _, shop, occurred_at: _, data, owners, effect: _ } = self;
        see(app.as_str());
        notification_id.each_clear_text(see);
        if let Some(shop) = shop {
            see(shop.as_str());
        }
        see(data);
        for WebhookOwner { key, may_use: _ } in owners {
            key.each_clear_text(see);
        }
    }
}

#[cfg(test)]
mod tests;
