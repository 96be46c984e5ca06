//! The secrets of a stage (a fake TikTok Shop and its hosts), and the places in a request where each of them is
//! allowed.

use std::collections::{BTreeMap, BTreeSet};

use fake_tiktok_shop::{App, Control, RequestRecord, SecretKind};
use tiktok_shop_canaries::{Canaries, MIN_SECRET_BYTES};

/// The names of the kinds of secrets that have no [`SecretKind`]. Failed tests print these names.
const APP_SECRET: &str = "app secret";
const PREVIOUS_APP_SECRET: &str = "previous app secret";
const STATE: &str = "state";
const SIGNATURE: &str = "signature";

fn name(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::AccessToken => "access token",
        SecretKind::AuthorizationCode => "authorization code",
        SecretKind::RefreshToken => "refresh token",
        SecretKind::ShopCipher => "shop cipher",
    }
}

/// Returns the previous secret of an app. The fake knows no previous secret, so this is an invented one: the characters
/// of the app's secret in reverse order. No request may contain it.
pub(crate) fn previous_app_secret(app: &App) -> String {
    app.app_secret.chars().rev().collect()
}

/// Collects all secrets that the fake knows: the secrets of its apps, every code, token and cipher that it has issued,
/// and the signatures of the requests in its log.
pub(crate) fn canaries(fake: &Control) -> Canaries {
    let mut canaries = Canaries::default();
    for app in fake.apps() {
        canaries.add(APP_SECRET, &app.app_secret);
        canaries.add(PREVIOUS_APP_SECRET, previous_app_secret(&app));
    }
    for secret in fake.issued_secrets() {
        canaries.add(name(secret.kind), secret.value);
    }
    for request in fake.requests() {
        if let Some(sign) = request.parameter("sign") {
            canaries.add(SIGNATURE, sign);
        }
    }
    canaries
}

/// Adds the states of consents to `canaries`, except those that are too short to be searched for.
pub(crate) fn add_states<'a>(canaries: &mut Canaries, states: impl IntoIterator<Item = &'a String>) {
    states.into_iter().filter(|state| state.len() >= MIN_SECRET_BYTES).for_each(|state| canaries.add(STATE, state));
}

/// Returns the only kind of secret that a place in a request may carry, or `None` if the place may carry no secret.
/// `place` is the name of a parameter or header.
fn allowed(request: &RequestRecord, place: &str) -> Option<&'static str> {
    match (request.host.as_str(), request.path.as_str(), place) {
        ("auth.tiktok-shops.com", "/api/v2/token/get" | "/api/v2/token/refresh", "app_secret") => Some(APP_SECRET),
        ("auth.tiktok-shops.com", "/api/v2/token/get", "auth_code") => Some(name(SecretKind::AuthorizationCode)),
        ("auth.tiktok-shops.com", "/api/v2/token/refresh", "refresh_token") => Some(name(SecretKind::RefreshToken)),
        ("open-api.tiktokglobalshop.com", _, "x-tts-access-token") => Some(name(SecretKind::AccessToken)),
        ("open-api.tiktokglobalshop.com", _, "sign") => Some(SIGNATURE),
        ("open-api.tiktokglobalshop.com", _, "shop_cipher") => Some(name(SecretKind::ShopCipher)),
        _ => None,
    }
}

/// Finds secrets in requests where they do not belong: in a wrong parameter or header, in a request to a wrong network
/// host, or in a request of another app. An authorization code may belong to another app, because it comes from a
/// callback. Also reports a request that has a body and is not for the API host.
pub(crate) fn misplaced(fake: &Control, canaries: &Canaries) -> BTreeSet<String> {
    let (apps, requests) = (fake.apps(), fake.requests());
    let mut owners: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    for app in &apps {
        owners.insert(app.app_secret.clone(), (APP_SECRET, app.service_id.clone()));
    }
    for secret in fake.issued_secrets() {
        owners.insert(secret.value, (name(secret.kind), secret.service_id));
    }

    let mut misplaced = BTreeSet::new();
    let mut elsewhere = String::new();
    for request in &requests {
        let own = apps.iter().find(|app| Some(app.app_key.as_str()) == request.parameter("app_key"));
        elsewhere.extend([&request.host, " ", &request.path, "\n"]);
        for (place, value) in request.query.iter().chain(&request.headers) {
            let Some(kind) = allowed(request, place) else {
                elsewhere.extend([place, "=", value, "\n"]);
                continue;
            };
            let Some((found, owner)) = owners.get(value) else { continue };
            let foreign = own.is_none_or(|app| app.service_id != *owner);
            if *found != kind || (foreign && kind != name(SecretKind::AuthorizationCode)) {
                misplaced.insert(format!("{found} in {place} of {}{}", request.host, request.path));
            }
        }
        // Only requests to the API host may have a body: the embedding program chooses the body of a `call`.
        if request.body_length > 0 && request.host != "open-api.tiktokglobalshop.com" {
            misplaced.insert(format!("a body to {}{}", request.host, request.path));
        }
    }
    let found = canaries.found_in(elsewhere.as_bytes());
    misplaced.extend(found.iter().map(|found| format!("{found} elsewhere in a request")));
    misplaced
}
