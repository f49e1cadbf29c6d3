//! Large pages for the tables of the hot cache.
//!
//! A look-up among millions reads at a random place, and of pages of 4 KB there are so many that the processor must read
//! the page's address from memory first. Linux gives larger ones to those who ask, where
//! `/sys/kernel/mm/transparent_hugepage/enabled` is not `never`.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr,
};

use rustix::mm::{Advice, madvise};

/// A large page.
const PAGE: usize = 2 << 20;
/// What is aligned to cache lines is made for reading at random places; text and trees are not.
const LINE: usize = 64;

/// The system's allocator, which asks for large pages where a table fills some.
pub(crate) struct Pages;

fn is_table(size: usize, layout: Layout) -> bool {
    size >= PAGE && layout.align() >= LINE
}

/// What the system is asked for: a table begins with a large page.
fn whole(layout: Layout) -> Layout {
    if is_table(layout.size(), layout) {
        // Only a size near `isize::MAX` has no such layout, and no memory either.
        layout.align_to(PAGE).unwrap_or(layout)
    } else {
        layout
    }
}

// SAFETY: all memory comes from the system's allocator, and goes back to it with the layout it came with, which
// `whole` makes of the caller's each time. Advice does not change what stands in memory.
unsafe impl GlobalAlloc for Pages {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises hold for the same size and a larger alignment.
        let memory = unsafe { System.alloc(whole(layout)) };
        if is_table(layout.size(), layout) && !memory.is_null() {
            // SAFETY: so many bytes were allocated. Where the system refuses, small pages do as well.
            let _refused = unsafe { madvise(memory.cast(), layout.size(), Advice::LinuxHugepage) };
        }
        memory
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(whole(layout)) }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: it was allocated with this layout.
        unsafe { System.dealloc(memory, whole(layout)) };
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_table(layout.size().max(size), layout) {
            // SAFETY: it was allocated with this layout, and will be freed with one of the same alignment.
            return unsafe { System.realloc(memory, layout, size) };
        }
        // SAFETY: the caller promises that the size is valid; both blocks have the bytes that are copied, and the old
        // one is freed only then.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(memory, moved, size.min(layout.size()));
                self.dealloc(memory, layout);
            }
            moved
        }
    }
}
