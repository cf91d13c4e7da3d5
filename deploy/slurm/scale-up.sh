#!/usr/bin/env bash
# Workers of a coordinator that stays, as jobs of Slurm, as many as there is work for:
#
#     windrow coordinator --scale-up deploy/slurm/scale-up.sh --scale-down deploy/slurm/scale-down.sh --workers-max 50 …
#
# The coordinator runs where sbatch and squeue do, and listens where all nodes reach it.
#
#     WINDROW_PROGRAM         the binary, where all nodes reach it (windrow)
#     WINDROW_SBATCH_FLAGS    what sbatch is told of each worker (--exclusive)
#     WINDROW_WORKER_FLAGS    what a worker is told (--listen 0.0.0.0:0), as in --listen 0.0.0.0:0 --security /shared/security/worker
set -euo pipefail
: "${WINDROW_COORDINATOR:?scale-up.sh: it is for windrow coordinator --scale-up}"
# One that listens on all addresses is reached by the name of this machine.
coordinator=${WINDROW_COORDINATOR/#0.0.0.0:/$(hostname):}
name=windrow-worker@$coordinator
# Those that wait in the queue have been asked for already.
waiting=$(squeue --noheader --array --name "$name" --states PENDING,CONFIGURING | wc -l)
lacking=$((WINDROW_WORKERS_WANTED - WINDROW_WORKERS - waiting))
if [ "$lacking" -gt 0 ]; then
  # shellcheck disable=SC2086 # flags are words
  sbatch --quiet --job-name "$name" --array "1-$lacking" --output /dev/null ${WINDROW_SBATCH_FLAGS---exclusive} --wrap \
    "exec ${WINDROW_PROGRAM:-windrow} worker --coordinator $coordinator ${WINDROW_WORKER_FLAGS---listen 0.0.0.0:0}"
fi
