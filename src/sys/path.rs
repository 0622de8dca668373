//! Paths that are put together without the heap.

use core::ffi::CStr;
use core::fmt;

/// The longest path that Linux takes, with its NUL.
const MAX: usize = 4096;

/// A path, NUL-terminated. What does not fit is an error, and then the path is what it was.
pub(crate) struct Path {
    buf: [u8; MAX],
    len: usize,
}

impl Path {
    /// An empty path.
    pub(crate) const fn new() -> Self {
        Self { buf: [0; MAX], len: 0 }
    }

    /// Makes it empty.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.buf[0] = 0;
    }

    /// Appends bytes, none of which is NUL.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> fmt::Result {
        // One byte stays for the NUL.
        let room = self.buf.get_mut(self.len..self.len + bytes.len() + 1).ok_or(fmt::Error)?;
        room[..bytes.len()].copy_from_slice(bytes);
        room[bytes.len()] = 0;
        self.len += bytes.len();
        Ok(())
    }

    /// Appends what `fill` writes to the room that is left, of which it returns the length; `None` leaves the path as it is.
    pub(super) fn fill(&mut self, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> fmt::Result {
        let n = fill(&mut self.buf[self.len..MAX - 1]).ok_or(fmt::Error)?;
        self.len += n;
        self.buf[self.len] = 0;
        Ok(())
    }

    /// Without the NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    pub(crate) fn as_cstr(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.buf[..=self.len]).unwrap_or_default()
    }
}

impl fmt::Write for Path {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn a_path_that_does_not_fit_is_an_error_not_a_panic() {
        let mut path = Path::new();
        assert!(write!(path, "{:4095}", "").is_ok());
        assert!(write!(path, "x").is_err());
        assert_eq!(path.as_cstr().count_bytes(), 4095);
    }
}
