"""The networks annotation of a live launcher pod (KubeVirt 1.9's rules; docs/differences.md).

The cases are files in tests/golden/annotations: the NICs of the spec, the annotation that the pod has, what
network-status lists, which NICs the guest holds, and the text that has to be written; null for none.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.build import NOW, Json, Nic, known_attachments, later, nic, pod, primary, row, vmi, vmi_view

from nicplug.plan.nic.annotation import AnnotationDecision, decide_annotation
from nicplug.plan.nic.path.paths_of_vmi import Chooser

_GOLDEN = Path(__file__).parents[3] / "golden" / "annotations"


def _cases() -> list[Path]:
    return sorted(_GOLDEN.glob("*.json"))


def _nic(case: Any) -> Nic:
    if case == "default":
        return primary()
    return nic(case) if isinstance(case, str) else nic(**case)


def _decide(case: Json, *, due: datetime) -> AnnotationDecision:
    rows = [row(name, "domain", "multus-status") for name in case["in_guest"]]
    raw = vmi(*map(_nic, case["nics"]), rows=rows)
    asked = pod(networks=case["annotation"], attached=case["attached"])
    view = vmi_view(raw, asked, attachments=known_attachments(None))
    (launcher,) = view.pods
    chooser = Chooser(view=view, pod=launcher, records={}, now=NOW)
    return decide_annotation(chooser, pod=launcher, additions_due=due)


@pytest.mark.parametrize("path", _cases(), ids=lambda path: path.stem)
def test_annotation(path: Path) -> None:
    case = json.loads(path.read_text())
    decision = _decide(case, due=NOW if case.get("overdue") else later(10))
    assert decision.text == case["wanted"], case["why"]
    assert bool(decision.unreadable) is case.get("unreadable", False), decision.unreadable


def test_there_are_cases() -> None:
    assert len(_cases()) >= 30


@pytest.mark.parametrize("path", _cases(), ids=lambda path: path.stem)
def test_what_was_written_is_left_alone(path: Path) -> None:
    """The text of a decision needs no further decision, unless a removal has waited for it."""
    case = json.loads(path.read_text())
    first = _decide(case, due=later(5))
    if first.text is not None and first.again_at != later(5):
        assert _decide(case | {"annotation": first.text}, due=later(5)).text is None


def test_a_waiting_removal_says_when_it_stops_waiting() -> None:
    case = json.loads((_GOLDEN / "removal-waits-for-addition.json").read_text())
    assert _decide(case, due=later(7)).again_at == later(7)


def test_requested_names_the_nics_that_the_annotation_asks_for() -> None:
    case = json.loads((_GOLDEN / "plug-second.json").read_text())
    assert _decide(case, due=later(10)).attachments.keys() == {"red", "blue"}


def test_a_refused_nic_is_not_requested() -> None:
    case = json.loads((_GOLDEN / "bad-name-is-not-asked-for.json").read_text())
    assert _decide(case, due=later(10)).attachments.keys() == {"blue"}
