//! Kills an operation at every boundary event. A kill ends the operation in the same way as a crash of its process.
//!
//! A boundary event is a step over the boundary between guest and host: the guest calls a host function, or a host
//! function returns to the guest. The functions of WASI, with which the guest sends requests, are host functions too.
//!
//! 1. One run is not killed. It counts the boundary events.
//! 2. Each further run is killed at one boundary event: the first of these runs at the first event, the second at the
//!    second event, and so on.
//! 3. After each kill, the stored data must be in a state that is legal after the requests in the fake's log (see
//!    `legal.rs`).
//! 4. The kill may have left a claim in the token record: a note that one caller sends the refresh token now. The test
//!    moves the clocks past the 120 s that a claim lasts. Then another host takes over:
//!    - If the operation gets tokens, the connection must be whole (see `is_whole`) or lost. It may be lost only if
//!      TikTok Shop has exchanged the refresh token or the code for tokens that were not stored, and accepts none of
//!      the stored refresh tokens.
//!    - If the operation gets no tokens, the other host makes the same call again, and this call must finish the
//!      operation. Nothing may be lost.

mod call;
mod legal;
mod renewal;
mod repetition;
mod scene;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::slice;

use fake_tiktok_shop::ReplacedRefreshToken;
use tiktok_shop_host::boundary::{BoundaryEvent, Direction};

use self::legal::legal;
use self::scene::{Found, Scene};

/// An operation that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `connect` of an account that is not connected.
    Connect,
    /// `connect` of an account that is connected already.
    Reconnect,
    /// `confirm_install` of an account that is not connected.
    ConfirmInstall,
    /// `import_grant` of an account that is not connected. The caller names the account.
    Import,
    /// `import_grant` of an account that is not connected. The caller does not name the account.
    ImportUnnamed,
    /// `refresh` of a connection whose refresh is due.
    Refresh,
    /// `refresh` of a connection whose newest refresh token is rejected. The call then uses a fallback: an earlier
    /// refresh token that the record still keeps.
    Promotion,
    /// `link-shops` that chooses one of three shops.
    LinkShops,
    /// `disconnect` of a whole connection. The call asks TikTok Shop to deauthorize the shops.
    Disconnect,
    /// `disconnect` of one of three shops. The call asks TikTok Shop to deauthorize this shop.
    DisconnectShop,
    /// `receive-webhook` of type 6: the seller has removed one of three shops.
    Webhook6,
    /// `receive-webhook` of type 7: the authorization ends in 30 days.
    Webhook7,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 12] = [
        Self::Connect,
        Self::Reconnect,
        Self::ConfirmInstall,
        Self::Import,
        Self::ImportUnnamed,
        Self::Refresh,
        Self::Promotion,
        Self::LinkShops,
        Self::Disconnect,
        Self::DisconnectShop,
        Self::Webhook6,
        Self::Webhook7,
    ];

    /// Returns the policies of TikTok Shop under which the operation is tested. If neither the operation nor the steps
    /// after a kill replace a refresh token, all policies have the same effect, and one policy is enough.
    #[must_use]
    pub const fn policies(self) -> &'static [Policy] {
        match self {
            Self::ConfirmInstall | Self::LinkShops | Self::Disconnect | Self::Webhook6 => {
                slice::from_ref(&Policy::STRICT)
            }
            Self::Connect
            | Self::Reconnect
            | Self::Import
            | Self::ImportUnnamed
            | Self::Refresh
            | Self::Promotion
            | Self::DisconnectShop
            | Self::Webhook7 => &Policy::ALL,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "connect",
            Self::Reconnect => "reconnect",
            Self::ConfirmInstall => "confirm install",
            Self::Import => "import",
            Self::ImportUnnamed => "import, no account",
            Self::Refresh => "refresh",
            Self::Promotion => "promotion",
            Self::LinkShops => "link-shops",
            Self::Disconnect => "disconnect",
            Self::DisconnectShop => "disconnect one shop",
            Self::Webhook6 => "webhook 6",
            Self::Webhook7 => "webhook 7",
        })
    }
}

/// A possible policy of TikTok Shop for a refresh token that it has replaced with a new one. The true policy is not
/// documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name of the policy, in a few words.
    pub name: &'static str,
    replaced: ReplacedRefreshToken,
}

/// The grace period of two of the policies, in seconds. During the grace period, TikTok Shop still accepts a replaced
/// refresh token. The period is longer than the 120 s that a claim lasts. So TikTok Shop still accepts the token when
/// another host sends it again after the claim has lapsed.
const GRACE: u64 = 600;

impl Policy {
    /// TikTok Shop refuses a replaced refresh token.
    pub const STRICT: Self = Self { name: "strict", replaced: ReplacedRefreshToken::Refused };

    /// All policies.
    pub const ALL: [Self; 5] = [
        Self { name: "reusable", replaced: ReplacedRefreshToken::Honoured },
        Self { name: "grace, new pair", replaced: ReplacedRefreshToken::HonouredForSeconds(GRACE) },
        Self { name: "grace, same pair", replaced: ReplacedRefreshToken::AnsweredAgainForSeconds(GRACE) },
        Self::STRICT,
        Self { name: "revokes family", replaced: ReplacedRefreshToken::RevokesFamily },
    ];
}

/// One operation under one policy.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The operation that is killed.
    pub operation: Operation,
    /// The policy of TikTok Shop.
    pub policy: Policy,
    /// The boundary events of the run that was not killed.
    events: Vec<BoundaryEvent>,
}

/// The results of an operation that was killed at many points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of kill points after which no new consent was needed: the connection worked, or the operation
    /// finished.
    pub survived: u32,
    /// The number of kill points after which a new consent was needed, for each cause.
    pub lost: BTreeMap<&'static str, u32>,
    /// One text for each problem: an illegal state after a kill, a recovery that failed, or a legal state that no kill
    /// has left. The texts contain no secrets.
    pub illegal: Vec<String>,
}

impl Trial {
    /// Runs the operation once without a kill, and records its boundary events.
    ///
    /// # Errors
    /// If the operation did not succeed, or if its result or the stored state is wrong.
    pub async fn measure(operation: Operation, policy: Policy) -> Result<Self, String> {
        let scene = Scene::set(operation, policy.replaced).await;
        let events = scene.run().await?;
        Ok(Self { operation, policy, events })
    }

    /// Returns every point at which the operation can be killed: one for each boundary event.
    pub fn points(&self) -> impl Iterator<Item = u32> {
        self.events.iter().map(|event| event.number)
    }

    /// Returns the point before each call of a host function, and the last point. These points are enough to find every
    /// state. After a host function has returned, the guest only computes until it calls the next function, so a kill
    /// in this time leaves the same state as a kill before the next call.
    pub fn points_before(&self) -> impl Iterator<Item = u32> {
        let before = self.events.iter().filter(|event| event.direction == Direction::ToHost);
        before.chain(self.events.last()).map(|event| event.number)
    }

    /// Kills the operation at each of these points, each time on a new stage. Checks the state after the kill, lets
    /// another host take over, and then calls `done`.
    pub async fn kill_at(&self, points: impl Iterator<Item = u32>, done: impl Fn()) -> Tally {
        let mut tally = Tally::default();
        let mut met = BTreeSet::new();
        for point in points {
            let scene = Scene::set(self.operation, self.policy.replaced).await;
            let found = scene.kill(point).await;
            let outcome = match found.is_legal(self.operation) {
                Ok(()) => scene.recover(&found).await,
                Err(problem) => Err(problem),
            };
            match outcome {
                Ok(None) => tally.survived += 1,
                Ok(Some(cause)) => *tally.lost.entry(cause).or_default() += 1,
                Err(problem) => tally
                    .illegal
                    .push(format!("{self}, killed at point {point} of {}: {problem}\n{found}", self.events.len())),
            }
            met.insert((found.seen, found.stored));
            done();
        }
        // Every legal state must occur after some kill. Otherwise the kills did not hit the intended moments.
        for (seen, stored) in
            legal(self.operation).iter().flat_map(|(seen, all)| all.iter().map(move |one| (*seen, *one)))
        {
            if !met.contains(&(seen.to_owned(), stored.to_owned())) {
                tally.illegal.push(format!("{self}: no kill left {stored:?} after TikTok Shop saw {seen:?}"));
            }
        }
        tally
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.operation, self.policy.name)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.at.map(|event| event.direction) {
            Some(Direction::ToHost) => "before one of the host's functions",
            Some(Direction::ToGuest) => "after one of the host's functions",
            None => "not at all",
        };
        write!(f, "  killed: {at}\n  TikTok Shop saw: {}\n  stored: {}", self.seen, self.stored)
    }
}

impl Found {
    fn is_legal(&self, operation: Operation) -> Result<(), String> {
        if self.at.is_none() {
            return Err("the call did not end at this point".to_owned());
        }
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let row = legal(operation).iter().find(|(seen, _)| *seen == self.seen);
        match row {
            Some((_, stored)) if stored.contains(&self.stored.as_str()) => Ok(()),
            Some((_, stored)) => Err(format!("the legal states are {stored:?}")),
            None => Err("TikTok Shop should not have seen this".to_owned()),
        }
    }
}
