#!/usr/bin/env bash
# The other half of scale-up.sh: workers that have nothing to do drain, and their jobs of Slurm end with them.
#
#     WINDROW_PROGRAM     the binary (windrow)
#     WINDROW_SECURITY    the folder of an administrator, where the cluster has certificates
set -euo pipefail
: "${WINDROW_COORDINATOR:?scale-down.sh: it is for windrow coordinator --scale-down}"
for worker in $WINDROW_WORKERS_IDLE; do
  "${WINDROW_PROGRAM:-windrow}" cluster drain "$worker" --cluster "$WINDROW_COORDINATOR"
done
