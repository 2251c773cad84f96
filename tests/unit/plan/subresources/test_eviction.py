"""What an eviction of a pod is answered, case by case as KubeVirt 1.9's webhook."""

from typing import Any

import pytest
from tests.build import NODE, VMI_UID, Json, a_config, a_pod, a_vmi, kubevirt, owner, pod, vmi

from nicplug.plan.subresources.migrate import EvictionAnswer, ask_eviction, owner_of_guest

KEY = a_vmi(vmi()).key
TRIGGERED = f'Eviction triggered evacuation of VMI "{KEY}"'
NOT_MIGRATABLE = f"VMI {KEY.name} is configured with an eviction strategy but is not live-migratable"


def guest(strategy: str | None, *, migratable: bool = True, marked: str = "", node: str = NODE) -> Json:
    raw = vmi(conditions=[{"type": "LiveMigratable", "status": str(migratable)}])
    raw["status"]["nodeName"] = node
    if strategy is not None:
        raw["spec"]["evictionStrategy"] = strategy
    if marked:
        raw["status"]["evacuationNodeName"] = marked
    return raw


def ask(raw: Json | None, *, default: str = "") -> EvictionAnswer:
    config = kubevirt()
    if default:
        config["spec"]["configuration"]["evictionStrategy"] = default
    return ask_eviction(pod=a_pod(pod()), vmi=a_vmi(raw) if raw is not None else None, config=a_config(config))


@pytest.mark.parametrize(
    ("raw", "default", "refusal", "marks"),
    [
        pytest.param(guest(None), "", "", False, id="no strategy"),
        pytest.param(guest("None"), "LiveMigrate", "", False, id="None, whatever the cluster has"),
        pytest.param(guest(None), "LiveMigrate", TRIGGERED, True, id="the cluster's"),
        pytest.param(guest("LiveMigrate"), "", TRIGGERED, True, id="LiveMigrate"),
        pytest.param(guest("LiveMigrate", migratable=False), "", NOT_MIGRATABLE, False, id="LiveMigrate, it cannot"),
        pytest.param(guest("LiveMigrateIfPossible"), "", TRIGGERED, True, id="if possible, it is"),
        pytest.param(guest("LiveMigrateIfPossible", migratable=False), "", "", False, id="if possible, it is not"),
        pytest.param(guest("External", migratable=False), "", TRIGGERED, True, id="External"),
        pytest.param(
            guest("LiveMigrate", marked=NODE), "", f"Evacuation in progress: {TRIGGERED}", False, id="marked already"
        ),
        pytest.param(guest("LiveMigrate", marked="node09"), "", TRIGGERED, True, id="marked where it was before"),
        pytest.param(
            guest("LiveMigrate", node="node09"), "", "Eviction request for target Pod", False, id="the other pod"
        ),
        pytest.param(None, "LiveMigrate", "", False, id="the VMI is gone"),
        pytest.param({**guest("LiveMigrate"), "metadata": vmi(uid="v2")["metadata"]}, "", "", False, id="another VMI"),
    ],
)
def test_answers(raw: Json | None, default: str, refusal: str, marks: bool) -> None:
    answer = ask(raw, default=default)
    assert (answer.refusal, answer.mark is not None) == (refusal, marks)


def test_the_mark_is_the_node_while_the_guest_is_there() -> None:
    mark = ask(guest("LiveMigrate")).mark
    assert mark is not None
    assert mark.subresource == "status"
    assert list(mark.json_patch()) == [
        {"op": "test", "path": "/metadata/uid", "value": VMI_UID},
        {"op": "test", "path": "/status/evacuationNodeName", "value": None},
        {"op": "add", "path": "/status/evacuationNodeName", "value": NODE},
        {"op": "test", "path": "/status/nodeName", "value": NODE},
    ]


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"labels": {}}, id="no launcher pod"),
        pytest.param({"ownerReferences": []}, id="nobody's"),
        pytest.param({"ownerReferences": [owner("ReplicaSet", "web", "u")]}, id="another controller's"),
    ],
)
def test_whose_pod_is_nobody_s_business(members: dict[str, Any]) -> None:
    raw = pod()
    raw["metadata"] |= members
    assert owner_of_guest(a_pod(raw)) == ""


def test_a_pod_that_has_ended_may_go() -> None:
    assert owner_of_guest(a_pod(pod())) == KEY.name
    assert owner_of_guest(a_pod(pod(status={"phase": "Succeeded"}))) == ""
