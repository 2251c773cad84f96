"""What holds for every world: a plan that was carried out needs no second one, and order decides nothing.

Worlds are drawn from the states that NICs can be in; effects are applied with the patch semantics of the API server.
"""

import copy
import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.build import (
    NAME,
    NOW,
    POD_INTERFACES,
    POD_NAME,
    VM_UID,
    VMI_UID,
    Json,
    a_config,
    a_pod,
    element,
    failed,
    kubevirt,
    later,
    metadata,
    migration,
    nad,
    nic,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vm_view,
    vmi,
    vmi_view,
)
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import DynamicPath, HotplugPolicy, MigrationPolicy, OnFailure
from nicplug.model.metadata import objects
from nicplug.model.networks_annotation import is_hashed_name
from nicplug.plan.actions import (
    Action,
    CheckUnchanged,
    ConfirmPod,
    Create,
    Delete,
    FindPod,
    Kind,
    PatchAnnotations,
    PatchInterfaces,
    PatchNetworksAnnotation,
)
from nicplug.plan.nic.spec_checks import refuse_whole
from nicplug.plan.outcome import Plan
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi

NAMES = ("red", "blue", "green")
# Attempts, and how many seconds ago the last one was.
TRIES = ((1, 1), (1, 9), (2, 5), (4, 100), (9, 5000))
FOREIGN = (
    {"name": "monitoring", "namespace": "ops", "interface": "mon0"},
    {"name": "x", "cni-args": {"b": [1], "a": 2}},
)
SOURCES: tuple[list[str], ...] = (
    [],
    ["domain"],
    ["multus-status"],
    ["domain", "multus-status"],
    ["domain", "guest-agent", "multus-status"],
)
OURS: Json = {
    "name": "kubevirt-workload-update-0123456789",
    "uid": "ours",
    "annotations": {"kubevirt.io/workloadUpdateMigration": ""},
    "ownerReferences": [owner("VirtualMachineInstance", NAME, VMI_UID)],
}
MIGRATIONS: tuple[list[Json], ...] = (
    [],
    [],
    [migration("Pending")],
    [migration("Pending", **OURS)],
    [migration("Failed", **OURS)],
    [migration("Succeeded"), migration("Pending", **OURS)],
)
POLICIES = (
    HotplugPolicy(),
    HotplugPolicy(dynamic_path=DynamicPath.NEVER),
    HotplugPolicy(on_failure=OnFailure.HOLD),
    HotplugPolicy(on_failure=OnFailure.ROLLBACK),
    HotplugPolicy(migration=MigrationPolicy.NEVER),
)
ORIGIN = "nicplug.io/template-interfaces"
ROLLED_BACK = "nicplug.io/rolled-back-interfaces"
DECLARATIVE = kubevirt(hotplug={"removalPolicy": "Declarative"})
STAGE = kubevirt(hotplug={"removalPolicy": "Declarative"})
STAGE["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"
World = dict[str, Json]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A VM, its VMI and its pod, in any state that races can leave behind."""
    names = draw(st.permutations(NAMES))
    bindings = st.sampled_from(["bridge", "bridge", "bridge", "sriov", "masquerade", ""])
    states = st.sampled_from(["", "", "absent", "down"])
    attachments = st.sampled_from([None, None, "other"])
    template = [
        nic(name, binding=draw(bindings), state=draw(states), attachment=draw(attachments))
        for name in names
        if draw(st.booleans())
    ]
    running = [nic(name, binding=draw(bindings), state=draw(states)) for name in names if draw(st.booleans())]
    rows = [row(name, *draw(st.sampled_from(SOURCES))) for name in names if draw(st.booleans())]
    types = st.sampled_from(["Plug", "Unplug"])
    phases = st.sampled_from(["Pending", "InPod", "Migrating", "Ready", "Blocked"])
    since = st.sampled_from([NOW, later(-4), later(-40)])
    tried = [{"attempts": count, "lastAttemptTime": later(-seconds)} for count, seconds in TRIES]
    waits: st.SearchStrategy[Any] = st.sampled_from([{}, {"waitingSince": later(-4)}, {"waitingSince": later(-40)}])
    tries: st.SearchStrategy[Any] = st.sampled_from([{}, {}, *tried])
    records = [
        operation(name, type_=draw(types), phase=draw(phases), since=draw(since), **draw(tries), **draw(waits))
        for name in names
        if draw(st.booleans())
    ]
    facts: Json = {
        "nads": draw(st.sampled_from([None, None, [], ["red"], ["blue", "green"], [*NAMES]])),
        "failed": draw(st.sampled_from([[], [], ["red"], ["red", "blue"]])),
        "controller": draw(st.sampled_from([*ControllerState])),
        "policy": draw(st.sampled_from(POLICIES)),
        "migrations": draw(st.sampled_from(MIGRATIONS)),
    }
    elements = [element(name) for name in names if draw(st.booleans())] + [e for e in FOREIGN if draw(st.booleans())]
    attached = [name for name in names if draw(st.booleans())]
    known = (json.dumps(names) for names in (["default"], ["blue", "red"], [*NAMES]))
    origins = st.sampled_from([None, "broken", *known])
    annotations = {} if (origin := draw(origins)) is None else {ORIGIN: origin}
    annotations |= {ROLLED_BACK: draw(st.sampled_from(['{"blue":"0"}', "broken"]))} if draw(st.booleans()) else {}
    conditions = [{"type": "LiveMigratable", "status": draw(st.sampled_from(["True", "False"]))}]
    phase = draw(st.sampled_from(["Running", "Running", "Running", "Scheduled", "Scheduling", "Pending"]))
    ready = draw(st.booleans())
    return {
        "vm": vm(primary(), *template, status={}),
        "vmi": vmi(
            primary(),
            *running,
            phase=phase,
            rows=[primary_row(), *rows],
            operations=records,
            conditions=conditions,
            owner_uid=VM_UID,
            annotations=annotations or None,
        ),
        "pod": pod(networks=draw(st.permutations(elements)), attached=attached, ready=ready),
        "config": draw(st.sampled_from([kubevirt(), DECLARATIVE, STAGE, kubevirt("Other")])),
        "facts": facts,
    }


def _plan_vmi(world: World) -> Plan:
    facts = world["facts"]
    view = vmi_view(
        world["vmi"],
        world["pod"],
        vm=world["vm"],
        config=world["config"],
        report_pending_since=later(-9),
        nads=None if facts["nads"] is None else [nad(f"{name}-net") for name in facts["nads"]],
        failures=[failed(name, at=later(-3)) for name in facts["failed"]],
        controller=DynamicController(state=facts["controller"]),
        policy=replace(facts["policy"], removal_policy=a_config(world["config"]).hotplug.removal_policy),
        migrations=facts["migrations"],
        spec_seen_at=later(-60),
    )
    return plan_vmi(view, now=NOW)


def _plan_vm(world: World) -> Plan:
    return plan_vm(
        vm_view(world["vm"], vmi=world["vmi"], config=world["config"], report_pending_since=later(-9)), now=NOW
    )


_SLOTS = {Kind.VM: "vm", Kind.VMI: "vmi", Kind.POD: "pod"}


def _carried_out(world: World, plan: Plan) -> World:
    after = copy.deepcopy(world)
    for action in plan.actions:
        if isinstance(action, (Create, Delete, PatchAnnotations)) and action.kind is Kind.MIGRATION:
            after["facts"]["migrations"] = _migrated(after["facts"]["migrations"], action)
            continue
        assert not isinstance(action, (Create, Delete, ConfirmPod, FindPod)), action
        slot = _SLOTS[action.kind]
        content = json.dumps([dict(operation) for operation in action.json_patch()]).encode()
        old = after[slot]
        new = patched(copy.deepcopy(old), content_type=JSON_PATCH, content=content)
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] += 1
        after[slot] = new
    return after


def _migrated(migrations: list[Json], action: Create | Delete | PatchAnnotations) -> list[Json]:
    """As the API server stores it; one that is deleted waits for its finalizer."""
    if isinstance(action, PatchAnnotations):
        content = json.dumps([dict(operation) for operation in action.json_patch()]).encode()
        return [
            patched(copy.deepcopy(item), content_type=JSON_PATCH, content=content)
            if item["metadata"]["uid"] == action.uid
            else item
            for item in migrations
        ]
    if isinstance(action, Create):
        body = thaw(action.body)
        return [*migrations, {**body, "metadata": metadata(action.key.name, uid=action.key.name) | body["metadata"]}]
    gone = {"deletionTimestamp": "2026-01-02T03:04:05Z"}
    return [
        {**item, "metadata": item["metadata"] | gone} if item["metadata"]["uid"] == action.uid else item
        for item in migrations
    ]


@given(world=worlds())
def test_a_vmi_s_plan_that_was_carried_out_needs_no_second_one(world: World) -> None:
    """A change of the spec makes a new generation, which the condition then names; nothing else is left to do."""
    after = _carried_out(world, _plan_vmi(world))
    settled = _carried_out(after, _plan_vmi(after))
    assert _plan_vmi(settled).actions == ()


@given(world=worlds())
def test_what_is_taken_back_is_in_neither_guest_nor_pod_and_stays_with_the_vm(world: World) -> None:
    """Only from the VMI, only what the template has in the same words, and only with a note that says so.

    What the pod has its network-status says; a row that still lists it is corrected in the same pass.
    """
    world["facts"]["policy"] = HotplugPolicy(on_failure=OnFailure.ROLLBACK)
    patches = [action for action in _plan_vmi(world).actions if isinstance(action, PatchInterfaces)]
    assert not [action for action in patches if action.kind is Kind.VM]
    template = {item["name"]: item for item in world["vm"]["spec"]["template"]["spec"]["networks"]}
    for action in patches:
        if action.rolled_back is None:
            continue
        seen, kept = (objects(thaw(lists)) for lists in (action.seen_networks, action.networks))
        gone = [item for item in seen if item["name"] not in {other["name"] for other in kept}]
        status = json.loads(world["pod"]["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"])
        listed = {entry["interface"] for entry in status}
        in_guest = (item for item in world["vmi"]["status"]["interfaces"] if "domain" in item.get("infoSource", ""))
        held = {item["name"] for item in in_guest} | {name for name in NAMES if POD_INTERFACES[name] in listed}
        for network in gone:
            assert template[network["name"]] == network
            assert network["name"] not in held
            assert network["name"] in action.rolled_back.wanted


@given(world=worlds())
def test_a_vm_s_plan_that_was_carried_out_needs_no_second_one(world: World) -> None:
    """First what is to be done, then what is to be told; then silence."""
    done = _carried_out(world, _plan_vm(world))
    reported = _carried_out(done, _plan_vm(done))
    again = _carried_out(reported, _plan_vm(reported))
    assert _plan_vm(again).actions == ()


@given(world=worlds(), seed=st.randoms(use_true_random=False))
def test_the_order_of_what_was_reported_decides_nothing(world: World, seed: Any) -> None:
    """Network-status comes from a Go map, rows come in the order of the node agent."""
    shuffled = copy.deepcopy(world)
    annotations = shuffled["pod"]["metadata"]["annotations"]
    entries = json.loads(annotations["k8s.v1.cni.cncf.io/network-status"])
    seed.shuffle(entries)
    annotations["k8s.v1.cni.cncf.io/network-status"] = json.dumps(entries)
    seed.shuffle(shuffled["vmi"]["status"].get("interfaceOperations", []))
    asks = [[a for a in _plan_vmi(w).actions if isinstance(a, PatchNetworksAnnotation)] for w in (world, shuffled)]
    assert asks[0] == asks[1]
    assert len(_plan_vmi(world).actions) == len(_plan_vmi(shuffled).actions)


_WRITTEN_ALONG = frozenset({"pciBudget", "interfaceSummary", "launcherPods"})


@given(world=worlds(), reason=st.sampled_from(["PodInterfaceLost", "PodInterfaceRestored", "RolledBack"]))
def test_no_word_of_a_record_or_a_condition_decides_anything(world: World, reason: str) -> None:
    """Neither of what races can leave behind nor of what a pass makes of it."""
    for record in world["vmi"]["status"].get("interfaceOperations", []):
        record |= {"reason": reason, "message": f"pod {POD_NAME} by job", "rollbackCause": "as onFailure is Rollback"}
    for before in (world, _carried_out(world, _plan_vmi(world))):
        reworded = {**before, "vmi": _in_other_words(before["vmi"])}
        plans = [_plan_vmi(before), _plan_vmi(reworded)]
        assert [_reasons(plan) for plan in plans] == [_reasons(plans[0])] * 2
        first, second = (_carried_out(w, plan) for w, plan in zip((before, reworded), plans, strict=True))
        assert {**first, "vmi": _without_words(first["vmi"])} == {**second, "vmi": _without_words(second["vmi"])}


def _reasons(plan: Plan) -> list[tuple[str, str]]:
    return [(str(item.about), str(item.reason)) for item in plan.announcements]


def _without_words(vmi_: Json) -> Json:
    """Nor what is written only along with something else, such as a message."""
    found = _in_other_words(vmi_)
    return found | {"status": {k: v for k, v in found["status"].items() if k not in _WRITTEN_ALONG}}


def _in_other_words(vmi_: Json) -> Json:
    found = copy.deepcopy(vmi_)
    for row_ in (*found["status"].get("interfaceOperations", []), *found["status"].get("conditions", [])):
        row_ |= {member: "x" for member in ("message", "remedy") if row_.get(member)}
    return found


@given(world=worlds())
def test_a_vmi_has_at_most_one_live_pod(world: World) -> None:
    """None is made beside one; and whoever makes one, twice or as a second leader, makes the same."""
    assert [action for action in _plan_vmi(world).actions if _makes_pod(action)] == []
    view = vmi_view(world["vmi"], vm=world["vm"], config=world["config"])
    made = [action.key.name for action in plan_vmi(view, now=NOW).actions if _makes_pod(action)]
    is_admitted = refuse_whole(view.vmi.interfaces, view.vmi.networks, config=view.config, root="spec") is None
    assert made == ([POD_NAME] if is_admitted and world["vmi"]["status"]["phase"] == "Pending" else [])


@given(world=worlds())
def test_a_vmi_has_at_most_one_migration_under_way(world: World) -> None:
    """None is made beside one, whoever made it; and only what nicplug made is taken back, before anybody acts on it."""
    under_way = [
        item for item in world["facts"]["migrations"] if item["status"]["phase"] not in ("Succeeded", "Failed")
    ]
    actions = [action for action in _plan_vmi(world).actions if action.kind is Kind.MIGRATION]
    assert len(actions) <= 1
    for action in actions:
        assert isinstance(action, (PatchAnnotations, Delete) if under_way else Create)
    taken = [action.uid for action in actions if isinstance(action, (PatchAnnotations, Delete))]
    allowed = [OURS["uid"] for item in under_way if item["metadata"]["uid"] == OURS["uid"]]
    assert set(taken) <= set(allowed)


def _makes_pod(action: Action) -> bool:
    return isinstance(action, Create) and action.kind is Kind.POD


@given(world=worlds())
def test_what_others_asked_multus_for_stays(world: World) -> None:
    after = _carried_out(world, _plan_vmi(world))
    before_, after_ = (
        [item for item in json.loads(_annotation(w) or "[]") if not is_hashed_name(str(item.get("interface")))]
        for w in (world, after)
    )
    assert sorted(map(json.dumps, before_)) == sorted(map(json.dumps, after_))


@given(world=worlds())
def test_a_nic_that_the_guest_holds_is_not_taken_from_the_pod(world: World) -> None:
    """An element leaves only after the guest has let the NIC go, and only when the spec does not want it.

    One whose interface the pod has lost holds up every other while it fails: it waits its turn as a new one does.
    """
    present = {item["interface"] for item in json.loads(_annotation(world) or "[]") if "interface" in item}
    status = world["pod"]["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"]
    present &= {item["interface"] for item in json.loads(status)}
    after = {item.get("interface") for item in json.loads(_annotation(_carried_out(world, _plan_vmi(world))) or "[]")}
    specified = {item["name"] for item in world["vmi"]["spec"]["domain"]["devices"]["interfaces"]}
    for item in world["vmi"]["status"]["interfaces"]:
        held = "domain" in item.get("infoSource", "") and item["name"] in specified
        if held and item.get("podInterfaceName") in present:
            assert item["podInterfaceName"] in after, item["name"]


@given(world=worlds())
def test_whatever_fails_or_is_missing_what_is_attached_and_wanted_stays_as_it_is(world: World) -> None:
    """Neither a network that is gone nor a NIC that fails is a reason to touch another one's element."""
    elements = {item.get("interface"): item for item in json.loads(_annotation(world) or "[]")}
    carried_out = _carried_out(world, _plan_vmi(world))
    after = {item.get("interface"): item for item in json.loads(_annotation(carried_out) or "[]")}
    status = json.loads(world["pod"]["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"])
    attached = {item["interface"] for item in status}
    for item in _interfaces(world["vmi"]["spec"]):
        interface = POD_INTERFACES.get(item["name"])
        if item.get("state") != "absent" and interface in attached and interface in elements:
            assert after[interface] == elements[interface]


@given(world=worlds())
def test_a_nic_that_was_added_to_the_vmi_alone_is_not_taken_away_for_what_the_template_lacks(world: World) -> None:
    listed = {item["name"] for item in _interfaces(world["vm"]["spec"]["template"]["spec"])}
    known = world["vmi"]["metadata"].get("annotations", {}).get(ORIGIN, "[]")
    from_template = json.loads(known) if known.startswith("[") else []
    before = {item["name"]: item for item in _interfaces(world["vmi"]["spec"])}
    after = {item["name"]: item for item in _interfaces(_carried_out(world, _plan_vm(world))["vmi"]["spec"])}
    alone = before.keys() - listed - set(from_template)
    assert {name: after.get(name) for name in alone} == {name: before[name] for name in alone}


@given(world=worlds())
def test_an_absent_nic_is_never_revived(world: World) -> None:
    before = {item["name"] for item in _interfaces(world["vmi"]["spec"]) if item.get("state") == "absent"}
    after_spec = _carried_out(world, _plan_vm(world))["vmi"]["spec"]
    after = {item["name"]: item.get("state") for item in _interfaces(after_spec)}
    assert all(after.get(name, "absent") == "absent" for name in before)


@given(world=worlds(), seed=st.randoms(use_true_random=False))
def test_the_order_of_the_template_decides_nothing(world: World, seed: Any) -> None:
    shuffled = copy.deepcopy(world)
    seed.shuffle(_interfaces(shuffled["vm"]["spec"]["template"]["spec"]))
    results = [_carried_out(each, _plan_vm(each))["vmi"] for each in (world, shuffled)]
    nics = [sorted(map(json.dumps, _interfaces(result["spec"]))) for result in results]
    assert nics[0] == nics[1]
    assert results[0]["metadata"].get("annotations") == results[1]["metadata"].get("annotations")


@given(world=worlds())
def test_equal_worlds_have_equal_plans(world: World) -> None:
    other = copy.deepcopy(world)
    for raw in (other["vm"], other["vmi"], other["pod"], other["config"]):
        raw["metadata"]["resourceVersion"] = "99"
    assert _plan_vmi(world) == _plan_vmi(other)
    assert _plan_vm(world) == _plan_vm(other)
    assert {_plan_vmi(world), _plan_vmi(other)} == {_plan_vmi(world)}


@given(world=worlds())
def test_one_pass_costs_one_write_per_object_and_subresource(world: World) -> None:
    for plan in (_plan_vmi(world), _plan_vm(world)):
        actions = [action for action in plan.actions if not isinstance(action, CheckUnchanged)]  # it writes nothing
        targets = [(action.kind, getattr(action, "subresource", None)) for action in actions]
        writes = [target for target in targets if target != (Kind.VMI, None)]
        assert len(set(writes)) == len(writes)


@given(world=worlds())
def test_while_the_gate_is_off_no_nic_moves(world: World) -> None:
    world = world | {"config": kubevirt("Other")}
    asks = [action for action in _plan_vmi(world).actions if isinstance(action, PatchNetworksAnnotation)]
    assert asks == []
    assert all(action.kind is not Kind.VMI for action in _plan_vm(world).actions)


def _interfaces(spec: Json) -> list[Json]:
    found: list[Json] = spec["domain"]["devices"].get("interfaces", [])
    return found


def _annotation(world: World) -> str | None:
    return a_pod(world["pod"]).networks_annotation
