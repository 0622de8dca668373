//! The figures on the talk's slides ("Understanding the Go runtime", J. Espino). They are printed beside what is measured,
//! and nothing is computed from them.

const LONG: usize = 1024 * 1024;

/// The lengths that the talk measures.
pub(super) const LENS: [usize; 4] = [1024, 1025, LONG, LONG + 1];

/// B/op on the slide for a slice of this length.
pub(super) const fn figure(len: usize) -> Option<u64> {
    match len {
        1024 => Some(8192),
        1025 => Some(9472),
        LONG => Some(8_388_619),
        n if n == LONG + 1 => Some(8_396_811),
        _ => None,
    }
}

/// Whether the slide's figure is not what an allocation costs.
pub(super) const fn needs_explanation(len: usize) -> bool {
    len == LONG || len == LONG + 1
}

/// Why the slides show more bytes than are measured here.
pub(super) const EXPLANATION: &str = "\
About the talk's 8388619 and 8396811: a large slice gets whole pages of 8192 bytes. 1048576 elements are exactly
1024 pages, 8388608 bytes; one element more takes 1025 pages, 8396800 bytes. The 11 bytes on top, on both slides, are
what Go's test harness itself allocated meanwhile, divided by N. The loop here allocates nothing but the slice.";
