"""The Prometheus text format (0.0.4), read."""

import re
from dataclasses import dataclass, field

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass
class Metrics:
    """One scrape."""

    types: dict[str, str] = field(default_factory=dict)
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> "Metrics":
        metrics = cls()
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                metrics.types[name] = kind
            elif line and not line.startswith("#"):
                metrics.samples.append(_sample(line))
        return metrics

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples called `name` that carry all of `labels`; 0 where there is none."""
        return sum(v for n, have, v in self.samples if n == name and labels.items() <= have.items())

    def families(self) -> dict[str, list[float]]:
        """The values of each family; a histogram's are its counts alone."""
        return {name: self._values(name, kind) for name, kind in self.types.items()}

    def _values(self, family: str, kind: str) -> list[float]:
        name = family + "_count" if kind in ("histogram", "summary") else family
        return [value for sample, _, value in self.samples if sample == name]


def _sample(line: str) -> tuple[str, dict[str, str], float]:
    match = _SAMPLE.match(line)
    assert match, f"no sample of the text format: {line!r}"
    name, labels, value = match.groups()
    return name, dict(_LABEL.findall(labels or "")), float(value)
