"""The node's half of the contract, as small as the reference allows: scheduler, kubelet with Multus, the dynamic
networks controller, the node agent in its three parts, and the garbage collector.

Written from KubeVirt's and Multus's behaviour alone; shares no code with the sandbox's simulator, nor with the
operator. Each role is a function that does at most one thing and says whether it did.
"""

from collections.abc import Callable

from tests.sim.cluster import BUDGETS, MIGRATIONS, PODS, REVISIONS, VMIS, VMS, Cluster
from tests.sim.dynamic_controller import dynamic_controller
from tests.sim.kubelet import kubelet, scheduler
from tests.sim.migration_agents import source_agent, target_agent
from tests.sim.node_agent import node_agent

_OWNERS = ("VirtualMachine", "VirtualMachineInstance")


def garbage_collector(cluster: Cluster) -> bool:
    """Delete what has lost its owner."""
    alive = {body["metadata"]["uid"] for plural in (VMS, VMIS) for body in cluster.shown(plural)}
    for plural in (VMIS, PODS, REVISIONS, MIGRATIONS, BUDGETS):
        for body in cluster.shown(plural):
            references = body["metadata"].get("ownerReferences", ())
            owners = {owner["uid"] for owner in references if owner["kind"] in _OWNERS}
            if owners and not owners & alive and "deletionTimestamp" not in body["metadata"]:
                cluster.delete(plural, body["metadata"]["name"], by="garbage collector")
                return True
    return False


Role = Callable[[Cluster], bool]

ROLES: tuple[Role, ...] = (
    scheduler,
    kubelet,
    dynamic_controller,
    node_agent,
    source_agent,
    target_agent,
    garbage_collector,
)
