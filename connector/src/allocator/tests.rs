use core::slice;
use std::alloc::{alloc_zeroed, dealloc};

use super::*;

/// An area of native memory that takes the place of a WebAssembly module's memory.
struct Pages {
    begin: *mut u8,
    used: Cell<usize>,
}

const MAX_PAGES: usize = 4;
/// The number of pages that are in use before the first allocation.
const STATIC_PAGES: usize = 1;
const LAYOUT: Layout = match Layout::from_size_align(MAX_PAGES * PAGE, PAGE) {
    Ok(layout) => layout,
    Err(_) => panic!("a layout"),
};

impl Pages {
    fn upwards() -> Upwards<Self> {
        // SAFETY: the layout is not empty.
        let begin = unsafe { alloc_zeroed(LAYOUT) };
        Upwards::new(Self { begin, used: Cell::new(STATIC_PAGES) })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `begin` was allocated with this layout.
        unsafe { dealloc(self.begin, LAYOUT) };
    }
}

impl Area for Pages {
    fn begin(&self) -> usize {
        self.begin as usize + STATIC_PAGES * PAGE
    }

    fn end(&self) -> usize {
        self.begin as usize + self.used.get() * PAGE
    }

    fn grow(&self, pages: usize) -> bool {
        let used = self.used.get() + pages;
        if used <= MAX_PAGES {
            self.used.set(used);
        }
        used <= MAX_PAGES
    }
}

impl Upwards<Pages> {
    /// Allocates a piece and fills it with this byte. Returns the piece and its offset in the heap.
    fn filled(&self, size: usize, align: usize, byte: u8) -> (*mut u8, usize) {
        // SAFETY: the piece has this size.
        unsafe {
            let at = self.alloc(layout(size, align));
            assert!(!at.is_null());
            assert_eq!(at as usize % align, 0);
            at.write_bytes(byte, size);
            (at, self.offset(at))
        }
    }

    fn offset(&self, at: *mut u8) -> usize {
        at as usize - (self.area.begin as usize + STATIC_PAGES * PAGE)
    }

    /// Returns a copy of the heap: all pages after the pages that the module uses for itself.
    fn heap(&self) -> Vec<u8> {
        // SAFETY: all pages are allocated, whether used or not.
        unsafe { slice::from_raw_parts(self.area.begin.add(STATIC_PAGES * PAGE), (MAX_PAGES - STATIC_PAGES) * PAGE) }
            .to_vec()
    }

    /// Returns the bytes of the heap that are not zero.
    fn nonzero(&self) -> Vec<u8> {
        self.heap().into_iter().filter(|byte| *byte != 0).collect()
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

#[test]
fn pieces_lie_behind_the_modules_own_memory_and_do_not_overlap() {
    let memory = Pages::upwards();
    let mut pieces: Vec<_> = [(1, 1), (3, 8), (100, 1), (16, 16), (5, 4_096), (0, 1), (7, 2)]
        .into_iter()
        .zip(1..)
        .map(|((size, align), byte)| (memory.filled(size, align, byte).1, size))
        .collect();
    assert_eq!(pieces.first(), Some(&(0, 1)));
    pieces.sort_unstable();
    for pair in pieces.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pieces:?}");
    }
    assert_eq!(memory.nonzero().len(), 1 + 3 + 100 + 16 + 5 + 7);
}

#[test]
fn freed_memory_is_zeroed_and_nothing_beside_it() {
    let memory = Pages::upwards();
    let (_, before) = memory.filled(9, 1, 1);
    let (middle, _) = memory.filled(70_000, 8, 2);
    memory.filled(9, 1, 3);
    // SAFETY: the piece was allocated with this layout.
    unsafe { memory.dealloc(middle, layout(70_000, 8)) };
    assert_eq!(memory.nonzero(), [[1; 9], [3; 9]].concat());
    assert_eq!(before, 0);
}

#[test]
fn memory_is_reused_if_the_last_piece_is_freed_and_not_otherwise() {
    let memory = Pages::upwards();
    let (first, _) = memory.filled(16, 8, 1);
    let (last, at) = memory.filled(16, 8, 2);
    // SAFETY: the piece was allocated with this layout.
    unsafe { memory.dealloc(last, layout(16, 8)) };
    assert_eq!(memory.filled(16, 8, 3).1, at);
    // SAFETY: the piece was allocated with this layout.
    unsafe { memory.dealloc(first, layout(16, 8)) };
    assert_eq!(memory.filled(16, 8, 4).1, at + 16);
    assert_eq!(memory.nonzero(), [[3; 16], [4; 16]].concat());
}

#[test]
fn growing_the_last_piece_moves_nothing() {
    let memory = Pages::upwards();
    let (piece, _) = memory.filled(10, 1, 1);
    // SAFETY: the piece was allocated with this layout.
    let grown = unsafe { memory.realloc(piece, layout(10, 1), 2 * PAGE) };
    assert_eq!(grown, piece);
    assert_eq!(memory.nonzero(), [1; 10]);
    assert_eq!(memory.filled(1, 1, 2).1, 2 * PAGE);
}

#[test]
fn growing_another_piece_moves_it_and_zeroes_its_old_place() {
    let memory = Pages::upwards();
    let (piece, _) = memory.filled(10, 16, 1);
    memory.filled(3, 1, 2);
    // SAFETY: the piece was allocated with this layout.
    let grown = unsafe { memory.realloc(piece, layout(10, 16), 40) };
    assert_eq!(memory.offset(grown), 16, "behind the other, aligned as before");
    assert_eq!(memory.heap()[..10], [0; 10]);
    assert_eq!(memory.nonzero(), [vec![2; 3], vec![1; 10]].concat());
}

#[test]
fn shrinking_a_piece_zeroes_its_end_and_moves_nothing() {
    let memory = Pages::upwards();
    let (piece, _) = memory.filled(10, 1, 1);
    let (last, _) = memory.filled(10, 1, 2);
    // SAFETY: the pieces were allocated with these layouts.
    unsafe {
        assert_eq!(memory.realloc(piece, layout(10, 1), 4), piece);
        assert_eq!(memory.realloc(last, layout(10, 1), 1), last);
        assert_eq!(memory.realloc(last, layout(1, 1), 1), last);
    }
    assert_eq!(memory.nonzero(), [1, 1, 1, 1, 2]);
    assert_eq!(memory.filled(1, 1, 3).1, 11, "the end of the last piece is free again");
}

#[test]
fn alloc_zeroed_returns_zeros_where_another_piece_was() {
    let memory = Pages::upwards();
    let (piece, at) = memory.filled(64, 8, 0xff);
    // SAFETY: the piece was allocated with this layout; the second piece has the same size.
    unsafe {
        memory.dealloc(piece, layout(64, 8));
        let again = memory.alloc_zeroed(layout(64, 8));
        assert_eq!(memory.offset(again), at);
        assert_eq!(slice::from_raw_parts(again, 64), [0; 64]);
    }
}

#[test]
fn allocating_more_than_the_host_allows_returns_null_and_changes_nothing() {
    let memory = Pages::upwards();
    let (piece, _) = memory.filled(10, 1, 1);
    // SAFETY: the piece was allocated with this layout.
    unsafe {
        for size in [MAX_PAGES * PAGE, isize::MAX as usize] {
            assert!(memory.alloc(layout(size, 1)).is_null(), "{size}");
            assert!(memory.realloc(piece, layout(10, 1), size).is_null(), "{size}");
        }
    }
    assert_eq!(memory.nonzero(), [1; 10]);
    assert_eq!(memory.filled((MAX_PAGES - STATIC_PAGES) * PAGE - 10, 1, 2).1, 10, "all that is left");
}
