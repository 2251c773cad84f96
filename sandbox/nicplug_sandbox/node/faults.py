"""What is wrong with a role on a node, read from the annotations of the Node object.

`sandbox.nicplug.io/<role>: absent | broken[=<how>] | slow=<seconds>s`, several with commas. A value that
is not understood means "nothing is wrong", with a line in the log: a typing error must not look like a
working fault.
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


HOW_BROKEN: dict[RoleName, frozenset[str]] = {
    RoleName.KUBELET: frozenset({"image-pull", "crash"}),
    RoleName.MULTUS: frozenset({"add", "delete"}),
    RoleName.DYNAMIC_NETWORKS: frozenset({"fails", "silent"}),
    RoleName.VIRT_HANDLER: frozenset({"plug", "unplug"}),
}
"""The ways in which each role can be broken; a bare `broken` means `DEFAULT_HOW`."""

DEFAULT_HOW: dict[RoleName, str] = {
    RoleName.KUBELET: "image-pull",
    RoleName.MULTUS: "add",
    RoleName.DYNAMIC_NETWORKS: "fails",
    RoleName.VIRT_HANDLER: "plug",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one role on one node."""

    absent: bool = False
    broken: str = ""
    """How it is broken: one of `HOW_BROKEN`, or empty."""
    slow_seconds: float = 0.0


HEALTHY = Fault()
_SLOW = re.compile(r"slow=(\d+(?:\.\d+)?)(ms|s)")


def parse_fault(text: str, *, role: RoleName) -> Fault | None:
    """The fault that an annotation value describes; None when it cannot be understood."""
    absent, broken, slow = False, "", 0.0
    for word in (part.strip() for part in text.split(",")):
        if word in ("", "present"):
            continue
        if word == "absent":
            absent = True
        elif word == "broken":
            broken = DEFAULT_HOW[role]
        elif word.startswith("broken=") and word.removeprefix("broken=") in HOW_BROKEN[role]:
            broken = word.removeprefix("broken=")
        elif match := _SLOW.fullmatch(word):
            slow = float(match[1]) / (1000 if match[2] == "ms" else 1)
        else:
            return None
    return Fault(absent=absent, broken=broken, slow_seconds=slow)


def fault_of(node: Json | None, role: RoleName) -> Fault:
    """What is wrong with `role` on `node`; an unknown node has no working role at all."""
    if node is None:
        return Fault(absent=True)
    text = (node["metadata"].get("annotations") or {}).get(PREFIX + role)
    if not text:
        return HEALTHY
    fault = parse_fault(text, role=role)
    if fault is None:
        choices = "|".join(sorted(HOW_BROKEN[role]))
        log.warning(
            'node "%s": annotation "%s%s" is "%s", which is not understood and so has no effect; '
            "use absent, broken, broken=%s or slow=2s",
            node["metadata"]["name"], PREFIX, role, text, choices,
        )  # fmt: skip
        return HEALTHY
    return fault
