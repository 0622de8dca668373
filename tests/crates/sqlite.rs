//! SQLite in memory through rusqlite: inserts, indexes, joins and aggregates against the same sums made by hand.
//!
//! SQLite's own C allocations stay with the system's allocator; what gort carries is the Rust half, and the two heaps live in
//! one process.

use crate::carry::{Asked, checkpoint, sized};
use crate::random::Random;
use rusqlite::{Connection, Result, params};
use std::collections::BTreeMap;

const CITIES: usize = 40;

struct Buyer {
    name: String,
    city: String,
}

struct Order {
    buyer: usize,
    cents: i64,
    note: Option<String>,
    blob: Vec<u8>,
}

pub(crate) fn run() -> Asked {
    let (buyers, orders) = (sized(1_500), sized(45_000));
    let mut random = Random::new(3);
    let buyers: Vec<Buyer> = (0..buyers)
        .map(|i| Buyer {
            name: format!("{}-{i}", random.word(9)),
            city: format!("city {:02}", random.below(CITIES)),
        })
        .collect();
    let orders: Vec<Order> = (0..orders).map(|_| order(&mut random, buyers.len())).collect();

    let mut db = Connection::open_in_memory().expect("an empty database");
    fill(&mut db, &buyers, &orders).expect("all rows go in");
    checkpoint();
    sums(&db, &buyers, &orders).expect("the sums can be asked for");
    rows(&db, &buyers, &orders).expect("the rows come back");
    changes(&mut db, &orders).expect("rows can be changed");
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).expect("a verdict");
    assert_eq!(verdict, "ok");

    // Each row came back as a name, a blob and often a note.
    let bytes: usize = orders.iter().map(|o| o.blob.len() + buyers[o.buyer].name.len()).sum();
    Asked { objects: 2 * orders.len() as u64, bytes: bytes as u64 }
}

fn order(random: &mut Random, buyers: usize) -> Order {
    let (note, blob) = (random.below(40), random.below(120));
    Order {
        buyer: random.below(buyers),
        cents: random.below(1_000_000) as i64 - 1000,
        note: (note > 10).then(|| random.word(note)),
        blob: random.bytes(1 + blob),
    }
}

fn fill(db: &mut Connection, buyers: &[Buyer], orders: &[Order]) -> Result<()> {
    db.execute_batch(
        "CREATE TABLE buyer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, city TEXT NOT NULL);
         CREATE TABLE purchase (id INTEGER PRIMARY KEY, buyer INTEGER NOT NULL REFERENCES buyer, cents INTEGER, note TEXT, blob BLOB);",
    )?;
    let all = db.transaction()?;
    {
        let mut insert = all.prepare("INSERT INTO buyer VALUES (?1, ?2, ?3)")?;
        for (id, buyer) in buyers.iter().enumerate() {
            insert.execute(params![id as i64, buyer.name, buyer.city])?;
        }
        let mut insert = all.prepare("INSERT INTO purchase VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (id, order) in orders.iter().enumerate() {
            insert.execute(params![id as i64, order.buyer as i64, order.cents, order.note, order.blob])?;
        }
    }
    all.commit()?;
    db.execute_batch("CREATE INDEX by_buyer ON purchase (buyer); CREATE INDEX by_city ON buyer (city, name);")
}

/// Count, sum and greatest order of each city.
fn sums(db: &Connection, buyers: &[Buyer], orders: &[Order]) -> Result<()> {
    let mut by_hand: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    for order in orders {
        let sum = by_hand.entry(buyers[order.buyer].city.clone()).or_insert((0, 0, i64::MIN));
        *sum = (sum.0 + 1, sum.1 + order.cents, sum.2.max(order.cents));
    }
    let mut query = db.prepare(
        "SELECT city, COUNT(*), SUM(cents), MAX(cents) FROM purchase JOIN buyer ON buyer.id = purchase.buyer GROUP BY city",
    )?;
    let by_sql: BTreeMap<String, (i64, i64, i64)> = query
        .query_map([], |r| Ok((r.get(0)?, (r.get(1)?, r.get(2)?, r.get(3)?))))?
        .collect::<Result<_>>()?;
    assert_eq!(by_sql, by_hand);

    // One prepared statement for each city, taken from and put back into the connection's cache.
    for (city, (count, ..)) in &by_hand {
        let mut names = db.prepare_cached(
            "SELECT name, (SELECT COUNT(*) FROM purchase WHERE buyer = buyer.id) FROM buyer WHERE city = ?1 ORDER BY name",
        )?;
        let names: Vec<(String, i64)> =
            names.query_map([city], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_>>()?;
        assert!(names.is_sorted(), "ordered by name");
        assert!(names.len() == buyers.iter().filter(|b| b.city == *city).count(), "buyers of {city}");
        assert!(names.iter().map(|n| n.1).sum::<i64>() <= *count, "orders of {city}");
    }
    Ok(())
}

/// Every row as it went in.
fn rows(db: &Connection, buyers: &[Buyer], orders: &[Order]) -> Result<()> {
    let mut query = db.prepare(
        "SELECT name, cents, note, blob FROM purchase JOIN buyer ON buyer.id = buyer ORDER BY purchase.id",
    )?;
    type Row = (String, i64, Option<String>, Vec<u8>);
    let found: Vec<Row> =
        query.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?.collect::<Result<_>>()?;
    assert_eq!(found.len(), orders.len());
    for (order, (name, cents, note, blob)) in orders.iter().zip(&found) {
        assert!(
            buyers[order.buyer].name == *name
                && order.cents == *cents
                && order.note == *note
                && order.blob == *blob
        );
    }
    Ok(())
}

/// One change rolled back, one kept.
fn changes(db: &mut Connection, orders: &[Order]) -> Result<()> {
    let without_note = |db: &Connection| {
        db.query_row("SELECT COUNT(*) FROM purchase WHERE note IS NULL", [], |r| r.get::<_, i64>(0))
    };
    let expected = orders.iter().filter(|o| o.note.is_none()).count() as i64;
    let doubt = db.transaction()?;
    assert_eq!(doubt.execute("DELETE FROM purchase WHERE note IS NULL", [])? as i64, expected);
    assert_eq!(without_note(&doubt)?, 0);
    doubt.rollback()?;
    assert_eq!(without_note(db)?, expected, "rolled back");
    let cleared =
        db.execute("UPDATE purchase SET note = NULL, blob = x'00' WHERE cents < 0 AND note IS NOT NULL", [])?;
    assert_eq!(without_note(db)?, expected + cleared as i64, "kept");
    Ok(())
}
