"""What people look at in Prometheus and Grafana: that it is well formed, speaks of metrics that exist, and works."""

import asyncio
import math
import re
import shutil
import subprocess

import pytest
import yaml

from harness import monitoring
from harness.certificates import Authority, settings
from harness.clients import MessagePack, native, plain
from harness.monitoring import DEPLOY, PROMETHEUS
from harness.prometheus_server import BINARY, PrometheusServer
from harness.promql import read
from harness.redis_server import RedisServer
from harness.vocabulary import Vocabulary
from harness.waiting import until

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="NO promtool ON THIS MACHINE: rules and their tests WERE NOT CHECKED"
)

# What a node counts and neither a rule nor a dashboard looks at, with the reason.
UNOBSERVED: dict[str, str] = {}


def promtool(*arguments) -> None:
    result = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), f"{arguments}\n{result.stdout}\n{result.stderr}"
    assert "WARN" not in result.stdout, result.stdout


@needs_promtool
def test_the_configuration_is_valid():
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


@needs_promtool
def test_the_job_for_certificates_can_be_added(tmp_path):
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    job = yaml.safe_load((PROMETHEUS / "certificate.yml").read_text())
    modules = yaml.safe_load((PROMETHEUS / "blackbox.yml").read_text())["modules"]
    config["rule_files"] = [str(path) for path in monitoring.RULE_FILES]
    config["scrape_configs"] += job["scrape_configs"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    promtool("check", "config", tmp_path / "prometheus.yml")
    asked = {module for part in job["scrape_configs"] for module in part["params"]["module"]}
    assert asked == modules.keys()


@needs_promtool
def test_the_rules_are_valid():
    promtool("check", "rules", "--lint=all", "--lint-fatal", *monitoring.RULE_FILES)


@needs_promtool
@pytest.mark.parametrize("path", monitoring.RULE_TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path):
    promtool("test", "rules", path)


@needs_promtool
def test_prometheus_understands_every_expression_of_the_dashboards(tmp_path):
    recorded = enumerate(monitoring.dashboard_expressions().values())
    rules = [{"record": f"expression_{number}", "expr": expression} for number, expression in recorded]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    promtool("check", "rules", path)


def test_every_alert_is_tested_to_fire_and_to_stay_quiet():
    fired, quiet = set(), set()
    for case in monitoring.rule_tests():
        asked = [m.value for s in read(case["expr"]).selectors for m in s.matchers if m.label == "alertname"]
        (fired if case["exp_samples"] else quiet).update(name for value in asked for name in value.split("|"))
    assert fired == quiet == monitoring.alerts().keys()


def test_every_recorded_value_is_tested():
    cases = [case["expr"] for case in monitoring.rule_tests() if case["exp_samples"]]
    tested = {metric for expression in cases for metric in read(expression).metrics}
    assert monitoring.recorded().keys() <= tested


def test_everything_that_is_recorded_is_used():
    used = {metric for expression in expressions_of_people() for metric in read(expression).metrics}
    assert monitoring.recorded().keys() <= used


def expressions_of_people() -> list[str]:
    """What is evaluated for its own sake: the rules and the dashboards, without tests of them."""
    return [rule["expr"] for rule in monitoring.rules()] + list(monitoring.dashboard_expressions().values())


@pytest.mark.parametrize("name", monitoring.alerts())
def test_an_alert_says_what_it_means_and_what_to_do(name):
    alert = monitoring.alerts()[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    path, _, anchor = alert["annotations"]["runbook"].partition("#")
    words = re.findall(r"[A-Z][a-z]+", name.removeprefix("Fanwire"))
    assert (path, anchor) == ("deploy/README.md", "-".join(["alert", *words]).lower())
    assert anchor in monitoring.anchors((DEPLOY / "README.md").read_text())


def test_compose_has_what_prometheus_and_grafana_count_on():
    services = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]
    prometheus, grafana, node = services["prometheus"], services["grafana"], services["node"]
    job = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"][0]
    (discovery,) = job["dns_sd_configs"]
    assert discovery["names"] == ["node"] and set(node["networks"]) & set(prometheus["networks"])
    assert node["environment"]["FANWIRE_INTERNAL__LISTEN"].endswith(f":{discovery['port']}")
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/fanwire.yml").read_text())["providers"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro,z" in grafana["volumes"]


@pytest.mark.parametrize("dashboard", monitoring.dashboards(), ids=lambda dashboard: dashboard["uid"])
class TestDashboard:
    def test_its_panels_can_be_told_apart_and_explain_themselves(self, dashboard):
        panels = monitoring.panels(dashboard)
        assert len({panel["id"] for panel in panels}) == len(panels)
        for panel in (panel for panel in panels if panel["type"] != "row"):
            assert panel["targets"] and panel["title"] and panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])

    def test_its_panels_do_not_overlap(self, dashboard):
        taken: dict[tuple[int, int], str] = {}
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            assert at["x"] + at["w"] <= 24, panel["title"]
            for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
                assert cell not in taken, f"{panel['title']} lies upon {taken[cell]}"
                taken[cell] = panel["title"]

    def test_it_asks_the_data_source_that_is_chosen_and_one_is_provided(self, dashboard):
        variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
        asked = [panel for panel in monitoring.panels(dashboard) if panel["type"] != "row"] + [variables["instance"]]
        asked += [target for panel in asked for target in panel.get("targets", [])]
        assert {(a["datasource"]["type"], a["datasource"]["uid"]) for a in asked} == {("prometheus", "${datasource}")}
        provided = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
        assert [d["type"] for d in provided["datasources"]] == [variables["datasource"]["query"]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, module_nodes):
    """Three nodes on one Redis, with TLS."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    authority = Authority(tmp_path_factory.mktemp("authority"))
    tls = settings(authority.sign("node"))
    nodes = [module_nodes(server, namespaces__kept__history__size=10, **tls) for _ in range(3)]
    for node in nodes:
        node.public_tls = authority.trust()
    yield nodes
    server.kill()


async def traffic(cluster, rounds: int = 1) -> None:
    """Something of everything that an ordinary day brings, on every node."""
    for node in cluster:
        async with native(node) as one, native(node, MessagePack) as two, plain(node) as three:
            for client in (one, two):
                await client.ok("subscribe", channel="news")
            await one.ok("publish", channel="kept:news", content=0)
            await one.ok("subscribe", channel="kept:news", recover={"epoch": "unheard", "offset": 1})
            for number in range(rounds):
                await one.ok("publish", channel="news", content=number)
            await three.broadcast("x")
            await one.refused("unknown_command", "shout")


async def vocabulary(cluster) -> Vocabulary:
    await traffic(cluster)
    return Vocabulary.of(cluster[0].metrics(), monitoring.recorded())


async def test_every_metric_label_and_value_in_use_exists_on_a_node(cluster):
    known = await vocabulary(cluster)
    problems = {where: known.problems(text) for where, text in monitoring.expressions().items()}
    assert {where: found for where, found in problems.items() if found} == {}


async def test_every_label_in_a_legend_exists(cluster):
    known = await vocabulary(cluster)
    for dashboard in monitoring.dashboards():
        for panel in monitoring.panels(dashboard):
            for target in panel.get("targets", []):
                metrics = read(target["expr"].replace("$__rate_interval", "1m")).metrics
                labels = {"job", "instance"}.union(*(known.metrics[metric] for metric in metrics))
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, panel["title"]


async def test_nothing_that_a_node_counts_goes_unobserved(cluster):
    await traffic(cluster)
    used = {metric for expression in expressions_of_people() for metric in read(expression).metrics}
    families = {re.sub("_(bucket|count|sum)$", "", metric) for metric in used} | used
    counted = {name for name in cluster[0].metrics().types if name.startswith("fanwire_")}
    assert counted - families == UNOBSERVED.keys()


@pytest.fixture
def prometheus(tmp_path, cluster):
    server = PrometheusServer(tmp_path, cluster).start()
    yield server
    server.kill()


@pytest.mark.skipif(BINARY is None, reason="NO prometheus ON THIS MACHINE: no rule and no dashboard WAS EVALUATED")
@pytest.mark.limit(120)
async def test_a_real_prometheus_has_an_answer_to_every_expression(prometheus, cluster):
    instances = {f"127.0.0.1:{node.internal_port}" for node in cluster}
    scraped = lambda: prometheus.query('up{job="fanwire"} == 1')
    await until(lambda: {labels["instance"] for labels, _ in scraped()} == instances, "every node scraped")
    stop = asyncio.Event()
    work = asyncio.create_task(keep_busy(cluster, stop))
    try:
        await until(lambda: all(r["health"] == "ok" for r in prometheus.rules()), "every rule evaluated", 30)
        for expression in set(monitoring.dashboard_expressions().values()) | {*monitoring.recorded()}:
            await until(lambda: numbers(prometheus.query(expression)), f"a number for {expression}", 30)
    finally:
        stop.set()
        await work
    await until(lambda: [value for _, value in prometheus.query("job:up:sum")] == [len(cluster)], "all nodes counted")
    latency = prometheus.query("job:fanwire_relay_latency_seconds:p99_rate5m")
    assert [labels["job"] for labels, _ in latency] == ["fanwire"] and latency[0][1] > 0
    assert {rule["lastError"] for rule in prometheus.rules() if "lastError" in rule} <= {""}


async def keep_busy(cluster, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await traffic(cluster, rounds=20)


def numbers(result) -> list[float]:
    return [value for _, value in result if math.isfinite(value)]
