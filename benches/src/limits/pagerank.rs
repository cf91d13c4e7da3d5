//! PageRank at the limit of the machine.
//!
//! Edges are parsed from mapped text and set apart by where they lead to, 65,536 nodes each, so that what these get lies in
//! the cache while it is added up. Inside of a part edges are in the order of where they come from, as far as 256 nodes are
//! one, so that what is given is read nearly in sequence. A round is then one pass over six bytes an edge.

use super::input::Input;
use rayon::prelude::*;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Nodes of a part, as a number of bits.
const PART: u32 = 16;

/// Nodes that count as one where edges are put in order, as a number of bits.
const NEAR: u32 = 8;

/// Edges that lead to the nodes of one part: from where, and to which node of the part.
#[derive(Default)]
struct Part {
    from: Vec<u32>,
    to: Vec<u16>,
}

/// What one thread has parsed.
#[derive(Default)]
struct Parsed {
    parts: Vec<Vec<(u32, u16)>>,
    /// By node, how many edges leave it.
    leaving: Vec<u32>,
}

impl Parsed {
    fn add(&mut self, from: u32, to: u32) {
        let part = (to >> PART) as usize;
        if part >= self.parts.len() {
            self.parts.resize_with(part + 1, Vec::new);
        }
        self.parts[part].push((from, to as u16));
        if from as usize >= self.leaving.len() {
            self.leaving.resize(from as usize + 1, 0);
        }
        self.leaving[from as usize] += 1;
    }

    fn parse(&mut self, text: &[u8]) {
        let mut at = 0;
        let mut number = || {
            while at < text.len() && !text[at].is_ascii_digit() {
                at += 1;
            }
            let mut number = None;
            while let Some(digit) =
                text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|d| *d < 10)
            {
                number = Some(number.unwrap_or(0u32).wrapping_mul(10).wrapping_add(digit.into()));
                at += 1;
            }
            number
        };
        while let (Some(from), Some(to)) = (number(), number()) {
            self.add(from, to);
        }
    }
}

/// Reads lines with the numbers of two nodes each, and writes lines `node<TAB>rank`, after so many rounds, to files in the
/// folder `output`, which must not exist. Gives the numbers of nodes and of edges.
///
/// # Errors
/// What the file system says.
pub fn run(input: &Path, output: &Path, rounds: u32, threads: usize) -> io::Result<(u64, u64)> {
    let pool = super::pool(threads)?;
    let input = Input::open(input)?;
    fs::create_dir(output)?;
    pool.install(|| {
        let parsed = input.lines_by_thread(threads, Parsed::default, Parsed::parse)?;
        let graph = Graph::new(parsed);
        let ranks = graph.ranks(rounds, 0.85);
        graph.write(output, &ranks)?;
        Ok((graph.nodes, graph.parts.iter().map(|part| part.from.len() as u64).sum()))
    })
}

struct Graph {
    parts: Vec<Part>,
    leaving: Vec<u32>,
    /// By number, whether there is such a node.
    exists: Vec<bool>,
    nodes: u64,
}

impl Graph {
    fn new(parsed: Vec<Parsed>) -> Self {
        let parts = parsed.iter().map(|one| one.parts.len()).max().unwrap_or(0);
        let leaving = parsed.iter().map(|one| one.leaving.len()).max().unwrap_or(0);
        let numbers = leaving.max(parts << PART);
        let mut all = vec![0u32; numbers];
        all.par_chunks_mut(1 << PART).enumerate().for_each(|(part, all)| {
            for one in &parsed {
                let counts = one.leaving.get(part << PART..).unwrap_or(&[]);
                all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
            }
        });
        let parts: Vec<_> = (0..numbers.div_ceil(1 << PART))
            .into_par_iter()
            .map(|part| {
                let lists = parsed.iter().filter_map(|one| one.parts.get(part));
                Part::new(lists.map(Vec::as_slice), numbers)
            })
            .collect();
        let mut exists: Vec<bool> = all.par_iter().map(|leaving| *leaving > 0).collect();
        exists.par_chunks_mut(1 << PART).zip(&parts).for_each(|(exists, part)| {
            part.to.iter().for_each(|to| exists[*to as usize] = true);
        });
        let nodes = exists.par_iter().filter(|exists| **exists).count() as u64;
        Self { parts, leaving: all, exists, nodes }
    }

    fn ranks(&self, rounds: u32, damping: f64) -> Vec<f64> {
        let even = 1.0 / self.nodes as f64;
        let mut ranks: Vec<f64> =
            self.exists.par_iter().map(|exists| if *exists { even } else { 0.0 }).collect();
        let mut given = vec![0.0; ranks.len()];
        for _ in 0..rounds {
            let lost: f64 = given
                .par_chunks_mut(1 << PART)
                .zip(ranks.par_chunks(1 << PART))
                .zip(self.leaving.par_chunks(1 << PART))
                .map(|((given, ranks), leaving)| {
                    let mut lost = 0.0;
                    for ((given, rank), leaving) in given.iter_mut().zip(ranks).zip(leaving) {
                        *given =
                            if *leaving > 0 { damping * rank / f64::from(*leaving) } else { 0.0 };
                        lost += if *leaving > 0 { 0.0 } else { *rank };
                    }
                    lost
                })
                .sum();
            let to_all = (1.0 - damping + damping * lost) * even;
            ranks.par_chunks_mut(1 << PART).zip(&self.parts).enumerate().for_each(
                |(number, (ranks, part))| {
                    ranks.fill(0.0);
                    for (from, to) in part.from.iter().zip(&part.to) {
                        ranks[*to as usize] += given[*from as usize];
                    }
                    let exists = &self.exists[number << PART..];
                    for (rank, exists) in ranks.iter_mut().zip(exists) {
                        *rank = if *exists { *rank + to_all } else { 0.0 };
                    }
                },
            );
        }
        ranks
    }

    fn write(&self, output: &Path, ranks: &[f64]) -> io::Result<()> {
        let parts = ranks.par_chunks(1 << PART).enumerate();
        parts.try_for_each(|(number, ranks)| {
            let mut out = Vec::with_capacity(32 << PART);
            let nodes = (number << PART..).zip(ranks);
            for (node, rank) in nodes.filter(|(node, _)| self.exists[*node]) {
                writeln!(out, "{node}\t{rank}")?;
            }
            File::create(output.join(format!("part-{number:05}.txt")))?.write_all(&out)
        })
    }
}

impl Part {
    /// The edges of these lists, by where they come from.
    fn new<'a>(lists: impl Iterator<Item = &'a [(u32, u16)]> + Clone, numbers: usize) -> Self {
        let mut places = vec![0u32; (numbers >> NEAR) + 2];
        for (from, _) in lists.clone().flatten() {
            places[(from >> NEAR) as usize + 1] += 1;
        }
        for at in 1..places.len() {
            places[at] += places[at - 1];
        }
        let edges = places.last().map_or(0, |end| *end as usize);
        let (mut from, mut to) = (vec![0; edges], vec![0; edges]);
        for (one, other) in lists.flatten() {
            let place = &mut places[(one >> NEAR) as usize];
            (from[*place as usize], to[*place as usize]) = (*one, *other);
            *place += 1;
        }
        Self { from, to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn plain(edges: &[(u32, u32)], rounds: u32) -> BTreeMap<u32, f64> {
        let nodes: std::collections::BTreeSet<u32> =
            edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let leaving = |node| edges.iter().filter(|edge| edge.0 == node).count() as f64;
        let even = 1.0 / nodes.len() as f64;
        let mut ranks: BTreeMap<u32, f64> = nodes.iter().map(|node| (*node, even)).collect();
        for _ in 0..rounds {
            let lost: f64 =
                nodes.iter().filter(|node| leaving(**node) == 0.0).map(|node| ranks[node]).sum();
            let mut next: BTreeMap<u32, f64> =
                nodes.iter().map(|node| (*node, (0.15 + 0.85 * lost) * even)).collect();
            for (from, to) in edges {
                *next.get_mut(to).unwrap() += 0.85 * ranks[from] / leaving(*from);
            }
            ranks = next;
        }
        ranks
    }

    #[test]
    fn equals_the_plain_sums() {
        let edges: Vec<(u32, u32)> = (0..500u32)
            .map(|edge| (edge * edge % 97, (edge * 7919 % 300) * 700))
            .chain([(3, 3), (70_000, 1), (1, 2)])
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("edges");
        let text: String = edges.iter().map(|(from, to)| format!("{from}\t{to}\n")).collect();
        fs::write(&input, text.trim_end()).unwrap();
        for (rounds, threads) in [(0, 1), (1, 2), (7, 3)] {
            let output = folder.path().join(format!("output-{rounds}"));
            let (nodes, count) = run(&input, &output, rounds, threads).unwrap();
            let expected = plain(&edges, rounds);
            assert_eq!((nodes as usize, count as usize), (expected.len(), edges.len()));
            let mut files = Vec::new();
            crate::limits::input::list(&output, &mut files).unwrap();
            let text: String = files.iter().map(|(p, _)| fs::read_to_string(p).unwrap()).collect();
            let got: Vec<(u32, f64)> = text
                .lines()
                .map(|line| line.split_once('\t').unwrap())
                .map(|(node, rank)| (node.parse().unwrap(), rank.parse().unwrap()))
                .collect();
            assert_eq!(got.len(), expected.len());
            for ((node, rank), (expected_node, expected)) in got.iter().zip(&expected) {
                assert_eq!(node, expected_node);
                assert!((rank - expected).abs() < 1e-12, "{node}: {rank}, not {expected}");
            }
        }
    }
}
