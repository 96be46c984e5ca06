//! What a run may do, and the text that says so beforehand.

use std::time::Duration;

use tiktok_shop_connector_core::credentials::Credentials;

use crate::http::Route;
use crate::words::span;

/// How much of the seller's consent a run may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nothing: a seller's daily use and renewals do the same.
    #[default]
    None,
    /// The run may present refresh tokens that were replaced. TikTok Shop may answer by ending the consent.
    MayEndConsent,
    /// The run also removes the shops from the consent, as its last step.
    EndsConsent,
}

/// Whether the run asks the seller to refuse the app once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// The run asks for one refusal.
    #[default]
    Asked,
    /// The run asks for no refusal.
    Omitted,
}

/// Whether a receiver waits for webhooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Webhooks {
    /// Webhooks reach the run.
    Received,
    /// No webhook reaches the run.
    #[default]
    None,
}

/// The longest wait that a run may be asked for: 400 days. That is longer than the seven days of an access token, and
/// than an authorization of a year. A refresh token may end about 99 years ahead, and no run can wait so long.
pub const MAX_WAIT: Duration = Duration::from_secs(400 * 86_400);

/// The settings of a run.
pub struct Settings {
    /// The app, with its authorization link.
    pub app: Credentials,
    /// Where the requests go.
    pub route: Route,
    /// How much of the consent the run may cost.
    pub risk: Risk,
    /// The longest time for which the run waits to answer one question. At most [`MAX_WAIT`].
    pub longest_wait: Duration,
    /// Whether the run asks the seller to refuse the app once.
    pub refusal: Refusal,
    /// Whether webhooks reach the run.
    pub webhooks: Webhooks,
    /// The scopes that the app asks for, as Partner Center shows them. Empty if they are unknown.
    pub app_scopes: Vec<String>,
}

impl Settings {
    /// Returns what the run will do and what it could cost, one line each. The person must agree to it first.
    #[must_use]
    pub fn plan(&self) -> Vec<String> {
        let mut plan = vec![
            "1. Ask the token host with an invented code, once with a wrong app secret.".to_owned(),
            match self.refusal {
                Refusal::Asked => "2. Ask you to refuse the app once, then to allow it.".to_owned(),
                Refusal::Omitted => "2. Ask you to allow the app.".to_owned(),
            },
            "3. Read the shops, orders, products and webhook addresses, correctly and with single mistakes; delete a \
             webhook address that is not set."
                .to_owned(),
            "4. Refresh the tokens a few times; use the access token that was replaced.".to_owned(),
            "5. Ask you to allow the app again; compare ciphers and earlier access tokens.".to_owned(),
            format!("6. Wait until tokens end, at most {} for one question.", span(self.longest_wait.as_secs())),
        ];
        if self.risk >= Risk::MayEndConsent {
            plan.push(
                "7. RISK: send refresh tokens that were replaced, at once and after pauses, and a valid one with a wrong \
                 app secret. TikTok Shop may end the consent."
                    .to_owned(),
            );
        }
        if self.risk >= Risk::EndsConsent {
            plan.push(
                "8. END: remove each shop with Deauthorize Shop. The seller gets an e-mail, and the app loses the shops \
                 until the next consent."
                    .to_owned(),
            );
        }
        plan.push(match self.risk {
            Risk::None => {
                "It could cost: other tokens of this app for this shop may stop working, because steps 4 and 5 \
                           renew them. Use a development shop that nothing else uses."
                    .to_owned()
            }
            Risk::MayEndConsent | Risk::EndsConsent => {
                "It could cost: the consent of this shop to this app, with all its tokens. Use a development shop that \
                 nothing else uses."
                    .to_owned()
            }
        });
        plan
    }
}
