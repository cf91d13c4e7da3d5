//! What is kept of jobs and tasks so that they can be run again elsewhere: what a task had to do, and what came of it.

use super::core::Core;
use super::job::Job;
use windrow_protocol::control::{JobRecord, Refusal, TaskRecord};
use windrow_protocol::ids::{AttemptId, JobId, LaneRange, Round, StageId, TaskId, TaskKind};
use windrow_protocol::shape::RootShape;

impl Core {
    /// What is kept of a job.
    pub(crate) fn job_record(&self, id: JobId) -> Result<JobRecord, Refusal> {
        let job = self.job(id)?;
        let tasks = |stage: &super::job::Stage| stage.done.as_ref().map(|done| done.len() as u32);
        Ok(JobRecord {
            spec: job.spec(),
            shape: (*job.shape).clone(),
            tasks: job.stages.iter().map(tasks).collect(),
            rests: job.stages.iter().map(|stage| stage.rests.clone()).collect(),
        })
    }

    /// What is kept of a task.
    ///
    /// # Errors
    /// If there is no such job or task, or not all is kept that it needs.
    pub(crate) fn task_record(
        &mut self,
        id: JobId,
        stage: StageId,
        kind: TaskKind,
        partition: u32,
    ) -> Result<TaskRecord, Refusal> {
        let job = self.job_mut(id)?;
        let task = TaskId { job: id, stage, round: Round::default(), kind, partition };
        job.check_kept(task)?;
        let (number, made) = job.made(stage, partition).unzip();
        let attempt = AttemptId { task, number: number.unwrap_or_default() };
        let lanes = job.stage(stage).map_or(LaneRange::ALL, |of| of.rests.lanes(partition));
        let lanes = if kind == TaskKind::Compute { lanes } else { LaneRange::ALL };
        let order = job.order(attempt, lanes);
        let order = order.map_err(|failure| Refusal::Invalid(failure.message))?;
        Ok(TaskRecord { order, made: made.filter(|_| kind == TaskKind::Compute) })
    }
}

impl Job {
    /// Whether there is such a task, and all is kept that it needs.
    fn check_kept(&self, task: TaskId) -> Result<(), Refusal> {
        let refused = |text: String| Err(Refusal::Invalid(text));
        let (id, stage) = (self.id, task.stage);
        let (Some(shape), Some(of)) = (self.shape.stages.get(stage.0 as usize), self.stage(stage))
        else {
            let stages = self.stages.len();
            return refused(format!(
                "job {id} has no stage {stage}: its stages are s0 to s{}",
                stages.saturating_sub(1)
            ));
        };
        if self.has_forgotten_details() {
            return refused(format!(
                "what the tasks of job {id} read is not kept any more: of jobs that have ended it is kept for the last, and for others while there is room; run the job again"
            ));
        }
        match task.kind {
            TaskKind::Compute => {}
            TaskKind::Split if shape.root == (RootShape::Source { listed_by: stage }) => {
                return Ok(());
            }
            TaskKind::Split => {
                return refused(format!("stage {stage} of job {id} has no split task"));
            }
            TaskKind::Commit => {
                return refused("the commit of a job is not run again elsewhere".to_owned());
            }
        }
        if shape.dissolved {
            return refused(format!(
                "stage {stage} of job {id} has no tasks: its rows are looked up by the stages that it would read; `jobs show {id}` lists all"
            ));
        }
        let Some(done) = &of.done else {
            return refused(format!("stage {stage} of job {id} has no tasks: it was not begun"));
        };
        if task.partition as usize >= done.len() {
            return refused(format!(
                "stage {stage} of job {id} has no task {}: its tasks are 0 to {}",
                task.partition,
                done.len().saturating_sub(1)
            ));
        }
        if self.collected_forgotten && !shape.whole_inputs.is_empty() {
            return refused(format!(
                "the collected rows that task {task} reads are not kept any more: run the job again"
            ));
        }
        Ok(())
    }
}
