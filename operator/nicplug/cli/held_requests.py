"""Whether requests for NICs wait for the cluster admin, for commands that read the VM and nothing else."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nicplug.cli.connection import Session
from nicplug.kube.errors import ApiError, Denied
from nicplug.model.operations import OperationPhase

if TYPE_CHECKING:
    from nicplug.plan.views import Refusal

PAUSE_SECONDS = 5.0
"""Of those who ask all the time: an answer by `nicplug api` costs it a dozen reads."""


@dataclass(slots=True, kw_only=True)
class HotplugSwitch:
    """Asks whether hot-plug is on: the KubeVirt CR, or `nicplug api` where the user may not read that.

    Attributes:
        vm: with a request that waits; `nicplug api` answers for those who may see it.
    """

    session: Session
    vm: str
    kubevirt_namespace: str
    _asks_again_at: float = 0.0

    async def refusal(self) -> "Refusal | None":
        """Why no request for a NIC is carried out; None when hot-plug is on, or nobody may tell."""
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
        """As `refusal`, for those who ask at every change; None as well where the last answer is recent."""
        clock = asyncio.get_running_loop().time
        if clock() < self._asks_again_at:
            return None
        told = await self.refusal()
        self._asks_again_at = clock() + PAUSE_SECONDS
        return told


async def _read(session: Session, kubevirt_namespace: str) -> "Refusal | None":
    """By one LIST."""
    from nicplug.cache.kubevirts import Kubevirts
    from nicplug.insight.queue import read_all
    from nicplug.kube.resources import KUBEVIRTS
    from nicplug.plan.nic.attachments import refuse_hotplug

    found = Kubevirts(namespace=kubevirt_namespace)
    for item in await read_all(session.api, KUBEVIRTS, kubevirt_namespace):
        found.put(item)
    return refuse_hotplug(found.config(), kubevirt_namespace=kubevirt_namespace)


async def _ask(session: Session, vm: str) -> "Refusal | None":
    """By the stories of the VM's NICs: those of requests that wait say for what."""
    from nicplug.cli.asking import ask_stories
    from nicplug.plan.reasons import Reason
    from nicplug.plan.views import Refusal

    for story in await ask_stories(session, vm, "") or ():
        nic = story["nic"]
        is_off = nic["reason"] in (Reason.FEATURE_GATE_DISABLED, Reason.KUBEVIRT_CR_MISSING)
        if is_off and nic["phase"] == OperationPhase.BLOCKED:
            return Refusal(reason=nic["reason"], message=nic["message"], remedy=story["todo"] or "")
    return None
