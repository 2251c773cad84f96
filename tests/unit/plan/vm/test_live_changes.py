"""Which changes of a template flow live, by binding; and which NICs the template may take away again.

The rows of KubeVirt 1.9's rules for plug, unplug, link and network, with nicplug's differences (docs/differences.md).
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from tests.build import (
    NOW,
    VM_UID,
    Json,
    Nic,
    a_config,
    a_vm,
    a_vmi,
    absent,
    kubevirt,
    migration_state,
    nic,
    primary,
    primary_row,
    row,
    vm,
    vm_view,
    vmi,
)
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import HotplugPolicy, RemovalPolicy
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.plan.actions import CheckNics, CheckUnchanged, Create, Kind, PatchAnnotations, PatchInterfaces
from nicplug.plan.nic.template_sync import drop_detached, patch_vmi
from nicplug.plan.vm.plan_vm import plan_vm

ORIGIN = "nicplug.io/template-interfaces"
MIGRATABLE = [{"type": "LiveMigratable", "status": "True"}]
NOT_MIGRATABLE = [{"type": "LiveMigratable", "status": "False"}]
EXPLICIT, DECLARATIVE = a_config(kubevirt()), a_config(kubevirt(hotplug={"removalPolicy": "Declarative"}))


def instance(*nics: Nic, origin: str | Sequence[str] | None = ("default", "blue"), **members: Any) -> Json:
    """A VMI of a VM; `origin`: the names that came from the template, or the annotation's text."""
    text = origin if isinstance(origin, str) or origin is None else json.dumps(sorted(origin), separators=(",", ":"))
    annotations = {"kubevirt.io/vm-generation": "1"} | ({ORIGIN: text} if text is not None else {})
    return vmi(*nics, owner_uid=VM_UID, annotations=annotations, **members)


def synced(
    template: Sequence[Nic], running: Json, *, config: KubevirtConfig = EXPLICIT, policy: HotplugPolicy | None = None
) -> Json | None:
    """The VMI after the patch; None when nothing is sent. A second look must find nothing to do.

    `policy`: the VM's, when its owner has overridden the cluster's.
    """
    record, policy = a_vm(vm(*template)), policy or config.hotplug
    patch = patch_vmi(vm=record, vmi=a_vmi(running), policy=policy)
    if patch is None:
        return None
    after = applied(running, patch)
    assert patch_vmi(vm=record, vmi=a_vmi(after), policy=policy) is None
    return after


def applied(raw: Json, patch: PatchInterfaces | PatchAnnotations) -> Json:
    content = json.dumps([dict(operation) for operation in patch.json_patch()]).encode()
    return patched(copy.deepcopy(raw), content_type=JSON_PATCH, content=content)


def interfaces(raw: Json) -> dict[str, Json]:
    return {item["name"]: item for item in raw["spec"]["domain"]["devices"]["interfaces"]}


def attachments(raw: Json) -> dict[str, str]:
    return {item["name"]: item["multus"]["networkName"] for item in raw["spec"]["networks"] if "multus" in item}


def origin_of(raw: Json) -> Any:
    return json.loads(raw["metadata"]["annotations"][ORIGIN])


ATTACHED = [primary_row(), row("blue", "domain", "multus-status")]
DEFAULT_NETWORK: Nic = (
    {"name": "blue", "bridge": {}},
    {"name": "blue", "multus": {"networkName": "blue-net", "default": True}},
)
BINDINGS = ("bridge", "sriov", "masquerade", "passtBinding", "binding")


@pytest.mark.parametrize(
    ("binding", "flows"), [*zip(BINDINGS, [True, True, False, False, False], strict=True)], ids=str
)
def test_plug(binding: str, flows: bool) -> None:
    after = synced([primary(), nic("blue", binding=binding)], instance(primary(), origin=["default"]))
    assert (after is not None and "blue" in interfaces(after)) is flows


@pytest.mark.parametrize("name", ["pod", "Multus default"])
def test_a_primary_network_is_not_plugged(name: str) -> None:
    wish = primary("blue", binding="bridge") if name == "pod" else DEFAULT_NETWORK
    assert synced([nic("red"), wish], instance(nic("red"), origin=["red"])) is None


@pytest.mark.parametrize(
    ("binding", "flows"), [*zip(BINDINGS, [True, False, False, False, False], strict=True)], ids=str
)
def test_unplug(binding: str, flows: bool) -> None:
    running = instance(primary(), nic("blue", binding=binding), rows=ATTACHED)
    after = synced([primary(), absent("blue", binding=binding)], running)
    assert (after is not None and interfaces(after)["blue"].get("state") == "absent") is flows


STAGED = (
    pytest.param([primary(), nic("blue"), nic("red")], id="plug"),
    pytest.param([primary(), absent("blue")], id="unplug"),
    pytest.param([primary(), nic("blue", attachment="other")], id="network"),
    pytest.param([primary(), nic("blue", state="down")], id="link"),
    pytest.param([primary()], id="deleted"),
)


@pytest.mark.parametrize("strategy", ["Stage", "LiveUpdate", None], ids=str)
@pytest.mark.parametrize("template", STAGED)
def test_with_rollout_strategy_stage_nics_stay_in_the_template(template: Sequence[Nic], strategy: str | None) -> None:
    """They flowed all the same, as in KubeVirt (kubevirt#17328)."""
    config = kubevirt(hotplug={"removalPolicy": "Declarative"})
    config["spec"]["configuration"] |= {"vmRolloutStrategy": strategy} if strategy is not None else {}
    running = instance(primary(), nic("blue"), rows=ATTACHED, conditions=MIGRATABLE)
    actions = plan_vm(vm_view(vm(*template), vmi=running, config=config, report_pending_since=NOW), now=NOW).actions
    assert any(isinstance(action, PatchInterfaces) for action in actions) is (strategy != "Stage")


def test_unplug_with_ordinal_names_waits_for_a_restart() -> None:
    rows = [primary_row(), row("blue", "domain", "multus-status", pod_interface="net1")]
    assert synced([primary(), absent("blue")], instance(primary(), nic("blue"), rows=rows)) is None


@pytest.mark.parametrize("binding", ["bridge", "sriov"])
def test_a_nic_that_never_attached_can_be_taken_back(binding: str) -> None:
    running = instance(primary(), nic("blue", binding=binding), rows=[primary_row()])
    after = synced([primary(), absent("blue", binding=binding)], running)
    assert after is not None
    dropped = drop_detached(a_vmi(after))
    assert dropped is not None
    gone = applied(after, dropped)
    assert list(interfaces(gone)) == ["default"]
    assert origin_of(gone) == ["default"]


@pytest.mark.parametrize("rows", [[primary_row()], [primary_row(), row("blue")]], ids=["no row", "a row of nobody"])
@pytest.mark.parametrize("policy", [EXPLICIT.hotplug, DECLARATIVE.hotplug], ids=["Explicit", "Declarative"])
def test_a_nic_that_never_attached_and_is_deleted_from_the_template_is_no_ghost(
    policy: HotplugPolicy, rows: list[Json]
) -> None:
    """It was Blocked, and needed a restart, until it was written back with `state: absent`."""
    running = instance(primary(), nic("blue"), rows=rows)
    patch = patch_vmi(vm=a_vm(vm(primary())), vmi=a_vmi(running), policy=policy)
    assert isinstance(patch, PatchInterfaces)
    assert {"op": "test", "path": "/status/interfaces", "value": rows} in [dict(item) for item in patch.json_patch()]
    after = applied(running, patch)
    assert interfaces(after)["blue"]["state"] == "absent"
    after["status"]["interfaces"] = [primary_row()]
    asked = drop_detached(a_vmi(after), in_pod=frozenset({"blue"}))
    assert asked is None, "its pod has to let it go first"
    dropped = drop_detached(a_vmi(after))
    assert dropped is not None
    gone = applied(after, dropped)
    assert list(interfaces(gone)) == ["default"]
    assert attachments(gone) == {}
    assert origin_of(gone) == ["default"]


@pytest.mark.parametrize(
    "wish",
    [
        nic("blue", binding="sriov"),
        nic("b.lue"),
        nic("blue", mac="01:00:00:00:00:01"),
        nic("blue", attachment="Not A Name"),
    ],
    ids=["SR-IOV", "name", "MAC", "reference"],
)
def test_a_nic_that_no_pod_is_asked_for_goes_at_once_when_it_is_deleted(wish: Nic) -> None:
    """The API server takes no `state: absent` for it."""
    running = instance(
        primary(),
        wish,
        nic("red"),
        origin=["default", "red", wish[0]["name"]],
        rows=[primary_row(), row("red", "domain", "multus-status")],
    )
    patch = patch_vmi(vm=a_vm(vm(primary(), nic("red"))), vmi=a_vmi(running), policy=EXPLICIT.hotplug)
    assert isinstance(patch, PatchInterfaces)
    assert any(item["path"] == "/status/interfaces" and item["op"] == "test" for item in patch.json_patch())
    after = applied(running, patch)
    assert list(interfaces(after)) == ["default", "red"]
    assert attachments(after) == {"red": "red-net"}
    assert origin_of(after) == ["default", "red"]


def test_a_nic_that_never_attached_and_is_renamed_leaves_only_the_new_name() -> None:
    running = instance(primary(), nic("blue"), rows=[primary_row()])
    after = synced([primary(), nic("green")], running)
    assert after is not None
    assert {name: item.get("state") for name, item in interfaces(after).items()} == {
        "default": None,
        "blue": "absent",
        "green": None,
    }


@pytest.mark.parametrize(
    ("title", "running"),
    [
        ("the pod has it", instance(primary(), nic("blue"), rows=[primary_row(), row("blue", "multus-status")])),
        ("the guest has it", instance(primary(), nic("blue"), rows=[primary_row(), row("blue", "domain")])),
        ("the guest starts", instance(primary(), nic("blue"), phase="Scheduled")),
        ("the VMI alone has it", instance(primary(), nic("blue"), rows=[primary_row()], origin=["default"])),
        (
            "the guest may get it with the pod that it moves to",
            instance(primary(), nic("blue", binding="sriov"), rows=[primary_row()], moving=migration_state()),
        ),
        (
            "the names of those behind it would move",
            instance(
                primary(),
                nic("red"),
                nic("blue", binding="sriov"),
                rows=[primary_row(), row("red", "domain", "multus-status", pod_interface="net1")],
                origin=["blue", "default"],
            ),
        ),
        ("it is the primary one", instance(primary("blue", binding="bridge"), rows=[])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_deleted_nic_stays_when(title: str, running: Json) -> None:
    template = [primary()] if "default" in interfaces(running) else [nic("other")]
    patch = patch_vmi(vm=a_vm(vm(*template)), vmi=a_vmi(running), policy=EXPLICIT.hotplug)
    after = applied(running, patch) if patch is not None else running
    assert interfaces(after)["blue"] == interfaces(running)["blue"], title


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("state", ["up", "down"])
def test_link(binding: str, state: str) -> None:
    running = instance(primary(), nic("blue", binding=binding), rows=ATTACHED)
    after = synced([primary(), nic("blue", binding=binding, state=state)], running)
    if binding == "sriov":
        assert after is None, "the guest drives the device itself"
    else:
        assert after is not None
        assert interfaces(after)["blue"]["state"] == state


@pytest.mark.parametrize("binding", ["bridge", "masquerade"])
def test_link_of_the_primary(binding: str) -> None:
    after = synced([primary(binding=binding, state="down")], instance(primary(binding=binding), origin=["default"]))
    assert after is not None
    assert interfaces(after)["default"]["state"] == "down"


@pytest.mark.parametrize("binding", ["bridge", "sriov", "masquerade", "passtBinding", "binding"])
@pytest.mark.parametrize("migratable", [True, False], ids=["migratable", "not migratable"])
def test_network_change(binding: str, migratable: bool) -> None:
    running = instance(
        primary(),
        nic("blue", binding=binding),
        rows=ATTACHED,
        conditions=MIGRATABLE if migratable else NOT_MIGRATABLE,
    )
    after = synced([primary(), nic("blue", binding=binding, attachment="other", mac="02:00:00:00:00:09")], running)
    if not migratable:
        assert after is None
        return
    assert after is not None
    assert attachments(after) == {"blue": "other"}
    assert "macAddress" not in interfaces(after)["blue"], "no other field is copied"


def test_the_default_network_of_multus_is_not_changed() -> None:
    running = instance(DEFAULT_NETWORK, rows=[row("blue", "domain")], origin=["blue"], conditions=MIGRATABLE)
    other = copy.deepcopy(DEFAULT_NETWORK)
    other[1]["multus"]["networkName"] = "other"
    assert synced([other], running) is None


def test_the_network_of_a_leaving_nic_stays() -> None:
    running = instance(primary(), absent("blue"), rows=ATTACHED, conditions=MIGRATABLE)
    assert synced([primary(), nic("blue", attachment="other")], running) is None


@pytest.mark.parametrize("conditions", [MIGRATABLE, NOT_MIGRATABLE, []], ids=["migratable", "not", "unknown"])
@pytest.mark.parametrize("rows", [[primary_row()], [primary_row(), row("blue")]], ids=["no row", "a row of nobody"])
def test_a_nic_that_never_attached_can_be_corrected(conditions: list[Json], rows: list[Json]) -> None:
    running = instance(primary(), nic("blue", attachment="tpyo"), rows=rows, conditions=conditions)
    after = synced([primary(), nic("blue", mac="02:00:00:00:00:09")], running)
    assert after is not None
    assert attachments(after) == {"blue": "blue-net"}
    assert interfaces(after)["blue"]["macAddress"] == "02:00:00:00:00:09"


@pytest.mark.parametrize(
    ("title", "running"),
    [
        (
            "before the guest runs there are no rows",
            instance(primary(), nic("blue", attachment="tpyo"), phase="Scheduling"),
        ),
        ("the pod has it", instance(primary(), nic("blue", attachment="tpyo"), rows=[row("blue", "multus-status")])),
        ("the guest has it", instance(primary(), nic("blue", attachment="tpyo"), rows=[row("blue", "domain")])),
        ("it is leaving", instance(primary(), nic("blue", attachment="tpyo", state="absent"), rows=[primary_row()])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_nic_is_not_corrected_when(title: str, running: Json) -> None:
    assert synced([primary(), nic("blue")], running) is None, title


def test_a_vmi_remembers_which_nics_its_template_asked_for() -> None:
    action = plan_vm(vm_view(vm(primary(), nic("blue"))), now=NOW).actions[-1]
    assert isinstance(action, Create)
    assert origin_of(thaw(action.body)) == ["blue", "default"]


def test_the_nic_that_is_added_to_a_vm_without_any_is_not_the_template_s() -> None:
    action = plan_vm(vm_view(vm()), now=NOW).actions[-1]
    assert isinstance(action, Create)
    body = thaw(action.body)
    assert (list(interfaces(body)), origin_of(body)) == (["default"], [])


@dataclass(frozen=True, kw_only=True)
class Origin:
    """`remembered`: the list afterwards; None when nothing is sent at all."""

    title: str
    template: Sequence[Nic]
    running: Json
    remembered: Sequence[str] | None
    by_a_patch_of_its_own: bool = False

    def __str__(self) -> str:
        return self.title


BLUE = [primary(), nic("blue")]
ORIGINS = (
    Origin(
        title="a plugged NIC is the template's",
        template=BLUE,
        running=instance(primary(), origin=["default"]),
        remembered=["blue", "default"],
    ),
    Origin(
        title="a NIC that was added to the VMI alone is not",
        template=[primary(), nic("red")],
        running=instance(*BLUE, origin=["default"]),
        remembered=["default", "red"],
    ),
    Origin(
        title="one that was added to the template later is adopted",
        template=BLUE,
        running=instance(*BLUE, origin=["default"]),
        remembered=["blue", "default"],
        by_a_patch_of_its_own=True,
    ),
    Origin(title="nothing to remember", template=BLUE, running=instance(*BLUE), remembered=None),
    Origin(
        title="unknown stays unknown while nothing else is to be written",
        template=BLUE,
        running=instance(*BLUE, origin=None),
        remembered=None,
    ),
    Origin(
        title="unknown: the list begins with the next patch",
        template=[*BLUE, nic("red")],
        running=instance(*BLUE, nic("green"), origin=None),
        remembered=["blue", "default", "red"],
    ),
    Origin(
        title="a name of nothing is dropped",
        template=BLUE,
        running=instance(*BLUE, origin=["blue", "default", "gone"]),
        remembered=["blue", "default"],
        by_a_patch_of_its_own=True,
    ),
    *(
        Origin(
            title=f"unreadable ({text[:12]}): unknown, and written anew with the next patch",
            template=[*BLUE, nic("red")],
            running=instance(*BLUE, origin=text),
            remembered=["blue", "default", "red"],
        )
        for text in ("blue", "{}", '{"blue":1}', '["blue",7]', "null", "[" * 100_000)
    ),
)


@pytest.mark.parametrize("case", ORIGINS, ids=str)
def test_origin(case: Origin) -> None:
    after = synced(case.template, case.running)
    assert (origin_of(after) if after is not None else None) == case.remembered
    if after is not None:
        only_origin = after["spec"] == case.running["spec"]
        assert only_origin is case.by_a_patch_of_its_own


def test_the_list_changes_only_if_it_is_what_we_saw() -> None:
    running = instance(primary(), origin=["default"])
    patch = patch_vmi(vm=a_vm(vm(*BLUE)), vmi=a_vmi(running), policy=EXPLICIT.hotplug)
    assert patch is not None
    running["metadata"]["annotations"][ORIGIN] = '["default","red"]'
    with pytest.raises(Exception, match="rejected"):
        applied(running, patch)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """`blue` was deleted from the template."""

    title: str
    running: Json
    leaves: bool
    config: KubevirtConfig = DECLARATIVE
    policy: HotplugPolicy | None = None

    def __str__(self) -> str:
        return self.title


REMOVALS = (
    Removal(title="Declarative: it leaves", running=instance(*BLUE, rows=ATTACHED), leaves=True),
    Removal(title="Explicit: it stays", running=instance(*BLUE, rows=ATTACHED), config=EXPLICIT, leaves=False),
    Removal(
        title="Explicit, and the VM's owner says Declarative: it leaves",
        running=instance(*BLUE, rows=ATTACHED),
        config=EXPLICIT,
        policy=HotplugPolicy(removal_policy=RemovalPolicy.DECLARATIVE),
        leaves=True,
    ),
    Removal(
        title="Declarative, and the VM's owner says Explicit: it stays",
        running=instance(*BLUE, rows=ATTACHED),
        policy=HotplugPolicy(removal_policy=RemovalPolicy.EXPLICIT),
        leaves=False,
    ),
    Removal(
        title="an unknown policy: it stays",
        running=instance(*BLUE, rows=ATTACHED),
        config=a_config(kubevirt(hotplug={"removalPolicy": "Whatever"})),
        leaves=False,
    ),
    Removal(
        title="a policy that is not even an object: it stays",
        running=instance(*BLUE, rows=ATTACHED),
        config=a_config(kubevirt(hotplug=["Declarative"])),
        leaves=False,
    ),
    Removal(
        title="it was added to the VMI alone: it stays",
        running=instance(*BLUE, rows=ATTACHED, origin=["default"]),
        leaves=False,
    ),
    Removal(title="nobody knows: it stays", running=instance(*BLUE, rows=ATTACHED, origin=None), leaves=False),
    Removal(title="a forged list: it stays", running=instance(*BLUE, rows=ATTACHED, origin="x"), leaves=False),
    Removal(title="it never attached: it leaves", running=instance(*BLUE, rows=[primary_row()]), leaves=True),
    Removal(
        title="SR-IOV: it stays",
        running=instance(primary(), nic("blue", binding="sriov"), rows=ATTACHED),
        leaves=False,
    ),
    Removal(
        title="a plugin: it stays",
        running=instance(primary(), nic("blue", binding="binding"), rows=ATTACHED),
        leaves=False,
    ),
    Removal(
        title="ordinal names: it stays",
        running=instance(*BLUE, rows=[row("blue", "domain", pod_interface="net1")]),
        leaves=False,
    ),
)


@pytest.mark.parametrize("case", REMOVALS, ids=str)
def test_a_nic_deleted_from_the_template(case: Removal) -> None:
    after = synced([primary()], case.running, config=case.config, policy=case.policy)
    assert (after is not None and interfaces(after)["blue"].get("state") == "absent") is case.leaves


@pytest.mark.parametrize(
    ("template", "looks"),
    [((primary(),), True), ((primary(), absent("blue")), False), ((*BLUE, nic("red")), False)],
    ids=["deleted", "absent", "another one comes"],
)
def test_before_a_nic_goes_with_its_entry_the_vm_is_looked_at_once_more(template: Sequence[Nic], looks: bool) -> None:
    """A second leader had heard of the VMI's new NIC before it heard of the VM's, and took it out again."""
    running = instance(*BLUE, rows=[primary_row()])
    actions = plan_vm(vm_view(vm(*template), vmi=running, config=kubevirt(), report_pending_since=NOW), now=NOW).actions
    (at,) = (index for index, action in enumerate(actions) if isinstance(action, PatchInterfaces))
    before = actions[at - 1] if at else None
    assert (isinstance(before, CheckUnchanged) and before.kind is Kind.VM) is looks


def test_the_primary_nic_does_not_leave_with_its_entry() -> None:
    assert synced([nic("blue")], instance(*BLUE, rows=ATTACHED), config=DECLARATIVE) is None


def test_a_nic_that_came_back_to_the_template_leaves_first_and_is_plugged_again() -> None:
    """Plugging a name whose unplug is under way ends in a collision in the guest (kubevirt#13721)."""
    leaving = synced([primary()], instance(*BLUE, rows=ATTACHED), config=DECLARATIVE)
    assert leaving is not None
    assert synced(BLUE, leaving, config=DECLARATIVE) is None, "absent is never revived"
    leaving["status"]["interfaces"] = [primary_row()]
    dropped = drop_detached(a_vmi(leaving))
    assert dropped is not None
    gone = applied(leaving, dropped)
    assert (list(interfaces(gone)), origin_of(gone)) == (["default"], ["default"])
    back = synced(BLUE, gone, config=DECLARATIVE)
    assert back is not None
    assert "state" not in interfaces(back)["blue"]
    assert origin_of(back) == ["blue", "default"]


def test_before_an_absent_nic_leaves_the_template_the_vmi_is_looked_at_once_more() -> None:
    """It was given to the VMI by a write whose answer was lost: its owner's `absent` went, and it stayed for ever.
    Seed 750208 of 'controllers come and go'."""
    running = instance(primary(), rows=[primary_row()], generation=7)
    view = vm_view(vm(primary(), absent("blue")), vmi=running)
    check, drop = [item for item in plan_vm(view, now=NOW).actions if isinstance(item, CheckNics | PatchInterfaces)]
    assert isinstance(check, CheckNics)
    assert check.generation == 7
    assert isinstance(drop, PatchInterfaces)
