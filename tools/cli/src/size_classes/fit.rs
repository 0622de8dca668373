//! The classes that waste least on a program's objects, found exactly by dynamic programming.
//!
//! A table is a path over candidate sizes, from 0 to the largest small size, and what a class costs depends on nothing but
//! itself and the class below it. So the best path of k classes to a size is the best one of k - 1 classes to some size below, and one
//! step. Of paths that cost the program the same the one wins that serves all other sizes best.
//!
//! Steps that are not taken, because of what the heap or the program relies on:
//! - Over a size that is better aligned than the class: then padding a request to its alignment would no longer do. Below 1 KiB that
//!   counts for all alignments, above for those up to a cache line, and for those that the program asked for.
//! - Over more than `worst` percent of the class, and 15 bytes: a size that the program did not ask for while it was watched is not to
//!   cost a multiple of itself.

use gort_size_classes::{ClassesError, MAX_PAGES, Params, Table};

use super::waste::{Demand, PARTS, cost, share, taken};

/// What a table may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Classes, class 0 not counted.
    pub(super) classes: usize,
    /// The most that rounding may add to any request, in percent of the class; `ALLOWED` bytes are always allowed.
    pub(super) worst: u32,
}

/// What C aligns every object to.
const C_ALIGN: u32 = 16;
/// What rounding up to that adds at most.
const ALLOWED: u32 = C_ALIGN - 1;
/// Alignments up to this are served by padding at any size.
const FREE_ALIGN: u32 = 64;
/// The most classes that a byte can number.
pub(super) const MOST_CLASSES: usize = gort_size_classes::MAX_CLASSES - 1;

/// Why there is no table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoFit {
    /// So many classes are needed at least, if that can be told.
    Needs(Option<usize>),
    Classes(ClassesError),
}

/// What the program pays first, what others would pay second.
type Cost = (u128, u64);

/// One step: the candidate below, and what the class costs.
struct Step {
    from: usize,
    cost: Cost,
}

/// The sizes that classes can have, with what is asked for between each and the one before. Number 0 is size 0.
struct Candidates {
    size: Vec<u32>,
    /// Sums up to and including each: objects, bytes asked for.
    objects: Vec<u128>,
    asked: Vec<u128>,
    /// Sums of the weights of all sizes, and of their weighted bytes.
    weight: Vec<u64>,
    weighted: Vec<u64>,
    /// The alignment that a class needs to serve this size.
    align: Vec<u32>,
}

impl Candidates {
    fn new(p: &Params, demands: &[Demand]) -> Self {
        let fine = (0..=p.small_size_max).step_by(p.small_size_div as usize);
        let coarse = (p.small_size_max..=p.max_small_size).step_by(p.large_size_div as usize).skip(1);
        let size: Vec<u32> = fine.chain(coarse).collect();
        let free = |s: u32| if s < p.small_size_max { s } else { FREE_ALIGN };
        let mut align: Vec<u32> =
            size.iter().map(|&s| (1 << s.trailing_zeros().min(31)).min(free(s).max(1))).collect();
        let mut objects = vec![0; size.len()];
        let mut asked = vec![0; size.len()];
        for d in demands.iter().filter(|d| d.objects > 0) {
            let at = size.partition_point(|&s| s < d.padded());
            if at < size.len() {
                objects[at] += u128::from(d.objects);
                asked[at] += u128::from(d.objects) * u128::from(d.size);
                align[at] = align[at].max(d.align.min(p.page_size));
            }
        }
        // All sizes in steps of C's alignment, each the rarer the larger it is.
        let mut weight: Vec<u64> = size
            .iter()
            .map(|&s| if s > 0 && s.is_multiple_of(C_ALIGN) { (1 << 24) / u64::from(s) } else { 0 })
            .collect();
        let mut weighted: Vec<u64> = weight.iter().zip(&size).map(|(w, &s)| w * u64::from(s)).collect();
        for i in 1..size.len() {
            objects[i] += objects[i - 1];
            asked[i] += asked[i - 1];
            weight[i] += weight[i - 1];
            weighted[i] += weighted[i - 1];
        }
        Self { size, objects, asked, weight, weighted, align }
    }

    /// All steps that end at candidate `to`.
    fn steps(&self, p: &Params, worst: u32, to: usize) -> Vec<Step> {
        let size = self.size[to];
        let aligned = 1 << size.trailing_zeros();
        let spans = spans(size, p.page_size);
        let mut steps = vec![];
        for from in (0..to).rev() {
            if self.align[from + 1] > aligned || wastes_more(self.size[from], size, worst) {
                break;
            }
            let objects = self.objects[to] - self.objects[from];
            let asked = self.asked[to] - self.asked[from];
            let Some((_, least)) = best_span(size, p.page_size, &spans, objects) else { break };
            let others = u64::from(size) * (self.weight[to] - self.weight[from])
                - (self.weighted[to] - self.weighted[from]);
            steps.push(Step { from, cost: (least - asked * PARTS, others) });
        }
        steps
    }
}

/// Whether a class wastes more than `worst` percent on the smallest request of a C program that the class below does not serve.
fn wastes_more(below: u32, size: u32, worst: u32) -> bool {
    let bytes = size - (below - below % C_ALIGN) - 1;
    bytes > ALLOWED && u64::from(bytes) * 100 > u64::from(size) * u64::from(worst)
}

/// The spans that a class may have, with an object's share of each, longer ones only where they make the share less.
fn spans(size: u32, page_size: u32) -> Vec<(u8, u128)> {
    let mut spans: Vec<(u8, u128)> = vec![];
    for pages in 1..=MAX_PAGES {
        if let Some(share) = share(size, pages, page_size)
            && spans.last().is_none_or(|&(_, least)| share < least)
        {
            spans.push((pages, share));
        }
    }
    spans
}

/// Of these spans the one that takes least for so many objects, and what it takes. For a class without objects, as in Go, the
/// shortest whose tail is at most an eighth.
fn best_span(size: u32, page_size: u32, spans: &[(u8, u128)], objects: u128) -> Option<(u8, u128)> {
    if objects > 0 {
        let all = spans.iter().map(|&(pages, share)| (pages, taken(share, pages, page_size, objects)));
        return all.min_by_key(|&(_, taken)| taken);
    }
    let short_tail = |&&(_, share): &&(u8, u128)| share * 7 <= u128::from(size) * PARTS * 8;
    spans.iter().find(short_tail).or(spans.last()).map(|&(pages, _)| (pages, 0))
}

/// The table that wastes least on these objects, within the limits.
pub(super) fn fit(params: &Params, demands: &[Demand], limits: Limits) -> Result<Table, NoFit> {
    params.validate().map_err(|e| NoFit::Classes(e.into()))?;
    let candidates = Candidates::new(params, demands);
    let last = candidates.size.len() - 1;
    // None ends at size 0.
    let mut steps = vec![vec![]];
    steps.extend((1..=last).map(|to| candidates.steps(params, limits.worst, to)));
    // For each number of classes and each candidate: the least cost of a path to it, and where its last step comes from.
    let mut paths: Vec<Vec<Option<(Cost, usize)>>> = vec![vec![None; last + 1]];
    paths[0][0] = Some(((0, 0), 0));
    while paths.len() <= limits.classes {
        let longer = steps.iter().map(|steps| shortest(steps, &paths[paths.len() - 1])).collect();
        paths.push(longer);
    }
    let ends = paths.iter().enumerate().filter_map(|(n, ends)| ends[last].map(|(cost, _)| (cost, n)));
    let Some((_, classes)) = ends.min() else { return Err(NoFit::Needs(needed(&steps, paths))) };
    let mut at = last;
    let mut chosen = vec![];
    for n in (1..=classes).rev() {
        let Some((_, from)) = paths[n][at] else { break };
        let objects = candidates.objects[at] - candidates.objects[from];
        let size = candidates.size[at];
        let span = best_span(size, params.page_size, &spans(size, params.page_size), objects);
        chosen.push((size, span.map_or(0, |(pages, _)| pages)));
        at = from;
    }
    chosen.reverse();
    Table::from_classes(params, chosen).map_err(NoFit::Classes)
}

/// The best way to take one of these steps after a path of one class less.
fn shortest(steps: &[Step], paths: &[Option<(Cost, usize)>]) -> Option<(Cost, usize)> {
    let all = steps.iter().filter_map(|step| {
        let ((waste, others), _) = paths[step.from]?;
        Some(((waste + step.cost.0, others + step.cost.1), step.from))
    });
    all.min()
}

/// How many classes there have to be for any table.
fn needed(steps: &[Vec<Step>], mut paths: Vec<Vec<Option<(Cost, usize)>>>) -> Option<usize> {
    let mut longest = paths.pop()?;
    for n in paths.len() + 1..=MOST_CLASSES {
        longest = steps.iter().map(|steps| shortest(steps, &longest)).collect();
        if longest.last()?.is_some() {
            return Some(n);
        }
    }
    None
}

/// As `fit`, and never worse than another table that keeps to the number of classes: where the program asks for alignments that
/// the other serves by chance, that one may be the better.
pub(super) fn fit_or(
    other: Table,
    params: &Params,
    demands: &[Demand],
    limits: Limits,
) -> Result<Table, NoFit> {
    let fitted = fit(params, demands, limits)?;
    let keep = other.len() - 1 <= limits.classes && cost(&other, demands) < cost(&fitted, demands);
    Ok(if keep { other } else { fitted })
}

#[cfg(test)]
mod tests;
