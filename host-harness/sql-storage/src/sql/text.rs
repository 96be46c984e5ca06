//! Writes and reads text in columns. PostgreSQL can't hold U+0000, so this character is written as an escape sequence.
//! The escape character itself is also written as an escape sequence. Any other text is stored unchanged. Escaped texts
//! have the same order as the original texts. Two escaped texts are equal only if the original texts are equal.

/// The character that begins an escape sequence. If U+0001 follows, the sequence stands for U+0000. If U+0002 follows,
/// the sequence stands for U+0001.
const ESCAPE: char = '\u{1}';

/// Returns the escaped text, as a column holds it.
pub(super) fn escaped(text: &str) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        match c {
            '\0' => out.push_str("\u{1}\u{1}"),
            ESCAPE => out.push_str("\u{1}\u{2}"),
            other => out.push(other),
        }
        out
    })
}

/// Returns the original text of an escaped text. `None` if [`escaped`] never returns such a text.
pub(super) fn unescaped(text: String) -> Option<String> {
    if !text.contains(ESCAPE) {
        return Some(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match (c, (c == ESCAPE).then(|| chars.next())) {
            (_, Some(Some('\u{1}'))) => '\0',
            (_, Some(Some('\u{2}'))) => ESCAPE,
            (_, Some(_)) => return None,
            (other, None) => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 12] =
        ["", "\0", "\0\0", "\0\u{1}", "\0\u{2}", "\0a", "\u{1}", "\u{1}\0", "\u{1}\u{1}", "\u{2}", "a", "a\0"];

    #[test]
    fn text_is_read_back_unchanged_and_keeps_its_order() {
        assert!(TEXTS.is_sorted());
        let stored = TEXTS.map(escaped);
        assert!(stored.is_sorted(), "{stored:?}");
        assert!(stored.iter().all(|text| !text.contains('\0')));
        for (text, stored) in TEXTS.into_iter().zip(stored) {
            assert_eq!(unescaped(stored).as_deref(), Some(text));
        }
        assert_eq!(escaped("Teapot Corner, Zürich \u{10FFFF}"), "Teapot Corner, Zürich \u{10FFFF}");
    }

    #[test]
    fn a_form_that_is_never_written_is_refused() {
        for stored in ["\u{1}", "a\u{1}", "\u{1}a", "\u{1}\u{3}"] {
            assert_eq!(unescaped(stored.to_owned()), None, "{stored:?}");
        }
    }
}
