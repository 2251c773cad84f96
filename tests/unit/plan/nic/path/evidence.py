"""Evidence with good defaults: a bridge NIC, a controller that is ready, and two nodes to go to."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tools.path_examples import ASKED_AT, DAEMON_SET, TYPICAL

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.plan.candidates import Candidates
from nicplug.plan.nic.path.evidence import PathEvidence

READY = DynamicController(state=ControllerState.READY, daemon_set=DAEMON_SET)
UNKNOWN = DynamicController()
NOT_DEPLOYED = DynamicController(state=ControllerState.NOT_DEPLOYED)
NOT_ON_NODE = DynamicController(state=ControllerState.NOT_ON_NODE, daemon_set=DAEMON_SET)

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
    """The typical evidence of the documentation, so many seconds after the pod was asked, and what differs in it."""
    return replace(TYPICAL, now=at(after), **differs)
