//! The instruction census: the fast paths of alloc and free, disassembled from this very binary and counted.
//!
//! Counted is the path that is taken when the bin can serve: from the entry, falling through every conditional branch (the
//! slow paths are marked cold, so the compiler puts them behind taken branches), following plain jumps, up to the return. The
//! figures are committed: a change of the fast path is a visible change of a number here. They hold for the release profile
//! of the compiler named below; another compiler may count differently and then only says so.

#![cfg(all(not(debug_assertions), not(feature = "invariants"), target_arch = "x86_64"))]
#![expect(unsafe_code, reason = "exports functions by name so that they can be found in the binary")]

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashMap;
use std::process::Command;

/// The compiler that the figures are from.
const RUSTC: &str = "1.95";
/// Symbol and instructions on its fast path, return included.
const CENSUS: [(&str, usize); 4] =
    [("census_alloc", 19), ("census_dealloc", 17), ("census_alloc_64", 11), ("census_dealloc_64", 9)];

const FIXED: Layout = Layout::new::<[u64; 8]>();

/// Any layout, as the program's global allocator sees it.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn census_alloc(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller passes a valid layout; the test never calls it.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    // SAFETY: the caller passes a size above 0.
    unsafe { gort::GoAlloc.alloc(layout) }
}

/// As above, for free.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn census_dealloc(p: *mut u8, size: usize, align: usize) {
    // SAFETY: the caller passes a valid layout.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    // SAFETY: the caller passes an object of this layout.
    unsafe { gort::GoAlloc.dealloc(p, layout) }
}

/// A layout known when compiling: the class is a constant.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn census_alloc_64() -> *mut u8 {
    // SAFETY: the layout has a size.
    unsafe { gort::GoAlloc.alloc(FIXED) }
}

/// As above, for free.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn census_dealloc_64(p: *mut u8) {
    // SAFETY: the caller passes an object of this layout.
    unsafe { gort::GoAlloc.dealloc(p, FIXED) }
}

/// One instruction: its address, mnemonic and operands.
struct Instruction {
    at: u64,
    op: String,
    args: String,
}

/// The disassembly of one function of this binary.
fn disassemble(symbol: &str) -> Vec<Instruction> {
    let exe = std::env::current_exe().expect("a test knows its binary");
    let out = Command::new("objdump")
        .args(["--no-show-raw-insn", "-M", "intel", &format!("--disassemble={symbol}")])
        .arg(exe)
        .output()
        .expect("objdump (binutils) runs");
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|line| {
            let (at, text) = line.split_once(":\t")?;
            let (op, args) = text.split_once(' ').unwrap_or((text, ""));
            let at = u64::from_str_radix(at.trim(), 16).ok()?;
            Some(Instruction { at, op: op.trim().into(), args: args.trim().into() })
        })
        .collect()
}

/// The instructions of the fast path.
fn fast_path(code: &[Instruction]) -> Vec<&Instruction> {
    let index: HashMap<u64, usize> = code.iter().enumerate().map(|(i, c)| (c.at, i)).collect();
    let mut path = vec![];
    let mut i = 0;
    while let Some(c) = code.get(i) {
        path.push(c);
        match c.op.as_str() {
            "ret" => return path,
            "jmp" => {
                let target = c
                    .args
                    .split_whitespace()
                    .next()
                    .and_then(|t| u64::from_str_radix(t.trim_start_matches("0x"), 16).ok());
                match target.and_then(|t| index.get(&t)) {
                    Some(&next) => i = next,
                    None => panic!("the fast path leaves the function: jmp {}", c.args),
                }
            }
            _ => i += 1,
        }
        assert!(path.len() < 200, "no return on the fast path");
    }
    panic!("no return on the fast path");
}

#[test]
fn fast_paths_have_the_committed_length() {
    // The functions are called once, so that no linker drops them.
    let p = census_alloc(48, 8);
    census_dealloc(p, 48, 8);
    census_dealloc_64(census_alloc_64());

    let version = Command::new("rustc").arg("--version").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let mut different = vec![];
    for (symbol, committed) in CENSUS {
        let code = disassemble(symbol);
        assert!(!code.is_empty(), "{symbol} is not in the binary");
        let path = fast_path(&code);
        let calls: Vec<_> = path.iter().filter(|c| c.op == "call").collect();
        assert!(calls.is_empty(), "{symbol} calls something on its fast path");
        println!("{symbol}: {} instructions", path.len());
        if path.len() != committed {
            let text: Vec<_> = path.iter().map(|c| format!("    {} {}", c.op, c.args)).collect();
            different.push(format!(
                "{symbol}: {} instructions, committed are {committed}\n{}",
                path.len(),
                text.join("\n")
            ));
        }
    }
    if !version.contains(RUSTC) {
        println!("not compared: the figures are from rustc {RUSTC}, this is {version}");
        return;
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}
