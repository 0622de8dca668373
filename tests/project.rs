//! The project's own security: where unsafe code is and why, and that nothing is downloaded while it is built.
//!
//! `cargo test --test project` compares the tables in `SECURITY.md`; with `GORT_UPDATE=1` it writes them. It asks cargo about all projects here, for
//! which their packages must be, or can be, downloaded.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files under `folder` with this name's end, sorted.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path, end));
            }
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Code without comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The reasons that a source gives where it expects unsafe code.
fn reasons(text: &str) -> Vec<&str> {
    let mut reasons = vec![];
    for part in text.split("unsafe_code").skip(1) {
        let reason = part.trim_start_matches([',', ' ', '\n']).strip_prefix("reason = \"");
        reasons.extend(reason.and_then(|rest| rest.split('"').next()).filter(|r| !reasons.contains(r)));
    }
    reasons
}

/// Of a file without reasons of its own, those of the module that it is in.
fn reasons_above(file: &Path) -> Option<String> {
    let folder = file.parent()?;
    [folder.join("mod.rs"), folder.join("lib.rs"), folder.with_extension("rs")]
        .iter()
        .filter_map(|above| fs::read_to_string(above).ok())
        .map(|text| reasons(&text).join("; "))
        .find(|reasons| !reasons.is_empty())
}

/// Blocks, functions, impls, and others: traits, declarations of foreign functions, attributes.
fn unsafe_in(code: &str) -> [usize; 4] {
    let mut counts = [0; 4];
    for part in code.split("unsafe").skip(1) {
        let what = part.trim_start();
        let foreign = what.strip_prefix("extern \"C\"").map(str::trim_start);
        match what {
            _ if part.starts_with("_") => continue,
            _ if what.starts_with('{') => counts[0] += 1,
            _ if foreign.unwrap_or(what).starts_with("fn") => counts[1] += 1,
            _ if what.starts_with("impl") => counts[2] += 1,
            _ if ["extern", "trait", "("].iter().any(|other| what.starts_with(other)) => counts[3] += 1,
            _ => {}
        }
    }
    counts
}

#[test]
fn each_kind_of_unsafe_code_is_counted() {
    let code = "unsafe { f() } unsafe fn a(); unsafe extern \"C\" fn b(); let f: unsafe  fn(); unsafe impl T for U {} \
        unsafe extern \"C\" { fn c(); } unsafe trait T {} #[unsafe(no_mangle)] #![expect(unsafe_code)] not unsafe.";
    assert_eq!(unsafe_in(code), [1, 3, 1, 3]);
}

/// A row for each file in these folders.
fn inventory(folders: &[&str]) -> String {
    let mut table =
        String::from("| file | blocks | functions | impls | others | reason |\n|---|---|---|---|---|---|\n");
    let mut sums = [0; 4];
    for folder in folders {
        for file in files(&root().join(folder), ".rs") {
            // What counts names it in strings only.
            if file.ends_with(file!()) {
                continue;
            }
            let text = fs::read_to_string(&file).expect("the source is readable");
            let code = code(&text);
            let counts = unsafe_in(&code);
            if counts == [0; 4] {
                continue;
            }
            let own = reasons(&text).join("; ");
            let reason = if own.is_empty() { reasons_above(&file) } else { Some(own) };
            let name = file.strip_prefix(root()).expect("under the root").display().to_string();
            // The text of a macro is checked where it is used.
            let in_macro = || {
                code.contains("macro_rules!").then(|| "in a macro; who uses it gives the reason".to_owned())
            };
            let reason =
                reason.or_else(in_macro).unwrap_or_else(|| panic!("{name} has unsafe code and no reason"));
            let [blocks, functions, impls, others] = counts;
            writeln!(table, "| `{name}` | {blocks} | {functions} | {impls} | {others} | {reason} |")
                .expect("a string");
            (0..4).for_each(|i| sums[i] += counts[i]);
        }
    }
    let [blocks, functions, impls, others] = sums;
    writeln!(table, "| all | {blocks} | {functions} | {impls} | {others} | |").expect("a string");
    table
}

/// What cargo says of the project in this folder.
fn metadata(folder: &Path, options: &[&str]) -> Value {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(options)
        .current_dir(folder)
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "cargo metadata {options:?} in {}: {said}", folder.display());
    serde_json::from_slice(&out.stdout).expect("cargo writes JSON")
}

/// All packages that are built here for the project in this folder, from its lock file.
fn packages(folder: &str, options: &[&str]) -> Vec<Value> {
    let for_linux = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let metadata = metadata(&root().join(folder), &[&for_linux, options].concat());
    let nodes = metadata["resolve"]["nodes"].as_array().expect("there are packages");
    let built = |p: &Value| nodes.iter().any(|node| node["id"] == p["id"]);
    metadata["packages"]
        .as_array()
        .expect("there are packages")
        .iter()
        .filter(|p| built(p))
        .cloned()
        .collect()
}

fn build_script(package: &Value) -> Option<&str> {
    let targets = package["targets"].as_array()?;
    let is_script = |t: &&Value| t["kind"].as_array().is_some_and(|k| k.contains(&"custom-build".into()));
    targets.iter().find(is_script)?["src_path"].as_str()
}

/// What a script would need to load something from elsewhere.
const NETWORK: [&str; 9] =
    ["std::net", "TcpStream", "UdpSocket", "ureq", "reqwest", "curl", "wget", "git2", "\"git\""];

fn network_in(source: &str) -> Option<&'static str> {
    let code = code(source);
    NETWORK.into_iter().find(|word| code.contains(word))
}

/// What is built here: the folder of a project, options, and what that is.
const BUILT: [(&str, &[&str], &str); 5] = [
    ("", &[], "the workspace"),
    ("", &["--all-features"], "the allocators that benchmarks compare with"),
    ("tests/fuzz", &[], "the fuzz targets"),
    ("tests/models", &[], "the models"),
    ("tests/sanitizers", &[], "the sanitizers"),
];

/// A row for each package with a build script, our own and others', with the first that needs it.
fn scripts() -> String {
    let mut rows = vec![];
    let mut seen = BTreeSet::new();
    let all = BUILT.iter().flat_map(|(folder, options, what)| {
        packages(folder, options).into_iter().map(move |package| (package, what))
    });
    for (package, what) in all {
        let Some(script) = build_script(&package) else { continue };
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        if !seen.insert((name.clone(), text("version"))) {
            continue;
        }
        // With the modules that it may have.
        let folder = Path::new(script).with_extension("");
        let modules = if folder.is_dir() { files(&folder, ".rs") } else { vec![] };
        for file in modules.iter().map(PathBuf::as_path).chain([Path::new(script)]) {
            let source = fs::read_to_string(file).expect("the script is readable");
            assert_eq!(network_in(&source), None, "the build script of {name} ({})", file.display());
        }
        let whose = if package["source"].is_null() { "ours" } else { "crates.io" };
        rows.push(format!("| `{name}` | {} | {whose} | {what} |\n", text("version")));
    }
    rows.sort();
    format!("| package | version | from | needed by |\n|---|---|---|---|\n{}", rows.concat())
}

/// Compares what stands in `SECURITY.md` between two marks, or writes it.
fn committed(mark: &str, table: &str) {
    let file = root().join("SECURITY.md");
    let text = fs::read_to_string(&file).expect("SECURITY.md is readable");
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let (before, rest) = text.split_once(&begin).expect("the first mark");
    let (there, after) = rest.split_once(&end).expect("the second mark");
    if env::var_os("GORT_UPDATE").is_some() {
        return fs::write(file, format!("{before}{begin}{table}{end}{after}")).expect("it can be written");
    }
    assert!(
        there == table,
        "{mark} is not current: GORT_UPDATE=1 cargo test --test project -- --test-threads=1\n{table}"
    );
}

#[test]
fn the_inventory_of_unsafe_code_is_current() {
    committed("unsafe code", &inventory(&["src", "size_classes/src", "tools/preload", "tools/cli/src"]));
    committed("unsafe code of tests and benchmarks", &inventory(&["tests", "tools/cli/tests", "benches"]));
}

#[test]
fn the_list_of_build_scripts_is_current_and_none_names_the_network() {
    committed("build scripts", &scripts());
}

#[test]
fn our_own_build_scripts_start_nothing() {
    let own = files(root(), "build.rs");
    let own: Vec<_> =
        own.iter().filter(|f| f.parent().is_some_and(|d| d.join("Cargo.toml").exists())).collect();
    assert_eq!(own.len(), 2, "{own:?}");
    for script in own {
        let source = fs::read_to_string(script).expect("the script is readable");
        assert_eq!(network_in(&source), None, "{}", script.display());
        assert!(!code(&source).contains("Command"), "{} starts a program", script.display());
    }
    assert_eq!(network_in("let _ = std::net::TcpStream::connect(x); // no"), Some("std::net"));
    assert_eq!(network_in("// std::net"), None);
}

/// The licences that `tests/deny.toml` allows.
fn allowed() -> Vec<Licensee> {
    let text = fs::read_to_string(root().join("tests/deny.toml")).expect("it is readable");
    let (_, list) = text.split_once("allow = [").expect("it has a list of licences");
    let (list, _) = list.split_once(']').expect("the list has an end");
    let names = list.split(',').map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty());
    names.map(|name| Licensee::parse(name).expect("a licence of SPDX's list")).collect()
}

fn is_allowed(licence: &str, allowed: &[Licensee]) -> bool {
    let parsed = Expression::parse_mode(licence, ParseMode::LAX).expect("a licence is an SPDX expression");
    parsed.evaluate(|one| allowed.iter().any(|licensee| licensee.satisfies(one)))
}

/// What cargo-deny says of licences, by the same list, where there is no cargo-deny.
#[test]
fn each_dependency_has_a_licence_that_is_allowed() {
    let allowed = allowed();
    for (folder, options, what) in BUILT {
        let packages = packages(folder, options);
        assert!(packages.len() > 5, "{what}: {} packages", packages.len());
        // Our own that are not published need none.
        for package in packages.iter().filter(|p| !(p["source"].is_null() && p["license"].is_null())) {
            let licence = package["license"].as_str().unwrap_or("NONE");
            assert!(is_allowed(licence, &allowed), "{} {}: {licence}", package["name"], package["version"]);
        }
    }
    assert!(is_allowed("GPL-3.0-only OR MIT", &allowed));
    assert!(!is_allowed("GPL-3.0-only AND MIT", &allowed));
}

/// Of all projects here, those that are built by hand included.
#[test]
fn each_dependency_comes_from_crates_io() {
    let projects = ["", "tests/fuzz", "tests/models", "tests/sanitizers"];
    for lock in projects.map(|folder| root().join(folder).join("Cargo.lock")) {
        let text = fs::read_to_string(&lock).expect("the lock file is committed");
        let sources: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
        let ours = text.matches("[[package]]").count() - sources.len();
        assert!(!sources.is_empty() && ours <= 8, "{}: {ours} packages without a source", lock.display());
        for source in sources {
            let want = "\"registry+https://github.com/rust-lang/crates.io-index\"";
            assert_eq!(source, want, "{}", lock.display());
        }
        // Each has the sum of what was downloaded when it was chosen.
        assert_eq!(text.matches("\nchecksum = ").count(), text.matches("\nsource = ").count());
    }
}

/// It is built by hand, and would be found broken when it is needed.
#[test]
fn the_project_for_sanitizers_has_the_dependencies_of_the_sources_that_it_compiles() {
    let dependencies = |folder: &Path, package: &str| -> Vec<_> {
        let metadata = metadata(folder, &["--no-deps"]);
        let packages = metadata["packages"].as_array().expect("there are packages");
        let package = packages.iter().find(|p| p["name"] == package).expect("the package is there");
        let all = package["dependencies"].as_array().expect("there are dependencies").iter();
        all.filter(|d| d["kind"].is_null() && d["name"] != "gort")
            .map(|d| ["name", "req", "features", "uses_default_features"].map(|what| d[what].to_string()))
            .collect()
    };
    let own = dependencies(root(), "gort");
    assert!(own.len() > 2, "{own:?}");
    let theirs = dependencies(&root().join("tests/sanitizers"), "gort-sanitizers");
    assert!(own.iter().all(|d| theirs.contains(d)), "{own:?}, but {theirs:?}");
}
