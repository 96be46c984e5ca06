//! The guest's allocator. It hands out memory at ever higher addresses and zeroes memory that is freed. It reuses freed
//! memory only if that memory was the last piece in use.
//!
//! An instance lives for one call, so a list of free pieces would bring no advantage. The host limits the memory of a
//! call. Freed memory is zeroed because buffers of `serde_json`, waki and the canonical ABI also hold tokens.
#![expect(unsafe_code, reason = "a global allocator is made of raw pointers")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr::null_mut;

/// The size of a WebAssembly page, in bytes.
const PAGE: usize = 65_536;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: Upwards<LinearMemory> = Upwards::new(LinearMemory);

#[cfg(target_arch = "wasm32")]
unsafe extern "C" {
    /// The linker places this symbol behind the stack and the data of the module.
    static __heap_base: u8;
}

/// A memory that can grow at its end, page by page.
trait Area {
    /// Returns the address of the first byte that may be allocated.
    fn begin(&self) -> usize;
    /// Returns the address of the first byte after the last page.
    fn end(&self) -> usize;
    /// Adds pages. If the host refuses, adds no page and returns false.
    fn grow(&self, pages: usize) -> bool;
}

/// The linear memory of the module.
#[cfg(target_arch = "wasm32")]
struct LinearMemory;

#[cfg(target_arch = "wasm32")]
impl Area for LinearMemory {
    fn begin(&self) -> usize {
        &raw const __heap_base as usize
    }

    fn end(&self) -> usize {
        core::arch::wasm32::memory_size::<0>() * PAGE
    }

    fn grow(&self, pages: usize) -> bool {
        core::arch::wasm32::memory_grow::<0>(pages) != usize::MAX
    }
}

/// The allocator.
struct Upwards<A> {
    area: A,
    /// The address of the first free byte; 0 before the first allocation.
    next: Cell<usize>,
}

impl<A: Area> Upwards<A> {
    const fn new(area: A) -> Self {
        Self { area, next: Cell::new(0) }
    }

    /// Reserves bytes after the bytes in use, and returns the address of the first reserved byte. Returns `None` if the
    /// host gives no more memory.
    fn take(&self, bytes: usize, align: usize) -> Option<usize> {
        let begin = match self.next.get() {
            // The rest of the module's initial memory is used first, so that a small call need not grow the memory.
            0 => self.area.begin(),
            next => next,
        };
        // An alignment is a power of two. `next_multiple_of` would divide.
        let at = begin.checked_add(align - 1)? & !(align - 1);
        let end = at.checked_add(bytes)?;
        let missing = end.saturating_sub(self.area.end()).div_ceil(PAGE);
        if missing > 0 && !self.area.grow(missing) {
            return None;
        }
        self.next.set(end);
        Some(at)
    }
}

// SAFETY: the component has no threads.
#[cfg(target_arch = "wasm32")]
unsafe impl Sync for Upwards<LinearMemory> {}

// SAFETY: every piece lies between the start of the heap and the end of memory, and overlaps no other piece in use.
unsafe impl<A: Area> GlobalAlloc for Upwards<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align()).map_or(null_mut(), |at| at as *mut u8)
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let is_last = at as usize + layout.size() == self.next.get();
        let Some(more) = new_size.checked_sub(layout.size()) else {
            // The piece shrinks: it stays in its place, and its end is freed.
            // SAFETY: `new_size` is less than the size of the caller's piece.
            unsafe { wipe(at.add(new_size), layout.size() - new_size) };
            if is_last {
                self.next.set(at as usize + new_size);
            }
            return at;
        };
        if is_last {
            return self.take(more, 1).map_or(null_mut(), |_| at);
        }
        let Some(new) = self.take(new_size, layout.align()) else { return null_mut() };
        // SAFETY: both pieces have at least `layout.size()` bytes, and the caller owns the old piece.
        unsafe {
            (new as *mut u8).copy_from_nonoverlapping(at, layout.size());
            self.dealloc(at, layout);
        }
        new as *mut u8
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller owns the piece, which has this layout.
        unsafe { wipe(at, layout.size()) };
        if at as usize + layout.size() == self.next.get() {
            self.next.set(at as usize);
        }
    }
}

/// Zeroes bytes. The writes are volatile, because the compiler would remove writes that are never read. A loop over single
/// bytes took 4 % of the time of a refresh, so each turn of the main loop writes 64 bytes.
///
/// # Safety
/// The caller owns the bytes.
unsafe fn wipe(at: *mut u8, bytes: usize) {
    // SAFETY: the caller owns the bytes, and a `MaybeUninit` may contain anything.
    let piece = unsafe { core::slice::from_raw_parts_mut(at.cast::<MaybeUninit<u8>>(), bytes) };
    // SAFETY: as above.
    let (before, words, after) = unsafe { piece.align_to_mut::<MaybeUninit<u64>>() };
    let (blocks, words) = words.as_chunks_mut::<8>();
    for block in blocks {
        // SAFETY: the reference is valid.
        unsafe { core::ptr::from_mut(block).cast::<[u64; 8]>().write_volatile([0; 8]) };
    }
    for word in words {
        // SAFETY: as above.
        unsafe { core::ptr::from_mut(word).cast::<u64>().write_volatile(0) };
    }
    for byte in before.iter_mut().chain(after) {
        // SAFETY: as above.
        unsafe { core::ptr::from_mut(byte).cast::<u8>().write_volatile(0) };
    }
}

#[cfg(test)]
mod tests;
