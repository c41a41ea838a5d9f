"""What was tried against nodes, and what each attempt got: written down where it happens, told as a table at the end."""

from dataclasses import dataclass
from pathlib import Path

#: How much of an answer the table shows.
_SHOWN = 160


@dataclass(frozen=True)
class Attempt:
    """One of them."""

    kind: str
    name: str
    answer: str


class Attempts:
    """All of a run."""

    def __init__(self):
        self._all: list[Attempt] = []

    def note(self, kind: str, name: str, answer: str) -> None:
        """An attempt, and the answer that was received."""
        assert answer.strip(), f"{kind}, {name}: what was the answer?"
        self._all.append(Attempt(kind, name, answer.strip()))

    def write(self, file: Path) -> None:
        """A table in Markdown, by kinds."""
        rows = [f"| {_cell(one.kind)} | {_cell(one.name)} | {_cell(one.answer)} |" for one in self._sorted()]
        title = f"{len(rows)} attempts on running nodes, each with the answer that it got."
        lines = [title, "", "| kind | attempt | answer |", "| --- | --- | --- |"]
        file.write_text("\n".join([*lines, *rows, ""]))

    def _sorted(self) -> list[Attempt]:
        kinds = list(dict.fromkeys(one.kind for one in self._all))
        return sorted(self._all, key=lambda one: kinds.index(one.kind))

    def __len__(self) -> int:
        return len(self._all)


def _cell(text: str) -> str:
    """A text on one line, without what Markdown or a terminal would take for more than text."""
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
    return "".join("\\" + character if character in "|\\`*_<[" else character for character in shown)
