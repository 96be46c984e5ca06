//! Encodes and decodes the stored form of a token record: JSON with short, stable names. The JSON contains the tokens
//! in clear text. The host encrypts the JSON before it stores it.
//!
//! Version 2 has the member `user-type` in the profile. Version 2 is written only for a seller whose kind is not 0, so
//! that a host that knows only version 1 still reads the records of all other sellers. A release that reads version N+1
//! ships before the release that writes version N+1. Golden files: `tests/golden/token-record-v*.json`.

use super::{
    Claim, CurrentPair, DeadReason, DecodeError, Lineage, MAX_FALLBACKS, Profile, ShopPolicy, TokenHash, TokenRecord,
};
use crate::json::{self, Members};
use crate::secret::{AccessToken, RefreshToken, SecretBytes};
use crate::time::UnixSeconds;
use crate::token::UserType;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// The version of a record without `user-type`.
const VERSION: u32 = 1;
/// The version of a record with `user-type`. This crate reads no newer version.
const VERSION_WITH_USER_TYPE: u32 = 2;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Wire<'a> {
    version: u32,
    lineage: String,
    generation: u64,
    app_key: &'a str,
    access: Option<&'a str>,
    access_ends: Option<u64>,
    refresh: Option<&'a str>,
    refresh_ends: Option<u64>,
    due_at: u64,
    fallbacks: Vec<&'a str>,
    rejected: Vec<&'a str>,
    claim: Option<WireClaim>,
    presented: u32,
    failures: u32,
    not_before: Option<u64>,
    granted_at: u64,
    rotated_at: u64,
    verify: bool,
    dead: Option<&'static str>,
    profile: WireProfile<'a>,
}

#[derive(Serialize)]
struct WireClaim {
    nonce: String,
    spends: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WireProfile<'a> {
    shop_policy: &'static str,
    seller_name: &'a str,
    base_region: &'a str,
    scopes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    user_type: Option<i64>,
}

/// The number of members that each object has in version 1. In version 2, the profile has one more member. An object
/// with another number of members is refused: if it were read and written again, members could be lost.
const MEMBERS: usize = 20;
const CLAIM_MEMBERS: usize = 2;
const PROFILE_MEMBERS: usize = 4;

impl TokenRecord {
    /// Returns the stored form, with both tokens in clear text. Returns `None` if the encoder fails; the caller must
    /// then store nothing. The encoder does not fail for any record that this crate can hold.
    #[must_use]
    pub fn encode(&self) -> Option<SecretBytes> {
        let user_type = self.profile.user_type.map(|UserType(kind)| kind);
        let wire = Wire {
            version: if user_type.is_some() { VERSION_WITH_USER_TYPE } else { VERSION },
            lineage: self.lineage.to_text(),
            generation: self.generation,
            app_key: &self.app_key,
            access: self.current.access.as_ref().map(AccessToken::expose),
            access_ends: self.current.access_ends.map(UnixSeconds::seconds),
            refresh: self.current.refresh.as_ref().map(RefreshToken::expose),
            refresh_ends: self.current.refresh_ends.map(UnixSeconds::seconds),
            due_at: self.due_at.seconds(),
            fallbacks: self.fallbacks.iter().map(RefreshToken::expose).collect(),
            rejected: self.rejected.iter().map(RefreshToken::expose).collect(),
            claim: self
                .claim
                .map(|claim| WireClaim { nonce: hex::encode(claim.nonce), spends: hex::encode(claim.spends.0) }),
            presented: self.presented,
            failures: self.failures,
            not_before: self.not_before.map(UnixSeconds::seconds),
            granted_at: self.granted_at.seconds(),
            rotated_at: self.rotated_at.seconds(),
            verify: self.verify,
            dead: self.dead.map(DeadReason::as_str),
            profile: WireProfile {
                shop_policy: self.profile.shop_policy.as_str(),
                seller_name: &self.profile.seller_name,
                base_region: &self.profile.base_region,
                scopes: &self.profile.scopes,
                user_type,
            },
        };
        serde_json::to_vec(&wire).ok().map(SecretBytes::new)
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// [`DecodeError::TooNew`] if the version is newer than the versions that this crate writes.
    /// [`DecodeError::Unreadable`] for anything else that is not a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = Members::parse(bytes).ok_or(DecodeError::Unreadable)?;
        let version = wire.whole_number("version").ok_or(DecodeError::Unreadable)?;
        if version > i64::from(VERSION_WITH_USER_TYPE) {
            return Err(DecodeError::TooNew);
        }
        if version < i64::from(VERSION) || wire.count() != MEMBERS {
            return Err(DecodeError::Unreadable);
        }
        read(&wire, version != i64::from(VERSION)).ok_or(DecodeError::Unreadable)
    }
}

fn read(wire: &Members<'_>, has_user_type: bool) -> Option<TokenRecord> {
    let fallbacks = texts(wire, "fallbacks").filter(|tokens| tokens.len() <= MAX_FALLBACKS)?;
    let rejected = texts(wire, "rejected").filter(|tokens| tokens.len() <= MAX_FALLBACKS)?;
    let profile = object(wire, "profile", PROFILE_MEMBERS + usize::from(has_user_type))?;
    let user_type = if has_user_type { Some(UserType(profile.raw("user-type")?.parse().ok()?)) } else { None };
    Some(TokenRecord {
        lineage: Lineage(bytes(&wire.text("lineage")?)?),
        generation: number(wire, "generation")?,
        app_key: wire.text("app-key")?,
        current: CurrentPair {
            access: optional(wire, "access", Members::text)?.map(AccessToken::new),
            access_ends: optional(wire, "access-ends", point)?,
            refresh: optional(wire, "refresh", Members::text)?.map(RefreshToken::new),
            refresh_ends: optional(wire, "refresh-ends", point)?,
        },
        due_at: point(wire, "due-at")?,
        fallbacks: fallbacks.into_iter().map(RefreshToken::new).collect(),
        rejected: rejected.into_iter().map(RefreshToken::new).collect(),
        claim: optional(wire, "claim", |wire, name| {
            let claim = object(wire, name, CLAIM_MEMBERS)?;
            Some(Claim { nonce: bytes(&claim.text("nonce")?)?, spends: TokenHash(bytes(&claim.text("spends")?)?) })
        })?,
        presented: count(wire, "presented")?,
        failures: count(wire, "failures")?,
        not_before: optional(wire, "not-before", point)?,
        granted_at: point(wire, "granted-at")?,
        rotated_at: point(wire, "rotated-at")?,
        verify: wire.flag("verify")?,
        dead: optional(wire, "dead", |wire, name| DeadReason::parse(&wire.text(name)?))?,
        profile: Profile {
            shop_policy: ShopPolicy::parse(&profile.text("shop-policy")?)?,
            seller_name: profile.text("seller-name")?,
            base_region: profile.text("base-region")?,
            scopes: texts(&profile, "scopes")?,
            user_type,
        },
    })
}

/// Reads a member that may be `null`. A `null` becomes `Some(None)`. Returns `None` if the member is missing or cannot
/// be read.
fn optional<'a, T>(
    wire: &Members<'a>,
    name: &str,
    read: impl Fn(&Members<'a>, &str) -> Option<T>,
) -> Option<Option<T>> {
    if wire.raw(name)? == "null" { Some(None) } else { read(wire, name).map(Some) }
}

fn object<'a>(wire: &Members<'a>, name: &str, count: usize) -> Option<Members<'a>> {
    wire.members(name).filter(|members| members.count() == count)
}

/// Reads a list of texts. Returns `None` if any item is not a text.
fn texts(wire: &Members<'_>, name: &str) -> Option<Vec<String>> {
    wire.list(name)?.iter().map(|item| json::text(item.get())).collect()
}

fn number(wire: &Members<'_>, name: &str) -> Option<u64> {
    wire.raw(name)?.parse().ok()
}

fn count(wire: &Members<'_>, name: &str) -> Option<u32> {
    number(wire, name)?.try_into().ok()
}

fn point(wire: &Members<'_>, name: &str) -> Option<UnixSeconds> {
    number(wire, name).map(UnixSeconds::new)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}
