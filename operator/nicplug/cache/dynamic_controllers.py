"""Cache of the DaemonSets that are a dynamic networks controller, and of their pods.

A name, an image or labels prove nothing, so only DaemonSets in namespaces that the cluster admin trusts are considered.
The DaemonSets of each namespace, and the pods of each controller, have an optional watch of their own, which
`cache.controller_watches` opens and closes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.dynamic_controller import (
    ControllerFinder,
    ControllerState,
    DaemonSet,
    DaemonSetPod,
    DynamicController,
    OnNode,
    controller_on_node,
    parse_daemon_set,
    parse_daemon_set_pod,
)
from nicplug.model.node import Node
from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES

MOST_FOLLOWED = 16
"""Maximum number of controllers whose pods are watched: each holds a connection. Clusters have one, or one per node
pool.
"""

_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class ControllerPods:
    """The pods of one DaemonSet; a `Sink` of `OptionalWatch`.

    Attributes:
        owner_uid: uid of the DaemonSet. Its labels prove nothing: any user who can create pods can copy them.
        on_change: called with the nodes on which something has changed; None for all nodes.
    """

    owner_uid: str
    on_change: Callable[[frozenset[str] | None], None]
    _pods: dict[str, DaemonSetPod] | None = None
    _gone: dict[str, datetime] = field(default_factory=dict)

    def on_node(self, node: str) -> tuple[DaemonSetPod, ...] | None:
        """Return the pods on a node; None if pods cannot be read."""
        return None if self._pods is None else tuple(pod for pod in self._pods.values() if pod.node_name == node)

    def ready_nodes(self) -> frozenset[str] | None:
        """Return the nodes with a ready pod; None if pods cannot be read."""
        if self._pods is None:
            return None
        return frozenset(pod.node_name for pod in self._pods.values() if pod.is_ready)

    def gone_at(self, node: str) -> datetime | None:
        """Return the deletionTimestamp of the last pod deleted from the node, or None."""
        return self._gone.get(node)

    def project(self, item: Mapping[str, Any]) -> DaemonSetPod | None:
        """Parse a pod from a LIST; None if another owner controls it."""
        pod = parse_daemon_set_pod(item)
        return pod if pod.owner_uid == self.owner_uid else None

    def replace(self, items: Iterable[DaemonSetPod]) -> None:
        """Replace all pods after a LIST."""
        listed = {pod.uid: pod for pod in items}
        before, self._pods = self._pods, listed
        if before is None:
            self.on_change(None)
            return
        for uid in before.keys() - listed.keys():
            self._note_gone(before[uid])
        changed = [uid for uid in before.keys() | listed.keys() if before.get(uid) != listed.get(uid)]
        known = {**before, **listed}
        self._notify(known[uid] for uid in changed)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event."""
        fresh = parse_daemon_set_pod(item)
        pods = self._pods if self._pods is not None else {}
        before = pods.get(fresh.uid)
        if type_ == "DELETED" or fresh.owner_uid != self.owner_uid:
            if before is not None:
                del pods[fresh.uid]
                self._note_gone(fresh)
                self._notify([before])
            return
        pods[fresh.uid] = fresh
        self._notify([pod for pod in (before, fresh) if pod is not None] if before != fresh else ())

    def lose(self, absence: Absence) -> None:
        """Discard all pods: permission to read them is missing."""
        was, self._pods = self._pods, None
        if was is not None:
            self.on_change(None)

    def _note_gone(self, pod: DaemonSetPod) -> None:
        """Record the deletion of a pod. Bounded by the number of nodes, past and present."""
        if pod.node_name and pod.deleted_at is not None:
            self._gone[pod.node_name] = pod.deleted_at

    def _notify(self, pods: Iterable[DaemonSetPod]) -> None:
        if nodes := frozenset(pod.node_name for pod in pods):
            self.on_change(nodes)


@dataclass(slots=True)
class NamespaceDaemonSets:
    """The DaemonSets of one trusted namespace; a `Sink` of `OptionalWatch`.

    Attributes:
        on_change: called after every change; with True if the DaemonSets have become readable or unreadable.
        by_uid: None until they have been read, or if permission is missing.
    """

    namespace: str
    on_change: Callable[[bool], None]
    by_uid: dict[str, DaemonSet] | None = None

    def project(self, item: Mapping[str, Any]) -> DaemonSet | None:
        """Parse a DaemonSet from a LIST."""
        fresh = parse_daemon_set(item)
        return fresh if self._is_here(fresh) else None

    def replace(self, items: Iterable[DaemonSet]) -> None:
        """Replace all DaemonSets after a LIST."""
        was_unknown = self.by_uid is None
        self.by_uid = {item.uid: item for item in items}
        self.on_change(was_unknown)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event."""
        fresh = parse_daemon_set(item)
        known = self.by_uid if self.by_uid is not None else {}
        if type_ == "DELETED":
            known.pop(fresh.uid, None)
        elif self._is_here(fresh):
            known[fresh.uid] = fresh
        self.on_change(False)

    def lose(self, absence: Absence) -> None:
        """Discard all DaemonSets: permission to read them is missing."""
        was_known, self.by_uid = self.by_uid is not None, None
        self.on_change(was_known)

    def _is_here(self, daemon_set: DaemonSet) -> bool:
        """True if the DaemonSet is in this namespace. The watch selects only this one; trust must not rely on that."""
        return daemon_set.key.namespace == self.namespace


@dataclass(slots=True)
class DynamicControllers:
    """The DaemonSets of the trusted namespaces, and which of them are controllers.

    Attributes:
        on_change: called with the nodes on which the controller has changed; None for all nodes.
        on_found: called when the set of trusted namespaces or controllers has changed, which requires other watches.
    """

    on_change: Callable[[frozenset[str] | None], None] = lambda _nodes: None
    on_found: Callable[[], None] = lambda: None
    _finder: ControllerFinder = field(default_factory=ControllerFinder)
    _namespaces: dict[str, NamespaceDaemonSets] = field(default_factory=dict)
    _by_default: bool = True
    _controllers: tuple[DaemonSet, ...] = ()
    _pods: dict[str, ControllerPods] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Trust the default namespaces until the KubeVirt CR says otherwise."""
        self._trust(DEFAULT_TRUSTED_NAMESPACES)

    def on_node(self, name: str, *, node: Node | None) -> DynamicController:
        """Return the state of the controller on one node; unknown while DaemonSets or pods cannot be read.

        Args:
            name: name of the node.
            node: what is known about the node.
        """
        found = controller_on_node((self._seen_from(name, item) for item in self._controllers), node=node)
        return found if self.is_known() or found.state is ControllerState.READY else DynamicController()

    def ready_nodes(self) -> frozenset[str] | None:
        """Return the nodes with a ready controller, checking each pod once; None unless all controllers are known."""
        nodes: frozenset[str] = frozenset()
        for item in self._controllers:
            followed = self._pods.get(item.uid)
            ready = followed.ready_nodes() if followed is not None else None
            if ready is None:
                return None
            nodes |= ready
        return nodes if self.is_known() else None

    def is_known(self) -> bool:
        """True if the DaemonSets of every trusted namespace have been read."""
        return all(item.by_uid is not None for item in self._namespaces.values())

    def trusts_by_default(self) -> bool:
        """True if the cluster admin has not configured the trusted namespaces."""
        return self._by_default

    def namespaces(self) -> dict[str, NamespaceDaemonSets]:
        """Return the trusted namespaces, each with the sink of its DaemonSets."""
        return dict(self._namespaces)

    def controllers(self) -> tuple[DaemonSet, ...]:
        """Return the DaemonSets that are controllers, oldest first."""
        return self._controllers

    def followed(self) -> dict[str, tuple[DaemonSet, ControllerPods]]:
        """Return the controllers whose pods are watched, by uid, each with the sink of its pods."""
        return {item.uid: (item, self._pods[item.uid]) for item in self._controllers[:MOST_FOLLOWED]}

    def pods_of(self, uid: str) -> ControllerPods | None:
        """Return the pods of a followed controller; None for any other DaemonSet."""
        return self._pods.get(uid)

    def look_for(self, finder: ControllerFinder, *, namespaces: Iterable[str], by_default: bool = False) -> None:
        """Configure how to recognize the controller, and in which namespaces, from the KubeVirt CR.

        Args:
            by_default: the cluster admin has not configured the namespaces.
        """
        names = tuple(namespaces)
        known = (self._finder, set(self._namespaces), self._by_default)
        if known == (finder, set(names), by_default):
            return
        self._finder, self._by_default = finder, by_default
        self._trust(names)
        self._find(is_news=True)

    def on_pods(self, nodes: frozenset[str] | None) -> None:
        """Report changed pods of a controller."""
        self.on_change(nodes)

    def _trust(self, names: Iterable[str]) -> None:
        """Set the trusted namespaces; forgets the DaemonSets of those no longer trusted."""
        self._namespaces = {name: self._namespaces.get(name) or self._namespace(name) for name in names}

    def _namespace(self, name: str) -> NamespaceDaemonSets:
        return NamespaceDaemonSets(name, lambda is_news: self._find(is_news=is_news))

    def _find(self, *, is_news: bool = False) -> None:
        """Choose the controllers again. Their status, which every pod changes, is not stored and so is no news."""
        before = self._controllers
        all_ = (item for known in self._namespaces.values() for item in (known.by_uid or {}).values())
        found = filter(self._finder.matches, all_)
        self._controllers = tuple(sorted(found, key=lambda item: (item.created or _FAR_FUTURE, item.key)))
        if before == self._controllers and not is_news:
            return
        followed = [item.uid for item in self._controllers[:MOST_FOLLOWED]]
        self._pods = {uid: self._pods.get(uid) or ControllerPods(uid, self.on_pods) for uid in followed}
        self.on_found()
        self.on_change(None)

    def _seen_from(self, node: str, daemon_set: DaemonSet) -> OnNode:
        """Return a controller's pods on one node; unknown if the controller is not followed (benefit of the doubt)."""
        pods = self._pods.get(daemon_set.uid)
        if pods is None:
            return OnNode(daemon_set=daemon_set, pods=None)
        return OnNode(daemon_set=daemon_set, pods=pods.on_node(node), gone_at=pods.gone_at(node))
