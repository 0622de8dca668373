//! Trees of boxes: data structures, syntax, space.

use super::Workload;
use crate::Random;
use crate::job::{Job, Outcome, Sum, parameter};

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "binary-trees",
        group: super::PROGRAMS,
        about: "binary trees of many depths built, walked and dropped beside one that stays",
        published: "binary-trees (Computer Language Benchmarks Game)",
        threads: 1,
        parameters: &[
            parameter("depth", 17, "depth of the deepest trees"),
            parameter("rounds", 14, "how often trees of all depths are made"),
        ],
        run: binary_trees,
    },
    Workload {
        name: "ast",
        group: super::PROGRAMS,
        about: "expressions of boxes, strings and vectors built, simplified into new ones, evaluated and dropped",
        published: "lean and gs (mimalloc-bench)",
        threads: 1,
        parameters: &[
            parameter("expressions", 5000, "how many expressions"),
            parameter("size", 600, "how many nodes an expression has, about"),
        ],
        run: ast,
    },
    Workload {
        name: "barnes",
        group: super::PROGRAMS,
        about: "bodies in space: an octree built for each step, walked for the forces on some, and dropped",
        published: "barnes (SPLASH-2)",
        threads: 1,
        parameters: &[
            parameter("steps", 1000, "how many steps"),
            parameter("bodies", 3000, "how many bodies"),
        ],
        run: barnes,
    },
];

struct Node {
    value: u64,
    below: Option<[Box<Node>; 2]>,
}

impl Node {
    fn grow(depth: usize, random: &mut Random) -> Box<Node> {
        let below = (depth > 0).then(|| [(); 2].map(|()| Node::grow(depth - 1, random)));
        Box::new(Node { value: random.word(), below })
    }

    fn count(&self) -> u64 {
        let below = self.below.iter().flatten().map(|node| node.count()).fold(0, u64::wrapping_add);
        (self.value >> 8).wrapping_add(below)
    }
}

fn binary_trees(job: &Job) -> Outcome {
    let (depth, rounds) = (job.get("depth"), job.times("rounds"));
    let depths = || (4.min(depth)..=depth).step_by(4);
    let nodes: u64 = depths().map(|d| ((2 << d) - 1) << (depth - d)).sum();
    job.measure(nodes * rounds, || {
        let (mut random, mut sum) = (job.random(0), Sum::default());
        let stays = Node::grow(depth, &mut random);
        for _ in 0..rounds {
            for d in depths() {
                (0..1 << (depth - d)).for_each(|_| sum.add(Node::grow(d, &mut random).count()));
            }
        }
        sum.add(stays.count());
        sum
    })
}

#[derive(Clone)]
enum Expression {
    Number(i64),
    Name(String),
    Negative(Box<Expression>),
    Operation(char, Box<(Expression, Expression)>),
    Call(String, Vec<Expression>),
}

use Expression::{Call, Name, Negative, Number, Operation};

impl Expression {
    fn random(size: usize, random: &mut Random) -> Expression {
        if size < 2 {
            return match random.below(3) {
                0 => Name(format!("variable_{}", random.below(100))),
                _ => Number(random.within(0..=4) as i64),
            };
        }
        match random.below(12) {
            0 => Negative(Box::new(Expression::random(size - 1, random))),
            1 => {
                let count = random.within(1..=4);
                let arguments = (0..count).map(|_| Expression::random((size - 1) / count, random)).collect();
                Call(format!("function_{}", random.below(10)), arguments)
            }
            _ => {
                let left = random.within(1..=size - 1);
                let sides = (Expression::random(left, random), Expression::random(size - left - 1, random));
                Operation(['+', '-', '*'][random.below(3)], Box::new(sides))
            }
        }
    }

    /// A new expression of the same value, with constants folded and neutral elements gone.
    fn simplified(&self) -> Expression {
        match self {
            Number(_) | Name(_) => self.clone(),
            Negative(inner) => match inner.simplified() {
                Number(n) => Number(n.wrapping_neg()),
                Negative(inner) => *inner,
                inner => Negative(Box::new(inner)),
            },
            Operation(sign, sides) => match (sign, sides.0.simplified(), sides.1.simplified()) {
                (_, Number(a), Number(b)) => Number(apply(*sign, a, b)),
                ('+', Number(0), other) | ('+' | '-', other, Number(0)) => other,
                ('*', Number(1), other) | ('*', other, Number(1)) => other,
                ('*', Number(0), _) | ('*', _, Number(0)) => Number(0),
                ('-', Number(0), other) => Negative(Box::new(other)),
                (sign, a, b) => Operation(*sign, Box::new((a, b))),
            },
            Call(name, arguments) => {
                Call(name.clone(), arguments.iter().map(Expression::simplified).collect())
            }
        }
    }

    fn value(&self) -> i64 {
        match self {
            Number(n) => *n,
            Name(name) => name.bytes().fold(7, |v, b| i64::wrapping_add(v * 31 % 1009, b.into())),
            Negative(inner) => inner.value().wrapping_neg(),
            Operation(sign, sides) => apply(*sign, sides.0.value(), sides.1.value()),
            Call(name, arguments) => {
                arguments.iter().fold(name.len() as i64, |v, a| v.wrapping_mul(3).wrapping_add(a.value()))
            }
        }
    }
}

fn apply(sign: char, a: i64, b: i64) -> i64 {
    match sign {
        '+' => a.wrapping_add(b),
        '-' => a.wrapping_sub(b),
        _ => a.wrapping_mul(b),
    }
}

fn ast(job: &Job) -> Outcome {
    let (expressions, size) = (job.times("expressions"), job.get("size"));
    let mut random = job.random(0);
    job.measure(expressions * size as u64, || {
        let mut sum = Sum::default();
        for _ in 0..expressions {
            let expression = Expression::random(size, &mut random);
            let simple = expression.simplified();
            assert_eq!(expression.value(), simple.value(), "simpler, but not the same");
            sum.add(simple.value() as u64);
        }
        sum
    })
}

type Point = [f64; 3];

/// A cube of space: one body, or the parts of the cube that have any.
enum Space {
    Body(Point),
    Parts { mass: f64, center: Point, parts: Box<[Option<Box<Space>>; 8]> },
}

impl Space {
    fn insert(&mut self, body: Point, middle: Point, half: f64) {
        if let Space::Body(other) = *self {
            *self = Space::Parts { mass: 0.0, center: [0.0; 3], parts: Box::default() };
            self.insert(other, middle, half);
        }
        let Space::Parts { mass, center, parts } = self else { return };
        (0..3).for_each(|i| center[i] = (center[i] * *mass + body[i]) / (*mass + 1.0));
        *mass += 1.0;
        let octant = (0..3).map(|i| usize::from(body[i] >= middle[i]) << i).sum::<usize>();
        match &mut parts[octant] {
            Some(part) if half > 1e-9 => {
                let to = |i: usize| if body[i] >= middle[i] { half / 2.0 } else { -half / 2.0 };
                part.insert(body, [0, 1, 2].map(|i| middle[i] + to(i)), half / 2.0);
            }
            // Bodies as near to each other as numbers get count as one.
            Some(_) => (),
            part => *part = Some(Box::new(Space::Body(body))),
        }
    }

    /// Adds to `force` what pulls at `at`; what is far away for its `width` counts as one body.
    fn pull(&self, at: &Point, width: f64, force: &mut Point) {
        let (mass, center) = match self {
            Space::Body(body) => (1.0, body),
            Space::Parts { mass, center, .. } => (*mass, center),
        };
        let way = [0, 1, 2].map(|i| center[i] - at[i]);
        let square = way.iter().map(|w| w * w).sum::<f64>() + 1e-4;
        match self {
            Space::Parts { parts, .. } if width * width > square => {
                parts.iter().flatten().for_each(|part| part.pull(at, width / 2.0, force));
            }
            _ => (0..3).for_each(|i| force[i] += way[i] * mass / (square * square.sqrt())),
        }
    }
}

fn barnes(job: &Job) -> Outcome {
    let (steps, bodies) = (job.times("steps"), job.get("bodies"));
    let mut random = job.random(0);
    let mut coordinate = || random.below(1 << 30) as f64 / f64::from(1 << 30);
    let mut bodies: Vec<Point> = (0..bodies).map(|_| [(); 3].map(|()| coordinate())).collect();
    job.measure(steps * bodies.len() as u64, || {
        for _ in 0..steps {
            let mut space = Space::Body(bodies[0]);
            bodies[1..].iter().for_each(|body| space.insert(*body, [0.5; 3], 0.5));
            for body in bodies.iter_mut().step_by(8) {
                let mut force = [0.0; 3];
                space.pull(body, 1.0, &mut force);
                (0..3).for_each(|i| body[i] = (body[i] + force[i] * 1e-9).clamp(0.0, 1.0));
            }
        }
        let mut sum = Sum::default();
        bodies.iter().flatten().for_each(|x| sum.add(x.to_bits()));
        sum
    })
}
