"""What crates/instructions counts by callgrind, and whether that is more than what is committed."""

import platform
import re
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

# A count repeats to within a few of a hundred thousand, and by as much as 2 % where buffers move in memory.
TOLERANCE = 0.05

# What goes by the clock does more at once where the machine is busy.
BY_THE_CLOCK = {"heartbeat": 0.6}

# Another compiler makes other code.
TOLERANCE_ELSEWHERE = 0.25

# The longest that a case may take, in seconds.
LIMIT = 120


@dataclass
class Counts:
    """Instructions by case, and what they were counted with."""

    toolchain: str
    cases: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> "Counts":
        parsed = tomllib.loads(text)
        return cls(parsed["toolchain"], parsed["instructions"])

    def text(self) -> str:
        lines = [f"{name} = {count:.0f}" for name, count in self.cases.items()]
        heading = "# Instructions for each, as tests/instructions --renew has counted them.\n"
        return f'{heading}toolchain = "{self.toolchain}"\n\n[instructions]\n' + "\n".join(lines) + "\n"

    def judge(self, found: "Counts") -> tuple[list[str], list[str]]:
        """What fails of `found`, and what should be renewed."""
        tolerance = TOLERANCE if found.toolchain == self.toolchain else TOLERANCE_ELSEWHERE
        failed = [f"{name} is not counted any more" for name in self.cases.keys() - found.cases.keys()]
        lower = []
        for name, count in found.cases.items():
            expected = self.cases.get(name)
            if expected is None:
                failed.append(f"{name} has no figure yet: tests/instructions --renew")
            elif count > expected * (1 + max(tolerance, BY_THE_CLOCK.get(name, 0))):
                failed.append(f"{name} takes {count:.0f} instructions, {count / expected - 1:.0%} more than {expected}")
            elif count < expected * (1 - max(tolerance, BY_THE_CLOCK.get(name, 0))):
                lower.append(f"{name} takes {count:.0f} instructions, fewer than {expected}: tests/instructions --renew")
        return failed, lower


def toolchain() -> str:
    version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return f"rustc {version}, {platform.machine()}"


def count(program: Path, case: str) -> float:
    """Instructions for each time that the case does what it is named after."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]
    command = [*valgrind, "--toggle-collect=fanwire_instructions::measured*", str(program), case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or collected is None:
        raise RuntimeError(f"{case} could not be counted:\n{done.stderr}")
    return int(collected[1]) / int(done.stdout)


def count_all(program: Path) -> Counts:
    cases = subprocess.run([program], capture_output=True, text=True, check=True, timeout=LIMIT).stdout.split()
    with ThreadPoolExecutor(2) as pool:
        counts = pool.map(lambda case: count(program, case), cases)
    return Counts(toolchain(), dict(zip(cases, counts, strict=True)))
