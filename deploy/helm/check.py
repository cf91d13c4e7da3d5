"""Checks the chart of `deploy/helm/windrow`; called by `.ci/run manifests`, which installs what it needs:

    check.py [CHART]

Values are rendered as Helm does it, and what comes out is held against the schemas of Kubernetes, against `deploy/kubernetes`,
and against what the values say. broken.py tries these checks on charts that are broken on purpose.
"""

import re
import sys
import tarfile
import tempfile
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
PLAIN = HERE.parent / "kubernetes"
CARGO = HERE.parent.parent / "Cargo.toml"
PAGE = HERE.parent.parent / "docs/clusters.md"

# Names of releases that come near to one another, or that no object could have: at most 53 letters, digits, `-` and `.`.
LONG = "release-" * 6
RELEASES = ["windrow", "a", "a-worker", "a-worker-gpu", "a-coordinator", "a.b", "a-b", "2026", LONG + "one", LONG + "two"]

SETS = {
    "as it is": "",
    "two groups": """
        workers:
          - name: gpu
            replicas: 0
            labels: [gpu, a100]
            scratch: 1Ti
            graceSeconds: 7200
            unavailable: 10%
            nodeSelector: {accelerator: a100}
            tolerations: [{key: nvidia.com/gpu, operator: Exists}]
            affinity:
              nodeAffinity:
                requiredDuringSchedulingIgnoredDuringExecution:
                  nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [one]}]}]
            resources:
              requests: {cpu: "8", memory: 32Gi}
              limits: {cpu: "8", memory: 48Gi, nvidia.com/gpu: 1}
          - name: worker""",
    "queues": 'queues: "# <Weights>, & more\\n[queues.default]\\nweight = 1\\n"',
    "a job": """
        jobs:
          - name: wordcount
            args: [wordcount, --input=s3://bucket/texts, --output=s3://bucket/counts]
          - name: other
            args: [wordcount, --input=s3://bucket/texts, --output=s3://bucket/other]
            resources: {requests: {cpu: 100m, memory: 64Mi}}
            nodeSelector: {kubernetes.io/arch: amd64}
            tolerations: [{key: spot, operator: Exists, effect: NoSchedule}]""",
    "no annotations": "metrics: {annotations: false}",
    "workers that scale": "{workerDefaults: {replicas: null}, coordinator: {args: [--workers-max=50]}}",
    "no workers": "workers: []",
    "all that can be said": """
        fullnameOverride: nightly
        image: {repository: mine/windrow, tag: "7", pullPolicy: IfNotPresent, pullSecrets: [puller]}
        secrets: {coordinator: one, worker: two, client: three}
        env: [{name: AWS_REGION, value: eu-west-1}]
        envFrom: [{secretRef: {name: store}}]
        serviceAccountName: reader
        queues: "[queues.default]"
        coordinator:
          resources: {requests: {cpu: 1}}
          storage: {size: 20Gi, class: fast}
          args: [--no-backups]
          env: [{name: WINDROW_LOG, value: debug}]
          serviceAccountName: scaler
          nodeSelector: {zone: one}
          tolerations: [{operator: Exists}]
          affinity: {podAntiAffinity: {}}
        workerDefaults: {args: [--memory-limit=10GiB], graceSeconds: 1000000, replicas: 1000000}
        jobs: [{name: wordcount, args: [wordcount, --input=a, --output=b]}]""",
}

# Values that are none, and what is said about them.
BAD = [
    ("{replicas: 3}", "'replicas' not allowed"),
    ("{workerDefaults: {replicas: -1}}", "/workerDefaults/replicas"),
    ("{workerDefaults: {graceSeconds: -1}}", "/workerDefaults/graceSeconds"),
    ("{workerDefaults: {graceSeconds: 10m}}", "/workerDefaults/graceSeconds"),
    ("{workerDefaults: {scratch: 100 GB}}", "/workerDefaults/scratch"),
    ("{workerDefaults: {memory: 8Gi}}", "'memory' not allowed"),
    ("{workers: [{name: gpu, replicas: -1}]}", "/workers/0/replicas"),
    ("{workers: [{name: gpu, replicas: 1.5}]}", "/workers/0/replicas"),
    ("{workers: [{name: gpu, gpus: 1}]}", "'gpus' not allowed"),
    ("{workers: [{name: gpu, unavailable: 0}]}", "/workers/0/unavailable"),
    ("{workers: [{name: gpu, labels: ['a,b']}]}", "/workers/0/labels/0"),
    ("{workers: [{name: gpu, labels: gpu}]}", "/workers/0/labels"),
    ("{workers: [{name: gpu, args: [memory-limit=1GiB]}]}", "/workers/0/args/0"),
    ("{workers: [{name: gpu, args: [--threads=2]}]}", "/workers/0/args/0"),
    ("{workers: [{name: gpu, resources: {requests: {memory: 1Gi}, limits: {memory: 1Gi}}}]}", "'cpu'"),
    ("{workers: [{name: gpu, resources: {limits: {cpu: 1}}}]}", "'requests'"),
    ("{workers: [{replicas: 1}]}", "'name'"),
    ("{workers: [{name: big-gpu}]}", "/workers/0/name"),
    ("{workers: [{name: gpu}, {name: gpu}]}", "workers: two are called gpu"),
    ("{jobs: [{name: wordcount}]}", "'args'"),
    ("{jobs: [{name: a, args: [b]}, {name: a, args: [c]}]}", "jobs: two are called a"),
    ("{jobs: [{name: a, args: []}]}", "/jobs/0/args"),
    ("{jobs: [{name: a, args: [b, --cluster=c]}]}", "/jobs/0/args/1"),
    ("{jobs: [{name: a, args: [b], backoffLimit: 3}]}", "'backoffLimit' not allowed"),
    ("{image: {tag: 7}}", "/image/tag"),
    ("{image: {tag: null}}", "'tag'"),
    ("{image: {pullPolicy: Sometimes}}", "/image/pullPolicy"),
    ("{secrets: {admin: windrow-client}}", "'admin' not allowed"),
    ("{coordinator: {args: [--state=s3://bucket/cluster]}}", "/coordinator/args/0"),
    ("{coordinator: {replicas: 2}}", "'replicas' not allowed"),
    ("{coordinator: {storage: {size: big}}}", "/coordinator/storage/size"),
    ("{queues: [default]}", "/queues"),
    ("{metrics: {annotations: 'yes'}}", "/metrics/annotations"),
    ("{fullnameOverride: Windrow}", "/fullnameOverride"),
]


class Wrong(Exception):
    """What a check has found."""


def must(holds, otherwise):
    if not holds:
        raise Wrong(otherwise)


class Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        must(len(keys) == len(set(keys)), f"a key is there twice: {sorted(keys)}{node.start_mark}")
        return super().construct_mapping(node, deep)


def documents(text):
    return [document for document in yaml.load_all(text, Loader) if document is not None]


def values_of(text):
    return yaml.safe_load(text) or {}


def rendered(chart, values=None, release="windrow"):
    """The objects of a release, and the notes."""
    with helm.Chart.load(chart) as loaded:
        files = loaded.render(values or {}, name=release, namespace="batch")
    notes = [text for name, text in files.items() if name.endswith("NOTES.txt")]
    manifests = [text for name, text in sorted(files.items()) if not name.endswith("NOTES.txt")]
    return [found for text in manifests for found in documents(text)], "".join(notes)


def one(objects, kind, name=None):
    found = [it for it in objects if it["kind"] == kind and name in (None, it["metadata"]["name"])]
    must(len(found) == 1, f"{len(found)} objects are a {kind} {name or ''}")
    return found[0]


def container(of):
    return of["spec"]["template"]["spec"]["containers"][0]


def called(it):
    return f"{it['kind']} {it['metadata']['name']}"


def lint(chart):
    """Helm has nothing to say against it."""
    for name, values in SETS.items():
        report = helm.lint(chart, values_of(values), strict=True)
        told = [f"{m['path']}: {m['error']}" for m in report["messages"] if m["severity"] > 1]
        must(not told and not report["errors"], f"{name}: {'; '.join(told + report['errors'])}")
    return f"strictly, with {len(SETS)} sets of values"


def valid(chart):
    """Each object is one of Kubernetes, of the oldest release that the chart names and of the newest that is known."""
    with helm.Chart.load(chart) as loaded:
        oldest = re.match(r">=(\d+\.\d+\.\d+)", loaded.metadata["kubeVersion"])[1]
    versions, count = [oldest, kubernetes_validate.latest_version()], 0
    for name, values in SETS.items():
        for it in rendered(chart, values_of(values))[0]:
            for version in versions:
                try:
                    kubernetes_validate.validate(it, version, strict=True)
                except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                    place = ".".join(map(str, getattr(error, "path", [])))
                    raise Wrong(f"{name}: {called(it)}, {version}: {place}: {error.message}") from error
            count += 1
    return f"{count} objects, against Kubernetes {' and '.join(versions)}"


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


def pods_are_whole(it, objects):
    """What a pod names is there."""
    pod, name = it["spec"]["template"]["spec"], called(it)
    its = container(it)
    claims = {claim["metadata"]["name"] for claim in it["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"] for volume in pod["volumes"]} | claims
    mounts = {mount["name"]: mount["mountPath"] for mount in its["volumeMounts"]}
    must(volumes == set(mounts), f"{name}: the volumes are {sorted(volumes)}, and mounted are {sorted(mounts)}")
    for volume in pod["volumes"]:
        if "configMap" in volume:
            data = one(objects, "ConfigMap", volume["configMap"]["name"])["data"]
            paths = [f"{mounts[volume['name']]}/{key}" for key in data]
            flags = [f"--queues={path}" for path in paths]
            must(set(flags) <= set(its["args"]), f"{name}: no flag has {paths}")
    ports = {port["name"] for port in its.get("ports", [])}
    for probe in ("readinessProbe", "livenessProbe"):
        for action in its.get(probe, {}).values():
            if isinstance(action, dict):
                must(action["port"] in ports, f"{name}: its {probe} asks {action['port']}, and it has {sorted(ports)}")
    variables = {variable["name"] for variable in its.get("env", [])}
    service = one(objects, "Service")
    address = f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    for argument in its["args"]:
        flag, _, value = argument.partition("=")
        if flag in ("--coordinator", "--cluster"):
            must(value == address, f"{name}: {argument}, and the coordinator is {address}")
        if flag in ("--state", "--scratch", "--security"):
            must(value in mounts.values(), f"{name}: {argument}, and mounted are {sorted(mounts.values())}")
        for variable in re.findall(r"\$\((\w+)\)", argument):
            must(variable in variables, f"{name}: {argument}, and its environment has no {variable}")


def whole(chart):
    """Objects find one another, in each release: by selectors, names, volumes, ports and addresses."""
    count = 0
    for name, values in SETS.items():
        for release in RELEASES:
            objects, notes = rendered(chart, values_of(values), release)
            keys = [called(it) for it in objects]
            must(len(keys) == len(set(keys)), f"{name}: an object is there twice: {sorted(keys)}")
            with_pods = [it for it in objects if "template" in it["spec" if "spec" in it else "data"]]
            for it in objects:
                its = it["metadata"]["name"]
                most = 52 if it["kind"] == "StatefulSet" else 63
                fits = len(its) <= most and re.fullmatch("[a-z]([a-z0-9-]*[a-z0-9])?", its)
                must(fits, f"{name}: {called(it)} cannot be called so")
                must("namespace" not in it["metadata"], f"{name}: {called(it)} has a namespace of its own")
                selector = it.get("spec", {}).get("selector")
                if selector is not None:
                    selector = selector.get("matchLabels", selector)
                    chosen = [w for w in with_pods if selects(selector, w["spec"]["template"]["metadata"]["labels"])]
                    wanted = "StatefulSet" if it["kind"] == "Service" else "Deployment"
                    right = len(chosen) == 1 and chosen[0]["metadata"]["name"] == its
                    right = right and chosen[0]["kind"] in (it["kind"], wanted)
                    must(right, f"{name}: {called(it)} selects the pods of {[called(w) for w in chosen]}")
            for it in with_pods:
                pods_are_whole(it, objects)
                for volume in it["spec"]["template"]["spec"]["volumes"]:
                    if "secret" in volume:
                        secret = volume["secret"]["secretName"]
                        must(f" {secret} " in notes, f"{name}: the notes do not tell of the secret {secret}")
            coordinator, service = one(objects, "StatefulSet"), one(objects, "Service")
            governed = coordinator["spec"]["serviceName"] == service["metadata"]["name"]
            must(governed, f"{name}: {called(coordinator)} is of a service that is not there")
            ports = [(port["name"], port["port"]) for port in service["spec"]["ports"]]
            its = [(port["name"], port["containerPort"]) for port in container(coordinator)["ports"]]
            must(ports == its, f"{name}: {called(service)} has the ports {ports}, and its pod {its}")
            count += 1
    return f"{count} releases"


def stripped(it):
    """An object without labels, annotations, and what selects by labels."""
    if isinstance(it, dict):
        return {key: stripped(value) for key, value in it.items() if key not in ("labels", "annotations", "selector")}
    return [stripped(value) for value in it] if isinstance(it, list) else it


def differences(ours, plain, place=""):
    if isinstance(ours, dict) and isinstance(plain, dict):
        for key in sorted(ours.keys() | plain.keys()):
            yield from differences(ours.get(key), plain.get(key), f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(plain, list) and len(ours) == len(plain):
        for at, (one_of_ours, one_of_theirs) in enumerate(zip(ours, plain)):
            yield from differences(one_of_ours, one_of_theirs, f"{place}[{at}]")
    elif ours != plain:
        yield f"{place}: {ours} in the chart, and {plain} in deploy/kubernetes"


def same(chart):
    """As it is, the chart gives the objects of `deploy/kubernetes`, with the image of its kustomization; jobs are tried again."""
    kustomization = yaml.safe_load((PLAIN / "kustomization.yaml").read_text())
    (image,) = kustomization["images"]
    plain = [it for name in kustomization["resources"] + ["job.yaml"] for it in documents((PLAIN / name).read_text())]
    for it in plain:
        if "template" in it["spec"]:
            must(container(it)["image"] == image["name"], f"{called(it)} has an image of its own")
            container(it)["image"] = f"{image['newName']}:{image['newTag']}"
    run = container(one(plain, "Job"))["args"]
    jobs = [{"name": "run", "args": [a for a in run[1:] if not a.startswith(("--cluster=", "--security="))]}]
    for release, name in (("windrow", ""), ("other", "windrow")):
        objects, _ = rendered(chart, {"jobs": jobs, "fullnameOverride": name}, release)
        job = one(objects, "Job")
        job["metadata"]["name"] = re.sub("-[0-9a-f]{8}$", "", job["metadata"]["name"])
        # It may be tried again, since each of its clients has one job: that of this object.
        tried = {"name": "JOB", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['controller-uid']"}}}
        told_once = container(job)["args"].pop() == "--submit-once=$(JOB)" and container(job).pop("env") == [tried]
        must(told_once and job["spec"]["backoffLimit"] == 6, f"{called(job)} would be submitted twice")
        job["spec"]["backoffLimit"] = 0
        ours, theirs = sorted(map(called, objects)), sorted(map(called, plain))
        must(ours == theirs, f"the chart has {ours}, and deploy/kubernetes {theirs}")
        for it in plain:
            other = one(objects, it["kind"], it["metadata"]["name"])
            found = list(differences(stripped(other), stripped(it), called(it)))
            must(not found, "\n  ".join(found))
    return f"{len(plain)} objects of deploy/kubernetes"


def told(chart):
    """What values say is in the objects."""

    def of(name, release="windrow"):
        return rendered(chart, values_of(SETS[name]), release)[0]

    def pod(it):
        return it["spec"]["template"]

    def holds(what, is_so):
        seen.append(what)
        must(is_so, f"not so: {what}")

    seen = []
    plain, groups = of("as it is"), of("two groups")
    gpu, its = one(groups, "Deployment", "windrow-gpu"), values_of(SETS["two groups"])["workers"][0]
    flags = [flag for flag in container(gpu)["args"] if "label" in flag]
    holds("labels are flags", flags == ["--label=gpu", "--label=a100"])
    place = ("nodeSelector", "tolerations", "affinity")
    holds("a group has its own place", all(pod(gpu)["spec"][key] == its[key] for key in place))
    holds("a group has its own resources", container(gpu)["resources"] == its["resources"])
    holds("a group may have no workers", gpu["spec"]["replicas"] == 0)
    holds("a group has its own grace", pod(gpu)["spec"]["terminationGracePeriodSeconds"] == 7200)
    scratch = {"name": "scratch", "emptyDir": {"sizeLimit": "1Ti"}}
    holds("a group has its own scratch", scratch in pod(gpu)["spec"]["volumes"])
    budget = one(groups, "PodDisruptionBudget", "windrow-gpu")["spec"]["maxUnavailable"]
    holds("a part may go at once", [budget, gpu["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"]] == ["10%"] * 2)
    first = one(plain, "Deployment")["spec"]
    second = one(groups, "Deployment", "windrow-worker")["spec"]
    holds("a group does not change the next one", first == second)

    queues = of("queues")
    text = one(queues, "ConfigMap", "windrow-queues")["data"]["queues.toml"]
    holds("queues are those that were given", text == values_of(SETS["queues"])["queues"])
    holds("the coordinator reads them", "--queues=/queues/queues.toml" in container(one(queues, "StatefulSet"))["args"])
    others = rendered(chart, {"queues": "[queues.other]"})[0]
    annotations = [pod(one(objects, "StatefulSet"))["metadata"].get("annotations") for objects in (queues, others)]
    holds("other queues start it again", annotations[0] != annotations[1])

    prometheus = {"scrape": "true", "scheme": "https", "port": "7079", "path": "/metrics"}
    wanted = {f"prometheus.io/{key}": value for key, value in prometheus.items()}
    holds("Prometheus is told", pod(one(plain, "StatefulSet"))["metadata"]["annotations"] == wanted)
    quiet = pod(one(of("no annotations"), "StatefulSet"))["metadata"]
    holds("there may be no annotations", "annotations" not in quiet)
    quiet = values_of(SETS["no annotations"]) | values_of(SETS["queues"])
    quiet = pod(one(rendered(chart, quiet)[0], "StatefulSet"))["metadata"]["annotations"]
    holds("Prometheus is not told", quiet.keys() == {"windrow/queues"})

    jobs = [it for it in of("a job") if it["kind"] == "Job"]
    names = sorted(re.sub("[0-9a-f]{8}$", "", it["metadata"]["name"]) for it in jobs)
    holds("each job is there", names == ["windrow-other-", "windrow-wordcount-"])
    changed = values_of(SETS["a job"]) | {"image": {"tag": "next"}}
    changed = {it["metadata"]["name"] for it in rendered(chart, changed)[0] if it["kind"] == "Job"}
    holds("a changed job has another name", changed.isdisjoint(it["metadata"]["name"] for it in jobs))

    scaled = one(of("workers that scale"), "Deployment")
    holds("replicas need not be said", "replicas" not in scaled["spec"])
    holds("flags of the coordinator", container(one(of("workers that scale"), "StatefulSet"))["args"][-1] == "--workers-max=50")

    said = of("all that can be said")
    coordinator, worker, job = (one(said, kind) for kind in ("StatefulSet", "Deployment", "Job"))
    holds("names begin as is said", all(it["metadata"]["name"].startswith("nightly-") for it in said))
    for it, secret, account in ((coordinator, "one", "scaler"), (worker, "two", "reader"), (job, "three", "reader")):
        spec, kind = pod(it)["spec"], it["kind"]
        holds(f"image of a {kind}", container(it)["image"] == "mine/windrow:7")
        holds(f"pull policy of a {kind}", container(it)["imagePullPolicy"] == "IfNotPresent")
        holds(f"pull secret of a {kind}", spec["imagePullSecrets"] == [{"name": "puller"}])
        holds(f"service account of a {kind}", spec["serviceAccountName"] == account)
        (secrets,) = [volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume]
        holds(f"secret of a {kind}", secrets == secret)
        region = {"name": "AWS_REGION", "value": "eu-west-1"} in container(it).get("env", [])
        store = container(it).get("envFrom") == [{"secretRef": {"name": "store"}}]
        holds(f"environment of a {kind}", [region, store] == [it is not coordinator] * 2)
    holds("the coordinator's environment", container(coordinator)["env"] == [{"name": "WINDROW_LOG", "value": "debug"}])
    holds("the coordinator's resources", container(coordinator)["resources"]["requests"]["cpu"] == 1)
    holds("the coordinator's place", pod(coordinator)["spec"]["nodeSelector"] == {"zone": "one"})
    claim = coordinator["spec"]["volumeClaimTemplates"][0]["spec"]
    holds("its storage", [claim["storageClassName"], claim["resources"]["requests"]["storage"]] == ["fast", "20Gi"])
    holds("flags of workers", container(worker)["args"][-1] == "--memory-limit=10GiB")
    large = [worker["spec"]["replicas"], pod(worker)["spec"]["terminationGracePeriodSeconds"]]
    holds("large numbers", large == [1_000_000] * 2)
    return f"{len(seen)} things that values say"


def releases(chart):
    """Two releases in one namespace have no object in common, and neither selects pods of the other."""
    values = values_of(SETS["two groups"]) | values_of(SETS["a job"]) | values_of(SETS["queues"])
    by_release = {release: rendered(chart, values, release)[0] for release in RELEASES}
    for one_of_them, ours in by_release.items():
        for other, theirs in by_release.items():
            if one_of_them == other:
                continue
            common = {called(it) for it in ours} & {called(it) for it in theirs}
            must(not common, f"{one_of_them} and {other} both have {sorted(common)}")
            for it in ours:
                selector = it.get("spec", {}).get("selector", {})
                selector = selector.get("matchLabels", selector)
                for pods in theirs:
                    labels = pods.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
                    must(not selects(selector, labels), f"{called(it)} of {one_of_them} selects pods of {other}")
    return f"{len(RELEASES)} in one namespace"


def refused(chart):
    """Values that are none are refused, and it is said which."""
    for values, words in BAD:
        try:
            rendered(chart, values_of(values))
        except helm.HelmError as error:
            must(words in str(error), f"{values}: {words} is not in: {error}")
        else:
            raise Wrong(f"not refused: {values}")
    return f"{len(BAD)} sets of values"


def described(chart):
    """Each value has a comment, and is in the schema; examples are right; the version is that of the crates."""
    chart = Path(chart)
    text = (chart / "values.yaml").read_text()
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        key = re.match(r" *(\w+):", line)
        group = key and key[1] in ("image", "coordinator", "metrics", "requests", "limits", "cpu", "memory")
        if key and not group:
            must(before.strip().startswith("#"), f"values.yaml:{number}: {key[1]} has no comment")
        before = line
    examples = [found.replace("#     ", "") for found in re.findall(r"^#\n((?:#     .*\n)+)", text, re.MULTILINE)]
    examples += re.findall(r"^\$ cat values.yaml\n([^$]*)", PAGE.read_text(), re.MULTILINE)
    must(len(examples) == 3, f"values.yaml and {PAGE.name} have {len(examples)} examples")
    for example in examples:
        rendered(chart, values_of(example))

    def compared(values, schema, place):
        names = schema["properties"].keys() - {"global"}
        must(values.keys() == names, f"{place}: {sorted(values.keys() ^ names)} in values.yaml or in the schema, not in both")
        for name, value in values.items():
            if "properties" in schema["properties"][name]:
                compared(value, schema["properties"][name], f"{place}.{name}")

    with helm.Chart.load(chart) as loaded:
        compared(loaded.values, loaded.schema, "values")
        groups = loaded.schema["properties"]
        of_one = {**groups["workers"]["items"]["properties"]}
        del of_one["name"]
        must(of_one == groups["workerDefaults"]["properties"], "a group of workers has other values than workerDefaults")
        version = re.search(r'^version = "(.*)"', CARGO.read_text(), re.MULTILINE)[1]
        of_chart = loaded.metadata["appVersion"]
        must(of_chart == version, f"the chart is of {of_chart}, and the crates of {version}")
    return f"each value, {len(examples)} examples, version {version}"


def packed(chart):
    """All of it is in the package, which gives the same objects."""
    with tempfile.TemporaryDirectory() as folder:
        archive = helm.package(chart, destination=folder)
        with tarfile.open(archive) as opened:
            names = {name.removeprefix("windrow/") for name in opened.getnames()}
        files = {str(path.relative_to(chart)) for path in Path(chart).rglob("*") if path.is_file()}
        files.discard(".helmignore")
        must(files <= names, f"the package lacks {sorted(files - names)}")
        must(rendered(archive) == rendered(chart), "the package gives other objects than the folder")
    return f"{len(files)} files"


CHECKS = [lint, valid, whole, same, told, releases, refused, described, packed]


def found_by(check, chart):
    """What a check says of a chart: what it has seen, or what is wrong."""
    try:
        return check(str(chart)), None
    except Wrong as wrong:
        return None, str(wrong)
    except (helm.HelmError, yaml.YAMLError, KeyError) as error:
        return None, f"{type(error).__name__}: {error}"


def main():
    chart = Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "windrow")
    for check in CHECKS:
        seen, wrong = found_by(check, chart)
        if wrong:
            sys.exit(f"chart: {check.__name__}: {wrong}")
        print(f"chart: {check.__name__}: {seen}")


if __name__ == "__main__":
    main()
