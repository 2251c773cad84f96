"""The readiness gate of a launcher pod, by the rows of KubeVirt's `syncPausedConditionToPod`."""

import copy
import json

import pytest
from tests.build import NOW, Json, pod, primary_row, vmi, vmi_view
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.plan.actions import PatchPodCondition
from nicplug.plan.vmi.plan_vmi import plan_vmi

GATE = "kubevirt.io/virtual-machine-unpaused"
PAUSED = {"type": "Paused", "status": "True"}
READY = {"type": "Ready", "status": "False"}
OPEN, SHUT = {"type": GATE, "status": "True"}, {"type": GATE, "status": "False"}

ROWS = [
    ("not paused, no condition: True", [], [READY], "True", "NotPaused"),
    ("not paused, False: True", [], [SHUT, READY], "True", "NotPaused"),
    ("not paused, True: nothing", [], [READY, OPEN], None, None),
    ("paused, True: False", [PAUSED], [READY, OPEN], "False", "Paused"),
    ("paused, False: nothing", [PAUSED], [READY, SHUT], None, None),
    ("paused, no condition: nothing", [PAUSED], [READY], None, None),
    ("a pod without any condition", [], [], "True", "NotPaused"),
]


def _patch(raw: Json, launcher: Json) -> PatchPodCondition | None:
    plan = plan_vmi(vmi_view(raw, launcher), now=NOW)
    return next((action for action in plan.actions if isinstance(action, PatchPodCondition)), None)


def _apply(launcher: Json, patch: PatchPodCondition) -> Json:
    content = json.dumps([dict(operation) for operation in patch.json_patch()]).encode()
    return patched(copy.deepcopy(launcher), content_type=JSON_PATCH, content=content)


@pytest.mark.parametrize(("title", "theirs", "ours", "status", "reason"), ROWS, ids=[row[0] for row in ROWS])
def test_row(title: str, theirs: list[Json], ours: list[Json], status: str | None, reason: str | None) -> None:
    raw, launcher = vmi(conditions=theirs, rows=[primary_row()]), pod(conditions=ours, gated=True)
    patch = _patch(raw, launcher)
    if patch is None:
        assert status is None, title
        return
    after = _apply(launcher, patch)["status"]["conditions"]
    (row,) = (item for item in after if item["type"] == GATE)
    assert (row["status"], row["reason"]) == (status, reason), title
    assert [item for item in after if item["type"] != GATE] == [item for item in ours if item["type"] != GATE]
    assert _patch(raw, pod(conditions=after, gated=True)) is None, "once per change"


def test_it_goes_out_with_the_go_ahead_for_the_node_agent() -> None:
    plan = plan_vmi(vmi_view(vmi(phase="Scheduling"), pod(gated=True)), now=NOW)
    assert [type(action).__name__ for action in plan.actions] == ["PatchLabels", "PatchPodCondition", "PatchStatus"]


@pytest.mark.parametrize(
    ("raw", "launcher"),
    [
        (vmi(phase="Scheduling"), pod(gated=True, ready=False)),
        (vmi(), pod(gated=True, deleting=True)),
        (vmi(phase="Succeeded"), pod(gated=True)),
        (vmi(), pod()),
    ],
    ids=["not ready yet", "going", "guest ended", "a pod that was made without the gate"],
)
def test_not_otherwise(raw: Json, launcher: Json) -> None:
    assert _patch(raw, launcher) is None
