"""A node that is away while the node agents have a migration.

Its guest may run there, or have arrived on the other side: nothing is ended for it, and a person is told what decides.
"""

from nicplug.model.node import Node
from nicplug.plan.migration.facts import Facts
from nicplug.plan.views import MigrationView


def tell_lost_node(view: MigrationView, facts: Facts) -> str:
    """Which node the migration cannot do without is not ready, or gone, and what to do; "" when there is none.

    Once the guest has arrived, the node that it has left does not matter any more.
    """
    state = facts.state
    # Whoever runs a VM has nodes: none at all cannot be read.
    if not view.nodes or not facts.is_handed_off or not state.is_active:
        return ""
    has_arrived = state.target_ready_at is not None
    sides = [(state.target_node, state.target_pod, "has come to" if has_arrived else "is to come to")]
    if not has_arrived:
        sides.insert(0, (state.source_node, state.source_pod, "is to leave"))
    nodes = {node.name: node for node in view.nodes}
    for name, pod, relation in sides:
        if (flaw := _flaw(nodes.get(name))) and name:
            what = f"node {name}, which the VM {relation}, {flaw}: nobody can say whether the VM runs there"
            return f"{what}. {_remedy(view, pod, is_gone=name not in nodes)}"
    return ""


def _flaw(node: Node | None) -> str:
    if node is None:
        return "is not in the cluster any more"
    return "" if node.is_ready else "is not ready"


def _remedy(view: MigrationView, pod: str, *, is_gone: bool) -> str:
    found = next((item for item in view.pods if item.key.name == pod), None)
    if found is None:
        return "Its pod is gone: the VM ends within two minutes, unless the other node says that it runs there"
    wait = "Kubernetes deletes its pod within minutes" if is_gone else "Bring the node back"
    force = f"kubectl delete pod -n {found.key.namespace} {pod} --force"
    return f"{wait}; or, when you know that it is off: {force}, then it is decided"
