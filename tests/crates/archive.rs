//! tar and flate2: a folder made up in memory, packed, squeezed at several levels, unpacked and compared, by two threads.

use crate::carry::{Asked, checkpoint, sized};
use crate::random::Random;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::thread;

const LEVELS: [u32; 3] = [1, 6, 9];

type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn run() -> Asked {
    let files = sized(600);
    let asked: Vec<Asked> = thread::scope(|s| {
        let threads = [1, 2].map(|seed| s.spawn(move || one_thread(seed, files)));
        threads.into_iter().map(|t| t.join().expect("the archive comes back")).collect()
    });
    Asked { objects: asked.iter().map(|a| a.objects).sum(), bytes: asked.iter().map(|a| a.bytes).sum() }
}

fn one_thread(seed: u64, files: usize) -> Asked {
    let folder = folder(seed, files);
    let bytes: usize = folder.values().map(Vec::len).sum();
    for level in LEVELS {
        let packed = pack(&folder, Compression::new(level)).expect("memory does not run out");
        assert!(packed.len() < bytes, "{bytes} bytes became {} at level {level}", packed.len());
        assert!(unpack(&packed).expect("it is an archive") == folder, "there and back at level {level}");

        // A cut archive is an error in the middle of the work: all that was read so far is dropped there.
        assert!(unpack(&packed[..packed.len() / 2]).is_err(), "half an archive");
        checkpoint();
    }
    Asked { objects: (LEVELS.len() * 2 * folder.len()) as u64, bytes: (LEVELS.len() * bytes) as u64 }
}

/// Many small files and a few large, some of text and some of noise, with paths short and long.
fn folder(seed: u64, files: usize) -> Files {
    let mut random = Random::new(seed);
    (0..files)
        .map(|i| {
            let len = random.below(if i % 50 == 0 { 400_000 } else { 6_000 });
            let data =
                if i % 4 == 0 { random.bytes(len / 4) } else { random.word(7).repeat(len / 7).into_bytes() };
            let depth = random.below(20);
            (format!("{}{i}.dat", (0..depth).map(|_| random.word(8) + "/").collect::<String>()), data)
        })
        .collect()
}

fn pack(files: &Files, level: Compression) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), level));
    for (path, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, &data[..])?;
    }
    archive.into_inner()?.finish()
}

fn unpack(packed: &[u8]) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in tar::Archive::new(GzDecoder::new(packed)).entries()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // No capacity given: the vector grows by doubling while the decoder hands out pieces.
        let mut data = Vec::new();
        entry.read_to_end(&mut data)?;
        files.insert(path, data);
    }
    Ok(files)
}
