//! The shape of a plan, as the coordinator and the local runner know it.

use windrow_jobs::plan::{Output, Plan, Root};
use windrow_protocol::ids::{CollectId, ShuffleId, SinkId, StageId};
use windrow_protocol::shape::{
    CutShape, JobShape, LookUp, OutputShape, RootShape, ShuffleShape, StageShape,
};

/// The shape of a plan.
pub fn shape_of(plan: &Plan) -> JobShape {
    let stage = |stage: &windrow_jobs::plan::Stage| {
        let root = match &stage.root {
            Root::Source { listed_by } => {
                RootShape::Source { listed_by: StageId(*listed_by as u32) }
            }
            Root::Shuffles(shuffles) => {
                RootShape::Shuffles(shuffles.iter().map(|&n| ShuffleId(n)).collect())
            }
        };
        let outputs = stage.outputs.iter().map(|output| match *output {
            Output::Shuffle(n) => OutputShape::Shuffle(ShuffleId(n)),
            Output::Sink(n) => OutputShape::Sink(SinkId(n)),
            Output::Collect(n) => OutputShape::Collect(CollectId(n)),
        });
        StageShape {
            whole_inputs: stage.whole_inputs.iter().map(|&n| CollectId(n)).collect(),
            sample: stage.sample,
            passes_permille: (stage.passes * 1000.0) as u32,
            ..StageShape::new(&stage.name, root, outputs.collect())
        }
    };
    let lookup = |shuffle: u32| {
        // What needs other workers is not done by others.
        let ordinary = |stage: usize| plan.stages()[stage].needs.is_ordinary();
        let probe = plan.probe(shuffle).filter(|probe| ordinary(probe.stage))?;
        let (stage, table) = (StageId(probe.stage as u32), ShuffleId(probe.other));
        Some(LookUp { stage, shuffle: ShuffleId(shuffle), table })
    };
    let stages = |of: &[usize]| of.iter().map(|&stage| StageId(stage as u32)).collect();
    let shuffle = |number: u32| {
        let shuffle = plan.shuffle(number);
        ShuffleShape {
            producers: stages(shuffle.producers),
            cut: shuffle.partitions.map_or(CutShape::ByBytes, CutShape::Fixed),
        }
    };
    JobShape {
        stages: plan.stages().iter().map(stage).collect(),
        shuffles: (0..plan.shuffles() as u32).map(shuffle).collect(),
        sinks: plan.sinks() as u32,
        collects: (0..plan.collects() as u32).map(|n| stages(plan.collect(n).producers)).collect(),
        lookups: (0..plan.shuffles() as u32).filter_map(lookup).collect(),
    }
}

/// The name of a part file: by the task's partition where one stage writes the sink, else by the stage's number among
/// those that do and the partition; names are in the order of the rows.
pub fn part_name(plan: &Plan, sink: u32, stage: usize, partition: u32) -> String {
    let producers = plan.sink(sink).producers;
    if producers.len() <= 1 {
        return format!("part-{partition:05}");
    }
    let number = producers.iter().position(|&producer| producer == stage).unwrap_or(0);
    format!("part-{number:02}-{partition:05}")
}
