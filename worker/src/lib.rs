//! A worker: the supervisor, which holds the lease, the blocks and the data plane, and its executors, which run tasks.
//!
//! [`supervisor`] speaks with the coordinator and starts one executor process for each job; it runs no code of a job.
//! [`executor_process`] is the shell of such a process: it takes orders, fetches blocks, and has lanes run on a rayon
//! pool. [`executor`] runs lanes and tasks with the job's code. [`local`] runs a whole job in one process. [`blocks`]
//! are the files that stand between map and reduce tasks, [`data_plane`] carries them from worker to worker, and so [`binaries`] of jobs. [`process`]
//! starts processes that die with this one; [`shape`] is what others need to know of a plan. [`replay`] runs one task
//! of a job again, here.

pub mod binaries;
pub mod blocks;
pub mod data_plane;
pub mod executor;
pub mod executor_process;
mod frames;
pub mod local;
pub mod process;
pub mod replay;
pub mod shape;
pub mod supervisor;
mod sync;
