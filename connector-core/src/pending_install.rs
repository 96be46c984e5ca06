//! A pending install: the tokens of an install from TikTok's App Store that nobody has confirmed yet.
//!
//! The callback of such an install has no state, so it does not prove that the customer in whose browser it arrived
//! wanted the connection (…/seller-authorization-guide). The code is exchanged, and the host keeps the result for at
//! most 30 minutes. After the customer has confirmed, `connect` stores the tokens.
//!
//! The stored form is JSON: a version, the account, and a token record. A confirmation for a new account writes this
//! record. The token record has a version of its own. The JSON contains the tokens in clear text; the host encrypts it.
//! Golden file: `tests/golden/pending-install-v1.json`.

use crate::error::{Cause, Error};
use crate::identity::AccountId;
use crate::json::Members;
use crate::record::{DecodeError, Profile, TokenRecord};
use crate::secret::SecretBytes;
use crate::time::UnixSeconds;
use crate::token::{Pair, UserType};
use alloc::string::String;
use alloc::vec::Vec;

/// The version of the stored form. A later version of the token record inside does not change it.
const VERSION: i64 = 1;

/// An install that nobody has confirmed yet.
pub struct PendingInstall {
    /// The account that installed the app.
    pub account: AccountId,
    /// The token record of the grant. It is not stored as a connection yet.
    pub record: TokenRecord,
}

impl PendingInstall {
    /// Returns the stored form, with both tokens in clear text. Returns `None` if the encoder fails. The encoder does
    /// not fail for any install that this crate can hold.
    #[must_use]
    pub fn encode(&self) -> Option<SecretBytes> {
        let account = serde_json::to_vec(self.account.as_str()).ok()?;
        let record = self.record.encode()?;
        let parts: [&[u8]; 5] = [br#"{"version":1,"account":"#, &account, br#","record":"#, record.expose(), b"}"];
        // The buffer has its final size from the start, so that no copy of the tokens stays behind.
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        Some(SecretBytes::new(bytes))
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Invalid request: `pending-install-malformed`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = || Error::new(Cause::PendingInstallMalformed);
        let too_new = || unreadable().with_note("a newer version of the connector wrote it");
        let wire = Members::parse(bytes).ok_or_else(unreadable)?;
        match wire.whole_number("version") {
            Some(VERSION) => {}
            Some(version) if version > VERSION => return Err(too_new()),
            Some(_) | None => return Err(unreadable()),
        }
        let account = wire.text("account").and_then(|text| AccountId::parse(text).ok()).ok_or_else(unreadable)?;
        let record = wire.raw("record").ok_or_else(unreadable)?;
        let record = TokenRecord::decode(record.as_bytes()).map_err(|error| match error {
            DecodeError::TooNew => too_new(),
            DecodeError::Unreadable => unreadable(),
        })?;
        Ok(Self { account, record })
    }

    /// Returns the tokens and facts of the grant, in the form in which TikTok's answer brings them.
    #[must_use]
    pub fn into_pair(self) -> Pair {
        // The record is dated by TikTok's answer, or by the host's clock if that showed an earlier time.
        let date = Some(self.record.granted_at());
        let Profile { seller_name, base_region, scopes, user_type, .. } = self.record.profile().clone();
        let current = self.record.into_current();
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Pair {
            access_expiry: current.access_expiry(),
            access: current.access,
            refresh: current.refresh,
            refresh_ends: current.refresh_ends,
            account: Some(self.account.as_str().into()),
            user_type: Some(user_type.unwrap_or(UserType::SELLER)),
            seller_name: said(seller_name),
            base_region: said(base_region),
            scopes: Some(scopes).filter(|scopes| !scopes.is_empty()),
            date,
            status: 200,
            request_id: None,
        }
    }

    /// Returns when the host received the tokens.
    #[must_use]
    pub const fn received_at(&self) -> UnixSeconds {
        self.record.rotated_at()
    }
}
