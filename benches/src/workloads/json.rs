//! JSON documents.

use super::Workload;
use crate::Random;
use crate::job::{Job, Outcome, Sum, parameter};
use serde_json::{Map, Value, json};

pub(super) const ROWS: &[Workload] = &[Workload {
    name: "json",
    group: super::PROGRAMS,
    about: "JSON texts parsed into trees, changed, written as text again and dropped",
    published: "none",
    threads: 1,
    parameters: &[
        parameter("documents", 80, "how many documents"),
        parameter("records", 1500, "how many records a document has"),
    ],
    run: json_documents,
}];

fn record(random: &mut Random, id: usize) -> Value {
    let tags: Vec<String> = (0..random.below(6)).map(|_| format!("tag-{}", random.below(50))).collect();
    let mut fields = Map::new();
    for _ in 0..random.below(5) {
        fields.insert(format!("field_{}", random.below(20)), json!(random.word() >> 20));
    }
    json!({
        "id": id,
        "name": format!("name {} of {}", random.word() >> random.below(60), id),
        "active": random.below(2) == 0,
        "score": random.below(1_000_000) as f64 / 64.0,
        "tags": tags,
        "fields": fields,
        "note": "\"quoted\"\n".repeat(random.below(8)),
        "parent": (id > 0 && random.below(3) > 0).then(|| random.below(id.max(1))),
    })
}

fn count(value: &Value, sum: &mut Sum) {
    match value {
        Value::Null => sum.add(1),
        Value::Bool(yes) => sum.add(2 + u64::from(*yes)),
        Value::Number(number) => {
            sum.add(number.as_u64().unwrap_or_else(|| number.as_f64().map_or(4, f64::to_bits)))
        }
        Value::String(text) => sum.text(text),
        Value::Array(all) => all.iter().for_each(|value| count(value, sum)),
        Value::Object(all) => all.iter().for_each(|(key, value)| {
            sum.text(key);
            count(value, sum);
        }),
    }
}

/// A service: what comes in is text, what goes out is text, between them is a tree.
fn json_documents(job: &Job) -> Outcome {
    let (documents, records) = (job.times("documents"), job.get("records"));
    let mut random = job.random(0);
    let text = Value::Array((0..records).map(|id| record(&mut random, id)).collect()).to_string();
    job.measure(documents * records as u64, || {
        let mut sum = Sum::default();
        for document in 0..documents {
            let mut value: Value = serde_json::from_str(&text).expect("it was written as JSON");
            let all = value.as_array_mut().expect("it was written as an array");
            for i in 0..records / 10 {
                let at = random.below(all.len());
                all[at]["seen"] = json!({ "in": document, "as": i });
                all.swap_remove(random.below(at + 1));
            }
            count(&value, &mut sum);
            sum.text(&value.to_string());
        }
        sum
    })
}
