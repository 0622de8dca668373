//! The workloads that the programs know, and which of them are asked for.

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, bad_input};

/// What `list` says of a workload.
#[derive(Clone, Deserialize)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) group: String,
    pub(super) about: String,
    #[serde(default)]
    pub(super) parameters: Vec<Parameter>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// What it is unless it is set.
    #[serde(default)]
    default: u64,
}

/// What `run` says.
#[derive(Deserialize)]
pub(super) struct Report {
    pub(super) workload: String,
    pub(super) seed: u64,
    pub(super) operations: u64,
    pub(super) checksum: String,
    pub(super) seconds: f64,
    /// What it saw on the way.
    #[serde(default)]
    pub(super) marks: Vec<Mark>,
}

/// What a process had at one moment.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Since the work began.
    pub(super) seconds: f64,
    /// Bytes of live objects, as they were asked for.
    pub(super) live: u64,
    /// By the kernel's count.
    pub(super) resident: u64,
}

impl Mark {
    /// Resident bytes for a live one.
    pub(super) fn ratio(&self) -> f64 {
        self.resident as f64 / self.live.max(1) as f64
    }
}

/// The workloads of the names or groups that are asked for, in the order of `all`.
pub(super) fn choose(all: Vec<Workload>, asked: &[String]) -> Result<Vec<Workload>, Failure> {
    if all.is_empty() {
        return Err(bad_input("there are no workloads"));
    }
    let is = |w: &Workload, name: &str| w.name == name || w.group == name;
    if let Some(unknown) = asked.iter().find(|name| all.iter().all(|w| !is(w, name))) {
        let names: Vec<&str> = all.iter().map(|w| w.name.as_str()).collect();
        return Err(bad_input(format!(
            "--workload: there is no workload or group '{}'; there are {}",
            unknown.escape_debug(),
            names.join(", ")
        )));
    }
    Ok(all.into_iter().filter(|w| asked.is_empty() || asked.iter().any(|name| is(w, name))).collect())
}

/// Whether each workload has each parameter that is set, and can be done with it.
pub(super) fn check_parameters(chosen: &[Workload], set: &[String]) -> Result<(), Failure> {
    for setting in set {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let is_zero = value.trim_end_matches(char::is_alphabetic).bytes().all(|b| b == b'0');
        for workload in chosen {
            let parameter = workload.parameters.iter().find(|p| p.name == name);
            if is_zero && parameter.is_some_and(|p| p.default != 0) {
                return Err(bad_input(format!("--set: {name} of {} must be at least 1", workload.name)));
            }
            if parameter.is_none() {
                let names: Vec<&str> = workload.parameters.iter().map(|p| p.name.as_str()).collect();
                let has = if names.is_empty() {
                    "has none".to_owned()
                } else {
                    format!("has {}", names.join(", "))
                };
                return Err(bad_input(format!(
                    "--set: the workload {} has no parameter '{}'; it {has}",
                    workload.name,
                    name.escape_debug()
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Workload> {
        let text = r#"[
            {"name":"larson","group":"server","about":"a","parameters":[{"name":"threads","default":2,"about":"x"},{"name":"hold","default":0,"about":"y"}]},
            {"name":"mstress","group":"server","about":"b","published":"c","threads":2,"parameters":[]},
            {"name":"trees","group":"language","about":"b"}]"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn names_and_groups() {
        let names = |asked: &[&str]| -> Vec<String> {
            let asked: Vec<String> = asked.iter().map(|s| (*s).to_owned()).collect();
            choose(all(), &asked).unwrap().into_iter().map(|w| w.name).collect()
        };
        assert_eq!(names(&[]), ["larson", "mstress", "trees"]);
        assert_eq!(names(&["trees", "larson"]), ["larson", "trees"]);
        assert_eq!(names(&["server"]), ["larson", "mstress"]);
        assert!(choose(all(), &["tree".to_owned()]).is_err());
    }

    #[test]
    fn parameters_must_be_known_to_all() {
        let check = |setting: &str, n| check_parameters(&all()[..n], &[setting.to_owned()]);
        assert!(check("threads=4", 1).is_ok());
        assert!(check("threads=4", 2).is_err());
        assert!(check("thread=4", 1).is_err());
        assert!(check("threads=00k", 1).is_err());
        assert!(check("hold=0", 1).is_ok());
    }
}
