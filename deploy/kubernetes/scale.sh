#!/usr/bin/env bash
# As many pods of workers as there is work for, up and down: a pod that is ended drains its worker.
#
#     windrow coordinator --scale-up deploy/kubernetes/scale.sh --scale-down deploy/kubernetes/scale.sh --workers-max 50 …
#
# It needs kubectl, and leave to change the deployment's scale, where the coordinator runs.
#
#     WINDROW_DEPLOYMENT    the deployment of workers (windrow-worker)
set -euo pipefail
: "${WINDROW_WORKERS_WANTED:?scale.sh: it is for windrow coordinator --scale-up and --scale-down}"
exec kubectl scale deployment "${WINDROW_DEPLOYMENT:-windrow-worker}" --replicas "$WINDROW_WORKERS_WANTED"
