"""One example for each rule by which the path of a NIC is chosen: the page shows what a record then says.

An example is evidence, as the operator gathers it: the typical one, and what differs in it. What is chosen on it is
asked of the code. That each rule has one is tested in tests/unit/plan/nic/path/test_page.py.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.hotplug_policy import DynamicPath, HotplugPolicy, MigrationPolicy, OnFailure
from nicplug.model.operations import OperationType
from nicplug.plan.candidates import Candidates
from nicplug.plan.nic.path import messages as sentences
from nicplug.plan.nic.path.evidence import PathEvidence

ASKED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""When the pod was asked for the NIC."""
DAEMON_SET = "kube-system/dynamic-networks-controller-ds"
TYPICAL = PathEvidence(
    policy=HotplugPolicy(),
    operation=OperationType.PLUG,
    is_sriov=False,
    controller=DynamicController(state=ControllerState.READY, daemon_set=DAEMON_SET),
    failed_attempts=0,
    attempts=1,
    error="",
    waiting_since=ASKED_AT,
    not_migratable="",
    candidates=Candidates(is_known=True, nodes=frozenset({"node02", "node03"}), total=3),
    workload_update_allows=True,
    failed_migrations=0,
    migration_error="",
    migration_given_up=False,
    now=ASKED_AT + timedelta(seconds=1),
    node="node01",
    pod="virt-launcher-a",
    network="default/blue-net",
)
"""A bridge NIC for which a controller that is ready was asked a second ago; the VM can move to two nodes."""

_CUSTOM_RESOURCE = "KubeVirt CR kubevirt/kubevirt"
_NEVER = HotplugPolicy(dynamic_path=DynamicPath.NEVER, origins={"dynamicPath": _CUSTOM_RESOURCE})
_ALWAYS = HotplugPolicy(
    dynamic_path=DynamicPath.ALWAYS,
    origins={"dynamicPath": "annotation nicplug.io/dynamic-path of VirtualMachine default/a"},
)
_HOLD = HotplugPolicy(on_failure=OnFailure.HOLD, origins={"onFailure": _CUSTOM_RESOURCE})
_ROLLBACK = HotplugPolicy(on_failure=OnFailure.ROLLBACK, origins={"onFailure": _CUSTOM_RESOURCE})
_NO_MIGRATION = HotplugPolicy(
    migration=MigrationPolicy.NEVER,
    origins={"migration": f"spec.configuration.network.hotplug.migration of {_CUSTOM_RESOURCE}"},
)
_ERROR = "no such device"
_EVICTED = "target pod was evicted"
_NO_CONTROLLER = replace(TYPICAL, controller=DynamicController(state=ControllerState.NOT_DEPLOYED))
_AT_DEADLINE = replace(TYPICAL, now=ASKED_AT + timedelta(seconds=10))
_FAILED_TWICE = replace(TYPICAL, failed_attempts=2, attempts=2, error=_ERROR)


def _not_ready(*, seconds: float) -> PathEvidence:
    """A controller that has been crashing for so long."""
    controller = DynamicController(
        state=ControllerState.NOT_READY,
        daemon_set=DAEMON_SET,
        message="CrashLoopBackOff",
        since=TYPICAL.now - timedelta(seconds=seconds),
    )
    return replace(TYPICAL, controller=controller)


EXAMPLES = (
    # In place, or not.
    replace(TYPICAL, operation=OperationType.SET_LINK),
    replace(
        TYPICAL,
        policy=_ROLLBACK,
        rolled_back=f"{_ERROR}; rolled back, as onFailure is Rollback ({_CUSTOM_RESOURCE})",
    ),
    replace(TYPICAL, no_slot="the guest has at most 8 PCI slots for NICs, 8 taken"),
    replace(TYPICAL, is_sriov=True),
    replace(TYPICAL, operation=OperationType.CHANGE_NETWORK),
    replace(TYPICAL, policy=_NEVER),
    _not_ready(seconds=2),
    replace(
        TYPICAL,
        policy=_ALWAYS,
        controller=DynamicController(state=ControllerState.NOT_ON_NODE, daemon_set=DAEMON_SET),
    ),
    _NO_CONTROLLER,
    replace(_FAILED_TWICE, policy=_ROLLBACK),
    replace(_FAILED_TWICE, policy=_HOLD),
    _FAILED_TWICE,
    _not_ready(seconds=60),
    replace(_AT_DEADLINE, policy=_HOLD),
    _AT_DEADLINE,
    replace(_not_ready(seconds=60), policy=_HOLD),
    replace(TYPICAL, failed_attempts=1, error=_ERROR),
    replace(TYPICAL, controller=DynamicController()),
    TYPICAL,
    # What stands in the way of a migration.
    replace(TYPICAL, is_sriov=True, policy=_NO_MIGRATION),
    replace(_NO_CONTROLLER, workload_update_allows=False),
    replace(TYPICAL, operation=OperationType.CHANGE_NETWORK, not_migratable="DisksNotLiveMigratable"),
    replace(_NO_CONTROLLER, not_migratable="DisksNotLiveMigratable: cannot migrate VMI with non-shared PVCs"),
    replace(
        TYPICAL, is_sriov=True, policy=_ROLLBACK, failed_migrations=5, migration_given_up=True, migration_error=_EVICTED
    ),
    replace(_NO_CONTROLLER, failed_migrations=5, migration_given_up=True, migration_error=_EVICTED),
    replace(
        _NO_CONTROLLER,
        blocking_network=sentences.blocked_by("green", network="default/green-net", error="no such bridge"),
        blocked_until=ASKED_AT + timedelta(seconds=900),
    ),
    replace(
        _NO_CONTROLLER,
        candidates=Candidates(is_known=True, total=1, message="0 of 1 nodes can take the VM: node01 runs it"),
    ),
    replace(_NO_CONTROLLER, failed_migrations=2, migration_error=_EVICTED),
)
"""In the order of the rules."""
