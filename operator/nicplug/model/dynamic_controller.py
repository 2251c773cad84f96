"""The dynamic networks controller of Multus: whether it runs where a VM runs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ControllerState(StrEnum):
    """What is known of the dynamic networks controller on the node of the VM."""

    UNKNOWN = "unknown"
    """Its DaemonSets or pods cannot be read, so the controller is given the benefit of the doubt."""
    NOT_DEPLOYED = "not deployed"
    """The cluster has none."""
    NOT_ON_NODE = "not on the node"
    NOT_READY = "not ready"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicController:
    """The dynamic networks controller, seen from one node.

    Attributes:
        daemon_set: `<namespace>/<name>` of the DaemonSet, for a sentence; "" when none is known.
        message: why it is not ready, for a sentence; "" when it is.
        since: when it stopped being ready, or vanished from a node that its DaemonSet still selects; None when it is
            ready, has never been there, or nobody knows.
    """

    state: ControllerState = ControllerState.UNKNOWN
    daemon_set: str = ""
    message: str = ""
    since: datetime | None = None

    @property
    def is_absent(self) -> bool:
        """Nobody on the node would notice what the pod is asked for."""
        return self.state in (ControllerState.NOT_DEPLOYED, ControllerState.NOT_ON_NODE)
