//! The guest's memory: handed out upwards, zeroed when given back, taken again only from the end.
//!
//! An instance lives for one call, so nothing is gained by keeping books of free pieces; the host bounds the memory of a
//! call, and nobody else grows it. What is freed is zeroed, because buffers of `serde_json`, waki and the canonical ABI hold tokens too.
#![expect(unsafe_code, reason = "a global allocator is made of raw pointers")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

const PAGE: usize = 65_536;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: Upwards<LinearMemory> = Upwards::new(LinearMemory);

/// Where memory comes from: an area that grows at its end, a page at a time.
trait Area {
    /// The address behind the last page.
    fn end(&self) -> usize;
    /// Adds pages; whether there were as many.
    fn grow(&self, pages: usize) -> bool;
}

/// The module's own.
#[cfg(target_arch = "wasm32")]
struct LinearMemory;

#[cfg(target_arch = "wasm32")]
impl Area for LinearMemory {
    fn end(&self) -> usize {
        core::arch::wasm32::memory_size::<0>() * PAGE
    }

    fn grow(&self, pages: usize) -> bool {
        core::arch::wasm32::memory_grow::<0>(pages) != usize::MAX
    }
}

struct Upwards<A> {
    area: A,
    /// The first free byte; 0 before the first allocation.
    next: Cell<usize>,
}

impl<A: Area> Upwards<A> {
    const fn new(area: A) -> Self {
        Self { area, next: Cell::new(0) }
    }

    /// So many bytes behind what is in use. None if the host gives no more memory.
    fn take(&self, bytes: usize, align: usize) -> Option<usize> {
        let begin = match self.next.get() {
            // All memory that the module itself uses lies below what it starts with.
            0 => self.area.end(),
            next => next,
        };
        let at = begin.checked_next_multiple_of(align)?;
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

// SAFETY: what is handed out lies between the heap's base and the end of memory and never overlaps what is in use.
unsafe impl<A: Area> GlobalAlloc for Upwards<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align()).map_or(null_mut(), |at| at as *mut u8)
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let is_last = at as usize + layout.size() == self.next.get();
        let Some(more) = new_size.checked_sub(layout.size()) else {
            // Shorter: the rest is given back where it lies.
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
        // SAFETY: both pieces hold what is copied, and the old one is the caller's to give back.
        unsafe {
            (new as *mut u8).copy_from_nonoverlapping(at, layout.size());
            self.dealloc(at, layout);
        }
        new as *mut u8
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back what it was handed.
        unsafe { wipe(at, layout.size()) };
        if at as usize + layout.size() == self.next.get() {
            self.next.set(at as usize);
        }
    }
}

/// Volatile, byte for byte: a store that nobody reads afterwards would otherwise be removed.
///
/// # Safety
/// The bytes are the caller's.
unsafe fn wipe(at: *mut u8, bytes: usize) {
    // SAFETY: as promised.
    (0..bytes).for_each(|offset| unsafe { at.add(offset).write_volatile(0) });
}

#[cfg(test)]
mod tests;
