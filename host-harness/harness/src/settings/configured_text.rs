//! Cleans configured texts: the values of variables, of the configuration file and of the shared options. White space
//! at the ends can only be a slip, so it is removed. A text that contains invisible characters is refused.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

/// The characters that a configured text may contain between its first and its last visible character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Visible ASCII characters only, as in keys, secrets, digests and links.
    VisibleAscii,
    /// Several words of visible ASCII characters, separated by white space, as in a list of host keys.
    VisibleAsciiWords,
    /// Every visible character, and spaces, as in names, paths and addresses of databases.
    OneLine,
    /// Every character. The type of the value checks the characters when the text is parsed.
    Unchecked,
}

/// Why a configured text can't be used. The error never contains the text. It contains a single character of the text
/// only if this character is invisible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidText {
    #[error("empty")]
    Empty,
    #[error("contains {} (U+{:04X}) as character {position}; remove it", name(*character), u32::from(*character))]
    Hidden { character: char, position: usize },
    #[error("contains a character that is not ASCII as character {position}; copy the value again")]
    NotAscii { position: usize },
    #[error("longer than 4096 bytes, which is the maximum length of a path")]
    TooLongPath,
}

/// The maximum length of a path in bytes, as on Linux. A longer path would only fill the error that repeats it.
pub(super) const MAX_PATH_BYTES: usize = 4096;

/// Returns the text without the white space and line breaks at its ends.
///
/// # Errors
/// Nothing is left, or the text contains a character that `rule` does not allow.
pub(crate) fn cleaned(text: &str, rule: Rule) -> Result<&str, InvalidText> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(InvalidText::Empty);
    }
    let before = text.chars().take_while(|c| c.is_whitespace()).count();
    for (position, character) in (before + 1..).zip(trimmed.chars()) {
        let is_hidden = is_hidden(character) || (character.is_whitespace() && character != ' ');
        let is_refused = match rule {
            Rule::Unchecked => false,
            Rule::OneLine => is_hidden,
            Rule::VisibleAscii => !character.is_ascii_graphic(),
            Rule::VisibleAsciiWords => !character.is_ascii_graphic() && !character.is_ascii_whitespace(),
        };
        if is_refused {
            let is_invisible = is_hidden || character == ' ';
            return Err(if is_invisible {
                InvalidText::Hidden { character, position }
            } else {
                InvalidText::NotAscii { position }
            });
        }
    }
    Ok(trimmed)
}

/// Parses the value of an argument or of a variable by the rule [`Rule::OneLine`].
///
/// # Errors
/// See [`cleaned`]; or the text is not a `T`.
pub(crate) fn one_line<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    parsed(text, Rule::OneLine)
}

/// Parses the value of an argument or of a variable by the rule [`Rule::VisibleAscii`].
///
/// # Errors
/// See [`cleaned`]; or the text is not a `T`.
pub(crate) fn visible_ascii<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    parsed(text, Rule::VisibleAscii)
}

/// Parses the value of an argument or of a variable. The type `T` decides which characters the value may contain.
///
/// # Errors
/// The text is empty, or it is not a `T`.
pub(super) fn trimmed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    parsed(text, Rule::Unchecked)
}

fn parsed<T: FromStr<Err: ToString>>(text: &str, rule: Rule) -> Result<T, String> {
    let text = cleaned(text, rule).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Parses the path of a file. A path that is not UTF-8 is taken as it is.
///
/// # Errors
/// See [`cleaned`]; or the path is too long.
pub(crate) fn path(text: OsString) -> Result<PathBuf, InvalidText> {
    if text.len() > MAX_PATH_BYTES {
        return Err(InvalidText::TooLongPath);
    }
    match text.to_str() {
        Some(text) => cleaned(text, Rule::OneLine).map(PathBuf::from),
        None => Ok(text.into()),
    }
}

/// Returns true for control characters, and for the characters that Unicode calls ignorable by default or that change
/// the direction of text. No font shows these characters.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Returns the name of a character that nobody sees.
const fn name(character: char) -> &'static str {
    match character {
        ' ' => "a space",
        '\n' => "a line break",
        '\r' => "a carriage return",
        '\t' => "a tab",
        '\0' => "a null character",
        '\u{a0}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' => "a zero-width non-joiner",
        '\u{200d}' => "a zero-width joiner",
        '\u{2028}' | '\u{2029}' => "a line separator",
        '\u{2060}' => "a word joiner",
        '\u{feff}' => "a byte order mark",
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "a mark of text direction"
        }
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => "a control character",
        _ => "an invisible character",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [Rule; 3] = [Rule::VisibleAscii, Rule::VisibleAsciiWords, Rule::OneLine];

    #[test]
    fn white_space_and_line_breaks_at_the_ends_are_trimmed() {
        for text in ["value", "value\n", "value\r\n", "  value ", "\tvalue\u{a0}", "\n\nvalue\u{2003}"] {
            for rule in RULES.into_iter().chain([Rule::Unchecked]) {
                assert_eq!(cleaned(text, rule), Ok("value"), "{text:?}");
            }
        }
        for text in ["", " ", "\n", "\r\n\t"] {
            for rule in RULES.into_iter().chain([Rule::Unchecked]) {
                assert_eq!(cleaned(text, rule), Err(InvalidText::Empty), "{text:?}");
            }
        }
    }

    #[test]
    fn an_invisible_character_is_named_with_its_position_and_the_value_is_not_shown() {
        for (text, expected) in [
            ("CAN\u{200b}ARY", "contains a zero-width space (U+200B) as character 4; remove it"),
            ("\u{feff}CANARY", "contains a byte order mark (U+FEFF) as character 1; remove it"),
            (" \u{feff}CANARY", "contains a byte order mark (U+FEFF) as character 2; remove it"),
            ("CANARY\u{200d}", "contains a zero-width joiner (U+200D) as character 7; remove it"),
            ("CANA\0RY", "contains a null character (U+0000) as character 5; remove it"),
            ("CANARY\u{1b}[2J", "contains a control character (U+001B) as character 7; remove it"),
            ("CANARY\u{202e}", "contains a mark of text direction (U+202E) as character 7; remove it"),
            ("CAN\u{fe0f}ARY", "contains an invisible character (U+FE0F) as character 4; remove it"),
            ("CAN\u{a0}ARY", "contains a no-break space (U+00A0) as character 4; remove it"),
        ] {
            for rule in RULES {
                assert_eq!(cleaned(text, rule).unwrap_err().to_string(), expected, "{rule:?}");
            }
        }
        let line_break = "contains a line break (U+000A) as character 4; remove it";
        for rule in [Rule::VisibleAscii, Rule::OneLine] {
            assert_eq!(cleaned("CAN\nARY", rule).unwrap_err().to_string(), line_break);
        }
    }

    #[test]
    fn each_rule_allows_its_characters() {
        let space = "contains a space (U+0020) as character 2; remove it";
        assert_eq!(cleaned("a b", Rule::VisibleAscii).unwrap_err().to_string(), space);
        assert_eq!(cleaned("a b\n\tc", Rule::VisibleAsciiWords), Ok("a b\n\tc"));
        assert_eq!(cleaned("é b", Rule::OneLine), Ok("é b"));
        let foreign = "contains a character that is not ASCII as character 2; copy the value again";
        for rule in [Rule::VisibleAscii, Rule::VisibleAsciiWords] {
            assert_eq!(cleaned("aé", rule).unwrap_err().to_string(), foreign);
        }
        assert_eq!(cleaned("می\u{200c}خواهم", Rule::Unchecked), Ok("می\u{200c}خواهم"));
    }

    #[test]
    fn a_path_is_trimmed_and_may_contain_spaces() {
        assert_eq!(path("/my keys/a\n".into()), Ok("/my keys/a".into()));
        let break_in_path = InvalidText::Hidden { character: '\n', position: 4 };
        assert_eq!(path("/a/\nb".into()), Err(break_in_path));
        assert_eq!(path(OsString::new()), Err(InvalidText::Empty));
        assert_eq!(path("x".repeat(4096).into()), Ok("x".repeat(4096).into()));
        assert_eq!(path("x".repeat(4097).into()), Err(InvalidText::TooLongPath));
    }
}
