//! Describes requests, token records, rows and events in the notation of `legal.rs`. The notation contains no secret:
//! it names each token by a number. The tokens are numbered in the order in which TikTok Shop issued them.

use fake_tiktok_shop::{Control, Issued, IssuedToken, RequestRecord};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_connector_core::secret::{AccessToken, RefreshToken};

use tiktok_shop_host::ShopId;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, Shop, ShopStanding};
use tiktok_shop_host::events::EventKind;

use crate::{BEGIN, DAY, SHOPS, TOKEN_GET, TOKEN_REFRESH};

/// The path of a request that revokes the authorization of one shop.
const DEAUTHORIZE: &str = "/authorization/202403/shops";

/// The tokens and shops of one seller. The notation names a token by its number in the order of issue, and a shop by
/// its region.
pub(super) struct Words {
    issued: Issued,
    shops: Vec<fake_tiktok_shop::Shop>,
}

impl Words {
    pub(super) fn new(fake: &Control, seller: &str) -> Self {
        let app = fake.apps().into_iter().next().expect("an app");
        let issued = fake.issued(&app.service_id, seller).expect("a known app and seller");
        let shops = fake.sellers().into_iter().find(|known| known.id == seller).expect("a known seller").shops;
        Self { issued, shops }
    }

    /// Returns how many of the refresh tokens TikTok Shop accepts now.
    pub(super) fn honoured(&self) -> usize {
        self.issued.refresh_tokens.iter().filter(|token| token.honoured).count()
    }

    /// Describes requests, in the order in which TikTok Shop got them.
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
            DEAUTHORIZE if request.code == Some(0) => format!("revoke {}", self.shop(request)),
            other => format!("{other}: {answer}"),
        }
    }

    /// Returns the region of the shop that a request is for, or `unknown`. The request names the shop by its cipher,
    /// which stays the same until the next consent.
    fn shop(&self, request: &RequestRecord) -> &str {
        let cipher = request.parameter("shop_cipher");
        self.shops.iter().find(|shop| shop.cipher.as_deref() == cipher).map_or("unknown", |shop| &shop.region)
    }

    /// Describes a token record: its access token, its refresh token, its fallbacks, and whether the record is claimed,
    /// is dead or waits for verification.
    pub(super) fn record(&self, record: &TokenRecord) -> String {
        let access = self.access_token(record.current().access.as_ref().map_or("", AccessToken::expose));
        let refresh = self.refresh_token(record.current().refresh.as_ref().map_or("", RefreshToken::expose));
        let fallbacks: Vec<_> = record.fallbacks().iter().map(|token| self.refresh_token(token.expose())).collect();
        let claimed = if record.current_claim().is_some() { " claimed" } else { "" };
        let dead = if record.dead().is_some() { " dead" } else { "" };
        let verify = if record.awaits_verification() { " to be verified" } else { "" };
        format!("{access} {refresh} [{}]{claimed}{dead}{verify}", fallbacks.join(" "))
    }

    /// Describes an event: the word of its kind, then its values.
    pub(super) fn event(&self, kind: &EventKind) -> String {
        let word = kind.as_str();
        match kind {
            EventKind::ShopsLinked { shops }
            | EventKind::ShopsUnlinked { shops }
            | EventKind::ShopsLost { shops }
            | EventKind::ShopsRegained { shops } => {
                let region = |id: &ShopId| {
                    self.shops.iter().find(|shop| shop.id == id.as_str()).map_or("unknown", |shop| &shop.region)
                };
                format!("{word} {}", shops.iter().map(region).collect::<Vec<_>>().join(", "))
            }
            EventKind::AuthorizationEnding { ends } => format!("{word} after {} days", (ends.0 - BEGIN) / DAY),
            EventKind::ReauthorizationRequired(reason) => format!("{word}: {}", reason.as_str()),
            EventKind::InstallBegun
            | EventKind::InstallCancelled
            | EventKind::Connected
            | EventKind::ConsentRenewed
            | EventKind::RefreshForced
            | EventKind::TokenShown
            | EventKind::GrantExported
            | EventKind::Recovered
            | EventKind::Disconnected
            | EventKind::Notice { .. }
            | EventKind::HostKeyAdded { .. }
            | EventKind::HostKeyPromoted { .. }
            | EventKind::KeysRotated { .. }
            | EventKind::HostKeyRetired { .. }
            | EventKind::TenantErased
            | _ => word.to_owned(),
        }
    }

    fn access_token(&self, token: &str) -> String {
        named("AT", &self.issued.access_tokens, token)
    }

    fn refresh_token(&self, token: &str) -> String {
        named("RT", &self.issued.refresh_tokens, token)
    }
}

fn named(kind: &str, issued: &[IssuedToken], token: &str) -> String {
    match issued.iter().position(|issued| issued.token == token) {
        Some(at) => format!("{kind}-{}", at + 1),
        None => format!("{kind}-unknown"),
    }
}

/// Describes a row: first its shops, in the order of the row. Then its status, if the status is not active; the words
/// `as announced`, if the end of the authorization is announced; and the last failure, if there is one.
pub(super) fn row(connection: &Connection) -> String {
    let shops: Vec<_> = connection.shops.iter().map(shop).collect();
    let status = match connection.status {
        ConnectionStatus::Active => String::new(),
        ConnectionStatus::AuthorizationEnding(_) => "; ending".to_owned(),
        ConnectionStatus::ReauthorizationRequired(reason) => format!("; {reason:?}"),
    };
    let announced = if connection.authorization_ends_at.is_some() { " as announced" } else { "" };
    let failed = connection.last_failure.as_ref().map(|past| format!("; failed: {}", past.failure.code));
    format!("{}{status}{announced}{}", shops.join(", "), failed.unwrap_or_default())
}

fn shop(shop: &Shop) -> String {
    let unlinked = if shop.linked { "" } else { " unlinked" };
    let standing = match shop.standing {
        ShopStanding::Granted => "",
        ShopStanding::Inactive => " inactive",
        ShopStanding::NoLongerGranted => " gone",
        ShopStanding::Unconfirmed => " unconfirmed",
    };
    format!("{}{unlinked}{standing}", shop.region)
}
