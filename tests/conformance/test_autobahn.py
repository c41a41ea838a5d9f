"""Autobahn's test suite against the echo dialect; run by tests/autobahn, which installs the runner."""

import json
import os
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

EXPECTED = Path(__file__).parent / "expected.toml"
RUNNER = os.environ.get("TESTS_AUTOBAHN_RUNNER", "")

# Section 9 sends messages of up to 16 MiB, and as many frames as fit into them.
LIMITS = {"limits__message": "16MiB", "limits__fragments": "100000", "outbox__limit": "64MiB", "heartbeat__interval": "1h"}

# Sections about compression.
EXCLUDED = ["12.*", "13.*"]

# Far more than the minute that it takes.
PATIENCE = 600


def by_kosoku(node, directory: Path) -> list[str]:
    excluded = [argument for cases in EXCLUDED for argument in ("-x", cases)]
    return [RUNNER, *excluded, "-o", str(directory), f"127.0.0.1:{node.port}"]


def by_wstest(node, directory: Path) -> list[str]:
    spec = directory / "spec.json"
    servers = [{"agent": "fanwire", "url": node.url}]
    cases = {"cases": ["*"], "exclude-cases": EXCLUDED, "exclude-agent-cases": {}}
    spec.write_text(json.dumps({"options": {"failByDrop": False}, "outdir": str(directory), "servers": servers, **cases}))
    return [RUNNER, "-m", "fuzzingclient", "-s", str(spec)]


@pytest.fixture(scope="module")
def verdicts(module_nodes, tmp_path_factory) -> dict[str, dict]:
    """What the suite says, by the case."""
    if not RUNNER:
        pytest.skip("tests/autobahn runs this")
    node = module_nodes(conformance__echo="true", **LIMITS)
    directory = tmp_path_factory.mktemp("reports")
    command = (by_wstest if RUNNER.endswith("wstest") else by_kosoku)(node, directory)
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE)
    report = directory / "index.json"
    assert report.exists(), result.stdout[-2000:] + result.stderr[-2000:]
    (cases,) = json.loads(report.read_text()).values()
    print(dict(Counter(case["behavior"] for case in cases.values())), f"{report.parent}")
    return cases


@pytest.fixture(scope="module")
def expected() -> dict:
    return tomllib.loads(EXPECTED.read_text())


def others(cases: dict[str, dict], key: str) -> dict[str, str]:
    return {name: case[key] for name, case in cases.items() if case[key] != "OK"}


def test_every_case_has_the_result_that_is_written_down(verdicts, expected):
    named = {case: result for result, cases in expected.items() if result != "results" for case in cases}
    assert others(verdicts, "behavior") == named


def test_there_are_as_many_of_each_result_as_are_written_down(verdicts, expected):
    assert Counter(case["behavior"] for case in verdicts.values()) == expected["results"]


def test_every_connection_is_closed_as_it_should_be(verdicts, expected):
    assert others(verdicts, "behaviorClose") == dict.fromkeys(expected["INFORMATIONAL"], "INFORMATIONAL")


def test_only_results_that_the_standard_allows_are_written_down(expected):
    assert set(expected["results"]) == {"OK", "INFORMATIONAL"} == set(expected) - {"results"} | {"OK"}
    assert all(len(reason) > 20 for result, cases in expected.items() if result != "results" for reason in cases.values())
