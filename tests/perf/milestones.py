"""When did a NIC get where? Seen by watches of the bench's own, as any user of the API could see it.

Clock points, all of the monotonic clock of the bench's event loop:

* `sent`: just before the PATCH of the VM's template is handed to the HTTP client.
* `answered`: its 200 has been read; the API server has committed it. Latencies count from here, unless
  they say otherwise: the operator may hear of the change a moment before we do.
* a milestone: the first line of a watch (of VMIs, or of launcher pods) that shows it has been read and
  parsed here. Delivery by the API server, and our own parsing, are inside the figure.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.mirror import Mirror

NETWORKS = "k8s.v1.cni.cncf.io/networks"
CREATED_BY = "kubevirt.io/created-by"


class Milestone(StrEnum):
    """Where a NIC can be on its way into the guest, in order."""

    ANNOTATION = "pod networks annotation"
    IN_STATUS = "status.interfaces, multus-status"
    IN_GUEST = "status.interfaces, domain"
    READY = "InterfacesReady"


@dataclass(slots=True)
class Hotplug:
    """One NIC that was asked for. Times in seconds of the monotonic clock."""

    vm: str
    nic: str
    sent: float = 0.0
    answered: float = 0.0
    seen: dict[Milestone, float] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Milestones:
    """Listens to the watches and stamps the hot-plugs that are under way; one at a time per VM.

    Args:
        awaited: where a NIC has to have been before its hot-plug is done.
    """

    def __init__(self, *, vmis: Mirror, pods: Mirror, awaited: frozenset[Milestone] = frozenset(Milestone)) -> None:
        self._awaited = awaited
        self._underway: dict[str, Hotplug] = {}
        self._vmis = vmis
        vmis.listen(self._on_vmi)
        pods.listen(self._on_pod)

    def expect(self, hotplug: Hotplug) -> None:
        """Stamp this one from now on."""
        self._underway[hotplug.vm] = hotplug

    def _on_pod(self, _old: Json | None, pod: Json | None) -> None:
        for vmi in self._vmis.by_index("uid", _label(pod, CREATED_BY)) if pod else ():
            hotplug = self._underway.get(vmi["metadata"]["name"])
            if hotplug is not None and _requests(pod, hotplug.nic):
                self._stamp(hotplug, Milestone.ANNOTATION)

    def _on_vmi(self, _old: Json | None, vmi: Json | None) -> None:
        hotplug = self._underway.get(vmi["metadata"]["name"]) if vmi else None
        if vmi is None or hotplug is None:
            return
        sources = _info_sources(vmi, hotplug.nic)
        if "multus-status" in sources:
            self._stamp(hotplug, Milestone.IN_STATUS)
        if "domain" in sources:
            self._stamp(hotplug, Milestone.IN_GUEST)
        if _is_ready(vmi, hotplug.nic):
            self._stamp(hotplug, Milestone.READY)

    def _stamp(self, hotplug: Hotplug, milestone: Milestone) -> None:
        hotplug.seen.setdefault(milestone, asyncio.get_running_loop().time())
        # Two watches have no common order: under load that of the pods may be the last to tell.
        if hotplug.seen.keys() >= self._awaited:
            self._underway.pop(hotplug.vm, None)
            hotplug.done.set()


def _label(pod: Mapping[str, Any], key: str) -> str:
    return str((pod["metadata"].get("labels") or {}).get(key, ""))


def _requests(pod: Json | None, nic: str) -> bool:
    """The annotation asks for the network; the bench names NICs and networks alike."""
    text = ((pod or {}).get("metadata", {}).get("annotations") or {}).get(NETWORKS) or "[]"
    return any(element["name"] == nic for element in json.loads(text))


def _info_sources(vmi: Json, nic: str) -> frozenset[str]:
    rows = vmi.get("status", {}).get("interfaces") or []
    text = next((row.get("infoSource", "") for row in rows if row.get("name") == nic), "")
    return frozenset(text.split(", "))


def _is_ready(vmi: Json, nic: str) -> bool:
    """The condition is True, and about a spec that has the NIC."""
    if all(network["name"] != nic for network in vmi["spec"].get("networks", [])):
        return False
    conditions = vmi.get("status", {}).get("conditions") or []
    found: Json = next((row for row in conditions if row["type"] == "InterfacesReady"), {})
    return found.get("status") == "True" and found.get("observedGeneration") == vmi["metadata"]["generation"]
