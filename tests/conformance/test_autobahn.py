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

# Sections 12 and 13 send a thousand compressed messages a case: as five kinds of content, or after seven kinds of offers, in 18
# lengths each. By default they are one kind of content in all lengths, and four kinds of offers in one length.
FULL = bool(os.environ.get("TESTS_FULL"))
LENGTHS = range(1, 19)
CONTENTS = [f"12.{content}.{length}" for content in range(1, 6) for length in LENGTHS]
OFFERS = [f"13.{offer}.{length}" for offer in range(1, 8) for length in LENGTHS]
BY_DEFAULT = {*(f"12.1.{length}" for length in LENGTHS[2:]), *(f"13.{offer}.3" for offer in (1, 2, 4, 6))}

# Where both sides may compress, a node still sends as they are messages that compression would not make shorter (the shortest) or
# that don't fit into the window that was asked for (9 bits, after three kinds of offers). kosoku 0.1.0 fails by itself then.
SHORT, NARROW = (".1", ".2"), ("13.3.", "13.5.", "13.7.")
NOT_BY_KOSOKU = {case for case in CONTENTS + OFFERS if case.endswith(SHORT) or case.startswith(NARROW)}

# Far more than the minutes that it takes.
PATIENCE = 3600


def excluded(runner: str) -> list[str]:
    unfit = NOT_BY_KOSOKU if runner == "kosoku" else set()
    return [case for case in CONTENTS + OFFERS if case in unfit or not (FULL or case in BY_DEFAULT)]


def by_kosoku(node, directory: Path) -> list[str]:
    excluding = [argument for case in excluded("kosoku") for argument in ("-x", case)]
    return [RUNNER, *excluding, "-o", str(directory), f"127.0.0.1:{node.port}"]


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
    node = module_nodes(conformance__echo="true", compression__enabled="true", compression__least="0B", **LIMITS)
    directory = tmp_path_factory.mktemp("reports")
    command = (by_wstest if Path(RUNNER).name == "wstest" else by_kosoku)(node, directory)
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
    named = {case: result for result, cases in expected.items() if result != "cases" for case in cases}
    assert others(verdicts, "behavior") == named


def test_every_case_was_tried(verdicts, expected):
    unfit = excluded(Path(RUNNER).name)
    assert len(verdicts) == expected["cases"]["all"] - len(unfit) and not verdicts.keys() & set(unfit)


def test_every_connection_is_closed_as_it_should_be(verdicts, expected):
    assert others(verdicts, "behaviorClose") == dict.fromkeys(expected["INFORMATIONAL"], "INFORMATIONAL")


def test_only_results_that_the_standard_allows_are_written_down(expected):
    assert set(expected) == {"cases", "INFORMATIONAL"}
    assert all(len(reason) > 20 for reason in expected["INFORMATIONAL"].values())
