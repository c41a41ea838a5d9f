"""The manifests of deploy/kubernetes: against Kubernetes' own schemas, against each other, and against a node."""

import copy
import ipaddress
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from harness.command import run
from harness.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[1]
DIRECTORY = REPOSITORY / "deploy" / "kubernetes"
KUBECTL = shutil.which("kubectl")
# preStop's `sleep` has been there for everybody since 1.30.
VERSIONS = ("1.30", kubernetes_validate.latest_version().rpartition(".")[0])
REDIS = {"FANWIRE_REDIS__URL": "redis://fanwire-redis:6379"}
NOT_MANIFESTS = {"kustomization.yaml", "prometheus-adapter.yaml"}
# The kinds that come with an operator or the Gateway API, of which the schemas know nothing.
CUSTOM = {"ServiceMonitor", "HTTPRoute"}


def documents() -> list[dict]:
    """Everything that somebody would apply."""
    paths = sorted(path for path in DIRECTORY.rglob("*.yaml") if path.name not in NOT_MANIFESTS)
    return [document for path in paths for document in yaml.safe_load_all(path.read_text())]


DOCUMENTS = documents()


def named(document: dict) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def one(kind: str, name: str = "fanwire") -> dict:
    """The manifest of that kind and name."""
    [found] = [document for document in DOCUMENTS if named(document) == f"{kind}/{name}"]
    return found


def pod() -> dict:
    return one("Deployment")["spec"]["template"]["spec"]


def container() -> dict:
    [found] = pod()["containers"]
    return found


def environment() -> dict[str, str]:
    """What the ConfigMap puts into the environment of a node, and the Secret of the example."""
    lines = (DIRECTORY / "fanwire.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#")) | REDIS


def check(directory: Path, variables: dict[str, str]) -> subprocess.CompletedProcess:
    result = run("check", cwd=directory, **variables)
    assert result.returncode == 0, result
    return result


@pytest.fixture
def effective(tmp_path) -> dict:
    """The configuration of a node in the cluster, as the node itself understands it."""
    return tomllib.loads(check(tmp_path, environment()).stdout)


def seconds(text: str) -> float:
    """`1m 30s` is 90."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h)", text))


def quantity(text: str) -> int:
    """`1Gi` is 2^30, `30k` is 30,000."""
    number, unit = re.fullmatch(r"(\d+)(k|Mi|Gi|)", text).groups()
    return int(number) * {"": 1, "k": 1000, "Mi": 1 << 20, "Gi": 1 << 30}[unit]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d["kind"] not in CUSTOM], ids=named)
def test_manifests_obey_the_schemas_of_kubernetes(document, version):
    assert kubernetes_validate.validate(document, version, strict=True) == version


@pytest.mark.parametrize("change", [{"terminationGracePeriod": 60}, {"terminationGracePeriodSeconds": "60"}], ids=str)
def test_a_misspelled_field_or_a_wrong_type_would_be_found(change):
    document = copy.deepcopy(one("Deployment"))
    document["spec"]["template"]["spec"] |= change
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("path", sorted(DIRECTORY.rglob("kustomization.yaml")), ids=lambda path: path.parent.name)
def test_a_kustomization_lists_every_manifest_beside_it(path):
    listed = set(yaml.safe_load(path.read_text())["resources"])
    assert listed == {file.name for file in path.parent.glob("*.yaml")} - NOT_MANIFESTS


def test_every_component_is_offered():
    offered = set(re.findall(r"(?m)^#  - (components/\S+)$", (DIRECTORY / "kustomization.yaml").read_text()))
    assert offered == {str(path.parent.relative_to(DIRECTORY)) for path in DIRECTORY.glob("components/*/*.yaml")}


@pytest.mark.skipif(KUBECTL is None, reason="NO kubectl ON THIS MACHINE: what kustomize makes WAS NOT CHECKED")
def test_kustomize_makes_valid_manifests_of_all_components_for_a_registry_and_a_namespace(tmp_path):
    shutil.copytree(DIRECTORY, tmp_path / "fanwire")
    own = {
        "resources": ["fanwire"],
        "components": [f"fanwire/components/{path.name}" for path in sorted(DIRECTORY.glob("components/*"))],
        "namespace": "chat",
        "images": [{"name": "fanwire", "newName": "registry.example.com/fanwire", "newTag": "9.9.9"}],
        "configMapGenerator": [{"name": "fanwire", "behavior": "merge", "literals": ["FANWIRE_LOG__LEVEL=debug"]}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    made = subprocess.run([KUBECTL, "kustomize", tmp_path], capture_output=True, text=True)
    assert made.returncode == 0 and not made.stderr, made
    rendered = list(yaml.safe_load_all(made.stdout))
    for document in rendered:
        assert document["metadata"]["namespace"] == "chat"
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    example = {named(document) for document in yaml.safe_load_all((DIRECTORY / "examples/redis.yaml").read_text())}
    kinds = {document["kind"]: document for document in rendered}
    config = kinds["ConfigMap"]
    assert set(map(named, rendered)) == set(map(named, DOCUMENTS)) - example | {named(config)}
    assert "replicas" not in kinds["Deployment"]["spec"], "each apply would undo what the autoscaler decided"
    [node] = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert node["image"] == "registry.example.com/fanwire:9.9.9"
    assert node["envFrom"][0]["configMapRef"]["name"] == config["metadata"]["name"] != "fanwire"
    assert config["data"] | REDIS == environment() | {"FANWIRE_LOG__LEVEL": "debug"}


def test_the_image_is_of_this_version(tmp_path):
    version = run("--version", cwd=tmp_path).stdout.split()[-1]
    assert container()["image"] == f"fanwire:{version}"
    images = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())["images"]
    assert images == [{"name": "fanwire", "newName": "fanwire", "newTag": version}]


def test_the_environment_is_a_configuration_and_all_of_it_is_used(tmp_path):
    result = check(tmp_path, environment())
    assert result.stderr == ""
    for name in environment():
        assert f"# environment variable {name}" in result.stdout, result.stdout


def test_every_variable_that_is_mentioned_exists():
    keys = tomllib.loads((REPOSITORY / "config" / "fanwire.toml").read_text())
    known = {f"FANWIRE_{group}__{key}".upper() for group, values in keys.items() for key in values}
    text = "".join(path.read_text() for path in DIRECTORY.rglob("*") if path.is_file())
    assert set(re.findall(r"FANWIRE_[A-Z]+__[A-Z_]+", text)) <= known


def test_the_secret_of_the_example_is_the_one_that_nodes_ask_for():
    [_, wanted] = container()["envFrom"]
    secret = one("Secret", wanted["secretRef"]["name"])
    assert not wanted["secretRef"].get("optional"), "a node without Redis would be a cluster of its own"
    assert secret["stringData"] == REDIS
    host, port = re.fullmatch(r"redis://(\S+):(\d+)", REDIS["FANWIRE_REDIS__URL"]).groups()
    assert int(port) in [port["port"] for port in one("Service", host)["spec"]["ports"]]


def service_links() -> dict[str, str]:
    """What Kubernetes would set in every pod beside these Services if it were let."""
    links = {}
    for service in (document for document in DOCUMENTS if document["kind"] == "Service"):
        name = service["metadata"]["name"].upper().replace("-", "_")
        for port in service["spec"]["ports"]:
            number, link = port["port"], f"{name}_PORT_{port['port']}_TCP"
            links |= {f"{name}_SERVICE_HOST": "10.96.0.7", f"{name}_SERVICE_PORT": str(number)}
            links |= {f"{name}_SERVICE_PORT_{port['name'].upper()}": str(number)}
            links |= {f"{name}_PORT": f"tcp://10.96.0.7:{number}", link: f"tcp://10.96.0.7:{number}"}
            links |= {f"{link}_PROTO": "tcp", f"{link}_PORT": str(number), f"{link}_ADDR": "10.96.0.7"}
    return links


def test_service_links_are_off_and_would_change_nothing_but_a_warning(tmp_path):
    assert pod()["enableServiceLinks"] is False
    without, beside = check(tmp_path, environment()), check(tmp_path, environment() | service_links())
    assert beside.stdout == without.stdout
    assert "FANWIRE_PORT" in service_links() and all(name in beside.stderr for name in service_links()), beside.stderr


def templates() -> dict[str, dict]:
    return {d["metadata"]["name"]: d["spec"]["template"] for d in DOCUMENTS if d["kind"] == "Deployment"}


def selected(labels: dict) -> list[str]:
    """The Deployments whose pods have all of these labels."""
    return [n for n, template in templates().items() if labels.items() <= template["metadata"]["labels"].items()]


def selectors():
    """Each selector of pods, with the Deployment that it is meant to find."""
    for document in DOCUMENTS:
        kind, spec = document["kind"], document.get("spec", {})
        meant = "fanwire-redis" if document["metadata"]["name"] == "fanwire-redis" else "fanwire"
        if kind == "Service":
            yield named(document), meant, spec["selector"]
        elif kind in ("Deployment", "PodDisruptionBudget"):
            yield named(document), meant, spec["selector"]["matchLabels"]
        elif kind == "NetworkPolicy":
            yield named(document), meant, spec["podSelector"]["matchLabels"]
    for spread in pod()["topologySpreadConstraints"]:
        yield spread["topologyKey"], "fanwire", spread["labelSelector"]["matchLabels"]


@pytest.mark.parametrize("meant, labels", [pytest.param(*rest, id=name) for name, *rest in selectors()])
def test_a_selector_finds_the_pods_that_are_meant_and_no_others(meant, labels):
    assert selected(labels) == [meant]


def ports(template: dict) -> dict[str, int]:
    return {p["name"]: p["containerPort"] for c in template["spec"]["containers"] for p in c["ports"]}


def test_ports_have_the_same_names_and_numbers_everywhere(effective):
    listens = {"websocket": effective["server"]["listen"], "internal": effective["internal"]["listen"]}
    assert ports(templates()["fanwire"]) == {name: int(listen.rpartition(":")[2]) for name, listen in listens.items()}
    assert all(ipaddress.ip_address(listen.rpartition(":")[0]).is_unspecified for listen in listens.values())
    for service in (document for document in DOCUMENTS if document["kind"] == "Service"):
        [target] = selected(service["spec"]["selector"])
        for port in service["spec"]["ports"]:
            assert ports(templates()[target])[port["targetPort"]] == port["port"] and port["name"] == port["targetPort"]


def test_clients_and_monitoring_reach_different_ports():
    [clients], [internal] = one("Service")["spec"]["ports"], one("Service", "fanwire-internal")["spec"]["ports"]
    assert (clients["targetPort"], internal["targetPort"]) == ("websocket", "internal")
    public, restricted = one("NetworkPolicy")["spec"]["ingress"]
    assert public == {"ports": [{"port": "websocket"}]}
    assert restricted["ports"] == [{"port": "internal"}] and restricted["from"]


def probe(node, name: str) -> int:
    """The status that the kubelet would get."""
    request = container()[name]["httpGet"]
    assert request["port"] == "internal"
    return node.get(request["path"])[0]


def test_a_node_answers_the_probes_and_an_outage_of_redis_restarts_nothing(redis, start_node):
    node = start_node(redis)
    assert (probe(node, "livenessProbe"), probe(node, "readinessProbe")) == (200, 200)
    redis.stop()
    wait_until(lambda: probe(node, "readinessProbe") == 503, "readiness lost")
    assert probe(node, "livenessProbe") == 200


def test_a_pod_has_the_time_to_drain_and_the_next_one_waits_for_it(effective):
    drain, sleep = effective["drain"], container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] > sleep + seconds(drain["deadline"])
    gone = sleep + sum(map(seconds, (drain["grace"], drain["window"], effective["close"]["timeout"])))
    assert one("Deployment")["spec"]["minReadySeconds"] >= gone
    assert one("Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_the_memory_is_enough_for_the_connections(effective):
    resources, connections = container()["resources"], effective["limits"]["connections"]
    request, limit = (quantity(resources[kind]["memory"]) for kind in ("requests", "limits"))
    assert connections * 10 * 1024 <= request <= limit


@pytest.mark.parametrize("name", templates())
def test_pods_keep_to_the_restricted_security_standard(name):
    spec = templates()[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for each in spec["containers"]:
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert each["securityContext"] == wanted


def test_the_user_is_the_images():
    user = re.search(r"(?m)^USER (\d+):(\d+)$", (REPOSITORY / "deploy" / "Dockerfile").read_text())
    context = pod()["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == tuple(map(int, user.groups()))


def test_the_autoscaler_counts_what_a_node_has_and_scales_what_exists(effective, start_node):
    spec = one("HorizontalPodAutoscaler")["spec"]
    deployment = one("Deployment")
    target = {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert spec["scaleTargetRef"] == target and spec["minReplicas"] == deployment["spec"]["replicas"]
    [metric] = spec["metrics"]
    adapter = yaml.safe_load((DIRECTORY / "components/autoscaling/prometheus-adapter.yaml").read_text())
    [rule] = adapter["rules"]["custom"]
    name = metric["pods"]["metric"]["name"]
    assert rule["name"]["as"] == name and rule["seriesQuery"].startswith(name + "{")
    assert start_node().metrics().types[name] == "gauge"
    # What one of the least number of nodes leaves behind fits on the others.
    least, each = spec["minReplicas"], quantity(metric["pods"]["target"]["averageValue"])
    assert least * each <= (least - 1) * effective["limits"]["connections"]


def test_no_more_than_one_node_goes_at_a_time_when_machines_are_drained():
    assert one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1 < one("Deployment")["spec"]["replicas"]


def test_balancers_send_to_the_port_for_clients_and_wait_longer_than_a_heartbeat(effective):
    ingress, route = one("Ingress"), one("HTTPRoute")
    [path] = ingress["spec"]["rules"][0]["http"]["paths"]
    service, [port] = one("Service"), one("Service")["spec"]["ports"]
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": port["name"]}}
    [rule] = route["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": port["port"]}]
    silence = seconds(effective["heartbeat"]["interval"]) + seconds(effective["heartbeat"]["timeout"])
    annotations = ingress["metadata"]["annotations"]
    for direction in ("read", "send"):
        assert int(annotations[f"nginx.ingress.kubernetes.io/proxy-{direction}-timeout"]) > silence


def test_the_service_monitor_finds_the_internal_service_alone_and_what_it_scrapes_are_metrics(start_node):
    monitor = one("ServiceMonitor")
    spec, [endpoint] = monitor["spec"], monitor["spec"]["endpoints"]
    # The fields are those of the operator's definition, which no schema here knows.
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert set(spec) == {"jobLabel", "selector", "endpoints"} and set(endpoint) == {"port", "path", "interval"}
    wanted = spec["selector"]["matchLabels"].items()
    [service] = [d for d in DOCUMENTS if d["kind"] == "Service" and wanted <= d["metadata"]["labels"].items()]
    assert named(service) == "Service/fanwire-internal"
    assert service["metadata"]["labels"][spec["jobLabel"]] == "fanwire"
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    status, body = start_node().get(endpoint["path"])
    assert status == 200 and "fanwire_connections" in body
