"""PromQL, read as far as is needed to know which metrics, labels and values an expression speaks of."""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<number>\.?\d[\w.]*(?:(?<=[eE])[+-]\d+)?)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^(){}\[\],=<>@])""",
    re.VERBOSE,
)
_WORDS = {"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"}
_AGGREGATIONS = {"by", "without"}
_MATCHINGS = {"on", "ignoring", "group_left", "group_right"}


@dataclass(frozen=True)
class Matcher:
    """`label operator "value"` between braces."""

    label: str
    operator: str
    value: str

    def can_match(self, values: set[str]) -> bool:
        """Whether one of `values` is meant; of a regular expression's plain alternatives, each must be."""
        if self.operator in ("=", "!="):
            return self.value in values
        alternatives = self.value.split("|") if re.fullmatch(r"[\w|]+", self.value) else [self.value]
        return all(any(re.fullmatch(pattern, value) for value in values) for pattern in alternatives)


@dataclass
class Selector:
    """A metric as it stands in an expression."""

    metric: str
    matchers: list[Matcher]
    # The labels by which aggregations around it group.
    groups: set[str] = field(default_factory=set)


@dataclass
class Expression:
    """What an expression speaks of."""

    selectors: list[Selector]
    # The labels on which its binary operators match.
    matching: set[str]

    @property
    def metrics(self) -> set[str]:
        return {selector.metric for selector in self.selectors}


def read(text: str) -> Expression:
    """Reads an expression that Prometheus accepts; of others it finds what it can."""
    reader = _Reader(_tokens(text))
    return Expression(reader.expression(), reader.matching)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while at < len(text):
        # Between brackets are durations only; a subquery's colon is no name.
        match = re.compile(r"\[[^\]]*\]").match(text, at) or _TOKEN.match(text, at)
        assert match, f"no PromQL at {text[at : at + 20]!r} of {text!r}"
        if match.lastgroup not in (None, "space"):
            tokens.append((match.lastgroup, match.group()))
        at = match.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]):
        self.tokens = tokens
        self.at = 0
        self.matching: set[str] = set()

    def expression(self) -> list[Selector]:
        """The selectors up to the parenthesis that closes this expression."""
        found: list[Selector] = []
        while self.at < len(self.tokens):
            kind, text = self._take()
            if text == ")":
                break
            if text == "(":
                found += self.expression()
            elif text == "{":
                found.append(self._nameless())
            elif kind == "name":
                found += self._named(text)
        return found

    def _named(self, name: str) -> list[Selector]:
        if name.lower() in _MATCHINGS:
            self.matching |= self._labels()
            return []
        if name.lower() in _WORDS:
            return []
        if self._next() == "(" or self._next().lower() in _AGGREGATIONS:
            return self._call()
        return [Selector(name, self._matchers() if self._accept("{") else [])]

    def _call(self) -> list[Selector]:
        groups = self._groups()
        inner = self.expression() if self._accept("(") else []
        groups |= self._groups()
        for selector in inner:
            selector.groups |= groups
        return inner

    def _groups(self) -> set[str]:
        if self._next().lower() not in _AGGREGATIONS:
            return set()
        self._take()
        return self._labels()

    def _labels(self) -> set[str]:
        labels: set[str] = set()
        if self._accept("("):
            while (token := self._take())[1] != ")":
                labels |= {token[1]} - {","}
        return labels

    def _nameless(self) -> Selector:
        matchers = self._matchers()
        names = [m.value for m in matchers if (m.label, m.operator) == ("__name__", "=")]
        assert names, f"a selector that names no metric: {matchers}"
        return Selector(names[0], [m for m in matchers if m.label != "__name__"])

    def _matchers(self) -> list[Matcher]:
        matchers = []
        while (token := self._take())[1] != "}":
            if token[1] != ",":
                operator, value = self._take()[1], self._take()[1]
                matchers.append(Matcher(token[1], operator, re.sub(r"\\(.)", r"\1", value[1:-1])))
        return matchers

    def _next(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _take(self) -> tuple[str, str]:
        assert self.at < len(self.tokens), "the expression ends too early"
        self.at += 1
        return self.tokens[self.at - 1]

    def _accept(self, text: str) -> bool:
        if self._next() != text:
            return False
        self.at += 1
        return True
