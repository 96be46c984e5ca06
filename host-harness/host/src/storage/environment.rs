//! The two kinds of TikTok Shop whose tokens a storage may contain.

/// The TikTok Shop whose tokens a storage contains. A storage belongs to one environment for good, because a fake must
/// not get the tokens of the real TikTok Shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// The real TikTok Shop.
    TikTokShop,
    /// A stand-in on this machine, such as the fake TikTok Shop of this repository.
    Fake,
}

impl Environment {
    /// Returns the word that a storage may store for this environment.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TikTokShop => "tiktok-shop",
            Self::Fake => "fake",
        }
    }
}
