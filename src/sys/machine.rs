//! Facts about the machine and the process's environment, read without allocation.
#![expect(unsafe_code, reason = "reads files and the environment through libc into buffers on the stack")]

use core::ffi::CStr;

use super::errno;

/// Physical memory in bytes; 0 when the system does not say.
pub(crate) fn physical_memory() -> usize {
    errno::preserve(|| {
        // SAFETY: sysinfo is plain data, for which all zeros is valid.
        let mut info: libc::sysinfo = unsafe { core::mem::zeroed() };
        // SAFETY: info is valid for a write.
        let ok = unsafe { libc::sysinfo(&raw mut info) } == 0;
        if ok { (info.totalram as usize).saturating_mul(info.mem_unit as usize) } else { 0 }
    })
}

/// Whether the process runs with more rights than its caller (AT_SECURE): then the environment is not to be trusted.
pub(crate) fn is_secure() -> bool {
    // SAFETY: getauxval reads a table that the loader filled in.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

unsafe extern "C" {
    /// POSIX's environment; null before the C library has set itself up.
    static mut environ: *const *const libc::c_char;
}

/// Whether the process has its environment yet. What runs while the loader is still at work has none.
pub(crate) fn has_environment() -> bool {
    // SAFETY: the C library's variable; whoever changes it at this moment changes what the process is at its very start.
    !unsafe { environ }.is_null()
}

/// The value of an environment variable, as it stands now.
///
/// The C library reads `environ` without a lock: a thread that changes the environment at the same time races with this
/// call, as with every `getenv`. gort calls it once, at the first allocation of the process.
pub(crate) fn env(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: name is NUL-terminated.
    let p = unsafe { libc::getenv(name.as_ptr()) };
    if p.is_null() {
        return None;
    }
    // SAFETY: getenv returned a NUL-terminated string of the environment.
    Some(unsafe { CStr::from_ptr(p) }.to_bytes())
}

/// Reads the beginning of a file into `buf`; `None` when it cannot be opened or read.
pub(crate) fn read_file<'a>(path: &CStr, buf: &'a mut [u8]) -> Option<&'a [u8]> {
    errno::preserve(|| {
        // SAFETY: path is NUL-terminated.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if fd < 0 {
            return None;
        }
        let mut len = 0;
        loop {
            let rest = &mut buf[len..];
            // SAFETY: rest is valid for rest.len() bytes.
            let n = unsafe { libc::read(fd, rest.as_mut_ptr().cast(), rest.len()) };
            if n <= 0 {
                break;
            }
            len += n as usize;
        }
        // SAFETY: fd is ours and open.
        unsafe { libc::close(fd) };
        Some(&buf[..len])
    })
}

/// Calls `f` with each line of a file, without its newline, as far as it can be read. Lines that do not fit into `buf` with it, and
/// what follows the last newline, are left out.
pub(crate) fn each_line(path: &CStr, buf: &mut [u8], mut f: impl FnMut(&[u8])) {
    errno::preserve(|| {
        // SAFETY: path is NUL-terminated.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if fd < 0 {
            return;
        }
        // Whether what comes first is the rest of a line that did not fit.
        let (mut len, mut is_rest) = (0, false);
        loop {
            let room = &mut buf[len..];
            // SAFETY: room is valid for room.len() bytes.
            let n = unsafe { libc::read(fd, room.as_mut_ptr().cast(), room.len()) };
            if n <= 0 {
                break;
            }
            len += n as usize;
            let mut start = 0;
            while let Some(end) = buf[start..len].iter().position(|&b| b == b'\n') {
                if !is_rest {
                    f(&buf[start..start + end]);
                }
                (start, is_rest) = (start + end + 1, false);
            }
            if start == 0 && len == buf.len() {
                (len, is_rest) = (0, true);
            } else {
                buf.copy_within(start..len, 0);
                len -= start;
            }
        }
        // SAFETY: fd is ours and open.
        unsafe { libc::close(fd) };
    });
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{ffi::CString, format, fs, process, string::String, vec::Vec};

    #[test]
    fn lines_come_whole_or_not_at_all() {
        let name = std::env::temp_dir().join(format!("gort-lines-{}", process::id()));
        let path = CString::new(name.to_str().unwrap()).unwrap();
        fs::write(&name, "one\n\nlonger than the buffer: one\nthree\n1234567\n12345678\nlast").unwrap();
        let mut lines = Vec::new();
        each_line(&path, &mut [0; 8], |line| lines.push(String::from_utf8(line.to_vec()).unwrap()));
        fs::remove_file(&name).unwrap();
        assert_eq!(lines, ["one", "", "three", "1234567"]);
        each_line(&path, &mut [0; 8], |_| panic!("it is not there"));
    }
}
