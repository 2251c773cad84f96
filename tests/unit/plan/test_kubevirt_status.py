"""What the status of a KubeVirt CR says, and the patch that makes it say so."""

from typing import Any

import pytest
from tests.build import NOW, kubevirt, later

from nicplug.model.attachments import Knowledge
from nicplug.model.kubevirt import parse_kubevirt
from nicplug.model.times import format_time
from nicplug.plan.kubevirt_status import (
    Coverage,
    KubevirtReport,
    KubevirtView,
    report_of,
    report_of_ignored,
    status_patch,
)

EVERYWHERE = Coverage(nodes=3, ready=3, is_deployed=True, trusted=("kube-system",))
READY = "AllComponentsReady"


def report(
    *gates: str,
    coverage: Coverage = EVERYWHERE,
    attachments: Knowledge = Knowledge.COMPLETE,
    generation: int = 1,
    **hotplug: Any,
) -> KubevirtReport:
    raw = kubevirt(*gates, hotplug=hotplug)
    raw["metadata"]["generation"] = generation
    return report_of(
        KubevirtView(
            config=parse_kubevirt(raw),
            version="v9",
            attachments=attachments,
            attachment_rule="nadPolicy Any",
            coverage=coverage,
        )
    )


def applied(raw: dict[str, Any], found: KubevirtReport, *, at: float = 0) -> dict[str, Any]:
    """The object after the patch."""
    status = dict(raw.get("status") or {})
    for operation in status_patch(raw, found, now=later(at)):
        name = operation["path"].removeprefix("/status").strip("/")
        if operation["op"] == "remove":
            del status[name]
        elif name:
            status[name] = operation["value"]
    return {**raw, "status": status}


def conditions(raw: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    rows = raw["status"]["conditions"]
    assert len({row["type"] for row in rows}) == len(rows)
    return {row["type"]: (row["status"], row["reason"], row["message"]) for row in rows}


def test_kubectl_wait_for_the_kubevirt_cr_never_ended() -> None:
    """Phase, versions, generation and conditions as KubeVirt 1.9 writes them when all is deployed."""
    raw = applied(kubevirt(), report(generation=7))
    status = raw["status"]
    assert (status["phase"], status["observedGeneration"]) == ("Deployed", 7)
    versions = ("operatorVersion", "targetKubeVirtVersion", "observedKubeVirtVersion")
    assert [status[name] for name in versions] == ["v9"] * 3
    assert conditions(raw) == {
        "Created": ("True", "AllResourcesCreated", "All resources were created."),
        "Available": ("True", READY, "All components are ready."),
        "Progressing": ("False", READY, "All components are ready."),
        "Degraded": ("False", READY, "All components are ready."),
    }


def test_the_effective_policy_with_its_defaults() -> None:
    hotplug = report(dynamicTimeout="90s", onFailure="Rollback").members["hotplug"]
    assert hotplug == {
        "enabled": True,
        "policy": {
            "dynamicPath": "Auto",
            "dynamicTimeout": "1m30s",
            "onFailure": "Rollback",
            "migration": "Allowed",
            "removalPolicy": "Explicit",
        },
        "attachmentRule": "nadPolicy Any",
        "nodes": 3,
        "nodesWithController": 3,
        "message": "A dynamic networks controller is ready on 3 of 3 nodes.",
    }


def degraded(found: KubevirtReport) -> tuple[str, str]:
    (row,) = [item for item in found.conditions if item.type == "Degraded"]
    return row.status, row.reason


NOWHERE = Coverage(nodes=3, ready=0, is_deployed=False, trusted=("kube-system",))
NOT_READY = Coverage(nodes=3, ready=0, is_deployed=True, trusted=("kube-system",))
UNKNOWN = Coverage(nodes=3, trusted=("kube-system",))
FAULTS = [
    (report(), ("False", READY)),
    (report(attachments=Knowledge.NOT_INSTALLED), ("True", "MultusMissing")),
    (report(attachments=Knowledge.UNKNOWN), ("False", READY)),
    (report(coverage=NOWHERE), ("False", READY)),
    (report(coverage=NOT_READY), ("False", READY)),
    (report(coverage=NOWHERE, dynamicPath="Always"), ("True", "NoDynamicController")),
    (report(coverage=UNKNOWN, dynamicPath="Always"), ("False", READY)),
    (report(dynamicPath="Sometimes"), ("True", "InvalidHotplugPolicy")),
    (report("none"), ("False", READY)),
]


@pytest.mark.parametrize(("found", "reported"), FAULTS)
def test_degraded_says_what_is_wrong(found: KubevirtReport, reported: tuple[str, str]) -> None:
    assert degraded(found) == reported
    assert ("Available", "True") in {(item.type, item.status) for item in found.conditions}


def test_every_fault_is_in_the_message_of_the_worst() -> None:
    (row,) = [
        item
        for item in report(attachments=Knowledge.NOT_INSTALLED, dynamicPath="Sometimes").conditions
        if item.type == "Degraded"
    ]
    assert row.reason == "MultusMissing"
    assert "install Multus." in row.message
    assert '"Sometimes"' in row.message


TOLD = [
    (report(coverage=NOWHERE), "No dynamic networks controller in the trusted namespaces (kube-system): NICs arrive by "
                               "migration."),
    (report(coverage=Coverage(nodes=0, ready=0)), "No dynamic networks controller in the trusted namespaces (none): "
                                                  "NICs arrive by migration."),
    (report(coverage=NOT_READY), "A dynamic networks controller is ready on 0 of 3 nodes."),
    (report(coverage=UNKNOWN), "On how many nodes a dynamic networks controller is ready is not known."),
    (report("none"), "Feature gate HotplugNICs is off: no NIC is plugged into a running VM. A dynamic networks "
                     "controller is ready on 3 of 3 nodes."),
]  # fmt: skip


@pytest.mark.parametrize(("found", "message"), TOLD)
def test_what_is_no_fault_is_said_too(found: KubevirtReport, message: str) -> None:
    assert found.members["hotplug"]["message"] == message


def test_counts_that_are_not_known_are_left_out() -> None:
    assert "nodesWithController" not in report(coverage=UNKNOWN).members["hotplug"]
    assert not {"nodes", "nodesWithController"} & report(coverage=Coverage()).members["hotplug"].keys()


def test_what_the_status_says_already_is_not_written() -> None:
    raw = applied(kubevirt(), report())
    assert status_patch(raw, report(), now=later(60)) == []
    (operation,) = status_patch(raw, report(generation=2), now=later(60))
    assert operation == {"op": "add", "path": "/status/observedGeneration", "value": 2}


def test_a_status_that_is_missing_is_made_first() -> None:
    first, *others = status_patch(kubevirt(), report(), now=NOW)
    assert first == {"op": "add", "path": "/status", "value": {}}
    assert all(item["path"].startswith("/status/") for item in others)


def test_the_transition_time_is_that_of_the_status() -> None:
    raw = applied(kubevirt(), report())
    raw = applied(raw, report(attachments=Knowledge.NOT_INSTALLED), at=60)
    times = {row["type"]: row["lastTransitionTime"] for row in raw["status"]["conditions"]}
    assert times["Degraded"] == format_time(later(60))
    assert times["Available"] == format_time(NOW)
    raw = applied(raw, report(attachments=Knowledge.NOT_INSTALLED, dynamicPath="Sometimes"), at=120)
    (row,) = [row for row in raw["status"]["conditions"] if row["type"] == "Degraded"]
    assert "Sometimes" in row["message"]
    assert row["lastTransitionTime"] == format_time(later(60))


WHY = "This KubeVirt CR has no effect: a in the same namespace is older and counts. To resolve this, delete one."


def test_a_kubevirt_cr_without_effect_says_so() -> None:
    """As KubeVirt does: Synchronized is False, and there is no other condition and no phase."""
    raw = applied(kubevirt(), report_of_ignored(WHY))
    assert raw["status"].keys() == {"conditions"}
    message = f"There is an active KubeVirt deployment. {WHY}"
    assert conditions(raw) == {"Synchronized": ("False", "ExistingDeployment", message)}
    assert status_patch(raw, report_of_ignored(WHY), now=later(60)) == []


def test_one_that_counted_before_does_not_stay_available() -> None:
    raw = kubevirt()
    raw["status"] = {"outdatedVirtualMachineInstanceWorkloads": 1}
    raw = applied(applied(raw, report()), report_of_ignored(WHY), at=60)
    assert raw["status"].keys() == {"conditions", "outdatedVirtualMachineInstanceWorkloads"}
    assert conditions(raw).keys() == {"Synchronized"}
    raw = applied(raw, report(), at=120)
    assert conditions(raw).keys() == {"Created", "Available", "Progressing", "Degraded"}
    assert raw["status"]["phase"] == "Deployed"
