//! Leaves a secret in memory on purpose, or searches memory for a secret.
//!
//! A test orders one of these two actions (see `lib.rs`). The order contains the secret in hexadecimal, with every bit
//! inverted. Otherwise the search would find the order itself.

use core::cell::RefCell;

const PAGE: usize = 65_536;
/// The number of pages by which a search grows memory. So the search also covers pages that this guest has not used,
/// but that an earlier guest may have used.
const ADDED_PAGES: usize = 128;

thread_local! {
    /// The copies of the secret. A component has only one thread, so this thread-local variable is a global variable.
    static SECRETS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Fills 4 MiB of the heap with copies of the secret and keeps them. Then searches memory for the secret and returns
/// the same text as [`look`].
pub(crate) fn leave(inverted: &str) -> String {
    let secret = decode(inverted);
    SECRETS.with_borrow_mut(|secrets| secrets.extend((0..64).map(|_| secret.repeat(PAGE / secret.len().max(1)))));
    look(inverted)
}

/// Counts how often the secret occurs in all of memory, including memory that this guest has not allocated. Returns
/// text, for example `3 in 260 pages`.
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

/// Grows linear memory by [`ADDED_PAGES`], and returns all of it except its first byte. The address of that byte is
/// null, and a slice in Rust must not begin at this address.
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the search also reads memory that this guest has not allocated")]
fn memory() -> &'static [u8] {
    use core::arch::wasm32::{memory_grow, memory_size};
    memory_grow::<0>(ADDED_PAGES);
    // SAFETY: every byte below the size of memory can be read. There is only one thread, so no one writes during a
    // search.
    unsafe { core::slice::from_raw_parts(1 as *const u8, memory_size::<0>() * PAGE - 1) }
}

#[cfg(not(target_arch = "wasm32"))]
fn memory() -> &'static [u8] {
    // Only a component has linear memory.
    let _ = ADDED_PAGES;
    &[]
}
