"""The dynamic networks controller of Multus: by what it is known, and whether it runs where a VM runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from nicplug.model.daemon_set import DaemonSet
from nicplug.model.metadata import mapping, text

# As its own manifests and those of the distributions have it.
_IMAGE = "multus-dynamic-networks-controller"
_NAMES = ("dynamic-networks-controller", "multus-dynamic-networks-controller")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerFinder:
    """`dynamicController` of the policy: which DaemonSet of the trusted namespaces is the dynamic networks controller.

    Everything that is set has to match; without a name, an image or labels it is known by its usual image or name.

    Attributes:
        name: of the DaemonSet.
        image: a part of the image of one of its containers.
        match_labels: labels of the DaemonSet.
    """

    namespace: str = ""
    name: str = ""
    image: str = ""
    match_labels: Mapping[str, str] = field(default_factory=dict)

    def matches(self, daemon_set: DaemonSet) -> bool:
        """It is the controller."""
        if self.namespace not in ("", daemon_set.key.namespace):
            return False
        if not (self.name or self.image or self.match_labels):
            is_named = daemon_set.key.name.startswith(_NAMES)
            return is_named or any(_IMAGE in image for image in daemon_set.images)
        return (
            self.name in ("", daemon_set.key.name)
            and any(self.image in image for image in daemon_set.images)
            and self.match_labels.items() <= daemon_set.labels.items()
        )


def parse_controller_finder(raw: Mapping[str, Any]) -> ControllerFinder:
    """Read `spec.configuration.network.hotplug.dynamicController` of the KubeVirt CR."""
    labels = mapping(mapping(raw.get("selector")).get("matchLabels"))
    return ControllerFinder(
        namespace=text(raw.get("namespace")),
        name=text(raw.get("name")),
        image=text(raw.get("image")),
        match_labels={text(name): text(value) for name, value in labels.items()},
    )
