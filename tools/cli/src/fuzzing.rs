//! What fuzz targets call: the readers of what the command reads, on bytes. Not an interface for programs.

/// Reads bytes as one of the things that the command reads; the first byte says which.
pub fn inputs(bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    match which % 4 {
        0 => crate::size_classes::fuzz(bytes),
        1 => crate::run::fuzz(bytes),
        2 => crate::compare::fuzz(bytes),
        _ => crate::bop::fuzz(bytes),
    }
}

/// Whether `gort run --memlimit` takes this.
#[cfg(feature = "fuzzing")]
pub fn is_memlimit(s: &str) -> bool {
    crate::run::is_memlimit(s)
}

#[cfg(test)]
#[path = "../../../tests/common/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_and_a_bounded_while() {
        super::replay::replay("cli", 60, super::inputs);
    }
}
