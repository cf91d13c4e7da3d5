"""Tries the checks of check.py on charts that are broken on purpose: each has to be found, by the check that is for it."""

import shutil
import sys
import tempfile
from pathlib import Path

import check

CHART = check.HERE / "windrow"
HELPERS, COORDINATOR, WORKERS = "templates/_helpers.tpl", "templates/coordinator.yaml", "templates/workers.yaml"
JOBS, NOTES, VALUES, SCHEMA = "templates/jobs.yaml", "templates/NOTES.txt", "values.yaml", "values.schema.json"

# The check, the file, what is there, what is put in its place everywhere, and what is to be said.
BROKEN = [
    (check.lint, COORDINATOR, ".Values.coordinator.env", ".Values.coordinator.env.of.what", "env"),
    (check.lint, "Chart.yaml", "version: 0.1.0", "version: first", "version"),
    (check.lint, VALUES, "graceSeconds: 600", "graceSeconds: soon", "graceSeconds"),
    (check.valid, COORDINATOR, "publishNotReadyAddresses", "publishNotReady", "'publishNotReady' was unexpected"),
    (check.valid, WORKERS, "Seconds: {{ $group.graceSeconds | int64 }}", 'Seconds: "600"', "terminationGracePeriodSeconds"),
    (check.valid, WORKERS, "policy/v1", "policy/v1beta1", "PodDisruptionBudget"),
    (check.valid, JOBS, "backoffLimit: 6", "backoffLimit: none", "backoffLimit"),
    (check.whole, COORDINATOR, "serviceName: {{ $name }}", "serviceName: windrow", "a service that is not there"),
    (check.whole, COORDINATOR, "name: queues\n          configMap", "name: queue\n          configMap", "volumes"),
    (check.whole, COORDINATOR, "}}-queues\n", "}}-queue\n", "ConfigMap"),
    (check.whole, COORDINATOR, "/queues/queues.toml", "/queues/queues", "no flag"),
    (check.whole, COORDINATOR, "port: http\n", "port: page\n", "readinessProbe"),
    (check.whole, COORDINATOR, "containerPort: 7077", "containerPort: 7070", "the ports"),
    (check.whole, HELPERS, "coordinator:7077", "coordinator:7079", "--coordinator="),
    (check.whole, HELPERS, '(le (len $name) 36)', "true", "cannot be called so"),
    (check.whole, HELPERS, '(regexMatch "^[a-z][a-z0-9-]*$" $name)', "true", "cannot be called so"),
    (check.whole, HELPERS, "windrow/group: {{ index . 2 | quote }}", "", "selects the pods of"),
    (check.whole, WORKERS, "name: THREADS", "name: SLOTS", "THREADS"),
    (check.whole, WORKERS, "--scratch=/scratch", "--scratch=/var", "--scratch="),
    (check.whole, NOTES, "$name) $secrets.client", "$name) $secrets.worker", "do not tell of the secret"),
    (check.same, COORDINATOR, "failureThreshold: 6", "failureThreshold: 7", "failureThreshold: 7 in the chart"),
    (check.same, COORDINATOR, "publishNotReadyAddresses: true", "publishNotReadyAddresses: false", "publishNotReady"),
    (check.same, COORDINATOR, "- --state=/state", "- --state=/tmp", "args[2]: --state=/tmp"),
    (check.same, WORKERS, "maxSurge: 1", "maxSurge: 2", "maxSurge"),
    (check.same, WORKERS, "{{ $group.graceSeconds | int64 }}", "30", "terminationGracePeriodSeconds"),
    (check.same, WORKERS, "kind: PodDisruptionBudget", "kind: PodDisruptionBudgets", "PodDisruptionBudgets"),
    (check.same, HELPERS, "defaultMode: 0440", "defaultMode: 0444", "defaultMode"),
    (check.same, HELPERS, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "readOnlyRootFilesystem"),
    (check.same, VALUES, "tag: latest", "tag: newest", "image"),
    (check.same, VALUES, "size: 10Gi", "size: 1Gi", "storage"),
    (check.same, VALUES, "replicas: 3", "replicas: 2", "replicas"),
    (check.same, JOBS, "- --security=/security", "", "args"),
    (check.same, JOBS, "- --submit-once=$(JOB)", "", "submitted twice"),
    (check.told, WORKERS, "--label=%s", "--with-label=%s", "labels are flags"),
    (check.told, WORKERS, "deepCopy $.Values.workerDefaults", "$.Values.workerDefaults", "does not change the next one"),
    (check.told, WORKERS, "{{ $group.replicas | int64 }}", "{{ default 3 $group.replicas }}", "no workers"),
    (check.told, WORKERS, "replicas | int64", "replicas", "large numbers"),
    (check.told, COORDINATOR, "sha256sum .Values.queues", '"known"', "start it again"),
    (check.told, COORDINATOR, 'port: "7079"', 'port: "7077"', "Prometheus is told"),
    (check.told, COORDINATOR, "{{- if .Values.metrics.annotations }}", "{{- if true }}", "Prometheus is not told"),
    (check.told, COORDINATOR, "storageClassName", "volumeName", "storageClassName"),
    (check.told, "templates/queues.yaml", "toJson .Values.queues", ".Values.queues | html | quote", "those that were given"),
    (check.told, JOBS, "{{ fromYaml $spec | toJson | sha256sum | trunc 8 }}", "00000000", "another name"),
    (check.told, JOBS, "$root.Values.envFrom", "$root.Values.pullSecrets", "environment of a Job"),
    (check.told, HELPERS, "{{- with .Values.image.pullPolicy }}", "{{- with .Values.image.policy }}", "imagePullPolicy"),
    (check.releases, HELPERS, "default .Release.Name", 'default "windrow"', "both have"),
    (check.releases, HELPERS, 'trunc 25 | trimAll "-") (sha256sum $name | trunc 8)', 'trunc 25) ""', "both have"),
    (check.releases, HELPERS, "app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}", "", "selects pods of"),
    (check.refused, SCHEMA, '"null"], "minimum": 0', '"null"]', "not refused: {workerDefaults: {replicas: -1}}"),
    (check.refused, SCHEMA, '"additionalProperties": false', '"additionalProperties": true', "not refused: {replicas: 3}"),
    (check.refused, SCHEMA, '{ "required": ["cpu"] }', "{}", "not refused"),
    (check.refused, SCHEMA, "(listen|state|", "(listen|", "not refused: {coordinator"),
    (check.refused, HELPERS, "{{- fail", "{{- print", "not refused: {workers: [{name: gpu}, {name: gpu}]}"),
    (check.described, VALUES, "  # Its tag.\n", "", "tag has no comment"),
    (check.described, VALUES, 'queues: ""', 'queues: ""\n# More.\nmore: 1', "more"),
    (check.described, VALUES, "#         labels: [gpu]", "#         label: gpu", "'label' not allowed"),
    (check.described, SCHEMA, '"scratch": { "$ref": "#/definitions/quantity" },\n        "labels"', '"labels"', "scratch"),
    (check.described, "Chart.yaml", 'appVersion: "0.1.0"', 'appVersion: "0.0.9"', "crates"),
    (check.packed, ".helmignore", "", "queues.yaml\n", "lacks"),
]


def broken(folder, file, there, instead):
    chart = Path(folder) / "windrow"
    shutil.copytree(CHART, chart)
    path = chart / file
    text = path.read_text() if path.exists() else ""
    if there not in text:
        sys.exit(f"broken chart: {file} has no {there!r}")
    path.write_text(text.replace(there, instead) if there else instead)
    return chart


def main():
    for its, file, there, instead, words in BROKEN:
        with tempfile.TemporaryDirectory() as folder:
            _, wrong = check.found_by(its, broken(folder, file, there, instead))
        what = f"{file}: {there!r} -> {instead!r}"
        if wrong is None:
            sys.exit(f"broken chart: {its.__name__} finds nothing wrong: {what}")
        if words not in wrong:
            sys.exit(f"broken chart: {its.__name__} does not say {words!r}: {what}: {wrong}")
    tried = {its.__name__ for its, *_ in BROKEN}
    for its in check.CHECKS:
        if its.__name__ not in tried:
            sys.exit(f"broken chart: {its.__name__} is tried on none")
    print(f"broken charts: {len(BROKEN)}, each found by the check that is for it")


if __name__ == "__main__":
    main()
