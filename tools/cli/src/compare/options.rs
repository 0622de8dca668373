//! What the command takes.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use super::results::Settings;

/// Run workloads on gort and on other allocators, in turns, and compare time and memory
///
/// Builds one program per allocator from the source tree, each as its users build it, and runs every workload with every seed on
/// every allocator, in rounds and in turns. Each run is a process of its own. Time is that of the work itself; memory is the
/// process's peak as the kernel counts it. All runs of a workload and a seed must come to the same checksum.
///
/// Exit code 1 if an allocator crashed or a checksum differs; slower is no failure.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// Only these workloads, or groups of workloads; with --programs, only these programs
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) workload: Vec<String>,
    /// Only these allocators; gort always runs
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) allocators: Vec<String>,
    /// How often each allocator runs each workload with each seed [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: Option<u32>,
    /// What the workloads draw their sizes and orders from [default: 1,2]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = seed)]
    pub(super) seeds: Vec<u64>,
    /// A glance: three rounds, one seed, a quarter of the work
    #[arg(long)]
    pub(super) quick: bool,
    /// Do so many times the work
    #[arg(long, value_name = "F", value_parser = scale)]
    pub(super) scale: Option<f64>,
    /// Set a workload's parameter, to a number with an optional k, m or g; may be given again
    #[arg(long, value_name = "PARAMETER=NUMBER", value_parser = setting)]
    pub(super) set: Vec<String>,
    /// Compare libraries instead: gort's and those of Debian's packages, preloaded into the program of glibc
    #[arg(long)]
    pub(super) preload: bool,
    /// Compare libraries under real programs instead: those of tests/programs, which tests/programs/install installs
    #[arg(long, conflicts_with_all = ["seeds", "scale", "set", "preload", "from", "list", "binaries", "limit"])]
    pub(super) programs: bool,
    /// Instead: what each process holds while a load of many small objects comes, and after it has gone; with --workload phases while
    /// the sizes, amounts and survivors of a server change
    #[arg(long, conflicts_with_all = ["rounds", "scale", "details", "from", "list", "preload", "programs"])]
    pub(super) over_time: bool,
    /// Show every figure of every allocator as well: user and system time, page faults
    #[arg(long)]
    pub(super) details: bool,
    /// Write what is printed to a file as well, as Markdown
    #[arg(long, value_name = "FILE")]
    pub(super) markdown: Option<PathBuf>,
    /// Write the figures of every run to a file, with versions and machine
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Draw a chart into a file
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
    /// Show what an earlier run has written with --json; nothing is run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workload", "allocators", "rounds", "seeds", "quick", "scale", "set", "preload",
          "list", "source", "binaries", "limit"])]
    pub(super) from: Option<PathBuf>,
    /// Print the allocators and the workloads; nothing is run
    #[arg(long, conflicts_with_all = ["rounds", "seeds", "quick", "scale", "set", "details", "markdown", "json", "svg"])]
    pub(super) list: bool,
    /// The checkout of gort to build from [default: the one around this directory]
    #[arg(long, value_name = "DIR")]
    pub(super) source: Option<PathBuf>,
    /// Run the programs work-NAME of this directory; nothing is built
    #[arg(long, value_name = "DIR", conflicts_with = "source")]
    pub(super) binaries: Option<PathBuf>,
    /// What a single run may take; one that takes longer counts as crashed
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(super) limit: u64,
}

const EXAMPLES: &str = "\
Examples:
  gort compare --quick
  gort compare --list
  gort compare --markdown compare.md --json compare.json --svg compare.svg
  gort compare --workload larson,xmalloc-1-1 --allocators mimalloc3,jemalloc --rounds 15
  gort compare --workload larson --set threads=8 --seeds 1,2,3
  gort compare --preload --quick
  gort compare --over-time --svg memory.svg
  gort compare --over-time --workload phases --svg phases.svg
  gort compare --programs --workload redis,sqlite
  gort compare --from compare.json --details";

/// What `--quick` means, where nothing else is said.
const QUICK: (u32, f64, &[u64]) = (3, 0.25, &[1]);
pub(super) const USUAL: (u32, f64, &[u64]) = (5, 1.0, &[1, 2]);

/// Variables that change what allocators do begin with these.
const ALLOCATOR_VARIABLES: [&str; 10] = [
    "GLIBC_TUNABLES",
    "GODEBUG",
    "GOGC",
    "GOMEMLIMIT",
    "GORT_",
    "MALLOC_",
    "MIMALLOC_",
    "_RJEM_MALLOC_CONF",
    "SNMALLOC_",
    "TCMALLOC_",
];

fn seed(s: &str) -> Result<u64, String> {
    s.parse().map_err(|_| "not a whole number from 0 on".to_owned())
}

fn scale(s: &str) -> Result<f64, String> {
    let parsed = s.parse().ok().filter(|f: &f64| (1e-6..=1e6).contains(f));
    parsed.ok_or_else(|| "not a number above zero (0.5, 2)".to_owned())
}

fn setting(s: &str) -> Result<String, String> {
    let is_number = |value: &str| {
        let digits = value.strip_suffix(['k', 'm', 'g', 'K', 'M', 'G']).unwrap_or(value);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    match s.split_once('=') {
        Some((name, value)) if !name.is_empty() && is_number(value) => Ok(s.to_owned()),
        _ => Err("not PARAMETER=NUMBER (threads=4, live=64k)".to_owned()),
    }
}

/// What is asked for, and what else matters.
pub(super) fn settings(args: &Args) -> Settings {
    let (rounds, scale, seeds) = if args.quick { QUICK } else { USUAL };
    let is_allocators = |name: &str| ALLOCATOR_VARIABLES.iter().any(|prefix| name.starts_with(prefix));
    let environment: BTreeMap<String, String> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_allocators(name))
        .collect();
    Settings {
        quick: args.quick,
        rounds: args.rounds.unwrap_or(rounds),
        seeds: if args.seeds.is_empty() { seeds.to_vec() } else { args.seeds.clone() },
        scale: args.scale.unwrap_or(scale),
        set: args.set.clone(),
        environment,
    }
}
