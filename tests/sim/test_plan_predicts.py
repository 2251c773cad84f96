"""`nicplug plan` says what then happens: for every row of the tables of docs/which-path-and-why.md.

The plan is taken on the state in which the row decides, then the operator acts and the nodes follow; path, reason and
end are compared with what was said.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import structlog
from tests.build import kubevirt, nic, primary, vmi_spec
from tests.build import vm as a_vm
from tests.sim.cluster import DAEMON_SETS, KUBEVIRTS, NODES, PODS, VMIS, VMS, Cluster, Json, is_target, launcher_pods
from tests.sim.dynamic_controller import deploy_controllers, set_ready, stop_controller
from tests.sim.kubelet import _serve as serve_pod
from tests.sim.kubelet import elements_of, kubelet
from tests.sim.node_side import Role
from tests.sim.planning import Stage, devices_of, nic_of
from tests.sim.users import make_networks, make_nodes

from nicplug.insight.forecast import forecast
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.plan.nic.path.choice import deciding_rules
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES, Rule

NODE_NAMES = ("node01", "node02", "node03")
NAME, NIC = "vmi-b", "blue"
ALL_RULES = (*IN_PLACE, *OBSTACLES)

Deed = Callable[[Stage], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """How the state comes about in which a rule decides.

    Attributes:
        before: done before the VM is asked for anything.
        edit: of the VMI: what is asked for.
        spoil: done before each step, until the plan is taken.
        owners: whose NIC it is: that of a VMI, or of a VM's template.
        is_unanswered: the controller does not do its part, so that it ends as the forecast's `otherwise` says.
        is_unforeseeable: target pods fail later on for what nobody can know before the change.
    """

    rule: str
    nic: str = NIC
    before: Deed = lambda _: None
    edit: Callable[[Json], object] = lambda body: plug(body, NIC)
    spoil: Deed = lambda _: None
    owners: Sequence[str] = (VMIS, VMS)
    is_unanswered: bool = False
    is_unforeseeable: bool = False
    patience: float = 2000.0
    blind: frozenset[str] = frozenset()
    born_with: Sequence[str] = ()

    def __str__(self) -> str:
        return self.rule


def plug(body: Json, name: str, *, binding: str = "bridge") -> None:
    interface, network = nic(name, binding=binding)
    interfaces, networks = devices_of(body)
    interfaces.append(interface)
    networks.append(network)


def set_link_down(body: Json) -> None:
    devices_of(body)[0][-1]["state"] = "down"


def move_to(body: Json, name: str, attachment: str) -> None:
    networks = devices_of(body)[1]
    next(item for item in networks if item["name"] == name)["multus"]["networkName"] = attachment


def policy(**fields: str) -> Deed:
    def act(stage: Stage) -> None:
        found = stage.cluster.get(KUBEVIRTS, "kubevirt")
        assert found is not None
        found["spec"]["configuration"]["network"].setdefault("hotplug", {}).update(fields)
        stage.cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")

    return act


def workload_updates(*methods: str) -> Deed:
    def act(stage: Stage) -> None:
        found = stage.cluster.get(KUBEVIRTS, "kubevirt")
        assert found is not None
        found["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": list(methods)}
        stage.cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")

    return act


def no_controllers(stage: Stage) -> None:
    for node in stage.cluster.machines:
        stop_controller(stage.cluster, node)


def broken_controllers(stage: Stage) -> None:
    for machine in stage.cluster.machines.values():
        machine.is_controller_broken = True


def mute_controllers(stage: Stage) -> None:
    """They look ready and do nothing."""
    for machine in stage.cluster.machines.values():
        machine.has_controller = False


def unready_controllers(stage: Stage) -> None:
    for node in stage.cluster.machines:
        set_ready(stage.cluster, node, is_ready=False)
    mute_controllers(stage)


def not_migratable(stage: Stage) -> None:
    found = stage.cluster.get(VMIS, NAME)
    assert found is not None
    rows = [row for row in found["status"]["conditions"] if row["type"] != "LiveMigratable"]
    told = {"type": "LiveMigratable", "status": "False", "reason": "HostDeviceNotLiveMigratable", "message": "a GPU"}
    found["status"]["conditions"] = [*rows, told]
    stage.cluster.replace(VMIS, NAME, found, by="node agent", subresource="status")


def cordon_others(stage: Stage) -> None:
    found = stage.cluster.get(VMIS, NAME)
    assert found is not None
    for node in stage.cluster.all(NODES):
        if node["metadata"]["name"] != found["status"]["nodeName"]:
            node["spec"]["unschedulable"] = True
            stage.cluster.replace(NODES, node["metadata"]["name"], node, by="admin")


def fail_targets(stage: Stage) -> None:
    """Every target pod ends as soon as it has a node: no fault of any network."""
    for pod in launcher_pods(stage.cluster):
        is_new = pod["status"]["phase"] in ("Pending", "Running") and "nodeName" in pod["spec"]
        if is_target(stage.cluster, pod) and is_new:
            ended = {**pod, "status": {**pod["status"], "phase": "Failed", "reason": "Evicted", "message": "disk"}}
            stage.cluster.replace(PODS, pod["metadata"]["name"], ended, by="kubelet", subresource="status")


def failing_kubelet(network: str) -> Role:
    """A kubelet that can start no pod with this network, and says so; pods that have it already run on."""
    told: set[str] = set()

    def act(cluster: Cluster) -> bool:
        for pod in cluster.all(PODS):
            is_new = pod["status"]["phase"] == "Pending" and "nodeName" in pod["spec"]
            if not is_new or "deletionTimestamp" in pod["metadata"] or not _asks_for(pod, network):
                if serve_pod(cluster, pod):
                    return True
            elif pod["metadata"]["uid"] not in told:
                told.add(pod["metadata"]["uid"])
                message = f'plugin failed (add): error adding container to network "{network}": no such bridge'
                cluster.report(pod, reason="FailedCreatePodSandBox", message=message)
                return True
        return False

    return act


def _asks_for(pod: Json, network: str) -> bool:
    return any(f"{item['namespace']}/{item['name']}" == network for item in elements_of(pod))


def chained(*deeds: Deed) -> Deed:
    def act(stage: Stage) -> None:
        for deed in deeds:
            deed(stage)

    return act


def wait(seconds: float) -> Deed:
    return lambda stage: stage.settle(seconds=seconds)


def breaks_red(stage: Stage) -> None:
    kubelet_ = failing_kubelet("default/red-net")
    stage.roles = tuple(kubelet_ if role is kubelet else role for role in stage.roles)


ROWS = (
    Row(rule="only the link is to be set up or down", nic="red", edit=set_link_down, born_with=("red",)),
    Row(
        rule="it was taken back before, `onFailure` is still `Rollback`, and its owner has not changed the NIC since",
        before=chained(policy(onFailure="Rollback"), broken_controllers),
        # A VM's NIC leaves the instance: no path is chosen for it any more.
        owners=(VMIS,),
    ),
    Row(
        rule="the guest has no PCI slot left",
        born_with=tuple(f"nic{number}" for number in range(8)),
    ),
    Row(rule="SR-IOV", edit=lambda body: plug(body, NIC, binding="sriov")),
    Row(
        rule="another network for a NIC that the guest has",
        nic="red",
        born_with=("red",),
        edit=lambda body: move_to(body, "red", "green-net"),
    ),
    Row(rule="`dynamicPath: Never`", before=policy(dynamicPath="Never")),
    Row(
        rule="the controller stopped being ready, or left a node that its DaemonSet selects, less than 5 s ago",
        before=unready_controllers,
        is_unanswered=True,
    ),
    Row(
        rule="no controller in the cluster or on the VM's node, `dynamicPath: Always`",
        before=chained(policy(dynamicPath="Always"), no_controllers, wait(10)),
    ),
    Row(
        rule="no controller in the cluster or on the VM's node",
        before=chained(no_controllers, wait(10)),
    ),
    Row(
        rule="two attempts that the controller reported failed, or `dynamicTimeout` is over; `onFailure: Rollback`, "
        "and it is not an unplug",
        before=chained(policy(onFailure="Rollback"), broken_controllers),
    ),
    Row(
        rule="two attempts that the controller reported failed, `onFailure` not `Migrate` or `dynamicPath: Always`",
        before=chained(policy(onFailure="Hold"), broken_controllers),
    ),
    Row(rule="two attempts that the controller reported failed", before=broken_controllers),
    Row(
        rule="the controller is not ready, and nothing forbids to migrate on failure",
        before=chained(unready_controllers, wait(10)),
    ),
    Row(
        rule="`dynamicTimeout` is over, `onFailure` not `Migrate` or `dynamicPath: Always`",
        before=chained(policy(onFailure="Hold"), mute_controllers),
    ),
    Row(rule="`dynamicTimeout` is over", before=mute_controllers),
    Row(
        rule="the controller is not ready, and has time until `dynamicTimeout` is over",
        before=chained(policy(onFailure="Hold"), unready_controllers, wait(10)),
        is_unanswered=True,
    ),
    Row(rule="the controller reported one failure", before=broken_controllers, is_unanswered=True),
    Row(
        rule="nobody knows whether a controller runs: rights or kinds are missing",
        blind=frozenset({DAEMON_SETS}),
    ),
    Row(rule="the controller is ready on the VM's node"),
    Row(rule="`migration: Never`", before=chained(policy(migration="Never"), no_controllers, wait(10))),
    Row(
        rule="`workloadUpdateMethods` is set and does not list `LiveMigrate`",
        before=chained(workload_updates(), no_controllers, wait(10)),
    ),
    Row(
        rule="another network, and the condition `LiveMigratable` is not True",
        nic="red",
        born_with=("red",),
        before=not_migratable,
        edit=lambda body: move_to(body, "red", "green-net"),
    ),
    Row(
        rule="the condition `LiveMigratable` is not True",
        before=chained(not_migratable, no_controllers, wait(10)),
    ),
    Row(
        rule="five migrations have failed, or the last one for a reason that a retry does not fix; "
        "`onFailure: Rollback`, and it is not an unplug",
        before=chained(policy(onFailure="Rollback"), no_controllers, wait(10)),
        spoil=fail_targets,
        is_unforeseeable=True,
        patience=20_000,
    ),
    Row(
        rule="five migrations have failed, or the last one for a reason that a retry does not fix",
        before=chained(no_controllers, wait(10)),
        spoil=fail_targets,
        is_unforeseeable=True,
        patience=20_000,
    ),
    Row(
        rule="the last migration failed of the network of another NIC that comes with every target pod, and that is "
        "as it was",
        born_with=("red",),
        before=chained(no_controllers, wait(10), breaks_red),
        is_unforeseeable=True,
        patience=20_000,
    ),
    Row(rule="no node can take the VM", before=chained(no_controllers, wait(10), cordon_others)),
    Row(
        rule="fewer than five migrations have failed",
        before=chained(no_controllers, wait(10)),
        spoil=fail_targets,
        patience=20_000,
    ),
)
"""The state of each row of the two tables."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The log of the cluster is its own; the operator's would be the slowest part."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def test_every_row_of_the_tables_is_predicted() -> None:
    assert [rule.when for rule in ALL_RULES] == [row.rule for row in ROWS]


def make_stage(row: Row, *, plural: str = VMIS) -> Stage:
    """A VMI that runs, with the NICs that it is born with: of nobody's, or of a VM of the same name."""
    cluster = Cluster(NODE_NAMES)
    make_nodes(cluster)
    deploy_controllers(cluster)
    cluster.create(KUBEVIRTS, {**kubevirt(), "metadata": {"name": "kubevirt"}}, by="admin")
    make_networks(cluster)
    nics = [nic(name, attachment="red-net" if name.startswith("nic") else None) for name in row.born_with]
    nics = [primary(), *nics][-8 if len(nics) > 7 else 0 :]
    annotations = {"kubevirt.io/placePCIDevicesOnRootComplex": "true"} if len(row.born_with) > 4 else {}
    body: Json = {"apiVersion": "kubevirt.io/v1", "metadata": {"name": NAME}}
    if plural == VMIS:
        body |= {"kind": "VirtualMachineInstance", "spec": vmi_spec(nics)}
        body["metadata"] |= {"annotations": annotations} if annotations else {}
    else:
        body |= {"kind": "VirtualMachine", "spec": a_vm(*nics)["spec"]}
        body["spec"]["template"]["metadata"] |= {"annotations": annotations} if annotations else {}
    cluster.create(plural, body, by="user")
    stage = Stage(cluster, blind=row.blind)
    stage.blind_operator()
    stage.settle(seconds=5)
    return stage


async def ask_and_change(stage: Stage, row: Row, *, plural: str) -> NicForecast:
    """The forecast before the change, which is then made."""
    changed = stage.change(plural, NAME, row.edit)
    told = nic_of(await stage.plan(NAME, changed), row.nic)
    assert told is not None
    stage.store(plural, NAME, changed)
    return told


async def find_state(stage: Stage, row: Row) -> NicForecast:
    """Go on step by step until the rule decides; the forecast that the command would give then."""
    rule = next(item for item in ALL_RULES if item.when == row.rule)
    horizon = stage.cluster.now.timestamp() + row.patience
    while stage.cluster.now.timestamp() < horizon:
        if not stage.step():
            due = stage.operator.next_due()
            stage.cluster.pass_time(max(0.05, (due - stage.cluster.now).total_seconds()) if due is not None else 1.0)
        told = nic_of(await stage.plan(NAME), row.nic)
        if told is not None and decides(told, rule):
            return told
    raise AssertionError(f"the rule never decides: {row.rule}")


def decides(told: NicForecast, rule: Rule) -> bool:
    """It is the rule that the forecast stands on."""
    return told.evidence is not None and deciding_rules(told.evidence)[-1] is rule


@pytest.mark.parametrize(
    ("row", "plural"), [pytest.param(row, plural, id=f"{row}-{plural}") for row in ROWS for plural in row.owners]
)
async def test_the_plan_says_what_then_happens(row: Row, plural: str) -> None:
    stage = make_stage(row, plural=plural)
    row.before(stage)
    stage.spoil = row.spoil
    first = told = await ask_and_change(stage, row, plural=plural)
    if not decides(told, next(item for item in ALL_RULES if item.when == row.rule)):
        begins_as_foretold(stage, row, told)
        told = await find_state(stage, row)
    stage.spoil = lambda _: None
    begins_as_foretold(stage, row, told)

    stage.settle(seconds=1200)
    foretold = [item.outcome for item in (first, first.otherwise) if item is not None]
    assert (ended(stage, row) in foretold) is not row.is_unforeseeable, f"the plan before the change says {foretold}"
    if not row.is_unanswered:
        assert ended(stage, row) == told.outcome
        return
    assert told.otherwise is not None, f"the plan says {told.outcome} alone"
    assert ended(stage, row) == told.otherwise.outcome


def begins_as_foretold(stage: Stage, row: Row, told: NicForecast) -> None:
    """What the operator does next is what the plan says."""
    stage.let_operator_finish()
    record = stage.record(NAME, row.nic)
    assert record is not None, f"the plan says {told.outcome}, and there is no record"
    assert (record["path"], record["reason"]) == (told.path, told.reason)


def ended(stage: Stage, row: Row) -> Outcome:
    """How the NIC is in the end, in the words of the forecast."""
    record = stage.record(NAME, row.nic)
    assert record is not None
    if record["phase"] == "Ready":
        return Outcome.BY_MIGRATION if record["path"] == "Migration" else Outcome.IN_PLACE
    if record["path"] == "Restart":
        return Outcome.NEEDS_RESTART
    return Outcome.STUCK


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A controller that looks ready and never answers."""

    policy: str
    outcome: Outcome
    reason: str


@pytest.mark.parametrize(
    "silence",
    [
        Silence(policy="Migrate", outcome=Outcome.BY_MIGRATION, reason="DynamicTimeout"),
        Silence(policy="Hold", outcome=Outcome.STUCK, reason="DynamicTimeout"),
        Silence(policy="Rollback", outcome=Outcome.STUCK, reason="RolledBack"),
    ],
    ids=lambda silence: silence.policy,
)
async def test_the_plan_says_what_happens_otherwise(silence: Silence) -> None:
    stage = make_stage(Row(rule=""))
    policy(onFailure=silence.policy)(stage)
    mute_controllers(stage)
    changed = stage.change(VMIS, NAME, lambda body: plug(body, NIC))
    told = nic_of(await stage.plan(NAME, changed), NIC)
    assert told is not None
    assert told.outcome is Outcome.IN_PLACE
    assert told.otherwise is not None
    assert (told.otherwise.outcome, told.otherwise.reason) == (silence.outcome, silence.reason)

    stage.store(VMIS, NAME, changed)
    asked_at = stage.cluster.now
    stage.settle(seconds=told.otherwise.after.total_seconds() - 0.5)
    record = stage.record(NAME, NIC)
    assert record is not None
    assert record["reason"] == told.reason, "not before its time"
    stage.settle(seconds=1.5, roles=())
    record = stage.record(NAME, NIC)
    assert record is not None
    assert record["reason"] == told.otherwise.reason, f"asked at {asked_at}"


VM_NAME = "vm-a"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A change of a VM's template.

    Attributes:
        nic: that is compared.
    """

    name: str
    edit: Callable[[Json], object] = lambda body: plug(body, NIC)
    before: Deed = lambda _: None
    nic: str = NIC
    outcome: Outcome
    reason: str

    def __str__(self) -> str:
        return self.name


def gate_off(stage: Stage) -> None:
    found = stage.cluster.get(KUBEVIRTS, "kubevirt")
    assert found is not None
    found["spec"]["configuration"]["developerConfiguration"]["featureGates"] = []
    stage.cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")


def staged(stage: Stage) -> None:
    found = stage.cluster.get(KUBEVIRTS, "kubevirt")
    assert found is not None
    found["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"
    stage.cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")


def plug_on(network: str) -> Callable[[Json], object]:
    def edit(body: Json) -> None:
        interface, entry = nic(NIC, attachment=network)
        interfaces, networks = devices_of(body)
        interfaces.append(interface)
        networks.append(entry)

    return edit


def unplug_red(body: Json) -> None:
    next(item for item in devices_of(body)[0] if item["name"] == "red")["state"] = "absent"


TEMPLATES = (
    Template(name="plug", outcome=Outcome.IN_PLACE, reason="WaitingForPodInterface"),
    Template(name="unplug", edit=unplug_red, nic="red", outcome=Outcome.IN_PLACE, reason="WaitingForGuestRelease"),
    Template(name="gate off", before=gate_off, outcome=Outcome.STUCK, reason="FeatureGateDisabled"),
    Template(name="staged", before=staged, outcome=Outcome.NEEDS_RESTART, reason="RolloutStrategyStage"),
    Template(
        name="no such network",
        edit=plug_on("nowhere"),
        outcome=Outcome.STUCK,
        reason="NetworkAttachmentDefinitionMissing",
    ),
    Template(
        name="network of another namespace",
        edit=plug_on("ops/red-net"),
        outcome=Outcome.STUCK,
        reason="NetworkNotAllowed",
    ),
    Template(
        name="a binding that no running VM can follow",
        edit=lambda body: plug(body, NIC, binding="passtBinding"),
        outcome=Outcome.NEEDS_RESTART,
        reason="BindingNeedsRestart",
    ),
    Template(
        name="no controller",
        before=chained(no_controllers, wait(10)),
        outcome=Outcome.BY_MIGRATION,
        reason="NoDynamicController",
    ),
)


@pytest.mark.parametrize("case", TEMPLATES, ids=str)
async def test_the_plan_for_a_template_says_what_then_happens(case: Template) -> None:
    stage = make_stage(Row(rule=""))
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": VM_NAME}}
    stage.cluster.create(VMS, {**body, "spec": a_vm(primary(), nic("red"))["spec"]}, by="user")
    stage.settle(seconds=5)
    assert stage.has_nic(VM_NAME, "red")
    case.before(stage)
    changed = stage.change(VMS, VM_NAME, case.edit)
    told = nic_of(await stage.plan(VM_NAME, changed), case.nic)
    assert told is not None
    assert (told.outcome, told.reason) == (case.outcome, case.reason)

    stage.store(VMS, VM_NAME, changed)
    stage.let_operator_finish()
    record = stage.record(VM_NAME, case.nic)
    assert record is not None
    assert (record["path"], record["reason"]) == (told.path, told.reason)
    stage.settle(seconds=1200)
    is_there = stage.has_nic(VM_NAME, case.nic)
    assert is_there == (told.outcome.arrives and told.operation == "Plug")


def delete_blue(body: Json) -> None:
    for entries in devices_of(body):
        entries[:] = [item for item in entries if item["name"] != NIC]


def absent_blue(body: Json) -> None:
    next(item for item in devices_of(body)[0] if item["name"] == NIC)["state"] = "absent"


@pytest.mark.parametrize("edit", [absent_blue, delete_blue], ids=["absent", "deleted"])
async def test_a_nic_that_never_attached_leaves_template_and_instance_as_the_plan_says(
    edit: Callable[[Json], object],
) -> None:
    stage = make_stage(Row(rule=""))
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": VM_NAME}}
    spec = a_vm(primary(), nic("red"))["spec"]
    stage.cluster.create(VMS, {**body, "spec": spec}, by="user")
    stage.settle(seconds=5)
    stage.store(VMS, VM_NAME, stage.change(VMS, VM_NAME, plug_on("nowhere")))
    stage.settle(seconds=5)
    record = stage.record(VM_NAME, NIC)
    assert record is not None
    assert record["phase"] == "Blocked"
    changed = stage.change(VMS, VM_NAME, edit)
    told = nic_of(await stage.plan(VM_NAME, changed), NIC)
    assert told is not None
    assert (told.operation, told.outcome) == ("Unplug", Outcome.WITHDRAWN)

    rows = stage.cluster.get(VMIS, VM_NAME)["status"]["interfaces"]  # type: ignore[index]
    stage.store(VMS, VM_NAME, changed)
    stage.settle(seconds=60)
    for plural in (VMS, VMIS):
        assert NIC not in {item["name"] for item in devices_of(stage.change(plural, VM_NAME, lambda _: None))[0]}
    assert stage.record(VM_NAME, NIC) is None
    assert stage.cluster.get(VMIS, VM_NAME)["status"]["interfaces"] == rows, "the guest is as it was"  # type: ignore[index]


async def test_a_plan_for_a_network_that_was_not_read_is_refused() -> None:
    """It would say that the network does not exist."""
    stage = make_stage(Row(rule=""))
    evidence = await stage.evidence(NAME)
    changed = stage.change(VMIS, NAME, lambda body: plug(body, NIC))
    with pytest.raises(ValueError, match="the evidence was read without default/blue-net"):
        forecast(evidence, changed=changed, now=stage.cluster.now)
