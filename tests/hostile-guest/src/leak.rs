//! A secret left in memory on purpose, and the search for one. What is searched for arrives with every bit inverted, in
//! hexadecimal: otherwise the order itself would be found.

use core::cell::RefCell;

const PAGE: usize = 65_536;
/// Pages that a search adds, so that it sees those that an earlier guest may have had.
const MORE_PAGES: usize = 128;

thread_local! {
    /// The secret in a global variable. There is one thread.
    static LEFT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Fills four megabytes of the heap with the secret, and keeps them.
pub(crate) fn leave(inverted: &str) -> String {
    let secret = decode(inverted);
    LEFT.with_borrow_mut(|left| left.extend((0..64).map(|_| secret.repeat(PAGE / secret.len().max(1)))));
    look(inverted)
}

/// How often the secret stands in memory, that which was never asked for included.
pub(crate) fn look(inverted: &str) -> String {
    let inverted = bytes(inverted);
    let memory = memory();
    let is_secret = |window: &&[u8]| window.iter().zip(&inverted).all(|(found, inverted)| *found == !inverted);
    let found = memory.windows(inverted.len().max(1)).filter(is_secret).count();
    format!("{found} in {} pages", memory.len() / PAGE)
}

fn decode(inverted: &str) -> Vec<u8> {
    bytes(inverted).into_iter().map(|byte| !byte).collect()
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

/// All linear memory but its first byte, whose address is null.
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "no allocation of this guest covers what it looks at")]
fn memory() -> &'static [u8] {
    use core::arch::wasm32::{memory_grow, memory_size};
    memory_grow::<0>(MORE_PAGES);
    // SAFETY: every byte below the size of memory can be read, there is one thread, and nobody writes during a search.
    unsafe { core::slice::from_raw_parts(1 as *const u8, memory_size::<0>() * PAGE - 1) }
}

#[cfg(not(target_arch = "wasm32"))]
fn memory() -> &'static [u8] {
    let _of_a_component = MORE_PAGES;
    &[]
}
