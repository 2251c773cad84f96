"""Whether nicplug takes KubeVirt's place in a cluster, or works beside it.

Pure: `startup` looks at the cluster, `decide_mode` says what follows.
"""

from dataclasses import dataclass
from enum import StrEnum

from nicplug.model.names import BESIDE_KUBEVIRT

DEFINITION = "virtualmachineinstances.kubevirt.io"


class Mode(StrEnum):
    """What nicplug does in a cluster."""

    STANDALONE = "standalone"
    """nicplug runs the virtual machines itself, in the place of virt-controller, with its own CRDs."""

    COMPANION = "companion"
    """KubeVirt runs the virtual machines; nicplug requests migrations and reports."""


class Owner(StrEnum):
    """Whose CRDs of the group kubevirt.io are installed."""

    NICPLUG = "nicplug"
    KUBEVIRT = "KubeVirt"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtController:
    """What shows that KubeVirt's virt-controller is installed.

    Attributes:
        found: the object that shows it, for a sentence; "" if there is none.
        unread: what nicplug may not list, for a sentence; "" if it may list Deployments and Leases.
        is_unknown: True if it may list neither.
    """

    found: str = ""
    unread: str = ""
    is_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nicplug must not start.

    Attributes:
        message: what was found, a sentence without a full stop.
        remedy: what to do.
    """

    message: str
    remedy: str


def decide_mode(*, wanted: Mode | None, owner: Owner, controller: VirtController) -> Mode | Refusal | None:
    """Choose the mode that fits the cluster.

    Args:
        wanted: the mode that was asked for; None to detect it.
        owner: whose CRDs are installed.
        controller: read only if the CRDs are KubeVirt's.

    Returns:
        None while the CRDs are missing that would show the mode.
    """
    match owner:
        case Owner.NOBODY:
            return wanted if wanted is not Mode.COMPANION else _without_kubevirt()
        case Owner.NICPLUG:
            return Mode.STANDALONE if wanted is not Mode.COMPANION else _on_our_definitions()
    if wanted is Mode.STANDALONE:
        return _on_their_definitions()
    if controller.found or controller.is_unknown:
        return Mode.COMPANION
    return _without_controller(controller)


def _without_kubevirt() -> Refusal:
    return Refusal(
        message=f"mode companion needs KubeVirt, and CRD {DEFINITION} is not installed",
        remedy=f"Install KubeVirt first, or use --mode standalone: {BESIDE_KUBEVIRT}.",
    )


def _on_our_definitions() -> Refusal:
    return Refusal(
        message=f"mode companion needs KubeVirt, and CRD {DEFINITION} is nicplug's",
        remedy=f"Use --mode standalone, or auto: nicplug runs the virtual machines of this cluster. {BESIDE_KUBEVIRT}.",
    )


def _on_their_definitions() -> Refusal:
    return Refusal(
        message=f"CRD {DEFINITION} is KubeVirt's own, and nicplug does not work with it in mode standalone",
        remedy="Use --mode companion, or auto, to work beside KubeVirt. If KubeVirt has been removed for good, replace "
        f"its CRDs: {BESIDE_KUBEVIRT}.",
    )


def _without_controller(controller: VirtController) -> Refusal:
    missing = "no virt-controller was found"
    if controller.unread:
        missing = f"{missing} ({controller.unread} cannot be listed)"
    return Refusal(
        message=f"CRD {DEFINITION} is KubeVirt's own, but {missing}",
        remedy="Start KubeVirt's virt-controller. If KubeVirt has been removed for good, replace its CRDs: "
        f"{BESIDE_KUBEVIRT}.",
    )
