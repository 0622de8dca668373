//! syn on this repository's own sources: parsed to trees, printed, parsed again, and the trees compared, by three threads.

use crate::carry::{Asked, checkpoint};
use quote::ToTokens;
use std::path::{Path, PathBuf};
use std::{fs, thread};
use syn::visit::{self, Visit};

/// What a tree has of each.
#[derive(Default, PartialEq, Debug)]
struct Counts {
    functions: usize,
    types: usize,
    expressions: usize,
}

impl<'ast> Visit<'ast> for Counts {
    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        self.functions += 1;
        visit::visit_signature(self, node);
    }

    fn visit_type(&mut self, node: &'ast syn::Type) {
        self.types += 1;
        visit::visit_type(self, node);
    }

    fn visit_expr(&mut self, node: &'ast syn::Expr) {
        self.expressions += 1;
        visit::visit_expr(self, node);
    }
}

pub(crate) fn run() -> Asked {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    ["src", "size_classes/src", "tests"].iter().for_each(|folder| sources(&root.join(folder), &mut paths));
    assert!(paths.len() > 10, "these sources are not all there: {paths:?}");
    let texts: Vec<String> =
        paths.iter().map(|p| fs::read_to_string(p).expect("a source can be read")).collect();

    let expressions: Vec<usize> = thread::scope(|s| {
        let threads = [0, 1, 2].map(|_| s.spawn(|| round(&paths, &texts)));
        threads.into_iter().map(|t| t.join().expect("the trees are equal")).collect()
    });
    assert!(
        expressions.iter().all(|n| *n == expressions[0] && *n > 0),
        "all threads see the same: {expressions:?}"
    );
    let least = (3 * expressions[0]) as u64;
    Asked { objects: least, bytes: 8 * least }
}

/// Every Rust source under `folder`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("its entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Takes all texts there and back; returns how many expressions they hold.
fn round(paths: &[PathBuf], texts: &[String]) -> usize {
    let mut all = Counts::default();
    let mut trees = Vec::new();
    for (path, text) in paths.iter().zip(texts) {
        let tree = syn::parse_file(text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let printed = tree.to_token_stream().to_string();
        let again = syn::parse_file(&printed).unwrap_or_else(|e| panic!("{}, printed: {e}", path.display()));
        // The shebang and the comments are gone; the trees are what they were.
        assert!(tree == again, "{}: printed and read back", path.display());
        let (mut before, mut after) = (Counts::default(), Counts::default());
        before.visit_file(&tree);
        after.visit_file(&again);
        assert_eq!(before, after, "{}", path.display());
        all.expressions += before.expressions;
        trees.push((tree, again));
    }
    checkpoint();
    all.expressions
}
