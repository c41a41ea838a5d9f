"""The files of deploy/prometheus and deploy/grafana, read."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULE_FILES = sorted(PROMETHEUS.glob("rules/*.yml"))
RULE_TESTS = sorted(PROMETHEUS.glob("tests/*.yml"))
DASHBOARDS = sorted(DEPLOY.glob("grafana/dashboards/*.json"))

# What Grafana would put for its variables.
_VARIABLES = {"$__rate_interval": "1m", "$instance": ".*"}


def rules() -> list[dict]:
    """All rules, as they are written."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict]:
    """The alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> dict[str, str]:
    """The expressions of recording rules by the name under which they are recorded."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def rule_tests() -> list[dict]:
    """Every tested expression: `expr`, `eval_time`, `exp_samples`, and `input_series` of its test."""
    tests = [test for path in RULE_TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    return [case | {"input_series": test["input_series"]} for test in tests for case in test["promql_expr_test"]]


def dashboards() -> list[dict]:
    """All dashboards."""
    return [json.loads(path.read_text()) for path in DASHBOARDS]


def panels(dashboard: dict) -> list[dict]:
    """Its panels, those of collapsed rows included."""
    return [panel for outer in dashboard["panels"] for panel in (outer, *outer.get("panels", []))]


def dashboard_expressions() -> dict[str, str]:
    """What the dashboards ask Prometheus, by where it stands, with values for Grafana's variables."""
    return {
        f"{dashboard['title']}: {place}": _filled(expression)
        for dashboard in dashboards()
        for place, expression in _expressions(dashboard)
    }


def _expressions(dashboard: dict) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            yield f"panel {panel['id']} {panel['title']}, {target['refId']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield f"annotation {annotation['name']}", annotation["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, _ = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
            yield f"variable {variable['name']}", metric


def _filled(expression: str) -> str:
    for variable, value in _VARIABLES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, f"a variable without a value in {expression}"
    return expression


def expressions() -> dict[str, str]:
    """Every expression, and every series of a rule test, by where it stands."""
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}
    for case in rule_tests():
        found[f"test: {case['expr']}"] = case["expr"]
        found |= {f"test: {series['series']}": series["series"] for series in case["input_series"]}
    return found | dashboard_expressions()


def anchors(markdown: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+?)\s*$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
