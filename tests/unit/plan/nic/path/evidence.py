"""Evidence with good defaults: a bridge NIC, a controller that is ready, and two nodes to go to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.operations import OperationType
from nicplug.plan.candidates import Candidates
from nicplug.plan.nic.path.evidence import PathEvidence

ASKED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAEMON_SET = "kube-system/dynamic-networks-controller-ds"

READY = DynamicController(state=ControllerState.READY, daemon_set=DAEMON_SET)
UNKNOWN = DynamicController()
NOT_DEPLOYED = DynamicController(state=ControllerState.NOT_DEPLOYED)
NOT_ON_NODE = DynamicController(state=ControllerState.NOT_ON_NODE, daemon_set=DAEMON_SET)

NODES = Candidates(is_known=True, nodes=frozenset({"node02", "node03"}), total=3)
NO_NODE = Candidates(is_known=True, total=1, message="0 of 1 nodes can take the VM: node01 runs it")
NO_DEVICE = replace(NO_NODE, devices_nowhere=("example.com/fast",))


def at(seconds: float) -> datetime:
    """So long after the pod was asked."""
    return ASKED_AT + timedelta(seconds=seconds)


def not_ready(since: datetime | None = None) -> DynamicController:
    """A controller that crashes."""
    return DynamicController(
        state=ControllerState.NOT_READY, daemon_set=DAEMON_SET, message="CrashLoopBackOff", since=since
    )


def gone(since: datetime) -> DynamicController:
    """A controller whose pod has just been deleted, on a node where there will be another one."""
    return DynamicController(state=ControllerState.NOT_ON_NODE, daemon_set=DAEMON_SET, since=since)


def evidence(*, after: float = 1.0, **differs: Any) -> PathEvidence:
    """Evidence so many seconds after the pod was asked."""
    values: dict[str, Any] = {
        "policy": HotplugPolicy(),
        "operation": OperationType.PLUG,
        "is_sriov": False,
        "controller": READY,
        "failed_attempts": 0,
        "attempts": 1,
        "error": "",
        "waiting_since": ASKED_AT,
        "not_migratable": "",
        "candidates": NODES,
        "workload_update_allows": True,
        "failed_migrations": 0,
        "migration_error": "",
        "is_worth_migrating_again": True,
        "now": at(after),
        "node": "node01",
        "pod": "virt-launcher-a",
        "network": "default/blue-net",
    }
    return PathEvidence(**values | differs)
