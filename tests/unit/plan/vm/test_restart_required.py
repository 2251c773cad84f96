"""When does a VM need a restart? KubeVirt 1.9's rules, and the false alarms that nicplug leaves out."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.build import (
    NOW,
    VM_UID,
    Json,
    Nic,
    a_config,
    a_revision,
    a_vm,
    a_vmi,
    absent,
    kubevirt,
    later,
    nic,
    primary,
    revision,
    row,
    vm,
    vm_view,
    vmi,
)

from nicplug.model.frozen_json import thaw
from nicplug.model.nic_annotations import entry_digest
from nicplug.plan.actions import Create, PatchSpec, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vm.restart_required import fields_that_need_a_restart

MESSAGE = "a non-live-updatable field was changed in the template spec"
LIVE = kubevirt()
STAGE = kubevirt()
STAGE["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"
MIGRATABLE = ({"type": "LiveMigratable", "status": "True"},)
MAC = "02:00:00:00:00:01"
FROM_TEMPLATE = '["blue","default","red"]'

Spec = Mapping[str, Any]


def with_mac(item: Nic, mac: str) -> Nic:
    return {**item[0], "macAddress": mac}, item[1]


def with_members(item: Nic, **members: Any) -> Nic:
    return {**item[0], **members}, item[1]


def pod_network(**members: str) -> Nic:
    return primary()[0], {"name": "default", "pod": members}


@dataclass(frozen=True, kw_only=True)
class Case:
    """The template at the start, now, and the NICs of the running VMI; `fields`: what needs a restart.

    `lacking`: NICs of the VMI that never attached.
    """

    title: str
    then: Sequence[Nic] = (primary(), nic("blue"))
    now: Sequence[Nic] = (primary(), nic("blue"))
    running: Sequence[Nic] = (primary(), nic("blue"))
    lacking: Sequence[str] = ()
    then_spec: Spec = field(default_factory=dict)
    now_spec: Spec = field(default_factory=dict)
    running_spec: Spec = field(default_factory=dict)
    origin: str | None = FROM_TEMPLATE
    conditions: Sequence[Json] = ()
    config: Json = field(default_factory=lambda: LIVE)
    fields: Sequence[str] = ()

    def __str__(self) -> str:
        return self.title


def _vm(nics: Sequence[Nic], spec: Spec) -> Json:
    raw = vm(*nics)
    _merge(raw["spec"]["template"]["spec"], spec)
    return raw


def _merge(into: Json, spec: Spec) -> None:
    for name, value in spec.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = copy.deepcopy(value)


def _vmi(case: Case) -> Json:
    annotations = {"kubevirt.io/vm-generation": "1"}
    annotations |= {"nicplug.io/template-interfaces": case.origin} if case.origin is not None else {}
    names = [interface["name"] for interface, _ in case.running if interface["name"] not in case.lacking]
    rows = [row(name, "domain") for name in names]
    raw = vmi(*case.running, owner_uid=VM_UID, annotations=annotations, conditions=case.conditions, rows=rows)
    _merge(raw["spec"], case.running_spec)
    return raw


def _domain(**members: Any) -> Spec:
    return {"domain": members}


ADDED = (primary(), nic("blue"), nic("red"))
OTHER = (primary(), nic("blue", attachment="other"))

NETWORK_RULES = (
    Case(title="nothing changed"),
    Case(
        title="a VMI interface is missing from the template",
        now=[primary()],
        fields=['interface "blue" (deleted)'],
    ),
    Case(
        title="one that was plugged since the start and then deleted (KubeVirt says nothing)",
        running=ADDED,
        fields=['interface "red" (deleted)'],
    ),
    Case(
        title="a VMI interface differs in a field other than state",
        now=[primary(), with_members(nic("blue"), tag="x")],
        fields=['interface "blue" tag'],
    ),
    Case(
        title="the binding differs",
        now=[primary(), nic("blue", binding="masquerade")],
        fields=['interface "blue" bridge', 'interface "blue" masquerade'],
    ),
    Case(title="the MAC differs", now=[primary(), nic("blue", mac=MAC)], fields=['interface "blue" macAddress']),
    Case(
        title="the MAC was taken away",
        then=[primary(), nic("blue", mac=MAC)],
        running=[primary(), nic("blue", mac=MAC)],
        fields=['interface "blue" macAddress'],
    ),
    Case(
        title="the model differs",
        now=[primary(), with_members(nic("blue"), model="e1000")],
        fields=['interface "blue" model'],
    ),
    Case(
        title="the template has a pod network and the VMI has none",
        then=[nic("blue")],
        running=[nic("blue")],
        fields=["pod network (added)"],
    ),
    Case(
        title="a VMI network is missing from the template",
        now=[primary(), (nic("blue")[0], nic("other")[1])],
        fields=['network "blue" (deleted)'],
    ),
    Case(
        title="a VMI network differs from the template one",
        now=[pod_network(vmNetworkCIDR="10.9.0.0/24"), nic("blue")],
        fields=['network "default" pod.vmNetworkCIDR'],
    ),
    Case(
        title="networkName of a VMI that cannot migrate",
        now=OTHER,
        fields=['network "blue" multus.networkName'],
    ),
    Case(title="networkName of a migratable VMI", now=OTHER, conditions=MIGRATABLE),
    Case(
        title="networkName of a migratable VMI, carried over",
        now=OTHER,
        running=OTHER,
        conditions=MIGRATABLE,
    ),
    Case(title="an added interface", now=ADDED),
    Case(title="an added interface, plugged", now=ADDED, running=ADDED),
    Case(title="an added interface that cannot be plugged", now=[*ADDED[:2], nic("red", binding="masquerade")]),
    Case(title="another order", now=ADDED[1::-1]),
    Case(title="state absent", now=[primary(), absent("blue")]),
    Case(
        title="state absent of a NIC that cannot be unplugged: its record tells it",
        then=[primary(), nic("fast", binding="sriov")],
        now=[primary(), absent("fast", binding="sriov")],
        running=[primary(), nic("fast", binding="sriov")],
    ),
    Case(title="state down", now=[primary(state="down"), nic("blue", state="down")]),
    Case(title="on its way out", now=[primary()], running=[primary(), absent("blue")]),
    Case(title="Stage: a NIC that the VMI has already", now=ADDED, running=ADDED, config=STAGE),
    Case(title="Stage: nothing changed", config=STAGE),
    Case(
        title="Stage: the pod network that a VM without NICs is given",
        then=(),
        now=(),
        running=[primary("default", binding="bridge")],
        origin="[]",
        config=STAGE,
    ),
    Case(title="Stage: an added interface", now=ADDED, config=STAGE, fields=['interface "red" (added)']),
    Case(title="Stage: added, and absent", now=[*ADDED[:2], absent("red")], config=STAGE),
    Case(
        title="Stage: an added interface, and nobody knows what came from the template",
        now=ADDED,
        origin=None,
        config=STAGE,
        fields=['interface "red" (added)'],
    ),
    Case(
        title="Stage: state absent",
        now=[primary(), absent("blue")],
        config=STAGE,
        fields=['interface "blue" state'],
    ),
    Case(title="Stage: on its way out", now=[primary()], running=[primary(), absent("blue")], config=STAGE),
    Case(
        title="Stage: state down",
        now=[primary(state="down"), nic("blue", state="down")],
        config=STAGE,
        fields=['interface "default" state', 'interface "blue" state'],
    ),
    Case(title="Stage: state up is what no state means", now=[primary(), nic("blue", state="up")], config=STAGE),
    Case(
        title="Stage: the link of a device that the guest drives itself",
        then=[nic("blue", binding="sriov")],
        now=[nic("blue", binding="sriov", state="down")],
        running=[nic("blue", binding="sriov")],
        config=STAGE,
    ),
    Case(
        title="Stage: the template was changed, carried over before, and changed back",
        running=[primary(), nic("blue", state="down")],
        config=STAGE,
        fields=['interface "blue" state'],
    ),
    Case(
        title="Stage: networkName of a migratable VMI",
        now=OTHER,
        conditions=MIGRATABLE,
        config=STAGE,
        fields=['network "blue" multus.networkName'],
    ),
)

DEFAULT = primary("default", binding="bridge")
FALSE_ALARMS = (
    Case(
        title="a NIC that never attached, deleted from the template: nobody has it",
        running=ADDED,
        lacking=["red"],
        origin='["blue","default","red"]',
    ),
    Case(
        title="the same, of the start",
        now=[primary()],
        lacking=["blue"],
    ),
    Case(
        title="a NIC that never attached, renamed in the template",
        now=[primary(), nic("green")],
        running=[primary(), nic("blue"), nic("green")],
        lacking=["blue", "green"],
        origin='["blue","default","green"]',
    ),
    Case(
        title="a NIC that never attached, and nobody knows where it came from: it stays",
        now=[primary()],
        lacking=["blue"],
        origin=None,
        fields=['interface "blue" (deleted)'],
    ),
    Case(
        title="a primary NIC that nobody has reported yet, deleted from the template",
        then=[primary(binding="bridge"), nic("blue")],
        now=[nic("blue")],
        running=[primary(binding="bridge"), nic("blue")],
        lacking=["default"],
        fields=['interface "default" (deleted)'],
    ),
    Case(
        title="Stage: a NIC that never attached, deleted from the template: the VMI goes on asking for it",
        now=[primary()],
        lacking=["blue"],
        config=STAGE,
        fields=['interface "blue" (deleted)'],
    ),
    Case(title="a NIC that was added to the VMI alone", running=ADDED, origin='["blue","default"]'),
    Case(
        title="a NIC that was added to the VMI alone, and another change of the template's NICs",
        now=[*ADDED[:2], nic("green")],
        running=[*ADDED, nic("green")],
        origin='["blue","default","green"]',
    ),
    Case(title="the VMI alone was changed", running=[primary(), nic("blue", mac=MAC)]),
    Case(title="its network alone was changed", running=OTHER),
    Case(
        title="restart, then plug: the MAC of the VMI came from the platform (kubevirt#15881)",
        now=ADDED,
        running=[primary(), nic("blue", mac=MAC), nic("red", mac="02:00:00:00:00:02")],
    ),
    Case(
        title="a model that came from a preference (kubevirt#18955)",
        now=ADDED,
        running=[primary(), with_members(nic("blue"), model="e1000e"), with_members(nic("red"), model="e1000e")],
    ),
    Case(title="the default model spelled out", now=[primary(), with_members(nic("blue"), model="virtio")]),
    Case(
        title="the MAC in another notation",
        then=[primary(), nic("blue", mac="02-00-00-00-00-0A")],
        now=[primary(), nic("blue", mac="02:00:00:00:00:0a")],
        running=[primary(), nic("blue", mac="02-00-00-00-00-0A")],
    ),
    Case(
        title="null and empty members of an interface",
        now=[primary(), with_members(nic("blue"), macAddress="", ports=[], dhcpOptions=None)],
    ),
    Case(
        title="the default protocol of a port spelled out",
        then=[with_members(primary(), ports=[{"port": 80}]), nic("blue")],
        now=[with_members(primary(), ports=[{"port": 80, "protocol": "TCP"}]), nic("blue")],
        running=[with_members(primary(), ports=[{"port": 80}]), nic("blue")],
    ),
    Case(title="the default subnet of the pod network", now=[pod_network(vmNetworkCIDR="10.0.2.0/24"), nic("blue")]),
    Case(title="the namespace spelled out", now=[primary(), nic("blue", attachment="default/blue-net")]),
    Case(title="the pod network that a VM without NICs is given", then=(), now=(), running=[DEFAULT], origin="[]"),
    Case(
        title="that pod network, and NICs that were added to the VMI alone",
        then=(),
        now=(),
        running=[DEFAULT, nic("blue")],
        origin="[]",
    ),
    Case(
        title="that pod network, written into the template as it is, with a NIC beside it",
        then=(),
        now=[DEFAULT, nic("blue")],
        running=[DEFAULT, nic("blue")],
        origin='["blue","default"]',
    ),
    Case(
        title="no pod network was given, as the template asked for none",
        then=[nic("blue")],
        now=ADDED[1:],
        running=ADDED[1:],
        origin='["blue","red"]',
    ),
    Case(
        title="without the annotation, a NIC of the start is known all the same",
        now=[primary()],
        origin=None,
        fields=['interface "blue" (deleted)'],
    ),
)

CHANGED_BACK = (
    Case(
        title="a MAC address that was corrected before the NIC came, and changed back, beside another change",
        then=[primary(), nic("blue", mac=MAC)],
        now=[primary(), nic("blue", mac=MAC), nic("red")],
        running=[primary(), nic("blue", mac="02:00:00:00:00:02"), nic("red")],
        origin='["blue","default","red"]',
        fields=['interface "blue" macAddress'],
    ),
    Case(
        title="a network that was changed, carried over, and changed back when the VM cannot migrate any more",
        now=ADDED,
        running=[*OTHER, nic("red")],
        origin='["blue","default","red"]',
        fields=['network "blue" multus.networkName'],
    ),
    Case(
        title="the same while it can migrate: it follows",
        now=ADDED,
        running=[*OTHER, nic("red")],
        origin='["blue","default","red"]',
        conditions=MIGRATABLE,
    ),
)

# The default that KubeVirt sets when the VMI is born, and which a template with NICs of its own does not get.
GIVEN_NO_MORE = ('interface "default" (pod network, not in the template)',)
LOST_AT_THE_NEXT_START = (
    Case(
        title="the first NIC costs a VM without NICs its pod network at the next start",
        then=(),
        now=[nic("blue")],
        running=[DEFAULT, nic("blue")],
        origin='["blue"]',
        fields=GIVEN_NO_MORE,
    ),
    Case(
        title="the same before the NIC is plugged",
        then=(),
        now=[nic("blue")],
        running=[DEFAULT],
        origin="[]",
        fields=GIVEN_NO_MORE,
    ),
    Case(
        title="the same of a VMI without the annotation",
        then=(),
        now=[nic("blue")],
        running=[DEFAULT, nic("blue")],
        origin=None,
        fields=GIVEN_NO_MORE,
    ),
    Case(
        title="the same by a NIC that leaves again: the template has it until it has left",
        then=(),
        now=[absent("blue")],
        running=[DEFAULT, absent("blue")],
        origin='["blue"]',
        fields=GIVEN_NO_MORE,
    ),
    Case(
        title="the same by a pod network of another name, which no running guest gets",
        then=(),
        now=[primary("main")],
        running=[DEFAULT],
        origin="[]",
        fields=GIVEN_NO_MORE,
    ),
    Case(
        title="the same by a template that says of that pod network what the guest has not",
        then=(),
        now=[primary("default"), nic("blue")],
        running=[DEFAULT, nic("blue")],
        origin='["blue","default"]',
        fields=['interface "default" bridge', 'interface "default" masquerade'],
    ),
    Case(
        title="Stage: the first NIC of a VM without NICs",
        then=(),
        now=[nic("blue")],
        running=[DEFAULT],
        origin="[]",
        config=STAGE,
        fields=[*GIVEN_NO_MORE, 'interface "blue" (added)'],
    ),
    Case(
        title="a VM without NICs that asks for no pod network any more",
        then=(),
        now=(),
        now_spec={"domain": {"devices": {"autoattachPodInterface": False}}},
        running=[DEFAULT],
        origin="[]",
        fields=["domain.devices.autoattachPodInterface"],
    ),
)


AFFINITY: Json = {"podAntiAffinity": {}}
OTHER_FIELDS = (
    Case(title="cores", now_spec=_domain(cpu={"cores": 2}), fields=["domain.cpu"]),
    Case(
        title="sockets: nicplug plugs NICs only",
        then_spec=_domain(cpu={"sockets": 1}),
        now_spec=_domain(cpu={"sockets": 2}),
        fields=["domain.cpu.sockets"],
    ),
    Case(
        title="memory: nicplug plugs NICs only",
        now_spec=_domain(memory={"guest": "2Gi"}),
        fields=["domain.memory.guest"],
    ),
    Case(title="the same memory in other words", now_spec=_domain(memory={"guest": "1024Mi"})),
    Case(
        title="the same requests in other words",
        then_spec=_domain(resources={"requests": {"cpu": "1500m", "memory": "1G"}}),
        now_spec=_domain(resources={"requests": {"cpu": 1.5, "memory": "1000M"}}),
    ),
    Case(
        title="a whole number of CPUs as a number",
        then_spec=_domain(resources={"requests": {"cpu": "2"}}),
        now_spec=_domain(resources={"requests": {"cpu": 2}}),
    ),
    Case(title="volumes", now_spec={"volumes": [{"name": "a"}]}, fields=["volumes"]),
    Case(title="a null and an empty list", now_spec={"volumes": [], "hostname": "", "accessCredentials": None}),
    Case(title="an empty struct", now_spec=_domain(resources={"requests": {}})),
    Case(
        title="an empty member that says something",
        now_spec=_domain(devices={"rng": {}}),
        fields=["domain.devices.rng"],
    ),
    Case(title="LiveUpdate: node selector", now_spec={"nodeSelector": {"zone": "a"}}),
    Case(title="LiveUpdate: affinity", now_spec={"affinity": AFFINITY}),
    Case(title="LiveUpdate: tolerations", now_spec={"tolerations": [{"key": "x"}]}),
    Case(
        title="Stage: node selector",
        now_spec={"nodeSelector": {"zone": "a"}},
        config=STAGE,
        fields=["nodeSelector.zone"],
    ),
    Case(title="Stage: affinity", now_spec={"affinity": AFFINITY}, config=STAGE, fields=["affinity"]),
    Case(title="Stage: tolerations", now_spec={"tolerations": [{"key": "x"}]}, config=STAGE, fields=["tolerations"]),
    Case(
        title="the firmware UUID that the guest has",
        now_spec=_domain(firmware={"uuid": "u1"}),
        running_spec=_domain(firmware={"uuid": "u1"}),
    ),
    Case(
        title="another firmware UUID",
        then_spec=_domain(firmware={"uuid": "u1"}),
        now_spec=_domain(firmware={"uuid": "u2"}),
        running_spec=_domain(firmware={"uuid": "u1"}),
        fields=["domain.firmware.uuid"],
    ),
    Case(
        title="fields and NICs together",
        now=[primary()],
        now_spec=_domain(cpu={"cores": 2}),
        fields=["domain.cpu", 'interface "blue" (deleted)'],
    ),
)


@pytest.mark.parametrize(
    "case", [*NETWORK_RULES, *FALSE_ALARMS, *CHANGED_BACK, *LOST_AT_THE_NEXT_START, *OTHER_FIELDS], ids=str
)
def test_restart_required(case: Case) -> None:
    fields = fields_that_need_a_restart(
        vm=a_vm(_vm(case.now, case.now_spec)),
        vmi=a_vmi(_vmi(case)),
        revision=a_revision(revision(_vm(case.then, case.then_spec))),
        config=a_config(case.config),
    )
    assert [*map(str, fields)] == list(case.fields)


def test_stage_says_nothing_of_a_nic_that_was_taken_back() -> None:
    """It stays out of the VMI for another reason, which its record tells."""
    template, raw = vm(*ADDED), _vmi(Case(title="without red"))
    (interface,) = [item for item in a_vm(template).interfaces if item.name == "red"]
    (network,) = [item for item in a_vm(template).networks if item.name == "red"]
    note = json.dumps({"red": entry_digest(interface, network)})
    raw["metadata"]["annotations"]["nicplug.io/rolled-back-interfaces"] = note
    start = a_revision(revision(template))
    assert fields_that_need_a_restart(vm=a_vm(template), vmi=a_vmi(raw), revision=start, config=a_config(STAGE)) == ()


def test_without_a_revision_or_a_vmi_nothing_is_said() -> None:
    changed = a_vm(vm(primary()))
    running = a_vmi(_vmi(NETWORK_RULES[0]))
    start = a_revision(revision(vm(primary(), nic("blue"))))
    assert fields_that_need_a_restart(vm=changed, vmi=running, revision=None, config=None) == ()
    assert fields_that_need_a_restart(vm=changed, vmi=None, revision=start, config=None) == ()


RUNNING = Case(title="a VMI that is as its template", origin='["blue","default"]')


def _plan(change: Callable[[Json], object], *, config: Json = LIVE, **status: Any) -> Plan:
    raw = vm(primary(), nic("blue"), status=status)
    start = revision(raw)
    change(raw["spec"]["template"]["spec"])
    view = vm_view(raw, vmi=_vmi(RUNNING), started_from=start, config=config, report_pending_since=later(-9))
    return plan_vm(view, now=NOW)


def _conditions(plan: Plan) -> dict[str, Json]:
    (patch,) = plan.actions
    assert isinstance(patch, PatchStatus)
    return {row["type"]: row for row in thaw(patch.wanted)["conditions"]}


def test_the_condition_has_kubevirt_s_words_and_the_event_names_the_fields() -> None:
    plan = _plan(lambda spec: spec["domain"].update(cpu={"cores": 4}, machine={"type": "pc"}))
    row = _conditions(plan)["RestartRequired"]
    assert (row["status"], row["message"]) == ("True", MESSAGE)
    assert "reason" not in row
    (event,) = plan.announcements
    assert (event.reason, event.about) == ("RestartRequired", "VM")
    assert event.message == f"{MESSAGE}: domain.cpu, domain.machine.type. Restart the VM to apply it"


def test_the_event_on_a_deleted_nic_names_the_way_without_a_restart() -> None:
    def delete(spec: Json) -> None:
        spec["domain"]["devices"]["interfaces"] = spec["domain"]["devices"]["interfaces"][:1]
        spec["networks"] = spec["networks"][:1]

    (event,) = _plan(delete).announcements
    assert 'interface "blue" (deleted). Restart the VM to apply it; a NIC that can be unplugged' in event.message
    assert "written back with state: absent" in event.message


def test_the_first_nic_of_a_vm_without_nics_raises_restart_required_and_says_what_it_costs() -> None:
    """It was withheld: at the next start the VM had the NIC, and no pod network any more."""
    start, raw = revision(vm()), vm(nic("blue"), generation=2, status={})
    lost = Case(title="the first NIC", running=[DEFAULT, nic("blue")], origin='["blue"]')
    running = _vmi(lost)
    running["metadata"]["annotations"]["kubevirt.io/vm-generation"] = "2"
    plan = plan_vm(vm_view(raw, vmi=running, started_from=start, config=LIVE, report_pending_since=later(-9)), now=NOW)
    assert _conditions(plan)["RestartRequired"]["status"] == "True"
    (event,) = [item for item in plan.announcements if item.reason == "RestartRequired"]
    assert 'interface "default" (pod network, not in the template)' in event.message
    assert event.message.endswith("to keep it, add that NIC to the template")
    created = [item for item in plan_vm(vm_view(raw), now=NOW).actions if isinstance(item, Create)]
    born = thaw(created[-1].body)["spec"]["domain"]["devices"]["interfaces"]
    assert [item["name"] for item in born] == ["blue"], "which is what the condition is about"


def test_many_fields_are_counted() -> None:
    (event,) = _plan(lambda spec: spec.update({f"x{number}": 1 for number in range(8)})).announcements
    assert "x0, x1, x2, x3, x4 and 3 more." in event.message


def test_it_is_reported_once() -> None:
    present = {"type": "RestartRequired", "status": "True", "message": MESSAGE, "lastTransitionTime": "x"}
    plan = _plan(lambda spec: spec["domain"].update(cpu={"cores": 4}), conditions=[present])
    assert plan.announcements == ()
    assert _conditions(plan)["RestartRequired"] == present


def test_a_change_that_is_taken_back_takes_the_condition_back() -> None:
    present = {"type": "RestartRequired", "status": "True", "message": MESSAGE}
    assert "RestartRequired" not in _conditions(_plan(lambda spec: None, conditions=[present]))


WISH = {"nodeSelector": {"zone": "a"}, "affinity": AFFINITY, "tolerations": [{"key": "x"}]}


def test_live_update_carries_placement_to_the_vmi() -> None:
    (patch,) = _plan(lambda spec: spec.update(WISH)).actions
    assert isinstance(patch, PatchSpec)
    assert [(item["op"], item["path"], item.get("value")) for item in patch.json_patch()] == [
        ("test", "/metadata/uid", patch.uid),
        ("test", "/spec/affinity", None),
        ("add", "/spec/affinity", AFFINITY),
        ("test", "/spec/nodeSelector", None),
        ("add", "/spec/nodeSelector", {"zone": "a"}),
        ("test", "/spec/tolerations", None),
        ("add", "/spec/tolerations", [{"key": "x"}]),
    ]


def test_live_update_takes_placement_back() -> None:
    running = _vmi(RUNNING)
    running["spec"]["nodeSelector"] = {"zone": "a"}
    plan = plan_vm(vm_view(vm(primary(), nic("blue")), vmi=running), now=NOW)
    (patch,) = plan.actions
    assert isinstance(patch, PatchSpec)
    assert [item["op"] for item in patch.json_patch()] == ["test", "test", "remove"]


@pytest.mark.parametrize("wish", [{}, {"nodeSelector": {}, "tolerations": [], "affinity": None}], ids=["none", "empty"])
def test_no_placement_is_no_change(wish: Json) -> None:
    assert not any(isinstance(action, PatchSpec) for action in _plan(lambda spec: spec.update(wish)).actions)


def test_stage_leaves_placement_for_the_restart() -> None:
    plan = _plan(lambda spec: spec.update(WISH), config=STAGE)
    assert _conditions(plan)["RestartRequired"]["message"] == MESSAGE


def test_placement_flows_while_the_gate_is_off_since_it_moves_no_nic() -> None:
    (patch,) = _plan(lambda spec: spec.update(WISH), config=kubevirt("Other")).actions
    assert isinstance(patch, PatchSpec)


def huge(mark: str) -> list[Json]:
    """Volumes of more values than a person writes."""
    return [{"name": mark, "unknown": [{"a": 1} for _ in range(6_000)]}]


@pytest.mark.parametrize(
    ("now", "fields"),
    [
        pytest.param({"volumes": huge("a")}, (), id="equal"),
        pytest.param({"volumes": huge("b")}, ("volumes",), id="another value"),
        pytest.param({"volumes": [{**huge("a")[0], "x": ""}]}, ("volumes",), id="one that says nothing: as it stands"),
        pytest.param({"volumes": huge("a"), "hostname": "x"}, ("hostname",), id="another member"),
        pytest.param({"hostname": "x", "volumes": huge("b")}, ("hostname", "volumes"), id="another member, too"),
    ],
)
def test_a_huge_template_is_not_compared_value_by_value(now: Json, fields: tuple[str, ...]) -> None:
    before, asked = vm(primary()), vm(primary(), generation=2)
    before["spec"]["template"]["spec"] |= {"volumes": huge("a")}
    asked["spec"]["template"]["spec"] |= now
    found = fields_that_need_a_restart(
        vm=a_vm(asked),
        vmi=a_vmi(vmi(primary(), owner_uid=VM_UID)),
        revision=a_revision(revision(before)),
        config=a_config(LIVE),
    )
    assert tuple(map(str, found)) == fields
