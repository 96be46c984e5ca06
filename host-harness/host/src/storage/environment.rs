//! The environment to which a storage belongs: the real TikTok Shop or a fake TikTok Shop.

/// Says whether a storage contains tokens of the real TikTok Shop or of a fake TikTok Shop. A storage never changes its
/// environment, because a fake must not get tokens of the real TikTok Shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// The real TikTok Shop.
    TikTokShop,
    /// A server on this machine that imitates TikTok Shop, such as the fake TikTok Shop of this repository.
    Fake,
}

impl Environment {
    /// Returns the word for this environment. A storage can store this word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TikTokShop => "tiktok-shop",
            Self::Fake => "fake",
        }
    }
}
