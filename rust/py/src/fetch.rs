//! Asking the processor to bring near what will be read soon, while something else is done.

/// What is there need not be readable. Does nothing on other processors than x86-64.
#[inline]
pub(crate) fn fetch<T>(soon: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, which never faults and changes no data.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(soon.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}
