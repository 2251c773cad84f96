"""Finds out whether requests for NICs wait for the cluster admin, for commands that read only the VM."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nicplug.cli.connection import Session
from nicplug.kube.errors import ApiError, Denied
from nicplug.model.operations import OperationPhase

if TYPE_CHECKING:
    from nicplug.plan.views import Refusal

PAUSE_SECONDS = 5.0
"""Pause between questions of `refusal_now_and_then`: an answer costs `nicplug api` a dozen reads."""


@dataclass(slots=True, kw_only=True)
class HotplugSwitch:
    """Finds out whether hot-plug is enabled, from the KubeVirt CR, or from `nicplug api` if the user cannot read it.

    Attributes:
        vm: name of a VM with a waiting request; `nicplug api` answers users who can read the VM.
    """

    session: Session
    vm: str
    kubevirt_namespace: str
    _asks_again_at: float = 0.0

    async def refusal(self) -> "Refusal | None":
        """Return why no request for a NIC is processed; None if hot-plug is enabled, or if it is unknown."""
        try:
            return await _read(self.session, self.kubevirt_namespace)
        except Denied:
            pass
        except ApiError:
            return None
        try:
            return await _ask(self.session, self.vm)
        except ApiError:
            return None

    async def refusal_now_and_then(self) -> "Refusal | None":
        """Return `refusal()` once per `PAUSE_SECONDS`, otherwise None, for callers that ask at every change."""
        clock = asyncio.get_running_loop().time
        if clock() < self._asks_again_at:
            return None
        refusal = await self.refusal()
        self._asks_again_at = clock() + PAUSE_SECONDS
        return refusal


async def _read(session: Session, kubevirt_namespace: str) -> "Refusal | None":
    """Read the KubeVirt CR with one LIST."""
    from nicplug.cache.kubevirts import Kubevirts
    from nicplug.insight.queue import read_all
    from nicplug.kube.resources import KUBEVIRTS
    from nicplug.plan.nic.attachments import refuse_hotplug

    found = Kubevirts(namespace=kubevirt_namespace)
    for item in await read_all(session.api, KUBEVIRTS, kubevirt_namespace):
        found.put(item)
    return refuse_hotplug(found.config(), kubevirt_namespace=kubevirt_namespace)


async def _ask(session: Session, vm: str) -> "Refusal | None":
    """Ask for the stories of the VM's NICs, which say what waiting requests wait for."""
    from nicplug.cli.asking import ask_stories
    from nicplug.plan.reasons import Reason
    from nicplug.plan.views import Refusal

    for story in await ask_stories(session, vm, "") or ():
        nic = story["nic"]
        is_off = nic["reason"] in (Reason.FEATURE_GATE_DISABLED, Reason.KUBEVIRT_CR_MISSING)
        if is_off and nic["phase"] == OperationPhase.BLOCKED:
            return Refusal(reason=nic["reason"], message=nic["message"], remedy=story["todo"] or "")
    return None
