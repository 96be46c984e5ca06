//! The fields of a token record, which a test can edit.
//!
//! `TokenRecord` keeps its fields private. A test that needs a record in a certain state edits these fields and writes
//! them in the stored form, which the core reads like any stored record.

use serde_json::{Value, json};
use tiktok_shop_connector_core::record::{Claim, CurrentPair, DeadReason, Lineage, Profile, ShopPolicy, TokenRecord};
use tiktok_shop_connector_core::secret::{AccessToken, RefreshToken};
use tiktok_shop_connector_core::time::UnixSeconds;
use tiktok_shop_connector_core::token::UserType;

pub(crate) struct Fields {
    pub(crate) lineage: Lineage,
    pub(crate) generation: u64,
    pub(crate) app_key: String,
    pub(crate) current: CurrentPair,
    pub(crate) due_at: UnixSeconds,
    pub(crate) fallbacks: Vec<RefreshToken>,
    pub(crate) rejected: Vec<RefreshToken>,
    pub(crate) claim: Option<Claim>,
    pub(crate) presented: u32,
    pub(crate) failures: u32,
    pub(crate) not_before: Option<UnixSeconds>,
    pub(crate) granted_at: UnixSeconds,
    pub(crate) rotated_at: UnixSeconds,
    pub(crate) verify: bool,
    pub(crate) dead: Option<DeadReason>,
    pub(crate) profile: Profile,
}

impl Fields {
    /// Copies the fields of a record, as its methods return them.
    pub(crate) fn of(record: &TokenRecord) -> Self {
        let copies = |tokens: &[RefreshToken]| tokens.iter().map(RefreshToken::duplicate).collect();
        let current = record.current();
        Self {
            lineage: record.lineage(),
            generation: record.generation(),
            app_key: record.app_key().into(),
            current: CurrentPair {
                access: current.access.as_ref().map(AccessToken::duplicate),
                access_ends: current.access_ends,
                refresh: current.refresh.as_ref().map(RefreshToken::duplicate),
                refresh_ends: current.refresh_ends,
            },
            due_at: record.due_at(),
            fallbacks: copies(record.fallbacks()),
            rejected: copies(record.rejected()),
            claim: record.current_claim(),
            presented: record.presented(),
            failures: record.failures(),
            not_before: record.not_before(),
            granted_at: record.granted_at(),
            rotated_at: record.rotated_at(),
            verify: record.awaits_verification(),
            dead: record.dead(),
            profile: record.profile().clone(),
        }
    }

    /// Returns the stored form. This code is independent of the core's codec.
    pub(crate) fn stored_form(&self) -> Value {
        let texts = |tokens: &[RefreshToken]| tokens.iter().map(|token| json!(token.expose())).collect::<Vec<_>>();
        let seconds = |time: Option<UnixSeconds>| time.map(UnixSeconds::seconds);
        let user_type = self.profile.user_type.map(|UserType(kind)| kind);
        let mut stored = json!({
            "version": if user_type.is_some() { 2 } else { 1 },
            "lineage": hex(&self.lineage.0),
            "generation": self.generation,
            "app-key": self.app_key,
            "access": self.current.access.as_ref().map(AccessToken::expose),
            "access-ends": seconds(self.current.access_ends),
            "refresh": self.current.refresh.as_ref().map(RefreshToken::expose),
            "refresh-ends": seconds(self.current.refresh_ends),
            "due-at": self.due_at.seconds(),
            "fallbacks": texts(&self.fallbacks),
            "rejected": texts(&self.rejected),
            "claim": self.claim.map(|claim| json!({"nonce": hex(&claim.nonce), "spends": hex(&claim.spends.0)})),
            "presented": self.presented,
            "failures": self.failures,
            "not-before": seconds(self.not_before),
            "granted-at": self.granted_at.seconds(),
            "rotated-at": self.rotated_at.seconds(),
            "verify": self.verify,
            "dead": self.dead.map(|reason| match reason {
                DeadReason::AuthorizationExpired => "authorization-expired",
                DeadReason::AuthorizationRevoked => "authorization-revoked",
                DeadReason::RefreshOutcomeUnknown => "refresh-outcome-unknown",
            }),
            "profile": {
                "shop-policy": match self.profile.shop_policy {
                    ShopPolicy::All => "all",
                    ShopPolicy::ExactlyOne => "exactly-one",
                },
                "seller-name": self.profile.seller_name,
                "base-region": self.profile.base_region,
                "scopes": self.profile.scopes,
            },
        });
        if let Some(kind) = user_type {
            stored["profile"]["user-type"] = kind.into();
        }
        stored
    }

    /// Changes the fields with a method of `TokenRecord`, for example with `take_pair`.
    pub(crate) fn apply(&mut self, transition: impl FnOnce(&mut TokenRecord)) {
        let mut record = self.record();
        transition(&mut record);
        *self = Self::of(&record);
    }

    pub(crate) fn record(&self) -> TokenRecord {
        TokenRecord::decode(self.stored_form().to_string().as_bytes()).unwrap()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
