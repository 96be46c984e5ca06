//! A macro that gives each variant of an enum one word, for storages, programs and people.

/// A text that is not one of the words of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of: {}", .words.join(", "))]
pub struct UnknownWord {
    pub(crate) words: &'static [&'static str],
}

/// Gives each variant of an enum one word, and converts between words and variants.
macro_rules! words {
    ($type:ident { $($case:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Returns the word for this variant.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $word),+
                }
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$case),)+
                    _ => Err($crate::words::UnknownWord { words: &[$($word),+] }),
                }
            }
        }
    };
}

pub(crate) use words;
