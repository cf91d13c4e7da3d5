//! What follows from a job's shape alone: who reads whom, and whether the shape makes sense.

use serde::{Deserialize, Serialize};
use windrow_protocol::ids::{ShuffleId, StageId};
use windrow_protocol::shape::{
    CutShape, FIXED_PARTITIONS_MAX, JobShape, LookUp, OutputShape, RootShape, StageShape,
};

/// Who reads whom, by stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Links {
    /// The stages that must be complete before a task of this one starts.
    pub(crate) before: Vec<Vec<u32>>,
    /// The stages that read this one's shuffles.
    pub(crate) readers: Vec<Vec<u32>>,
    /// The stages that this one is among `before` of.
    pub(crate) after: Vec<Vec<u32>>,
    /// The stages whose shuffles this one reads.
    pub(crate) producers: Vec<Vec<u32>>,
    /// By shuffle: the stages that write it.
    pub(crate) makers: Vec<Vec<u32>>,
    /// The split tasks whose listing must be known before a stage opens.
    pub(crate) listings: Vec<Vec<u32>>,
}

/// Whether a stage's source is listed by its own split task.
pub(crate) fn lists_itself(shape: &JobShape, stage: usize) -> bool {
    shape.stages[stage].root == RootShape::Source { listed_by: StageId(stage as u32) }
}

impl Links {
    /// Of a shape that [`check`] has passed.
    pub(crate) fn of(shape: &JobShape) -> Links {
        let count = shape.stages.len();
        let mut links = Links {
            before: vec![Vec::new(); count],
            readers: vec![Vec::new(); count],
            after: vec![Vec::new(); count],
            producers: vec![Vec::new(); count],
            makers: shape
                .shuffles
                .iter()
                .map(|shuffle| shuffle.producers.iter().map(|producer| producer.0).collect())
                .collect(),
            listings: vec![Vec::new(); count],
        };
        for stage in 0..count {
            let producers = &mut links.producers[stage];
            for shuffle in shape.stages[stage].reads() {
                producers.extend(shape.shuffles[shuffle.0 as usize].producers.iter().map(|p| p.0));
            }
            producers.sort_unstable();
            producers.dedup();
            let mut before = producers.clone();
            for (earlier, other) in shape.stages.iter().enumerate() {
                let wanted = |output: &OutputShape| matches!(output, OutputShape::Collect(collect) if shape.stages[stage].whole_inputs.contains(collect));
                if other.outputs.iter().any(wanted) {
                    before.push(earlier as u32);
                }
            }
            before.sort_unstable();
            before.dedup();
            links.listings[stage] = listings(shape, stage);
            links.before[stage] = before;
        }
        for stage in 0..count {
            for &before in &links.before[stage] {
                links.after[before as usize].push(stage as u32);
            }
            for &producer in &links.producers[stage] {
                links.readers[producer as usize].push(stage as u32);
            }
        }
        links
    }
}

/// The listings that a stage waits for: its own source, and all below the shuffles that it reads or, where their cut
/// depends on it, writes.
fn listings(shape: &JobShape, stage: usize) -> Vec<u32> {
    let mut found = Vec::new();
    let mut shuffles: Vec<ShuffleId> = shape.stages[stage].root.shuffles().to_vec();
    if let RootShape::Source { listed_by } = shape.stages[stage].root {
        found.push(listed_by.0);
    }
    for output in &shape.stages[stage].outputs {
        if let OutputShape::Shuffle(shuffle) = output
            && shape.shuffles[shuffle.0 as usize].cut == CutShape::ByBytes
        {
            shuffles.push(*shuffle);
        }
    }
    for shuffle in shuffles {
        found.extend(shape.sources_below(shuffle).iter().map(|stage| stage.0));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What is wrong with a shape, if anything is.
pub(crate) fn check(shape: &JobShape) -> Result<(), String> {
    if shape.stages.is_empty() {
        return Err("the plan has no stage: a job must write or collect something".to_owned());
    }
    for (number, stage) in shape.stages.iter().enumerate() {
        if stage.dissolved || !stage.lookups.is_empty() {
            return Err(format!("stage {number} looks rows up before it is decided which"));
        }
        match &stage.root {
            RootShape::Source { listed_by } => {
                let at = listed_by.0 as usize;
                if at > number || !lists_itself(shape, at) {
                    return Err(format!(
                        "stage {number} is listed by stage {at}, which lists nothing"
                    ));
                }
            }
            RootShape::Shuffles(shuffles) => {
                if shuffles.is_empty() {
                    return Err(format!("stage {number} reads nothing"));
                }
                for shuffle in shuffles {
                    check_shuffle(shape, number, *shuffle)?;
                }
            }
        }
        for collect in &stage.whole_inputs {
            let makes = |s: &StageShape| s.outputs.contains(&OutputShape::Collect(*collect));
            let makers = shape.stages.iter().filter(|s| makes(s)).count();
            if makers == 0 || shape.stages[number..].iter().any(makes) {
                return Err(format!(
                    "stage {number} reads collected dataset {} before it is made",
                    collect.0
                ));
            }
        }
        for output in &stage.outputs {
            if let OutputShape::Shuffle(shuffle) = output {
                let known = shape.shuffles.get(shuffle.0 as usize);
                if !known.is_some_and(|s| s.producers.contains(&StageId(number as u32))) {
                    return Err(format!(
                        "stage {number} writes shuffle {}, which does not name it",
                        shuffle.0
                    ));
                }
            }
        }
    }
    for lookup in &shape.lookups {
        check_lookup(shape, lookup)?;
    }
    for (number, shuffle) in shape.shuffles.iter().enumerate() {
        if shuffle.producers.iter().any(|p| p.0 as usize >= shape.stages.len()) {
            return Err(format!("shuffle {number} is written by a stage that is not there"));
        }
        if let CutShape::Fixed(partitions) = shuffle.cut
            && partitions > FIXED_PARTITIONS_MAX
        {
            return Err(format!(
                "shuffle {number} is to have {partitions} partitions, and the most is {FIXED_PARTITIONS_MAX}: ask for fewer"
            ));
        }
    }
    Ok(())
}

fn check_shuffle(shape: &JobShape, reader: usize, shuffle: ShuffleId) -> Result<(), String> {
    let Some(found) = shape.shuffles.get(shuffle.0 as usize) else {
        return Err(format!("stage {reader} reads shuffle {}, which is not there", shuffle.0));
    };
    if found.producers.iter().any(|producer| producer.0 as usize >= reader) {
        return Err(format!("stage {reader} reads shuffle {} before it is written", shuffle.0));
    }
    Ok(())
}

fn check_lookup(shape: &JobShape, lookup: &LookUp) -> Result<(), String> {
    let LookUp { stage, shuffle, table } = *lookup;
    let joins = |stage: &StageShape| {
        let sides =
            [RootShape::Shuffles(vec![shuffle, table]), RootShape::Shuffles(vec![table, shuffle])];
        sides.contains(&stage.root)
            && stage.outputs.iter().all(|output| matches!(output, OutputShape::Shuffle(_)))
    };
    let reads = |stage: &&StageShape| stage.reads().any(|read| read == shuffle || read == table);
    let alone = shape.stages.iter().filter(reads).count() == 1;
    let found = shape.stages.get(stage.0 as usize);
    if alone && shuffle != table && found.is_some_and(joins) {
        return Ok(());
    }
    Err(format!("the rows of shuffle {} cannot be looked up by stage {}", shuffle.0, stage.0))
}
