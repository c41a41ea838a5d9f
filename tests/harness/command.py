"""The program's other commands, as somebody would type them."""

import signal
import subprocess
from pathlib import Path

from . import process
from .node import binary, variables
from .waiting import wait_until


def run(
    *arguments: str,
    cwd: Path,
    config: dict[str, object] | None = None,
    typed: str = "",
    within: float = 20.0,
    **environment: str,
) -> subprocess.CompletedProcess:
    """Runs a command to its end; `typed` is what it reads from standard input."""
    env = process.clean_environment() | variables(config or {}) | environment
    options = {"env": env, "cwd": cwd, "capture_output": True, "text": True, "timeout": within, "input": typed}
    try:
        return subprocess.run([binary(), *arguments], **options)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{arguments} still runs after {within} s: {error.stdout!r} {error.stderr!r}") from None


class Command:
    """A command that runs until it is stopped, in a terminal of its own."""

    def __init__(self, directory: Path, *arguments: str):
        self._output, self._errors = directory / "stdout", directory / "stderr"
        environment = process.clean_environment()
        self._process = process.spawn(
            [binary(), *arguments], env=environment, cwd=directory, log=self._output, errors=self._errors
        )

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_) -> None:
        process.end(self._process)

    def lines(self) -> list[str]:
        """What it has printed."""
        return self._output.read_text().splitlines()

    def wait_for_lines(self, count: int) -> list[str]:
        """Waits until it has printed so many lines."""
        wait_until(lambda: len(self.lines()) >= count, f"{count} lines, see {self._output}")
        return self.lines()

    def wait_for_notice(self, text: str) -> None:
        """Waits until it has said `text` on standard error."""
        wait_until(lambda: text in self._errors.read_text(), f"{text!r} in {self._errors}")

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, within: float = 15.0) -> int:
        """Its exit code once it has ended."""
        return self._process.wait(within)
