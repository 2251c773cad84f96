"""What is read for a question, and what is not."""

from typing import Any

import pytest
from tests.build import NOW, VM_UID, nad, primary, vm, vmi
from tests.unit.insight.read_api import Api

from nicplug.insight.evidence import Target
from nicplug.insight.forecast import forecast
from nicplug.insight.outcome import Outcome
from nicplug.insight.planning import foresee_question
from nicplug.insight.question import Addition, PlanQuestion
from nicplug.insight.reading import read_cluster, read_evidence
from nicplug.kube.api import Json, Resource
from nicplug.kube.errors import Denied, Unavailable

TARGET = Target(namespace="default", name="vmi-fedora")


async def test_of_a_network_that_the_vm_may_not_use_nothing_is_read() -> None:
    api = Api("lan", "victim/secret")
    found = await read_evidence(api, target=TARGET, clock=lambda: NOW)  # type: ignore[arg-type]
    asked = [item for item in api.asked if item.startswith("network-attachment-definitions")]
    assert asked == ["network-attachment-definitions default/lan"]
    told = {item.name: item for item in forecast(found, changed=None, now=NOW).nics}
    assert told["n1"].reason == "NetworkNotAllowed"
    assert told["n1"].outcome is Outcome.STUCK


@pytest.mark.parametrize("plural", ["nodes", "daemonsets", "network-attachment-definitions", "configmaps", "events"])
async def test_what_may_be_missing_is_named_and_the_plan_goes_on(plural: str) -> None:
    api = Api("lan", denied=frozenset({plural}))
    found = await read_evidence(api, target=TARGET, clock=lambda: NOW)  # type: ignore[arg-type]
    assert any(plural in item.what or "ledger" in item.what for item in found.unknown), found.unknown
    assert all(item.remedy for item in found.unknown)
    assert forecast(found, changed=None, now=NOW).nics


@pytest.mark.parametrize("plural", ["nodes", "daemonsets", "network-attachment-definitions", "events"])
async def test_a_right_of_the_caller_was_to_come_from_nicplug_s_manifests(plural: str) -> None:
    api = Api("lan", denied=frozenset({plural}))
    found = await read_evidence(api, target=TARGET, clock=lambda: NOW)  # type: ignore[arg-type]
    assert found.unknown
    assert all(item.remedy.startswith(f"right to list and watch {plural}") for item in found.unknown)


@pytest.mark.parametrize("plural", ["kubevirts", "virtualmachineinstances", "virtualmachineinstancemigrations", "pods"])
async def test_without_what_has_to_be_known_there_is_no_plan(plural: str) -> None:
    api = Api("lan", denied=frozenset({plural}))
    with pytest.raises(Denied, match=f"{plural} cannot be read"):
        await read_evidence(api, target=TARGET, clock=lambda: NOW)  # type: ignore[arg-type]


async def test_an_outage_is_no_absence() -> None:
    class Broken(Api):
        async def list(self, resource: Resource, **options: Any) -> Json:
            if resource.plural == "nodes":
                raise Unavailable("connection refused")
            return await super().list(resource, **options)

    with pytest.raises(Unavailable):
        await read_evidence(Broken("lan"), target=TARGET, clock=lambda: NOW)  # type: ignore[arg-type]


async def test_a_question_about_the_cluster_reads_no_vm() -> None:
    api = Api("lan")
    await read_cluster(api, target=TARGET, clock=lambda: NOW)  # type: ignore[arg-type]
    assert not [item for item in api.asked if item.startswith(("virtualmachine", "pods default"))]


def asking(*references: str) -> Json:
    """A VM that has requests for NICs recorded, which nobody has worked off."""
    rows = [
        {"addInterfaceOptions": {"name": f"r{number}", "networkAttachmentDefinitionName": reference}}
        for number, reference in enumerate(references)
    ]
    return vm(primary()) | {"status": {"interfaceRequests": rows}}


async def test_the_network_of_a_pending_request_was_said_not_to_exist() -> None:
    api = Api()
    api.objects |= {
        "virtualmachines": [asking("lan", "victim/secret")],
        "virtualmachineinstances": [vmi(primary(), owner_uid=VM_UID)],
    }
    found = await read_evidence(api, target=TARGET, clock=lambda: NOW)  # type: ignore[arg-type]
    asked = [item for item in api.asked if item.startswith("network-attachment-definitions")]
    assert asked == ["network-attachment-definitions default/lan"]
    told = forecast(found, changed=None, now=NOW).by_name
    assert told["r0"].outcome is Outcome.IN_PLACE
    assert told["r1"].reason == "NetworkNotAllowed"


async def test_a_change_beside_a_pending_request_is_planned() -> None:
    api = Api()
    api.objects |= {
        "virtualmachines": [asking("lan")],
        "virtualmachineinstances": [vmi(primary(), owner_uid=VM_UID)],
        "network-attachment-definitions": [nad("lan"), nad("other")],
    }
    question = PlanQuestion(additions=(Addition(name="blue", network="other"),), persist=True)
    found = await read_evidence(api, target=TARGET, clock=lambda: NOW, networks=question.networks)  # type: ignore[arg-type]
    told = foresee_question(found, question, forbidden={}, now=NOW).by_name
    assert {name: nic.outcome for name, nic in told.items()} == {"r0": Outcome.IN_PLACE, "blue": Outcome.IN_PLACE}
    assert (told["r0"].is_affected, told["blue"].is_affected) == (False, True)
