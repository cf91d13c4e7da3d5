#!/usr/bin/env bash
# An allocation of Slurm as a cluster of Windrow, for one job:
#
#     sbatch --nodes=4 --exclusive deploy/slurm/windrow.sh PROGRAM run JOB --input … --output …
#
# PROGRAM is the binary that has the job. It, inputs and outputs are where all nodes reach them. The coordinator runs on the first
# node, a worker on each; when the job has ended, all of it is gone. A job that is preempted, or requeued for another reason, goes on
# where it was: workers drain for as long as Slurm lets them (GraceTime), and what was decided is in the state folder.
#
#     WINDROW_STATE     that folder, on a file system that all nodes have (windrow-JOBID where it was submitted from)
#     WINDROW_SCRATCH   the folder for shuffle files on each node (that for temporary files)
#     WINDROW_MEMORY    memory for tasks of each worker, as in 48GiB (three quarters of --mem, where that was given)
#
#SBATCH --job-name=windrow
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
set -euo pipefail

if [ $# -lt 3 ] || [ "$2" != run ]; then
  echo "windrow.sh: sbatch [OPTIONS] windrow.sh PROGRAM run JOB [FLAGS]" >&2
  exit 2
fi
: "${SLURM_JOB_ID:?windrow.sh: start it with sbatch}"
program=$1
shift
state=${WINDROW_STATE:-$SLURM_SUBMIT_DIR/windrow-$SLURM_JOB_ID}
export WINDROW_SCRATCH=${WINDROW_SCRATCH:-${TMPDIR:-/tmp}}/windrow-$SLURM_JOB_ID
if [ -z "${WINDROW_MEMORY:-}" ] && [ "${SLURM_MEM_PER_NODE:-0}" -gt 0 ]; then
  WINDROW_MEMORY=$((SLURM_MEM_PER_NODE * 3 / 4))MiB
fi

# What the processes of this cluster know one another by: others on these nodes cannot connect.
security=$state/security
export WINDROW_SECURITY=$security/admin

coordinate() {
  mkdir -p "$state"
  [ -d "$security" ] || "$program" cluster init "$security" >/dev/null
  # That of one before says where that one listened.
  rm -f "$state/coordinator.log"
  touch "$state/coordinator.log"
  "$program" coordinator --listen "0.0.0.0:$1" --state "$state" --security "$security/coordinator" \
    >"$state/coordinator.log" 2>&1 &
  coordinator=$!
  until port=$(grep -o '^coordinator on .*:[0-9]*' "$state/coordinator.log" | grep -o '[0-9]*$'); do
    if ! kill -0 $coordinator 2>/dev/null; then
      cat "$state/coordinator.log" >&2
      exit 1
    fi
    sleep 0.1
  done
  address=$(hostname):$port
}

newest() { "$program" jobs list --cluster "$address" | awk 'NR == 1 { print $2 }'; }

# Slurm ends coordinator and workers. A job that it has put back into its queue will go on from the state; one that was cancelled is
# cancelled, by a coordinator that is there for that, and its client removes what was staged.
terminated() {
  trap '' TERM
  local restarts
  restarts=$(scontrol show job --oneliner "$SLURM_JOB_ID" | grep -o 'Restarts=[0-9]*' || true)
  wait ${coordinator:-} || true
  if [ "${restarts#Restarts=}" -gt "${SLURM_RESTART_COUNT:-0}" ]; then
    kill -KILL ${client:-} 2>/dev/null || true
  elif [ -n "${client:-}" ]; then
    coordinate "$port"
    "$program" jobs cancel "$(newest)" --cluster "$address" || true
    wait "$client" || true
    # Workers leave when they hear of it.
    wait "${workers:-}" || true
    kill -TERM $coordinator && wait $coordinator || true
    rm -rf "$state"
  fi
  exit 143
}
trap terminated TERM

coordinate 0

# A worker that was killed starts again; one that has drained has not.
srun --quiet --ntasks-per-node=1 --cpu-bind=none --no-kill --kill-on-bad-exit=0 bash -c '
  trap "ends=yes" TERM
  trap "rm -rf \"$WINDROW_SCRATCH\"" EXIT
  mkdir -p "$WINDROW_SCRATCH"
  until "$0" worker "$@" --threads "$SLURM_CPUS_ON_NODE" --scratch "$WINDROW_SCRATCH" || [ -n "${ends:-}" ]; do
    sleep 1
  done
' "$program" --coordinator "$address" --listen 0.0.0.0:0 --security "$security/worker" ${WINDROW_MEMORY:+--memory "$WINDROW_MEMORY"} &
workers=$!

# Once: where this one was put back into the queue, it goes on with the job that it had submitted. Clients outlive the first signal.
(trap '' TERM && exec "$program" "$@" --cluster "$address" --submit-once "slurm-$SLURM_JOB_ID") &
client=$!
ended=0
wait $client || ended=$?

# Without a job workers end at once.
scancel --signal=TERM "$SLURM_JOB_ID.0" 2>/dev/null || true
(sleep 15 && scancel "$SLURM_JOB_ID.0") 2>/dev/null &
wait $workers || true
kill -TERM $coordinator && wait $coordinator || true
rm -rf "$state"
exit $ended
