"""What is wrong with a role on a node, read from the annotations of the Node object, or for one VMI from its own.

`sandbox.nicplug.io/<role>: absent | broken[=<how>] | slow=<seconds>s | doubled[=<seconds>s]`, several with commas.
A value that is not understood means "nothing is wrong", with a line in the log: a typing error must not look
like a working fault.
"""

import logging
import re
from dataclasses import dataclass
from enum import StrEnum

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.settings import PREFIX

log = logging.getLogger(__name__)


class RoleName(StrEnum):
    """The roles, as they are named in annotations."""

    KUBELET = "kubelet"
    MULTUS = "multus"
    DYNAMIC_NETWORKS = "dynamic-networks-controller"
    VIRT_HANDLER = "virt-handler"
    MIGRATION_SOURCE = "migration-source"
    MIGRATION_TARGET = "migration-target"


HOW_BROKEN: dict[RoleName, frozenset[str]] = {
    RoleName.KUBELET: frozenset({"image-pull", "crash", "unready"}),
    RoleName.MULTUS: frozenset({"add", "delete", "crash", "unready"}),
    RoleName.DYNAMIC_NETWORKS: frozenset({"fails", "mixed", "silent", "crash", "unready"}),
    RoleName.VIRT_HANDLER: frozenset({"plug", "unplug"}),
    RoleName.MIGRATION_SOURCE: frozenset({"copy", "crash", "abort"}),
    RoleName.MIGRATION_TARGET: frozenset({"prepare", "load", "crash", "silent"}),
}
"""The ways in which each role can be broken; a bare `broken` means `DEFAULT_HOW`."""

DEFAULT_HOW: dict[RoleName, str] = {
    RoleName.KUBELET: "image-pull",
    RoleName.MULTUS: "add",
    RoleName.DYNAMIC_NETWORKS: "fails",
    RoleName.VIRT_HANDLER: "plug",
    RoleName.MIGRATION_SOURCE: "copy",
    RoleName.MIGRATION_TARGET: "prepare",
}
AGAIN_SECONDS = 1.0
"""Timestamps have whole seconds: a report that comes again must not look the same."""
DOUBLING = frozenset({RoleName.MIGRATION_SOURCE, RoleName.MIGRATION_TARGET})
"""The roles that can be told to send each report twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one role on one node."""

    absent: bool = False
    broken: str = ""
    """How it is broken: one of `HOW_BROKEN`, or empty."""
    slow_seconds: float = 0.0
    again_seconds: float | None = None
    """Each report is sent again so much later."""


HEALTHY = Fault()
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")


def read_seconds(text: str) -> float | None:
    """`2s`, `0.5s` or `250ms` in seconds; None for anything else."""
    match = _SECONDS.fullmatch(text)
    return float(match[1]) / (1000 if match[2] == "ms" else 1) if match else None


def parse_fault(text: str, *, role: RoleName) -> Fault | None:
    """The fault that an annotation value describes; None when it cannot be understood."""
    absent, broken, slow, again = False, "", 0.0, None
    for word in (part.strip() for part in text.split(",")):
        if word in ("", "present"):
            continue
        if word == "absent":
            absent = True
        elif word == "broken":
            broken = DEFAULT_HOW[role]
        elif word.startswith("broken=") and word.removeprefix("broken=") in HOW_BROKEN[role]:
            broken = word.removeprefix("broken=")
        elif word.startswith("slow=") and (seconds := read_seconds(word.removeprefix("slow="))) is not None:
            slow = seconds
        elif word == "doubled" and role in DOUBLING:
            again = AGAIN_SECONDS
        elif word.startswith("doubled=") and role in DOUBLING:
            again = read_seconds(word.removeprefix("doubled="))
            if again is None:
                return None
        else:
            return None
    return Fault(absent=absent, broken=broken, slow_seconds=slow, again_seconds=again)


def fault_of(node: Json | None, role: RoleName) -> Fault:
    """What is wrong with `role` on `node`; an unknown node has no working role at all."""
    if node is None:
        return Fault(absent=True)
    return _told_by(node, role) or HEALTHY


def fault_for(vmi: Json, *, node: Json | None, role: RoleName) -> Fault:
    """What is wrong with `role` when it works on one VMI: what its annotation says wins over its node's."""
    if node is None:
        return Fault(absent=True)
    return _told_by(vmi, role) or fault_of(node, role)


def _told_by(obj: Json, role: RoleName) -> Fault | None:
    """The fault in the annotation of an object; None without one, and when it is not understood."""
    text = (obj["metadata"].get("annotations") or {}).get(PREFIX + role)
    if not text:
        return None
    fault = parse_fault(text, role=role)
    if fault is None:
        log.warning(
            '"%s": annotation "%s%s" is "%s", which is not understood and so has no effect; '
            "use absent, broken, broken=%s or slow=2s",
            obj["metadata"]["name"], PREFIX, role, text, "|".join(sorted(HOW_BROKEN[role])),
        )  # fmt: skip
    return fault
