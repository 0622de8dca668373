//! The instruction census: the fast paths of alloc and free, disassembled from this very binary and counted.
//!
//! Counted is the path that is taken when the bin can serve: the shortest from the entry to a return. Slow paths are jumped to and
//! return to the caller from elsewhere. The figures are committed: a change of the fast path is a visible change of a number here.
//! They hold for the release profile of the compiler named below; another compiler may count differently and then only says so.

#![cfg(all(not(debug_assertions), not(feature = "invariants"), target_arch = "x86_64"))]
#![expect(unsafe_code, reason = "exports functions by name so that they can be found in the binary")]

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashMap;
use std::process::Command;

/// The compiler that the figures are from.
const RUSTC: &str = "1.95";
/// Symbol, instructions on its fast path, return included, and on the longest: a free's in a thread that is watched, because there are
/// guarded objects.
const CENSUS: [(&str, (usize, usize)); 4] = [
    ("census_alloc", (19, 19)),
    ("census_dealloc", (17, 21)),
    ("census_alloc_64", (11, 11)),
    ("census_dealloc_64", (9, 13)),
];

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

/// All ways through a function that return, and none twice through the same instruction, the shortest first.
fn ways(code: &[Instruction]) -> Vec<Vec<&Instruction>> {
    let index: HashMap<u64, usize> = code.iter().enumerate().map(|(i, c)| (c.at, i)).collect();
    let target = |c: &Instruction| {
        let at = u64::from_str_radix(c.args.split_whitespace().next()?.trim_start_matches("0x"), 16).ok()?;
        index.get(&at).copied()
    };
    let mut done = vec![];
    let mut begun = vec![vec![0]];
    while let Some(mut way) = begun.pop() {
        let i = *way.last().expect("a way has a first instruction");
        let Some(c) = code.get(i) else { continue };
        let next = match c.op.as_str() {
            "ret" => {
                done.push(way.iter().map(|&i| &code[i]).collect::<Vec<_>>());
                continue;
            }
            "jmp" => vec![target(c)],
            op if op.starts_with('j') => vec![Some(i + 1), target(c)],
            _ => vec![Some(i + 1)],
        };
        let mut next: Vec<usize> = next.into_iter().flatten().filter(|n| !way.contains(n)).collect();
        let last = next.pop();
        begun.extend(next.into_iter().map(|n| [&way[..], &[n]].concat()));
        if let Some(n) = last {
            way.push(n);
            begun.push(way);
        }
        assert!(begun.len() < 1000, "not a fast path: too many ways");
    }
    done.sort_by_key(Vec::len);
    done
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
        let ways = ways(&code);
        let (Some(shortest), Some(longest)) = (ways.first(), ways.last()) else {
            panic!("{symbol} never returns");
        };
        let calls = ways.iter().flatten().filter(|c| c.op == "call").count();
        assert!(calls == 0, "{symbol} calls something on its way to a return");
        println!("{symbol}: {} instructions, {} at most", shortest.len(), longest.len());
        if (shortest.len(), longest.len()) != committed {
            let text: Vec<_> = longest.iter().map(|c| format!("    {} {}", c.op, c.args)).collect();
            different.push(format!(
                "{symbol}: {} to {} instructions, committed are {committed:?}\n{}",
                shortest.len(),
                longest.len(),
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
