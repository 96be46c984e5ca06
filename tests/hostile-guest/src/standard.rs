//! Uses two parts of the standard library that could need more imports on another target: a `HashMap`, whose hasher asks
//! for random keys, and a panic, which prints a message and asks for the environment.

use std::collections::HashMap;

/// Returns how often the text contains its most frequent word. Panics if it contains no word.
#[expect(clippy::panic, reason = "the panic is the order")]
pub(crate) fn count_words(text: &str) -> usize {
    let mut counts = HashMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_insert(0) += 1;
    }
    match counts.into_values().max() {
        Some(count) => count,
        None => panic!("no word in {text:?}"),
    }
}
