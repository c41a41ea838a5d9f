"""Processes that end with the tests, whatever happens."""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def spawn(
    arguments: list[str],
    *,
    env: dict[str, str],
    cwd: Path,
    log: Path,
    errors: Path | None = None,
    orphaned: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen:
    """Starts a process to which the kernel sends `orphaned` should the tests die.

    What it writes goes to the end of `log`, errors too unless they have a file of their own.
    """
    with open(log, "ab") as output, open(errors or log, "ab") as error_output:
        return subprocess.Popen(
            arguments,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=error_output,
            preexec_fn=lambda: _prepare(orphaned),
        )


def _prepare(orphaned: signal.Signals) -> None:
    """In the child: a test run in the background ignores the signals of a terminal, which a shell could then not trap."""
    for ignored in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_DFL)
    _libc.prctl(_PR_SET_PDEATHSIG, orphaned)


def end(process: subprocess.Popen | None) -> None:
    """Kills the process, also one that is stopped, and waits for its end."""
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()


def clean_environment() -> dict[str, str]:
    """This environment without anything that Fanwire would read."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("FANWIRE_", "RUST_LOG"))}
