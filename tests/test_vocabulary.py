"""The instrument that finds metrics which nobody shows: one that lets something pass would prove nothing."""

import pytest

from harness.metrics import Metrics
from harness.promql import Matcher, read
from harness.vocabulary import Vocabulary

SCRAPE = Metrics.parse(
    '# TYPE requests_total counter\n'
    'requests_total{result="ok",way="in"} 1\nrequests_total{result="failed",way="in"} 0\n'
    '# TYPE wait_seconds histogram\nwait_seconds_bucket{le="1"} 1\nwait_seconds_bucket{le="+Inf"} 1\n'
)
KNOWN = Vocabulary.of(SCRAPE, {"job:requests:rate1m": "sum by (job, result) (rate(requests_total[1m]))"})


@pytest.mark.parametrize(
    "expression, metrics, groups",
    [
        ("a_total", {"a_total"}, set()),
        ('sum by (x, y) (rate(a{b="c", d=~"e|f"}[5m:1m] offset 1h)) / on (z) group_left (v) b', {"a", "b"}, {"x", "y"}),
        ("sum(rate(a[5m])) without (x) > bool 1e-3 and b unless 0x1F", {"a", "b"}, {"x"}),
        ('{__name__="a:b:c", d="}"}', {"a:b:c"}, set()),
        ('label_replace(a, "b", "$1", "c", "(.*)") or vector(Inf) # sum(d)', {"a"}, set()),
        ("quantile_over_time(0.5, a[2h]) < -time() % 2 ^ .5", {"a"}, set()),
        ("COUNT BY (x) (a @ start() OFFSET 1d)", {"a"}, {"x"}),
        ("max(sum by (x) (a)) + b", {"a", "b"}, {"x"}),
    ],
)
def test_an_expression_is_read(expression, metrics, groups):
    parsed = read(expression)
    assert parsed.metrics == metrics and set().union(*(s.groups for s in parsed.selectors)) == groups


def test_matchers_are_read_with_their_operators():
    (selector,) = read("a{b!='c', d=~\"e|f\",}").selectors
    assert selector.matchers == [Matcher("b", "!=", "c"), Matcher("d", "=~", "e|f")]


@pytest.mark.parametrize(
    "expression",
    [
        'sum by (instance, way) (rate(requests_total{result="ok", job="any"}[1m]))',
        'requests_total{result=~"ok|failed"} / on (result) job:requests:rate1m{result!="ok"}',
        'histogram_quantile(0.9, sum by (le) (wait_seconds_bucket{le="1.0"}))',
    ],
)
def test_what_exists_is_no_problem(expression):
    assert KNOWN.problems(expression) == []


@pytest.mark.parametrize(
    "expression, problem",
    [
        ("rate(request_total[1m]) / rate(requests_total[1m])", "there is no metric request_total"),
        ("sum(job:requests:rate5m)", "there is no metric job:requests:rate5m"),
        ("wait_seconds", "there is no metric wait_seconds"),
        ("sum by (code) (requests_total)", "requests_total has no label code"),
        ("sum(requests_total) without (code)", "requests_total has no label code"),
        ('requests_total{code="ok"}', "requests_total has no label code"),
        ('requests_total{result="okay"}', "requests_total has no result okay, only failed, ok"),
        ('job:requests:rate1m{result!="okay"}', "job:requests:rate1m has no result okay, only failed, ok"),
        ('requests_total{result=~"ok|late"}', "requests_total has no result ok|late, only failed, ok"),
        ("requests_total / on (code) wait_seconds_bucket", "no metric here has the label code"),
    ],
)
def test_what_was_renamed_is_found(expression, problem):
    assert KNOWN.problems(expression) == [problem]
