//! An operation killed at every crossing between guest and host, as by a crash of its process, before the host's function
//! runs and after it: WASI's functions, which send the requests, are among them.
//!
//! One run is left alone and counts the crossings. Each further one dies at the next, and then is judged by the fake's
//! log: what is stored must be legal after what TikTok Shop has seen. A claim's life later another process comes. Where the
//! operation gets tokens, it finds a connection that is whole, or one that is lost, and lost it may be only if TikTok Shop
//! spent the token or the code and honours nothing of what is stored. Every other operation it makes again, and that
//! finishes it: nothing may be lost.

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

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `connect` of an account that is not connected.
    Connect,
    /// `connect` of an account that is.
    Reconnect,
    /// `refresh` of a token that is due.
    Refresh,
    /// `refresh` of one that TikTok Shop rejects, so that a fallback is spent in its place.
    Promotion,
    /// `link-shops`, which chooses one shop of three.
    LinkShops,
    /// `disconnect` of everything, TikTok Shop being asked to take the shops back.
    Disconnect,
    /// The same of one shop of three.
    DisconnectShop,
    /// `receive-webhook`: the seller has removed one shop of three.
    Webhook6,
    /// `receive-webhook`: the authorization ends in 30 days.
    Webhook7,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Reconnect,
        Self::Refresh,
        Self::Promotion,
        Self::LinkShops,
        Self::Disconnect,
        Self::DisconnectShop,
        Self::Webhook6,
        Self::Webhook7,
    ];

    /// Those that it can tell apart. Where no refresh token is replaced, nor by what follows a kill, one stands for all.
    #[must_use]
    pub const fn policies(self) -> &'static [Policy] {
        match self {
            Self::LinkShops | Self::Disconnect | Self::Webhook6 => slice::from_ref(&Policy::STRICT),
            Self::Connect
            | Self::Reconnect
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

/// What TikTok Shop does with a refresh token that it has replaced. Which of them it follows is not documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// In a few words.
    pub name: &'static str,
    replaced: ReplacedRefreshToken,
}

/// Long enough for a replay once the claim has lapsed.
const GRACE: u64 = 600;

impl Policy {
    /// It is refused.
    pub const STRICT: Self = Self { name: "strict", replaced: ReplacedRefreshToken::Refused };

    /// All of them.
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
    /// What is killed.
    pub operation: Operation,
    /// What TikTok Shop does.
    pub policy: Policy,
    /// Of the run that was left alone.
    crossings: Vec<Crossing>,
}

/// What came of an operation that was killed at every point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// After so many the connection was whole, or the operation finished, without the seller.
    pub survived: u32,
    /// After so many a new consent was needed, and why.
    pub lost: BTreeMap<&'static str, u32>,
    /// What must not be, in words without secrets.
    pub illegal: Vec<String>,
}

impl Trial {
    /// Runs the operation once and leaves it alone.
    ///
    /// # Errors
    /// It did not succeed.
    pub async fn measure(operation: Operation, policy: Policy) -> Result<Self, String> {
        let scene = Scene::set(operation, policy.replaced).await;
        let crossings = scene.run().await?;
        Ok(Self { operation, policy, crossings })
    }

    /// Every point: each crossing is one.
    pub fn points(&self) -> impl Iterator<Item = u32> {
        self.crossings.iter().map(|crossing| crossing.number)
    }

    /// The points before a function of the host's, and the last. After one, the guest only computes until it calls the next:
    /// what a kill leaves there is the same.
    pub fn points_before(&self) -> impl Iterator<Item = u32> {
        let before = self.crossings.iter().filter(|crossing| crossing.direction == Direction::ToHost);
        before.chain(self.crossings.last()).map(|crossing| crossing.number)
    }

    /// Kills it at each of these points, and calls `done` after each.
    pub async fn kill_at(&self, points: impl Iterator<Item = u32>, done: impl Fn()) -> Tally {
        let mut tally = Tally::default();
        let mut met = BTreeSet::new();
        for point in points {
            let scene = Scene::set(self.operation, self.policy.replaced).await;
            let found = scene.kill(point).await;
            let outcome = match found.is_legal(self.operation) {
                Ok(()) => scene.recover(&found).await,
                Err(what) => Err(what),
            };
            match outcome {
                Ok(None) => tally.survived += 1,
                Ok(Some(cause)) => *tally.lost.entry(cause).or_default() += 1,
                Err(what) => tally
                    .illegal
                    .push(format!("{self}, killed at point {point} of {}: {what}\n{found}", self.crossings.len())),
            }
            met.insert((found.seen, found.stored));
            done();
        }
        // Otherwise the kills were not where they are thought to be.
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
        let at = match self.at.map(|crossing| crossing.direction) {
            Some(Direction::ToHost) => "before a function of the host's",
            Some(Direction::ToGuest) => "after a function of the host's",
            None => "not at all",
        };
        write!(f, "  killed: {at}\n  TikTok Shop saw: {}\n  stored: {}", self.seen, self.stored)
    }
}

impl Found {
    fn is_legal(&self, operation: Operation) -> Result<(), String> {
        if self.at.is_none() {
            return Err("the call did not end there".to_owned());
        }
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let row = legal(operation).iter().find(|(seen, _)| *seen == self.seen);
        match row {
            Some((_, stored)) if stored.contains(&self.stored.as_str()) => Ok(()),
            Some((_, stored)) => Err(format!("legal would be one of {stored:?}")),
            None => Err("TikTok Shop should not have seen this".to_owned()),
        }
    }
}
