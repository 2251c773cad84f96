"""Checks of the dynamic networks controller on each node; on a node without one, NICs are plugged by migration."""

from collections.abc import Iterator

from nicplug.cli.doctor.finding import Finding, ok, problem, unknown, warning
from nicplug.insight.evidence import Evidence
from nicplug.model.dynamic_controller import ControllerState
from nicplug.model.hotplug_policy import DynamicPath
from nicplug.model.node import Node
from nicplug.model.trusted_namespaces import TRUSTED_NAMESPACES_FIELD

_MOST_NODES = 8
_DEPLOY = "Deploy the Multus dynamic networks controller there, or let VMs migrate for their NICs (the default)."
_TRUST = (
    f"List the controller's namespace in {TRUSTED_NAMESPACES_FIELD} of the KubeVirt CR, or remove the field; or let "
    "VMs migrate for their NICs (the default)."
)


def check_coverage(evidence: Evidence) -> Iterator[Finding]:
    """Check on which nodes the controller is ready."""
    caches = evidence.caches
    nodes, controllers = caches.nodes.all(), caches.controllers
    if nodes is None:
        yield unknown("controller", "nodes cannot be read")
        return
    if not controllers.is_known():
        yield unknown("controller", "DaemonSets of a trusted namespace cannot be read")
        return
    found = ", ".join(str(item.key) for item in controllers.controllers())
    trusted = ", ".join(sorted(controllers.namespaces()))
    if not found and not trusted:
        message = "no namespace is trusted (trustedNamespaces is empty), so no dynamic networks controller counts"
        yield _bad(evidence, message, _TRUST)
        return
    if not found:
        remedy = f"{_DEPLOY} One in another namespace than {trusted} does not count: add that to trustedNamespaces."
        yield _bad(evidence, f"no dynamic networks controller in the trusted namespaces ({trusted})", remedy)
        return
    by_state: dict[ControllerState, list[str]] = {}
    for node in nodes:
        state = controllers.on_node(node.name, node=node).state
        by_state.setdefault(state, []).append(node.name)
    if by_state.get(ControllerState.READY) or not nodes:
        yield ok("controller", f"{found}: ready on {_share(by_state, ControllerState.READY, nodes)} nodes")
    for state, shortcoming in (
        (ControllerState.NOT_READY, "is not ready on"),
        (ControllerState.NOT_ON_NODE, "does not run on"),
        (ControllerState.UNKNOWN, "may run or not on"),
    ):
        if names := by_state.get(state):
            yield _bad(evidence, f"{found} {shortcoming} {_listed(names)}", _DEPLOY)


def _bad(evidence: Evidence, message: str, remedy: str) -> Finding:
    """Return a problem if the policy allows only the dynamic path, a warning if it allows others, otherwise ok."""
    config = evidence.caches.config()
    is_only_way = config is not None and config.hotplug.dynamic_path is DynamicPath.ALWAYS
    if config is not None and config.hotplug.dynamic_path is DynamicPath.NEVER:
        return ok("controller", f"{message}; dynamicPath is Never, so it is not needed")
    return (problem if is_only_way else warning)("controller", message, remedy)


def check_nodes(evidence: Evidence) -> Iterator[Finding]:
    """Check that there are two usable nodes: a VM needs another node to migrate to."""
    nodes = evidence.caches.nodes.all()
    if nodes is None:
        return
    usable = [node for node in nodes if node.is_ready and not node.deleting and node.is_schedulable]
    if len(usable) >= 2:
        yield ok("nodes", f"{len(usable)} of {len(nodes)} nodes are ready and not cordoned")
    else:
        remedy = "Add or uncordon a node: a NIC that does not go in place needs one to migrate to."
        yield warning("nodes", f"{len(usable)} of {len(nodes)} nodes can take a VM", remedy)


def _share(by_state: dict[ControllerState, list[str]], state: ControllerState, nodes: tuple[Node, ...]) -> str:
    return f"{len(by_state.get(state, ()))} of {len(nodes)}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NODES]) + (
        f" and {len(names) - _MOST_NODES} more" if len(names) > _MOST_NODES else ""
    )
