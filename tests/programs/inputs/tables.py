# The sqlite3 module: rows in and out, blobs, an aggregate in Python, a join, and connections of several threads.
import sqlite3
import threading


class Longest:
    def __init__(self):
        self.most = 0

    def step(self, text):
        self.most = max(self.most, len(text))

    def finalize(self):
        return self.most


ROWS = 60_000
db = sqlite3.connect(":memory:")
db.create_aggregate("longest", 1, Longest)
db.execute("create table t (k integer primary key, name text, data blob)")
with db:
    rows = ((i, f"name {i * 7919 % 100_003}", bytes([i % 251]) * (i % 700)) for i in range(ROWS))
    db.executemany("insert into t values (?, ?, ?)", rows)
print(db.execute("select count(*), sum(length(data)), longest(name) from t").fetchone())
print(len(db.execute("select a.name, b.k from t a join t b on b.name = a.name order by a.name, b.k").fetchall()))

found = []


def count(rows):
    own = sqlite3.connect(":memory:")
    own.execute("create table u (x text)")
    own.executemany("insert into u values (?)", ((str(i) * 5,) for i in range(rows)))
    found.append(own.execute("select count(distinct x) from u").fetchone()[0])


threads = [threading.Thread(target=count, args=(20_000 + i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(sorted(found))
