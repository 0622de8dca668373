//! The sizes that a program asks for, recorded; and a library that was built with a table made for them.

use super::*;

/// A program of known sizes. Of 1,000 objects of 777 bytes half are gone when the most is asked for.
const SIZES: &str = r#"
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    static void *all[1000];
    for (int i = 0; i < 1000; i++) all[i] = malloc(777);
    for (int i = 0; i < 500; i++) free(all[i]);
    for (int i = 0; i < 3000; i++) malloc(1030);
    for (int i = 0; i < 300; i++) realloc(malloc(40), 45);
    void *p;
    for (int i = 0; i < 7; i++) posix_memalign(&p, 256, 2000);
    void *large = malloc(100000);
    calloc(10, 300);
    free(large);
    for (int i = 500; i < 1000; i++) free(all[i]);
    if (argc > 1 && fork() == 0) { malloc(5000); return 0; }
    return 0;
}
"#;

/// Size, allocations, live, alignment of the lines of a file.
fn rows(file: &Path) -> Vec<[u64; 4]> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        line.split(' ').map(|n| n.parse().expect("a number")).collect::<Vec<_>>().try_into().unwrap()
    };
    lines.map(row).collect()
}

#[test]
fn each_size_is_written_with_what_lived_at_the_peak() {
    let dir = directory("sizes");
    let program = compile(&dir, "known_sizes", &["-w"], SIZES);
    succeeds(gort_run().arg("--sizes").arg(dir.join("sizes")).arg(&program));
    assert_eq!(files(&dir, "sizes"), ["sizes"]);
    let rows = rows(&dir.join("sizes"));
    for row in [
        [45, 300, 300, 16],
        [777, 1000, 500, 16],
        [1030, 3000, 3000, 16],
        [2000, 7, 7, 256],
        [3000, 1, 1, 16],
    ] {
        assert!(rows.contains(&row), "{row:?} {rows:?}");
    }
    assert!(rows.iter().all(|row| row[0] != 40), "what grew in its place counts as what it became");
    let text = fs::read_to_string(dir.join("sizes")).unwrap();
    assert!(text.contains("# whole pages: 1 objects, 1 of them with 106496 bytes at the peak\n"), "{text}");
}

#[test]
fn processes_write_files_of_their_own_beside_the_report() {
    let dir = directory("sizes-fork");
    let program = compile(&dir, "known_sizes", &["-w"], SIZES);
    let mut command = gort_run();
    command.args(["--sizes", "s", "--stats-json", "j"]).arg(&program).arg("fork").current_dir(&dir);
    succeeds(&mut command);
    assert_eq!((files(&dir, "s").len(), files(&dir, "j").len()), (2, 2));
    assert!(json(&dir.join("j"))["mallocs"].as_u64() > Some(4000));
    let child = files(&dir, "s").pop().unwrap();
    assert!(rows(&dir.join(&child)).iter().any(|row| row[0] == 5000), "{child}");
    assert!(rows(&dir.join("s")).iter().all(|row| row[0] != 5000));
    let line = fails(gort_run().args(["--sizes", "x", "--stats-json", "x", "true"]).current_dir(&dir), 2);
    assert!(line.contains("--stats-json and --sizes name the same file"), "{line}");
}

/// This command itself is one.
#[test]
fn a_rust_program_on_gort_has_two_heaps_and_writes_both() {
    let dir = directory("sizes-rust");
    let mut command = gort_run();
    command.args(["--sizes", "s", GORT, "size-classes", "--check"]).current_dir(&dir);
    succeeds(&mut command);
    assert_eq!(files(&dir, "s"), ["s", "s.malloc"]);
    let (rust, c) = (rows(&dir.join("s")), rows(&dir.join("s.malloc")));
    // Rust's has alignments of eight bytes and less; C's has none.
    assert!(rust.iter().any(|row| row[3] == 8) && c.iter().all(|row| row[3] >= 16), "{rust:?} {c:?}");
    assert!(!rust.is_empty() && !c.is_empty());
}

#[test]
fn a_library_is_built_with_a_table_for_the_program() {
    let dir = directory("own-table");
    let program = compile(&dir, "known_sizes", &["-w"], SIZES);
    succeeds(gort_run().arg("--sizes").arg(dir.join("sizes")).arg(&program));
    let out = succeeds(
        Command::new(GORT).args(["size-classes", "--from", "sizes", "-o", "table.rs"]).current_dir(&dir),
    );
    assert!(out.contains("saved"), "{out}");

    let table = dir.join("table.rs");
    let built = build_with(&table);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let heap = dir.join("heap.json");
    let mut command = gort_run();
    command
        .arg("--lib")
        .arg(own_target().join("release/libgort.so"))
        .arg("--stats-json")
        .arg(&heap)
        .arg(&program);
    succeeds(&mut command);
    let report = json(&heap);
    let classes: Vec<u64> =
        report["by_size"].as_array().unwrap().iter().map(|row| number(row, "size")).collect();
    assert!(classes.contains(&784) && classes.contains(&1040), "{classes:?}");

    // One slip in the table, and it is refused: by the crate, while it is compiled.
    let source = fs::read_to_string(&table).unwrap();
    for (from, to, why) in [
        (
            "pub const MAX_SPAN_PAGES: usize = ",
            "pub const MAX_SPAN_PAGES: usize = 1; const _A: usize = ",
            "spans are as long as is said",
        ),
        (
            "pub static CLASS_TO_DIVMAGIC: [u32; NUM_CLASSES] = [\n    0, ",
            "pub static CLASS_TO_DIVMAGIC: [u32; NUM_CLASSES] = [\n    0, 1 + ",
            "the magic number is the size's",
        ),
    ] {
        assert!(source.contains(from));
        let broken = dir.join("broken.rs");
        fs::write(&broken, source.replace(from, to)).unwrap();
        let refused = build_with(&broken);
        assert!(
            !refused.status.success() && text(&refused.stderr).contains(why),
            "{}",
            text(&refused.stderr)
        );
    }
    for (file, why) in [(Path::new("table.rs"), "has to be absolute"), (&dir.join("none.rs"), "No such file")]
    {
        let refused = build_with(file);
        assert!(
            !refused.status.success() && text(&refused.stderr).contains(why),
            "{}",
            text(&refused.stderr)
        );
    }
}

/// Where the library with another table is built: not in the place of the usual one.
fn own_target() -> PathBuf {
    Path::new(GORT).ancestors().nth(2).expect("the target directory").join("own-table")
}

fn build_with(table: &Path) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
        .args([
            "build",
            "--release",
            "-p",
            "gort-preload",
            "--features",
            "gort-preload/invariants",
            "--target-dir",
        ])
        .arg(own_target())
        .env("GORT_SIZE_CLASSES", table)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs")
}
