//! Does the runner notice what it is there to notice? Scripts that each do one thing wrong, under a library that every system
//! has, and what must be said of each.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::library::Prefix;
use super::report::Progress;
use super::rounds::{self, Outcome};
use super::scenario::{Limits, Place, Scenario};

/// A script's name, what it does when it runs, and what its failure must say, if it must fail.
const SCRIPTS: [(&str, &str, Option<&str>); 16] = [
    ("good", "echo same; echo 2.5 > $METRICS/seconds; echo 1000 > $METRICS/peak_kib", None),
    ("served", "echo same; echo '{\"mallocs\": 1000}' > ${GORT_STATS_JSON:-/dev/null}", None),
    ("inputs", "cat $SHARED/input; test ! -e left && touch left", None),
    ("carried", "echo same; test -z \"$UNDER\" || $UNDER grep -q $LIBRARY /proc/self/maps", None),
    ("bare", "echo same; grep -q libm /proc/self/maps && exit 1; exit 0", None),
    (
        "differs",
        "echo same; echo \"[$UNDER]\"",
        Some("round 1, libm: prints something else in line 2\n    first run: []"),
    ),
    ("wavers", "echo $$", Some("prints something else in line 1")),
    ("silent", "true", Some("prints nothing to compare")),
    (
        "fails",
        "echo same; echo because >&2; exit 3",
        Some("round 1, glibc, run: exit status: 3\n    because"),
    ),
    ("stumbles", "echo same; test -n \"$UNDER\" -o -e $SHARED/up || { touch $SHARED/up; exit 1; }", None),
    (
        "stumbles-with",
        "echo same; test -z \"$UNDER\" -o -e $SHARED/up || { touch $SHARED/up; exit 1; }",
        Some("round 1, libm, run: exit status: 1"),
    ),
    ("crashes", "echo same; test -z \"$UNDER\" || kill -SEGV $$", Some("round 1, libm, run: signal: 11")),
    ("hangs", "sleep 1000", Some("round 1, glibc, run: took more than 4 s")),
    ("leaves", "echo same; sleep 1000 &", Some("round 1, glibc, run: left running: sleep")),
    ("missing", "echo same", Some("missing: there is no such program")),
    ("measures", "echo same; echo much > $METRICS/peak_kib", Some("not a positive number: 'much'")),
];

/// Says what the runner gets wrong.
pub(crate) fn run() -> Result<(), String> {
    let limits = Limits {
        prepare: Duration::from_secs(20),
        run: Duration::from_secs(4),
        grace: Duration::from_millis(300),
    };
    let place =
        Place::create(false, 100, limits).map_err(|e| format!("cannot make a work directory: {e}"))?;
    let prefixes = [Prefix::given("env LD_PRELOAD=libm.so.6")?];
    let dir = place.root().join("scripts");
    fs::create_dir(&dir).map_err(|e| e.to_string())?;
    for (name, body, _) in SCRIPTS {
        let script = dir.join(name);
        let version = match name {
            "missing" => "echo missing: there is no such program >&2; exit 1".to_owned(),
            _ => format!("echo {name} 1.0"),
        };
        let text = format!(
            "#!/bin/bash\n# About {name}\ncase $1 in\n  version) {version} ;;\n  prepare) echo made > $SHARED/input ;;\n  \
             run) {body} ;;\nesac\n"
        );
        fs::write(&script, text)
            .and_then(|()| fs::set_permissions(&script, Permissions::from_mode(0o755)))
            .map_err(|e| e.to_string())?;
    }
    let mut progress = Progress::silent();
    for scenario in Scenario::all(&dir)? {
        let outcome = rounds::run(&scenario, &place, &prefixes, Some(2), &mut progress);
        let expected =
            SCRIPTS.iter().find(|(name, ..)| *name == scenario.name).and_then(|(.., failure)| *failure);
        check(&outcome, expected).map_err(|what| format!("{}: {what}", scenario.name))?;
        match scenario.name.as_str() {
            "crashes" => check_several(&scenario, &place)?,
            "served" => check_served(&scenario, &place, None)?,
            "good" => check_served(&scenario, &place, Some("gort was asked for 0 objects only"))?,
            _ => {}
        }
    }
    Ok(())
}

/// Under several prefixes, one that fails does not keep the others from running.
fn check_several(crashes: &Scenario, place: &Place) -> Result<(), String> {
    // Looks to the script as if there were nothing.
    let quiet = Prefix::quiet(Prefix::given("env LD_PRELOAD=libm.so.6")?);
    let prefixes = [Prefix::given("env LD_PRELOAD=libdl.so.2")?, quiet];
    let outcome = rounds::run(crashes, place, &prefixes, Some(3), &mut Progress::silent());
    let ran: Vec<Vec<bool>> =
        outcome.rounds.iter().map(|round| round.0.iter().map(Option::is_some).collect()).collect();
    let alone = rounds::run(crashes, place, &prefixes[..1], Some(3), &mut Progress::silent());
    let right = alone.dropped[0].is_some()
        && !alone.failed_without
        && alone.rounds.len() == 1
        && alone.rounds[0].0[0].is_some()
        && outcome.failure.as_ref().is_some_and(|f| f.contains("round 1, libdl, run: signal: 11"))
        && ran == vec![vec![true, false, true]; 3]
        && outcome.dropped[1].is_none();
    if right {
        Ok(())
    } else {
        Err(format!("several prefixes: {ran:?}, {:?}, {:?}", outcome.failure, outcome.dropped))
    }
}

/// Under a prefix that counts, a program must have been given objects.
fn check_served(scenario: &Scenario, place: &Place, expected: Option<&str>) -> Result<(), String> {
    let prefix = Prefix::counting(Prefix::given("env LD_PRELOAD=libm.so.6")?);
    let outcome = rounds::run(scenario, place, &[prefix], Some(2), &mut Progress::silent());
    check(&outcome, expected).map_err(|what| format!("{}, counted: {what}", scenario.name))
}

fn check(outcome: &Outcome, expected: Option<&str>) -> Result<(), String> {
    if outcome.name != "missing" && outcome.version != format!("{} 1.0", outcome.name) {
        return Err(format!("has version '{}'", outcome.version));
    }
    let right = match (&outcome.failure, expected) {
        // One clear line, and no more.
        (Some(failure), Some(expected)) if outcome.name == "missing" => failure == expected,
        (Some(failure), Some(expected)) => failure.contains(expected),
        (None, None) => outcome.rounds.len() == 2,
        _ => false,
    };
    if !right {
        return Err(format!("ended with {:?} and not {expected:?}", outcome.failure));
    }
    if outcome.name == "good"
        && outcome
            .rounds
            .iter()
            .flat_map(|r| &r.0)
            .any(|f| f.map_or(expected.is_none(), |f| (f.seconds, f.peak_kib) != (2.5, 1000.0)))
    {
        return Err("its own figures are not taken".to_owned());
    }
    Ok(())
}
