//! Random settings of the fake, and what a probe can know about each of them.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_tiktok_shop::{
    CallbackExtras, CipherFailureStatus, CiphersOnConsent, DeauthorizeAgain, DeauthorizeNotice, DeauthorizeShop,
    EarlierToken, EmptyData, EndingNoticeZone, ExpirationTime, FailureStatus, GrantNotices, GrantedScopesField,
    InvalidAccessToken, LastShopRemoved, NotificationId, RefreshGrantType, RefreshTokenField, RefreshTokenOnRefresh,
    RefusalError, RefusedWebhook, ReplacedRefreshToken, Switches, TokenFailure, TokenPrefix, TokensAfterRemoval,
    UnsignedEmptyObject, WebhookBody, WebhookCopies, WebhookData, WebhookDelay, WebhookOrder, WebhookShopId,
    WebhookTimestamp, WrongCipher, WrongSecret,
};
use fastrand::Rng;
use serde_json::Value;
use tiktok_shop_probe::finding::Finding;
use tiktok_shop_probe::report::Report;
use tiktok_shop_probe::settings::{Refusal, Risk, Settings};
use tiktok_shop_probe::switch::Switch;

use crate::world::FakeWorld;

/// 2026-01-01T00:00:00Z.
const START: u64 = 1_767_225_600;
const DAY: u64 = 86_400;
/// The time after which an access token of the fake has ended, and the probe looks at it.
const ACCESS_TOKEN_ENDS: u64 = 7 * DAY + 5;

fn pick<T: Copy, const N: usize>(rng: &mut Rng, values: [T; N]) -> T {
    values[rng.usize(..N)]
}

/// Draws a number of seconds up to a day. Short times are as likely as long ones.
fn seconds(rng: &mut Rng) -> u64 {
    let digits = rng.u32(..17);
    rng.u64(2_u64.pow(digits)..2_u64.pow(digits + 1)).min(DAY)
}

fn switches(rng: &mut Rng) -> Switches {
    use EarlierToken::{Honoured, Refused};
    let (grace, again, removal, delay) = (seconds(rng), seconds(rng), seconds(rng), rng.u64(1..55_921));
    Switches {
        // Most questions about refresh tokens can be answered only if a refresh replaces them.
        refresh_token_on_refresh: pick(
            rng,
            [RefreshTokenOnRefresh::New, RefreshTokenOnRefresh::New, RefreshTokenOnRefresh::Unchanged],
        ),
        replaced_refresh_token: pick(
            rng,
            [
                ReplacedRefreshToken::Refused,
                ReplacedRefreshToken::HonouredForSeconds(grace),
                ReplacedRefreshToken::AnsweredAgainForSeconds(again),
                ReplacedRefreshToken::Honoured,
                ReplacedRefreshToken::RevokesFamily,
            ],
        ),
        refresh_token_field: pick(
            rng,
            [
                RefreshTokenField::Present,
                RefreshTokenField::Present,
                RefreshTokenField::Present,
                RefreshTokenField::Missing,
                RefreshTokenField::Empty,
                RefreshTokenField::Blank,
            ],
        ),
        access_token_after_refresh: pick(rng, [Honoured, Refused]),
        access_token_after_consent: pick(rng, [Honoured, Refused]),
        refresh_token_after_consent: pick(rng, [Honoured, Refused]),
        callback_extras: pick(rng, [CallbackExtras::None, CallbackExtras::AppKeyLocaleAndRegion]),
        refusal_error: pick(rng, [RefusalError::AuthDenied, RefusalError::AccessDenied]),
        wrong_secret: pick(
            rng,
            [WrongSecret::Ok, WrongSecret::BadRequest, WrongSecret::Unauthorized, WrongSecret::BadGrant],
        ),
        token_failure: pick(rng, [TokenFailure::Recorded, TokenFailure::LikeApiHost]),
        refresh_grant_type: pick(rng, [RefreshGrantType::RefreshToken, RefreshGrantType::Either]),
        token_prefix: pick(rng, [TokenPrefix::Row, TokenPrefix::Gcp, TokenPrefix::Ttp, TokenPrefix::None]),
        unsigned_empty_object: pick(rng, [UnsignedEmptyObject::Refused, UnsignedEmptyObject::Accepted]),
        status_101000: pick(rng, [FailureStatus::Unauthorized, FailureStatus::Ok]),
        invalid_access_token: pick(rng, [InvalidAccessToken::Code105001, InvalidAccessToken::Code36009004]),
        status_105001: pick(rng, [FailureStatus::Unauthorized, FailureStatus::Ok]),
        status_105002: pick(rng, [FailureStatus::Unauthorized, FailureStatus::Ok]),
        status_106013: pick(rng, [CipherFailureStatus::BadRequest, CipherFailureStatus::Ok]),
        granted_scopes_field: pick(
            rng,
            [GrantedScopesField::Present, GrantedScopesField::Requested, GrantedScopesField::Missing],
        ),
        ciphers_on_consent: pick(rng, [CiphersOnConsent::Unchanged, CiphersOnConsent::New]),
        empty_data: pick(rng, [EmptyData::Object, EmptyData::Null, EmptyData::Missing]),
        wrong_cipher: pick(rng, [WrongCipher::LikeMissing, WrongCipher::DoesNotFit]),
        deauthorize_shop: pick(rng, [DeauthorizeShop::Shop, DeauthorizeShop::Grant]),
        deauthorize_notice: pick(rng, [DeauthorizeNotice::Sent, DeauthorizeNotice::Sent, DeauthorizeNotice::None]),
        deauthorize_again: pick(rng, [DeauthorizeAgain::WrongCipher, DeauthorizeAgain::Success]),
        last_shop_removed: pick(rng, [LastShopRemoved::RemovesGrant, LastShopRemoved::LeavesGrant]),
        tokens_after_removal: pick(rng, [TokensAfterRemoval::Refused, TokensAfterRemoval::HonouredForSeconds(removal)]),
        access_token_after_end: pick(rng, [Honoured, Refused]),
        grant_notices: pick(rng, [GrantNotices::EachShop, GrantNotices::One]),
        ending_notice_zone: pick(rng, [EndingNoticeZone::Utc, EndingNoticeZone::UtcPlus8]),
        notification_id: pick(rng, [NotificationId::Text, NotificationId::Number, NotificationId::Missing]),
        webhook_shop_id: pick(rng, [WebhookShopId::Text, WebhookShopId::Number]),
        webhook_timestamp: pick(
            rng,
            [WebhookTimestamp::Seconds, WebhookTimestamp::Milliseconds, WebhookTimestamp::Text],
        ),
        webhook_data: pick(rng, [WebhookData::Json, WebhookData::Text]),
        expiration_time: pick(rng, [ExpirationTime::Text, ExpirationTime::Number]),
        webhook_copies: pick(rng, [WebhookCopies::One, WebhookCopies::Two]),
        webhook_order: pick(rng, [WebhookOrder::OldestFirst, WebhookOrder::NewestFirst]),
        webhook_body: pick(rng, [WebhookBody::AsSigned, WebhookBody::ReEncoded]),
        webhook_delay: pick(rng, [WebhookDelay::None, WebhookDelay::Seconds(delay)]),
        refused_webhook: pick(rng, [RefusedWebhook::Delivered, RefusedWebhook::SentAgain]),
    }
}

/// Copies settings, which can't be cloned, for another run in this world.
pub(crate) fn copy(settings: &Settings, world: &FakeWorld) -> Settings {
    Settings {
        risk: settings.risk,
        longest_wait: settings.longest_wait,
        refusal: settings.refusal,
        webhooks: settings.webhooks,
        app_scopes: settings.app_scopes.clone(),
        ..world.settings()
    }
}

/// A random fake with a random seller and app, and the options of a random probe.
pub(crate) struct Draw {
    pub(crate) switches: Switches,
    pub(crate) world: FakeWorld,
    pub(crate) settings: Settings,
}

/// What a probe must find out about a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The value. A number of seconds in it may be a range of at most 5 percent.
    Named,
    /// No value, because more than one fits.
    NotNamed,
    /// Anything that is not wrong.
    NotWrong,
}

impl Draw {
    /// Draws a fake and a probe that may do and wait whatever is needed.
    pub(crate) async fn with_every_option(seed: u64) -> Self {
        let mut draw = Self::fake(&mut Rng::with_seed(seed));
        draw.world.receive_webhooks().await;
        draw.settings = Settings {
            risk: Risk::EndsConsent,
            longest_wait: Duration::MAX,
            app_scopes: draw.world.app.scopes.clone(),
            ..draw.world.settings()
        };
        draw
    }

    /// Draws a fake whose authorizations end within days or minutes, and a probe that may do and wait whatever is needed.
    pub(crate) async fn with_short_authorizations(seed: u64) -> Self {
        let draw = Self::with_every_option(seed).await;
        let lasts = pick(&mut Rng::with_seed(seed), [1, 59, 61, 600, 3_600, 3 * DAY, 7 * DAY, 7 * DAY + 100, 8 * DAY]);
        let lasts = Duration::from_secs(lasts);
        let seller = draw.world.seller.clone();
        draw.world.control.update_seller(&seller, |seller| seller.authorization_lasts = lasts).unwrap();
        draw
    }

    /// Draws a fake and a probe with random options that end no consent on purpose.
    pub(crate) fn with_few_options(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut draw = Self::fake(rng);
        draw.world.skips_refusal = rng.bool();
        // No wait of these probes reaches the end of an authorization.
        let (seller, lasts) = (draw.world.seller.clone(), Duration::from_secs(365 * DAY));
        draw.world.control.update_seller(&seller, |seller| seller.authorization_lasts = lasts).unwrap();
        let knows_scopes = rng.bool();
        draw.settings = Settings {
            risk: pick(rng, [Risk::None, Risk::MayEndConsent]),
            longest_wait: Duration::from_secs(pick(rng, [0, 900, 10 * DAY])),
            refusal: pick(rng, [Refusal::Asked, Refusal::Omitted]),
            app_scopes: if knows_scopes { draw.world.app.scopes.clone() } else { Vec::new() },
            ..draw.world.settings()
        };
        draw
    }

    fn fake(rng: &mut Rng) -> Self {
        let switches = switches(rng);
        let sellers = [
            "one-shop",
            "one-shop",
            "several-regions",
            "several-regions",
            "cross-border",
            "cross-border",
            "global-selling",
            "no-shop",
            "creator",
        ];
        let seller = pick(rng, sellers);
        // No notice of a coming end is of 0:00 by chance.
        let now = START + rng.u64(1..57_600);
        let mut world = FakeWorld::new(now, rng.usize(..2), seller);
        let (behind, ahead) = (rng.i64(-90_000..0), rng.i64(1..90_000));
        world.skew = pick(rng, [0, behind, ahead]);
        world.control.set_switches(switches);
        let kept: Vec<_> = world.app.scopes.iter().skip(2).filter(|_| rng.u8(..4) > 0).cloned().collect();
        let granted = [&world.app.scopes[..2], &kept].concat();
        let lasts = Duration::from_secs(pick(rng, [20 * DAY, 365 * DAY, 36_135 * DAY]));
        let limits = rng.bool();
        world
            .control
            .update_seller(seller, |seller| {
                seller.authorization_lasts = lasts;
                if limits {
                    seller.granted_scopes = Some(granted);
                }
            })
            .unwrap();
        let settings = world.settings();
        Self { switches, world, settings }
    }

    fn expected(&self) -> BTreeMap<Switch, Expected> {
        let Self { switches: s, world, settings } = self;
        let seller = world.control.sellers().into_iter().find(|seller| seller.id == world.seller).unwrap();
        let is_creator = seller.user_type == 1;
        let shops = seller.shops.len();
        let ciphers = seller.shops.iter().filter(|shop| shop.cipher.is_some()).count();
        let refused: Vec<&String> = match &seller.granted_scopes {
            Some(granted) => world.app.scopes.iter().filter(|scope| !granted.contains(scope)).collect(),
            None => Vec::new(),
        };
        let has_read = |scope: &str| matches!(scope, "seller.order.info" | "seller.product.basic");
        let risky = settings.risk >= Risk::MayEndConsent;
        let ends = settings.risk == Risk::EndsConsent;
        let wait = settings.longest_wait.as_secs();
        let present = s.refresh_token_field == RefreshTokenField::Present;
        let rotates = present && s.refresh_token_on_refresh == RefreshTokenOnRefresh::New;
        let waits_for_end = wait > seller.authorization_lasts.as_secs() + 5;
        let removes = ends && ciphers > 0;
        let by_shop = s.deauthorize_shop == DeauthorizeShop::Shop;
        let leaves = s.last_shop_removed == LastShopRemoved::LeavesGrant;
        let stands_with_one = by_shop && shops == 1 && leaves;
        let removes_all = removes && by_shop && ciphers == shops;
        let receives = world.receiver.is_some();
        // The notices of a coming end come for each shop.
        let gets_webhooks = receives && shops > 0 && waits_for_end;
        let notices = removes && s.deauthorize_notice == DeauthorizeNotice::Sent && receives;

        let named = |switch: Switch| match switch {
            Switch::RefreshTokenField
            | Switch::AccessTokenAfterRefresh
            | Switch::AccessTokenAfterConsent
            | Switch::RefreshGrantType
            | Switch::CallbackExtras
            | Switch::TokenFailure
            | Switch::TokenPrefix
            | Switch::UnsignedEmptyObject
            | Switch::InvalidAccessToken => true,
            Switch::RefreshTokenOnRefresh => present,
            Switch::ReplacedRefreshToken => risky && rotates,
            Switch::RefreshTokenAfterConsent => risky,
            Switch::RefusalError => settings.refusal == Refusal::Asked && !world.skips_refusal,
            Switch::WrongSecret => risky || s.wrong_secret != WrongSecret::BadGrant,
            Switch::Status101000 => is_creator || s.wrong_cipher == WrongCipher::DoesNotFit,
            Switch::Status105001 => s.invalid_access_token == InvalidAccessToken::Code105001,
            Switch::Status105002 => wait >= ACCESS_TOKEN_ENDS,
            Switch::Status106013 | Switch::WrongCipher => !is_creator,
            Switch::GrantedScopesField => match s.granted_scopes_field {
                GrantedScopesField::Missing => true,
                GrantedScopesField::Present => !refused.is_empty() && !settings.app_scopes.is_empty(),
                GrantedScopesField::Requested => !is_creator && refused.iter().any(|scope| has_read(scope)),
            },
            Switch::CiphersOnConsent | Switch::EmptyData => ciphers > 0,
            Switch::DeauthorizeShop => removes && (shops > 1 || stands_with_one),
            Switch::DeauthorizeAgain => removes && by_shop && (shops > 1 || leaves),
            Switch::LastShopRemoved => removes_all && (shops > 1 || leaves),
            Switch::TokensAfterRemoval => removes && (!by_shop || (ciphers == shops && !leaves)),
            Switch::AccessTokenAfterEnd => waits_for_end,
            Switch::DeauthorizeNotice => notices,
            // A delay of one or two seconds can also be the way of the webhook.
            Switch::WebhookDelay => notices && !matches!(s.webhook_delay, WebhookDelay::Seconds(1 | 2)),
            Switch::GrantNotices => gets_webhooks && shops > 1,
            Switch::EndingNoticeZone
            | Switch::NotificationId
            | Switch::WebhookShopId
            | Switch::WebhookTimestamp
            | Switch::WebhookData
            | Switch::ExpirationTime
            | Switch::WebhookCopies
            | Switch::WebhookBody
            | Switch::RefusedWebhook => gets_webhooks,
            Switch::WebhookOrder => false,
        };
        let limited_grace = wait < u64::MAX
            && !matches!(s.replaced_refresh_token, ReplacedRefreshToken::Refused | ReplacedRefreshToken::RevokesFamily);
        let expected = |switch: Switch| match (switch, named(switch)) {
            (Switch::ReplacedRefreshToken, true) if limited_grace => Expected::NotWrong,
            (_, true) => Expected::Named,
            (_, false) => Expected::NotNamed,
        };
        Switch::ALL.iter().map(|switch| (*switch, expected(*switch))).collect()
    }

    /// Returns where a report names a value that the fake does not have.
    pub(crate) fn wrong(&self, report: &Report) -> Vec<String> {
        let truth = serde_json::to_value(self.switches).unwrap();
        let wrong = report.findings.iter().filter(|(switch, finding)| !agrees(finding, &truth[switch.name()]));
        wrong.map(|(switch, finding)| format!("{}: found {finding:?}", switch.name())).collect()
    }

    /// Compares the report with the fake and with what a probe can know. Returns each of the report's mistakes.
    pub(crate) fn compare(&self, report: &Report) -> Vec<String> {
        let truth = serde_json::to_value(self.switches).unwrap();
        let mut mistakes = Vec::new();
        for (switch, expected) in self.expected() {
            let (finding, truth) = (&report.findings[&switch], &truth[switch.name()]);
            let is_named = matches!(finding, Finding::Seen { .. });
            let fits = match expected {
                Expected::Named => is_named && is_narrow(finding),
                Expected::NotNamed => !is_named && !matches!(finding, Finding::AtLeast { .. }),
                Expected::NotWrong => true,
            };
            if !fits || !agrees(finding, truth) {
                mistakes.push(format!("{}: expected {expected:?} {truth}, found {finding:?}", switch.name()));
            }
        }
        mistakes
    }

    /// Returns every text that must not be in a report of this world.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let control = &self.world.control;
        let mut secrets: Vec<_> = control.issued_secrets().into_iter().map(|secret| secret.value).collect();
        for app in control.apps() {
            secrets.extend([app.app_key, app.app_secret, app.service_id]);
        }
        for seller in control.sellers() {
            secrets.push(seller.name);
            secrets.extend(seller.shops.into_iter().flat_map(|shop| [shop.id, shop.name, shop.code]));
        }
        secrets.extend(control.grants().into_iter().map(|grant| grant.open_id));
        secrets.extend(self.world.states.iter().cloned());
        secrets
    }
}

/// Returns the name and the seconds of a value such as `{"honoured-for-seconds": 60}`.
fn timed(value: &Value) -> Option<(&str, u64)> {
    let (name, seconds) = value.as_object()?.iter().next()?;
    Some((name, seconds.as_u64()?))
}

/// Tells whether the range of a number of seconds is at most 5 percent wide.
fn is_narrow(finding: &Finding) -> bool {
    let Finding::Seen { value, at_most_seconds: Some(most), .. } = finding else { return true };
    timed(value).is_some_and(|(_, least)| most - least <= (least / 20).max(1))
}

/// Tells whether a finding agrees with the fake's setting.
pub(crate) fn agrees(finding: &Finding, truth: &Value) -> bool {
    match finding {
        Finding::Seen { value, at_most_seconds: None, .. } => value == truth,
        Finding::Seen { value, at_most_seconds: Some(most), .. } => match (timed(value), timed(truth)) {
            (Some((found, least)), Some((name, seconds))) => found == name && (least..=*most).contains(&seconds),
            _ => false,
        },
        Finding::AtLeast { value, .. } => match (timed(value), timed(truth)) {
            (Some((found, least)), Some((name, seconds))) => found == name && seconds >= least,
            (Some(("honoured-for-seconds", _)), None) => truth == "honoured",
            _ => false,
        },
        Finding::NotObservable { .. } | Finding::Unclear { .. } => true,
    }
}
