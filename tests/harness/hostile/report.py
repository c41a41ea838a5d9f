"""The result, for people and for programs."""

from dataclasses import asdict

from .run import Phase, Result

_MIB = 1 << 20


def text(result: Result) -> str:
    """All of it, on one screen."""
    plan, served = result.plan, sorted(result.newcomers.served)
    memory = {when: f"{value / _MIB:.1f}" for when, value in result.memory.items()}
    lines = [
        f"{plan.guests} guests with {plan.rate:g} messages a second each; {plan.half_open} half-open, {plan.slow} slow",
        f"{'':22}{'alone':>12}{'attacked':>12}",
        *_compared(result),
        f"newcomers     {len(served)} served, {len(result.newcomers.failed)} not; "
        + (f"half of them within {served[len(served) // 2] * 1000:.1f} ms, all within {served[-1] * 1000:.1f} ms" if served else ""),
        f"memory, MiB   {memory['before']} before, {memory['guests']} with guests, {memory['attack']} at most, {memory['after']} after, {memory['again']} with the crowd again",
        f"              {result.cost / 1024:.1f} KiB for each of the crowd",
        f"files         {result.files['before']} before, {result.files['attack']} at most, {result.files['after']} after",
        "the node counted   " + ", ".join(f"{name} {value:.0f}" for name, value in sorted(result.counted.items())),
        "the crowd saw      " + ", ".join(f"{name} {value}" for name, value in sorted(result.crowd.items())),
        *(f"failed: {text}" for text in result.newcomers.failed[:5]),
        "; ".join(result.faults) or "nobody lost anything, and nothing was left behind",
    ]
    return "\n".join(lines)


def _compared(result: Result) -> list[str]:
    rows = {
        "delay p50, ms": lambda phase: f"{phase.latency('p50'):.2f}",
        "delay p99, ms": lambda phase: f"{phase.latency('p99'):.2f}",
        "delay at most, ms": lambda phase: f"{phase.latency('max'):.2f}",
        "received": lambda phase: f"{phase.received}",
        "lost": lambda phase: f"{phase.lost}",
        "disturbed": lambda phase: f"{phase.disturbed}",
        "processors used": lambda phase: f"{sum(phase.cpu_seconds) / phase.seconds:.2f}",
    }
    return [f"{name:22}{show(result.calm):>12}{show(result.attack):>12}" for name, show in rows.items()]


def as_json(result: Result) -> dict:
    """The same figures; delays in milliseconds, memory in bytes."""
    return {
        "plan": asdict(result.plan),
        "alone": _phase(result.calm),
        "attacked": _phase(result.attack),
        "newcomers": {"seconds": sorted(result.newcomers.served), "failed": result.newcomers.failed},
        "memory": result.memory,
        "bytes_each": result.cost,
        "files": result.files,
        "counted": result.counted,
        "crowd": result.crowd,
        "faults": result.faults,
    }


def _phase(phase: Phase) -> dict:
    return {
        "delay_ms": {name: phase.latency(name) for name in ("p50", "p90", "p99", "p999", "max")},
        "received": phase.received,
        "lost": phase.lost,
        "disturbed": phase.disturbed,
        "seconds": phase.seconds,
        "cpu_seconds": phase.cpu_seconds,
    }
