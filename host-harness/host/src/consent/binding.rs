//! Binds what a storage keeps about a consent to the secret of the browser. The storage can read the record. If
//! somebody without the secret changes the customer, the app or the shop policy, the host notices it.

use tiktok_shop_connector_core::signing::hmac_sha256;
use zeroize::Zeroizing;

use super::BrowserSession;
use crate::connection::ShopPolicy;
use crate::id::{AppKey, CustomerId, TenantId};
use crate::seal::encode_associated_data;
use crate::secret::Secret;
use crate::storage::{BrowserDigest, ConsentRecord, InstallDigest, StateDigest};

/// The purpose of a stored record. A record for one purpose never fits another purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordPurpose {
    /// A consent that has begun.
    Consent,
    /// The address of a connect session of the service.
    ConnectSession,
}

impl RecordPurpose {
    const fn domain(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::ConnectSession => "connect-session",
        }
    }
}

/// Makes and checks records of consents that are bound to a secret. The digest in such a record is an HMAC-SHA256 over
/// the purpose, the tenant, the state, the customer, the app and the shop policy. Its key is derived from the secret,
/// which the storage never gets.
#[derive(Debug, Clone, Copy)]
pub struct ConsentBinding<'a> {
    /// The purpose of the record.
    pub purpose: RecordPurpose,
    /// The tenant of the record.
    pub tenant: &'a TenantId,
    /// The digest under which the storage keeps the record.
    pub state: &'a StateDigest,
    /// The secret of the browser.
    pub browser: &'a BrowserSession,
}

impl ConsentBinding<'_> {
    /// Returns the record to store.
    #[must_use]
    pub fn record(&self, customer: CustomerId, app: Option<AppKey>, shops: ShopPolicy) -> ConsentRecord {
        let browser = self.digest(&customer, app.as_ref(), shops);
        ConsentRecord { customer, app, browser, shops }
    }

    /// Returns whether [`record`](Self::record) made this record with the same secret, and nobody has changed it. The
    /// comparison takes constant time.
    #[must_use]
    pub fn fits(&self, record: &ConsentRecord) -> bool {
        record.browser == self.digest(&record.customer, record.app.as_ref(), record.shops)
    }

    fn digest(&self, customer: &CustomerId, app: Option<&AppKey>, shops: ShopPolicy) -> BrowserDigest {
        let state = hex::encode(self.state.as_bytes());
        let (has_app, app) = app.map_or(("no app", ""), |app| ("app", app.as_str()));
        let parts = [self.tenant.as_str(), &state, customer.as_str(), has_app, app, shops.as_str()];
        keyed_digest(self.browser.secret(), self.purpose.domain(), &parts)
    }
}

/// Returns the digest that binds a pending install to the browser session.
pub(crate) fn digest_of_install(tenant: &TenantId, browser: &BrowserSession, id: &InstallDigest) -> BrowserDigest {
    keyed_digest(browser.secret(), "install-session", &[tenant.as_str(), &hex::encode(id.as_bytes())])
}

/// Returns the HMAC-SHA256 of the parts, with a key that is derived from the secret.
///
/// The secret itself is not the key. An earlier release has stored the SHA-256 of secrets, and the storage uses the
/// SHA-256 of the address of a connect session as its key. If a secret has more than 64 bytes, HMAC would use this
/// stored SHA-256 as its key, and a reader of the storage would know it.
fn keyed_digest(secret: &Secret, domain: &str, parts: &[&str]) -> BrowserDigest {
    let key = Zeroizing::new(hmac_sha256(b"tiktok-shop-connector browser secret 1", &[secret.expose().as_bytes()]));
    BrowserDigest::new(hmac_sha256(&*key, &[&encode_associated_data(domain, parts)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 66 bytes: longer than a block of SHA-256.
    const LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef01";

    fn session(secret: &str) -> BrowserSession {
        BrowserSession::new(secret.into()).unwrap()
    }

    fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    #[test]
    fn a_record_fits_only_as_it_was_made() {
        let (tenant, state, browser) = (id("acme"), StateDigest::new([7; 32]), session("the session of alice"));
        let purpose = RecordPurpose::Consent;
        let binding = ConsentBinding { purpose, tenant: &tenant, state: &state, browser: &browser };
        for app in [Some(id::<AppKey>("6fakeapp00001")), None] {
            let record = binding.record(id("alice"), app.clone(), ShopPolicy::All);
            assert!(binding.fits(&record));
            let other_app = if app.is_some() { None } else { Some(id("6fakeapp00001")) };
            for changed in [
                ConsentRecord { customer: id("mallory"), ..record.clone() },
                ConsentRecord { app: Some(id("6fakeapp00002")), ..record.clone() },
                ConsentRecord { app: other_app, ..record.clone() },
                ConsentRecord { shops: ShopPolicy::ExactlyOne, ..record.clone() },
                ConsentRecord { browser: BrowserDigest::new([0; 32]), ..record.clone() },
            ] {
                assert!(!binding.fits(&changed), "{changed:?}");
            }
            let (other_tenant, other_state) = (id("other"), StateDigest::new([8; 32]));
            let other_browser = session("the session of mallory");
            for other in [
                ConsentBinding { purpose: RecordPurpose::ConnectSession, ..binding },
                ConsentBinding { tenant: &other_tenant, ..binding },
                ConsentBinding { state: &other_state, ..binding },
                ConsentBinding { browser: &other_browser, ..binding },
            ] {
                assert!(!other.fits(&record), "{other:?}");
            }
        }
    }

    /// HMAC replaces a long key by its SHA-256. A storage may contain the SHA-256 of a secret, so this must not be the
    /// key.
    #[test]
    fn the_sha_256_of_a_long_secret_does_not_bind_a_record() {
        let (tenant, state, long) = (id::<TenantId>("acme"), StateDigest::new([7; 32]), session(LONG));
        let purpose = RecordPurpose::ConnectSession;
        let binding = ConsentBinding { purpose, tenant: &tenant, state: &state, browser: &long };
        let record = binding.record(id("alice"), None, ShopPolicy::All);
        let sha256 = BrowserDigest::of(long.secret());
        let hashed = hex::encode(state.as_bytes());
        let text = encode_associated_data("connect-session", &["acme", &hashed, "alice", "no app", "", "all"]);
        assert_ne!(record.browser, BrowserDigest::new(hmac_sha256(sha256.as_bytes(), &[&text])));
        assert_ne!(record.browser, sha256);
    }

    /// A stored record must fit after an update of the host.
    #[test]
    fn a_record_of_this_version_fits() {
        let (tenant, state) = (id::<TenantId>("acme"), StateDigest::new([7; 32]));
        let digest = |purpose, secret: &str, app: Option<&str>| {
            let browser = session(secret);
            let binding = ConsentBinding { purpose, tenant: &tenant, state: &state, browser: &browser };
            hex::encode(binding.record(id("alice"), app.map(id), ShopPolicy::All).browser.as_bytes())
        };
        assert_eq!(
            digest(RecordPurpose::Consent, "0123456789abcdef", Some("6fakeapp00001")),
            "6b11380ae0b59e0631d302b933ce3899cebf53245df4efa9c2f7372ff0556fc0"
        );
        assert_eq!(
            digest(RecordPurpose::ConnectSession, LONG, None),
            "3607b920f1caaf1ee049ffa756639b5dc4adf1d4dc99dd3f233b740c223c4198"
        );
        let install = digest_of_install(&tenant, &session("0123456789abcdef"), &InstallDigest::new([9; 32]));
        assert_eq!(hex::encode(install.as_bytes()), "332613d2312bc2126df4884008020a978b72190e1aaaa770b9101be3ce088976");
    }
}
