"""Beside a KubeVirt newer than nicplug knows, a question is answered by what the running operator may do."""

from dataclasses import replace
from typing import Any

import pytest
from tests.build import NOW, kubevirt, nic, primary, vm
from tests.unit.insight.read_api import Api

from nicplug.cli.doctor.virt_controller import check_settings
from nicplug.insight.companion import gatherer_of
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.reading import read_cluster, read_evidence
from nicplug.model.hotplug_policy import MigrationPolicy
from nicplug.model.keys import VmiKey
from nicplug.model.mode import Mode
from nicplug.model.versions import ALLOWED_KUBEVIRT_ANNOTATION

TARGET = Target(namespace="default", name="vmi-fedora")
KEY = VmiKey("default", "vmi-fedora")


def cluster(version: str, *, lease: dict[str, str] | None = None, denied: frozenset[str] = frozenset()) -> Api:
    """KubeVirt in that version, and the operator's Lease with these annotations; None for no Lease."""
    api = Api(denied=denied)
    config = kubevirt()
    config["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": ["LiveMigrate"]}
    api.objects["kubevirts"] = [config | {"status": {"observedKubeVirtVersion": version}}]
    api.objects["virtualmachines"] = [vm(primary(), nic("blue"))]
    if lease is not None:
        metadata = {"name": "nicplug-operator", "namespace": "nicplug-system", "annotations": lease}
        api.objects["leases"] = [{"metadata": metadata}]
    return api


async def read(api: Api, *, allowed: str = "", mode: Mode = Mode.COMPANION) -> Evidence:
    target = replace(TARGET, allowed_version=allowed)
    found: Evidence = await read_evidence(api, target=target, clock=lambda: NOW, mode=mode)  # type: ignore[arg-type]
    return found


def may_migrate(found: Evidence) -> bool:
    view = gatherer_of(found).vmi_view(KEY)
    assert view is not None
    return view.policy.migration is not MigrationPolicy.NEVER


ALLOWED = {ALLOWED_KUBEVIRT_ANNOTATION: "1.10"}
NOT_ALLOWED = {ALLOWED_KUBEVIRT_ANNOTATION: ""}


@pytest.mark.parametrize(
    ("lease", "given", "expected"),
    [
        (ALLOWED, "", True),
        (NOT_ALLOWED, "", False),
        (NOT_ALLOWED, "1.10", False),
        ({ALLOWED_KUBEVIRT_ANNOTATION: "1.11"}, "", False),
        ({}, "1.10", True),
        (None, "1.10", True),
        (None, "", False),
    ],
    ids=["allowed", "not allowed", "not by the option", "another version", "no annotation", "no Lease", "unknown"],
)
async def test_the_running_operator_decides(lease: dict[str, str] | None, given: str, expected: bool) -> None:
    assert may_migrate(await read(cluster("v1.10.0", lease=lease), allowed=given)) is expected


async def test_where_the_lease_cannot_be_read_the_answer_says_so_or_the_option_decides() -> None:
    api = cluster("v1.10.0", lease=ALLOWED, denied=frozenset({"leases"}))
    found = await read(api)
    assert not may_migrate(found)
    (unread,) = [item for item in found.unknown if item.kind == "leases"]
    assert unread.namespace == "nicplug-system"
    assert "--allow-kubevirt-version" in unread.remedy
    found = await read(api, allowed="1.10")
    assert may_migrate(found)
    assert [item for item in found.unknown if item.kind == "leases"] == []


@pytest.mark.parametrize(("version", "mode"), [("v1.9.0", Mode.COMPANION), ("v1.10.0", Mode.STANDALONE)])
async def test_the_lease_is_not_read_where_the_setting_has_no_effect(version: str, mode: Mode) -> None:
    api = cluster(version, lease=ALLOWED)
    await read(api, mode=mode)
    assert [item for item in api.asked if item.startswith("leases")] == []


async def finding(api: Api) -> tuple[str, str, Any]:
    found = await read_cluster(api, target=TARGET, clock=lambda: NOW, mode=Mode.COMPANION)  # type: ignore[arg-type]
    first = next(iter(check_settings(found)))
    return str(first.severity), first.message, first.remedy


async def test_doctor_knows_it_too() -> None:
    severity, message, _ = await finding(cluster("v1.10.0", lease=ALLOWED))
    assert severity == "ok"
    assert message.endswith("may act beside: --allow-kubevirt-version 1.10")
    severity, message, remedy = await finding(cluster("v1.10.0", lease=NOT_ALLOWED))
    assert severity == "warning"
    assert message.endswith("KubeVirt 1.10 is newer than 1.9, the newest that nicplug knows: nicplug only reports")
    assert "--allow-kubevirt-version 1.10" in remedy
    severity, message, remedy = await finding(cluster("v1.10.0", denied=frozenset({"leases"})))
    assert severity == "unknown"
    assert "the operator's Lease cannot be read" in message
