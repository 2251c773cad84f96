"""Records of NICs, counted as VMIs come and go."""

import random
from collections import Counter
from typing import Any

from nicplug.cache.operation_counts import OperationCounts
from nicplug.model.keys import VmiKey

A, B = VmiKey("default", "a"), VmiKey("default", "b")


def row(phase: str, reason: str, since: str = "2026-12-01T12:00:00.000000Z") -> dict[str, Any]:
    return {"name": "blue", "phase": phase, "reason": reason, "lastTransitionTime": since}


def test_records_are_counted_by_phase_and_reason() -> None:
    counts = OperationCounts()
    counts.put(A, [row("Ready", "Attached"), row("Blocked", "FeatureGateDisabled")])
    counts.put(B, [row("Ready", "Attached")])
    assert counts.by_phase_and_reason() == {("Ready", "Attached"): 2, ("Blocked", "FeatureGateDisabled"): 1}


def test_what_has_gone_on_or_away_is_not_counted_any_more() -> None:
    counts = OperationCounts()
    counts.put(A, [row("Pending", "WaitingForPodInterface")])
    counts.put(B, [row("Pending", "WaitingForPodInterface")])
    counts.put(A, [row("Ready", "Attached")])
    counts.drop(B)
    assert counts.by_phase_and_reason() == {("Ready", "Attached"): 1}
    counts.put(A, [])
    assert counts.by_phase_and_reason() == {}
    counts.drop(A)
    assert counts.waiting_since(["2027-01-01T00:00:00.000000Z"]) == {}


def test_records_that_wait_are_counted_by_how_long() -> None:
    counts = OperationCounts()
    counts.put(A, [row("Pending", "x", "2026-12-01T11:59:30.000000Z"), row("Ready", "x", "2020-01-01T00:00:00.0Z")])
    counts.put(B, [row("Pending", "x", "2026-12-01T11:00:00.000000Z"), row("Failed", "x", "2026-12-01T11:50:00Z")])
    limits = ["2026-12-01T11:59:00.000000Z", "2026-12-01T11:45:00.000000Z"]
    assert counts.waiting_since(limits) == {("Pending", 0): 1, ("Pending", 1): 1, ("Failed", 0): 1}


def test_what_somebody_else_has_written_is_counted_too() -> None:
    counts = OperationCounts()
    counts.put(A, [{}, {"phase": 3, "reason": ["x"], "lastTransitionTime": None}])
    assert counts.by_phase_and_reason() == {("", ""): 2}


def test_counts_are_those_of_a_recount() -> None:
    """Whatever comes in whatever order."""
    dice, counts, known = random.Random(14), OperationCounts(), dict[VmiKey, list[dict[str, Any]]]()
    for _ in range(3000):
        key = VmiKey("default", f"v{dice.randrange(30)}")
        if dice.random() < 0.2:
            counts.drop(key)
            known.pop(key, None)
            continue
        known[key] = [row(dice.choice(["Ready", "Pending"]), dice.choice("xyz")) for _ in range(dice.randrange(4))]
        counts.put(key, known[key])
        recount = Counter((item["phase"], item["reason"]) for rows in known.values() for item in rows)
        assert counts.by_phase_and_reason() == recount
        pending = sum(count for (phase, _), count in recount.items() if phase == "Pending")
        assert counts.waiting_since(["2026-12-01T12:00:00.000000Z"]).get(("Pending", 0), 0) == pending
