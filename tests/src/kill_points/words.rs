//! Requests and records in words that hold no secret: tokens are numbered as TikTok Shop issued them.

use fake_tiktok_shop::{Control, Issued, IssuedToken, RequestRecord};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_connector_core::secret::{AccessToken, RefreshToken};

use crate::{SHOPS, TOKEN_GET, TOKEN_REFRESH};

/// The words for one seller's tokens.
pub(super) struct Words(Issued);

impl Words {
    pub(super) fn new(fake: &Control, seller: &str) -> Self {
        let app = fake.apps().into_iter().next().expect("an app");
        Self(fake.issued(&app.service_id, seller).expect("a known app and seller"))
    }

    /// What TikTok Shop has seen, in its order.
    pub(super) fn requests(&self, requests: &[RequestRecord]) -> String {
        requests.iter().map(|request| self.request(request)).collect::<Vec<_>>().join(", ")
    }

    fn request(&self, request: &RequestRecord) -> String {
        let answer = match (&request.issued, request.code) {
            (Some(pair), _) => self.refresh_token(&pair.refresh_token),
            (None, Some(code)) => code.to_string(),
            (None, None) => request.status.to_string(),
        };
        match request.path.as_str() {
            TOKEN_GET => format!("exchange: {answer}"),
            TOKEN_REFRESH => {
                format!(
                    "refresh {}: {answer}",
                    self.refresh_token(request.parameter("refresh_token").unwrap_or_default())
                )
            }
            SHOPS if request.code == Some(0) => {
                format!("shops {}", self.access_token(request.header("x-tts-access-token").unwrap_or_default()))
            }
            other => format!("{other}: {answer}"),
        }
    }

    /// The access token, the refresh token, the fallbacks, and whether it is claimed or dead.
    pub(super) fn record(&self, record: &TokenRecord) -> String {
        let access = self.access_token(record.current.access.as_ref().map_or("", AccessToken::expose));
        let refresh = self.refresh_token(record.current.refresh.as_ref().map_or("", RefreshToken::expose));
        let fallbacks: Vec<_> = record.fallbacks.iter().map(|token| self.refresh_token(token.expose())).collect();
        let claimed = if record.claim.is_some() { " claimed" } else { "" };
        let dead = if record.dead.is_some() { " dead" } else { "" };
        format!("{access} {refresh} [{}]{claimed}{dead}", fallbacks.join(" "))
    }

    fn access_token(&self, token: &str) -> String {
        named("AT", &self.0.access_tokens, token)
    }

    fn refresh_token(&self, token: &str) -> String {
        named("RT", &self.0.refresh_tokens, token)
    }
}

fn named(kind: &str, issued: &[IssuedToken], token: &str) -> String {
    match issued.iter().position(|issued| issued.token == token) {
        Some(at) => format!("{kind}-{}", at + 1),
        None => format!("{kind}-unknown"),
    }
}
