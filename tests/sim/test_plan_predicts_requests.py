"""`nicplug plan --add` and `--remove` say what then happens to what `addinterface` and `removeinterface` ask for.

The plan is taken first; then the request is made as the subresource makes it, and path, reason and end are compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import structlog
from tests.build import nic, primary, vmi_spec
from tests.build import vm as a_vm
from tests.sim.cluster import VMIS, VMS, Json
from tests.sim.planning import Stage, devices_of, nic_of
from tests.sim.predictions import Deed, Row, chained, gate_off, make_stage, no_controllers, policy, staged, wait

from nicplug.insight.known import known_attachments
from nicplug.insight.outcome import NicForecast, Outcome, VmForecast
from nicplug.insight.planning import foresee_question
from nicplug.insight.question import Addition, PlanQuestion
from nicplug.model.requests import AddInterface, InterfaceRequest, RemoveInterface
from nicplug.plan.actions import Kind, PatchInterfaces, PatchStatus
from nicplug.plan.subresources.interfaces import Evidence, ask_vm, ask_vmi

NAME, NIC, LATE, ALONE = "vm-a", "blue", "late", "mine"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request.

    Attributes:
        of: whose NIC it is.
        late: binding of a NIC that was added to the running VM and never attached; "" for no such NIC.
        has_more: the instance has a NIC that the template does not have.
        before: done before the plan is taken.
        reason: of the record, and of the forecast; "" for no record.
        is_there: the guest has the NIC in the end.
    """

    name: str
    add: str = ""
    remove: str = ""
    network: str = f"{NIC}-net"
    of: Sequence[str] = (VMS,)
    late: str = ""
    has_more: bool = False
    before: Deed = lambda _: None
    outcome: Outcome
    reason: str = ""
    is_there: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def nic(self) -> str:
        return self.add or self.remove

    def question(self, *, persist: bool) -> PlanQuestion:
        additions = (Addition(name=self.add, network=self.network),) if self.add else ()
        return PlanQuestion(additions=additions, removals=(self.remove,) if self.remove else (), persist=persist)


LATE_NIC = chained(policy(migration="Never"), no_controllers, wait(10))
"""Nothing brings a NIC to the running guest."""

ASKED = (
    Asked(
        name="plug", add=NIC, of=(VMS, VMIS), outcome=Outcome.IN_PLACE, reason="WaitingForPodInterface", is_there=True
    ),
    Asked(
        name="plug while template changes are staged",
        add=NIC,
        before=staged,
        outcome=Outcome.IN_PLACE,
        reason="WaitingForPodInterface",
        is_there=True,
    ),
    Asked(
        name="plug without a controller",
        add=NIC,
        of=(VMS, VMIS),
        before=chained(no_controllers, wait(10)),
        outcome=Outcome.BY_MIGRATION,
        reason="NoDynamicController",
        is_there=True,
    ),
    Asked(
        name="plug on a network that does not exist",
        add=NIC,
        network="nowhere",
        of=(VMS, VMIS),
        outcome=Outcome.STUCK,
        reason="NetworkAttachmentDefinitionMissing",
    ),
    Asked(name="unplug", remove="red", of=(VMS, VMIS), outcome=Outcome.IN_PLACE, reason="WaitingForGuestRelease"),
    Asked(
        name="unplug while template changes are staged",
        remove="red",
        before=staged,
        outcome=Outcome.IN_PLACE,
        reason="WaitingForGuestRelease",
    ),
    Asked(
        name="unplug of what the instance alone has",
        remove=ALONE,
        has_more=True,
        outcome=Outcome.IN_PLACE,
        reason="WaitingForGuestRelease",
    ),
    Asked(
        name="unplug of a bridge NIC that never attached",
        remove=LATE,
        of=(VMS, VMIS),
        late="bridge",
        outcome=Outcome.WITHDRAWN,
    ),
    Asked(
        name="unplug of an SR-IOV NIC that never attached",
        remove=LATE,
        of=(VMS, VMIS),
        late="sriov",
        outcome=Outcome.WITHDRAWN,
    ),
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def prepare(case: Asked, plural: str) -> Stage:
    """A guest that runs with a NIC `red`, of a VM or of nobody's."""
    stage = make_stage(Row(rule=""))
    body: Json = {"apiVersion": "kubevirt.io/v1", "metadata": {"name": NAME}}
    nics = (primary(), nic("red"))
    body |= (
        {"kind": "VirtualMachine", "spec": a_vm(*nics)["spec"]}
        if plural == VMS
        else {"kind": "VirtualMachineInstance", "spec": vmi_spec(nics)}
    )
    stage.cluster.create(plural, body, by="user")
    stage.settle(seconds=5)
    if case.has_more:
        stage.store(VMIS, NAME, stage.change(VMIS, NAME, lambda found: write(found, ALONE, "bridge")))
        stage.settle(seconds=5)
        assert stage.has_nic(NAME, ALONE)
    if case.late:
        LATE_NIC(stage)
        stage.store(plural, NAME, stage.change(plural, NAME, lambda found: write(found, LATE, case.late)))
        stage.settle(seconds=5)
        assert not stage.has_nic(NAME, LATE)
    case.before(stage)
    return stage


def write(body: Json, name: str, binding: str) -> None:
    interface, network = nic(name, binding=binding)
    interfaces, networks = devices_of(body)
    interfaces.append(interface)
    networks.append(network)


async def plan(stage: Stage, question: PlanQuestion) -> VmForecast:
    evidence = await stage.evidence(NAME, question.networks)
    return foresee_question(evidence, question, forbidden={}, now=stage.cluster.now)


async def ask(stage: Stage, question: PlanQuestion) -> None:
    """Make the request as `nicplug api` does."""
    found = await stage.evidence(NAME, question.networks)
    networks = [*question.networks, *(found.parsed_vmi.networks if found.parsed_vmi is not None else ())]
    evidence = Evidence(
        vm=found.parsed_vm,
        vmi=found.parsed_vmi,
        known=known_attachments(found, networks),
        is_staged=bool((config := found.caches.config()) and config.stages_changes),
    )
    requests: list[InterfaceRequest] = [RemoveInterface(name=name) for name in question.removals]
    requests += [AddInterface(name=item.name, network=item.network) for item in question.additions]
    [request] = requests
    answer = (ask_vm if question.persist else ask_vmi)(request, name=NAME, evidence=evidence)
    assert answer.code == 202, answer.message
    assert isinstance(answer.write, PatchStatus | PatchInterfaces)
    plural = VMS if answer.write.kind is Kind.VM else VMIS
    subresource = "status" if isinstance(answer.write, PatchStatus) else None
    stage.cluster.patch(plural, NAME, answer.write.json_patch(), by="api", subresource=subresource)


@pytest.mark.parametrize(
    ("case", "plural"), [pytest.param(case, plural, id=f"{case}-{plural}") for case in ASKED for plural in case.of]
)
async def test_the_plan_for_a_request_says_what_then_happens(case: Asked, plural: str) -> None:
    stage = prepare(case, plural)
    question = case.question(persist=plural == VMS)
    found = await plan(stage, question)
    assert found.refusals == ()
    told = nic_of(found, case.nic)
    assert told is not None, "the plan says that nothing happens"
    assert told.outcome is case.outcome
    assert told.is_affected

    await ask(stage, question)
    begins_as_foretold(stage, told, case)
    stage.settle(seconds=1200)
    assert stage.has_nic(NAME, case.nic) is case.is_there
    if case.remove:
        for kind in (VMS, VMIS) if plural == VMS else (VMIS,):
            assert case.nic not in {item["name"] for item in devices_of(stage.change(kind, NAME, lambda _: None))[0]}


def begins_as_foretold(stage: Stage, told: NicForecast, case: Asked) -> None:
    stage.let_operator_finish()
    record = stage.record(NAME, case.nic)
    if told.outcome is Outcome.WITHDRAWN:
        assert record is None, "nothing is left of a NIC that never was"
        return
    assert record is not None
    assert (record["path"], record["reason"]) == (told.path, told.reason)
    assert told.reason == case.reason


async def test_what_the_gate_refuses_is_refused_by_the_plan() -> None:
    stage = prepare(Asked(name="", outcome=Outcome.STUCK, before=gate_off), VMS)
    found = await plan(stage, PlanQuestion(additions=(Addition(name=NIC, network="blue-net"),), persist=True))
    [refusal] = found.refusals
    assert "HotplugNICs" in refusal
    assert nic_of(found, NIC) is None
