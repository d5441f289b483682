//! How glibc gives memory back. Left alone it raises the size from which a block has a mapping of its
//! own to that of the largest one that was ever freed. The database's buffers then lie among small
//! blocks, and what each of its parts leaves behind stays resident: 20 MB after three of them.

/// From this size on a block has a mapping of its own, which goes when it is freed. It is what glibc
/// begins with; saying so keeps it from rising.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_FROM: std::ffi::c_int = 128 << 10;

/// Has large blocks given back when they are freed. Before there are other threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's own switch; the standard library has none")]
pub(super) fn give_back_large_blocks() {
    use std::ffi::c_int;
    const M_MMAP_THRESHOLD: c_int = -3;
    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
    // SAFETY: it changes a figure of the allocator, and takes no pointer. One that refuses leaves all
    // as it was, which costs memory and nothing else.
    unsafe { mallopt(M_MMAP_THRESHOLD, MAPPED_FROM) };
}

/// Other allocators don't do that.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back_large_blocks() {}
