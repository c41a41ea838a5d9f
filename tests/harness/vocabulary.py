"""What an expression may speak of: metrics, their labels, and the values of these."""

from dataclasses import dataclass

from .metrics import Metrics
from .promql import Matcher, Selector, read

# Prometheus puts them on every series that it scrapes; which values they have is no node's business.
TARGET = {"job", "instance"}

# What does not come from a node, with its labels.
FOREIGN = {
    "up": set(),  # Prometheus, of each target
    "ALERTS": {"alertname", "alertstate", "severity"},  # Prometheus, of each alert
    "probe_ssl_earliest_cert_expiry": set(),  # blackbox_exporter
    "probe_success": set(),  # blackbox_exporter
}


@dataclass
class Vocabulary:
    """For each metric its labels, and for each label its values, or `None` where any will do."""

    metrics: dict[str, dict[str, set[str] | None]]

    @classmethod
    def of(cls, scrape: Metrics, recorded: dict[str, str]) -> "Vocabulary":
        """What a node shows, what others show, and what rules record (name to expression)."""
        vocabulary = cls({name: dict.fromkeys(labels) for name, labels in FOREIGN.items()})
        for name, labels, _ in scrape.samples:
            known = vocabulary.metrics.setdefault(name, {})
            for label, value in labels.items():
                # Bounds of buckets and versions change with the program, files with the machine, and Prometheus 3 spells
                # bounds its own way.
                free = label in ("le", "version", "file")
                known[label] = None if free else known.get(label, set()) | {value}
        for name, expression in recorded.items():
            vocabulary.metrics[name] = vocabulary._recorded(expression, recorded)
        return vocabulary

    def _recorded(self, expression: str, recorded: dict[str, str]) -> dict[str, set[str] | None]:
        labels: dict[str, set[str] | None] = {}
        for metric in read(expression).metrics:
            inner = self._recorded(recorded[metric], recorded) if metric in recorded else self.metrics.get(metric, {})
            labels |= inner
        return labels

    def problems(self, expression: str) -> list[str]:
        """What the expression speaks of and nobody shows."""
        parsed = read(expression)
        found = [problem for selector in parsed.selectors for problem in self._selector(selector)]
        labels = TARGET.union(*(self.metrics.get(metric, {}) for metric in parsed.metrics))
        return found + [f"no metric here has the label {label}" for label in sorted(parsed.matching - labels)]

    def _selector(self, selector: Selector) -> list[str]:
        labels = self.metrics.get(selector.metric)
        if labels is None:
            return [f"there is no metric {selector.metric}"]
        missing = sorted(selector.groups - TARGET - labels.keys())
        found = [f"{selector.metric} has no label {label}" for label in missing]
        for matcher in selector.matchers:
            found += _matcher(selector.metric, matcher, labels)
        return found


def _matcher(metric: str, matcher: Matcher, labels: dict[str, set[str] | None]) -> list[str]:
    if matcher.label in TARGET:
        return []
    if matcher.label not in labels:
        return [f"{metric} has no label {matcher.label}"]
    values = labels[matcher.label]
    if values is None or matcher.can_match(values):
        return []
    return [f"{metric} has no {matcher.label} {matcher.value}, only {', '.join(sorted(values))}"]
