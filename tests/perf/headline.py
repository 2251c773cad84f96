"""The first line of a result: whether the machine was quiet enough, and which budgets are not met."""

from collections.abc import Iterator
from typing import Any

from tests.perf.budgets import Verdict, judge
from tests.perf.resources import others_percent

Result = dict[str, Any]
# With more of the CPU gone, times and CPU figures are those of the other programs as well.
QUIET_PERCENT = 5.0
GROWTH = "growth"


def headline(result: Result) -> str:
    """One sentence on the machine, one on the budgets."""
    return f"{_machine(result)} {_budgets(judge(result))}"


def as_json(result: Result) -> dict[str, Any]:
    """For programs: `quiet` is None when nothing was measured beside which others could have run."""
    shares = dict(_shares(result))
    quiet = max(shares.values()) <= QUIET_PERCENT if shares else None
    return {"quiet": quiet, "others_percent": shares, "summary": headline(result)}


def caption(result: Result, *, cpus: int | None) -> str:
    """A line for a picture: what it was measured on."""
    shares = dict(_shares(result))
    others = f"; other programs used {max(shares.values()):g} % of their time at most" if shares else ""
    return f"{cpus} cores{others}"


def _machine(result: Result) -> str:
    shares = dict(_shares(result))
    if not shares:
        return "What else ran on the machine was not measured."
    phase = max(shares, key=lambda name: shares[name])
    used = f"other programs used {shares[phase]:g} % of its CPUs at most (in {phase})"
    if shares[phase] <= QUIET_PERCENT:
        return f"The machine was quiet: {used}."
    busy = sum(share > QUIET_PERCENT for share in shares.values())
    return (
        f"The machine was NOT QUIET in {busy} of {len(shares)} phases: {used}, {QUIET_PERCENT:g} % are allowed. "
        "Times and CPU are not nicplug's alone."
    )


def _shares(result: Result) -> Iterator[tuple[str, float]]:
    """Each phase that has a row `others`, with its share in percent."""
    parts = {name: part for name, part in result.items() if isinstance(part, dict) and "usage" in part}
    for part, found in {"": result, **parts}.items():
        for phase, usage in found.get("usage", {}).items():
            seconds = {process: one["cpu_seconds"] for process, one in usage.items()}
            if (share := others_percent(seconds)) is not None:
                yield f"{part}: {phase}" if part else phase, share
    for point in result.get(GROWTH, ()):
        if (share := point.get("others_percent")) is not None:
            yield f"growth: {point['vms']} VMs", share


def _budgets(verdicts: list[Verdict]) -> str:
    judged = [verdict for verdict in verdicts if verdict.is_met is not None]
    missed = [verdict for verdict in judged if not verdict.is_met]
    left_out = f"; {len(verdicts) - len(judged)} not measured" if len(judged) < len(verdicts) else ""
    if not judged:
        return "No budget was measured."
    if not missed:
        return f"All {len(judged)} measured budgets are met{left_out}."
    names = ", ".join(_missed(verdict) for verdict in missed)
    return f"{len(missed)} of {len(judged)} measured budgets are NOT MET: {names}{left_out}."


def _missed(verdict: Verdict) -> str:
    unit = f" {verdict.budget.unit}" if verdict.budget.unit else ""
    return f'"{verdict.budget.name}" ({verdict.measured:g} of {verdict.budget.limit:g}{unit})'
