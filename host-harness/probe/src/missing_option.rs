//! Says which options of the command a question needs, so that the report can name those that were missing.

use crate::settings::{Risk, Settings, Webhooks};
use crate::switch::Switch;

/// The settings that a run needs to answer a question.
struct Need {
    risk: Risk,
    webhooks: Webhooks,
}

const NOTHING: Need = Need { risk: Risk::None, webhooks: Webhooks::None };
const A_REPLAY: Need = Need { risk: Risk::MayEndConsent, ..NOTHING };
const A_REMOVAL: Need = Need { risk: Risk::EndsConsent, ..NOTHING };
const WEBHOOKS: Need = Need { webhooks: Webhooks::Received, ..NOTHING };
const WEBHOOKS_OF_A_REMOVAL: Need = Need { risk: Risk::EndsConsent, webhooks: Webhooks::Received };

/// Returns what the question needs. A question that needs a long wait, or nothing but the consent, needs nothing here.
const fn need(switch: Switch) -> Need {
    match switch {
        Switch::RefreshTokenAfterConsent | Switch::ReplacedRefreshToken => A_REPLAY,
        Switch::DeauthorizeAgain | Switch::DeauthorizeShop | Switch::LastShopRemoved | Switch::TokensAfterRemoval => {
            A_REMOVAL
        }
        Switch::DeauthorizeNotice | Switch::GrantNotices | Switch::WebhookDelay => WEBHOOKS_OF_A_REMOVAL,
        Switch::EndingNoticeZone
        | Switch::ExpirationTime
        | Switch::NotificationId
        | Switch::RefusedWebhook
        | Switch::WebhookBody
        | Switch::WebhookCopies
        | Switch::WebhookData
        | Switch::WebhookShopId
        | Switch::WebhookTimestamp => WEBHOOKS,
        Switch::AccessTokenAfterConsent
        | Switch::AccessTokenAfterEnd
        | Switch::AccessTokenAfterRefresh
        | Switch::CallbackExtras
        | Switch::CiphersOnConsent
        | Switch::EmptyData
        | Switch::GrantedScopesField
        | Switch::InvalidAccessToken
        | Switch::RefreshGrantType
        | Switch::RefreshTokenField
        | Switch::RefreshTokenOnRefresh
        | Switch::RefusalError
        | Switch::Status101000
        | Switch::Status105001
        | Switch::Status105002
        | Switch::Status106013
        | Switch::TokenFailure
        | Switch::TokenPrefix
        | Switch::UnsignedEmptyObject
        | Switch::WebhookOrder
        | Switch::WrongCipher
        | Switch::WrongSecret => NOTHING,
    }
}

/// Returns the options that the question needs and that the settings do not contain, as a text for a reason. Returns
/// `None` if the settings contain all of them.
pub(crate) fn missing(switch: Switch, settings: &Settings) -> Option<String> {
    let Need { risk, webhooks } = need(switch);
    let option = match risk {
        Risk::None => None,
        Risk::MayEndConsent => Some("--risk-the-consent"),
        Risk::EndsConsent => Some("--end-the-consent"),
    };
    let of_risk = option.filter(|_| settings.risk < risk);
    let are_missing = webhooks == Webhooks::Received && settings.webhooks == Webhooks::None;
    let of_webhooks = are_missing.then_some("--webhooks ADDRESS");
    let options: Vec<_> = of_risk.into_iter().chain(of_webhooks).collect();
    (!options.is_empty()).then(|| format!("run the probe with {} to see it", options.join(" and ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tiktok_shop_connector_core::authorization_link::LinkScheme;
    use tiktok_shop_connector_core::credentials::Credentials;
    use tiktok_shop_connector_core::secret::AppSecret;

    use super::*;
    use crate::http::Route;
    use crate::settings::Refusal;

    fn settings(risk: Risk, webhooks: Webhooks) -> Settings {
        Settings {
            app: Credentials {
                app_key: "key".to_owned(),
                app_secret: AppSecret::new("secret".to_owned()),
                previous_app_secret: None,
                authorization_link: None,
                link_scheme: LinkScheme::Https,
            },
            route: Route::TikTokShop,
            risk,
            longest_wait: Duration::ZERO,
            refusal: Refusal::Omitted,
            webhooks,
            app_scopes: Vec::new(),
        }
    }

    #[test]
    fn a_reason_names_the_options_that_are_missing() {
        let (replay, removal) = (Switch::ReplacedRefreshToken, Switch::DeauthorizeShop);
        let (webhook, delay) = (Switch::WebhookBody, Switch::WebhookDelay);
        for (switch, risk, webhooks, options) in [
            (replay, Risk::None, Webhooks::Received, Some("--risk-the-consent")),
            (replay, Risk::MayEndConsent, Webhooks::None, None),
            (replay, Risk::EndsConsent, Webhooks::None, None),
            (removal, Risk::None, Webhooks::None, Some("--end-the-consent")),
            (removal, Risk::MayEndConsent, Webhooks::None, Some("--end-the-consent")),
            (removal, Risk::EndsConsent, Webhooks::None, None),
            (webhook, Risk::EndsConsent, Webhooks::None, Some("--webhooks ADDRESS")),
            (webhook, Risk::None, Webhooks::Received, None),
            (delay, Risk::None, Webhooks::None, Some("--end-the-consent and --webhooks ADDRESS")),
            (delay, Risk::None, Webhooks::Received, Some("--end-the-consent")),
            (delay, Risk::EndsConsent, Webhooks::Received, None),
            (Switch::EmptyData, Risk::None, Webhooks::None, None),
        ] {
            let expected = options.map(|options| format!("run the probe with {options} to see it"));
            assert_eq!(missing(switch, &settings(risk, webhooks)), expected, "{switch:?} {risk:?} {webhooks:?}");
        }
    }
}
