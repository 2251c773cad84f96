"""Whether requests for NICs wait for the cluster admin, for commands that read the VM and nothing else."""

from typing import TYPE_CHECKING

from nicplug.cli.connection import Session

if TYPE_CHECKING:
    from nicplug.plan.views import Refusal


async def hotplug_refusal(session: Session, *, kubevirt_namespace: str) -> "Refusal | None":
    """Why no request for a NIC is carried out; None when hot-plug is on, or nobody may tell. One LIST."""
    from nicplug.cache.kubevirts import Kubevirts
    from nicplug.insight.queue import read_all
    from nicplug.kube.errors import ApiError
    from nicplug.kube.resources import KUBEVIRTS
    from nicplug.plan.nic.feature_gate import refuse_hotplug

    found = Kubevirts(namespace=kubevirt_namespace)
    try:
        for item in await read_all(session.api, KUBEVIRTS, kubevirt_namespace):
            found.put(item)
    except ApiError:
        return None
    return refuse_hotplug(found.config(), kubevirt_namespace=kubevirt_namespace)
