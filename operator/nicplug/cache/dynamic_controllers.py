"""The DaemonSets that are a dynamic networks controller, and their pods.

A name, an image or labels prove nothing, so that only DaemonSets of namespaces that the cluster admin trusts are taken
in. Those of each namespace, and the pods of each controller, come by optional watches of their own, which
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
"""Each takes up a connection. Clusters have one controller, or one for each node pool."""

_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class ControllerPods:
    """The pods of one DaemonSet, by the uid that owns them; a `Sink` of `OptionalWatch`.

    Attributes:
        owner_uid: of the DaemonSet: whoever may create pods may give them its labels.
        on_change: told the nodes on which something has changed; None: on all of them.
    """

    owner_uid: str
    on_change: Callable[[frozenset[str] | None], None]
    _pods: dict[str, DaemonSetPod] | None = None
    _gone: dict[str, datetime] = field(default_factory=dict)

    def on_node(self, node: str) -> tuple[DaemonSetPod, ...] | None:
        """Those on a node; None when pods cannot be read."""
        return None if self._pods is None else tuple(pod for pod in self._pods.values() if pod.node_name == node)

    def ready_nodes(self) -> frozenset[str] | None:
        """The nodes with a ready one; None when pods cannot be read."""
        if self._pods is None:
            return None
        return frozenset(pod.node_name for pod in self._pods.values() if pod.is_ready)

    def gone_at(self, node: str) -> datetime | None:
        """When the deletion of the last one that was on the node was asked for."""
        return self._gone.get(node)

    def project(self, item: Mapping[str, Any]) -> DaemonSetPod | None:
        """A pod of a list; nothing of one that belongs to somebody else."""
        pod = parse_daemon_set_pod(item)
        return pod if pod.owner_uid == self.owner_uid else None

    def replace(self, items: Iterable[DaemonSetPod]) -> None:
        """All pods there are."""
        listed = {pod.uid: pod for pod in items}
        before, self._pods = self._pods, listed
        if before is None:
            self.on_change(None)
            return
        for uid in before.keys() - listed.keys():
            self._note_gone(before[uid])
        changed = [uid for uid in before.keys() | listed.keys() if before.get(uid) != listed.get(uid)]
        known = {**before, **listed}
        self._tell(known[uid] for uid in changed)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch."""
        fresh = parse_daemon_set_pod(item)
        pods = self._pods if self._pods is not None else {}
        before = pods.get(fresh.uid)
        if type_ == "DELETED" or fresh.owner_uid != self.owner_uid:
            if before is not None:
                del pods[fresh.uid]
                self._note_gone(fresh)
                self._tell([before])
            return
        pods[fresh.uid] = fresh
        self._tell([pod for pod in (before, fresh) if pod is not None] if before != fresh else ())

    def lose(self, absence: Absence) -> None:
        """Pods must not be read."""
        was, self._pods = self._pods, None
        if was is not None:
            self.on_change(None)

    def _note_gone(self, pod: DaemonSetPod) -> None:
        """Bounded by the nodes there are and were."""
        if pod.node_name and pod.deleted_at is not None:
            self._gone[pod.node_name] = pod.deleted_at

    def _tell(self, pods: Iterable[DaemonSetPod]) -> None:
        if nodes := frozenset(pod.node_name for pod in pods):
            self.on_change(nodes)


@dataclass(slots=True)
class NamespaceDaemonSets:
    """The DaemonSets of one trusted namespace; a `Sink` of `OptionalWatch`.

    Attributes:
        on_change: called after every change; with True when that they are known, or are not, is the news.
        by_uid: None while they have not been read, or must not be.
    """

    namespace: str
    on_change: Callable[[bool], None]
    by_uid: dict[str, DaemonSet] | None = None

    def project(self, item: Mapping[str, Any]) -> DaemonSet | None:
        """A DaemonSet of a list."""
        fresh = parse_daemon_set(item)
        return fresh if self._is_here(fresh) else None

    def replace(self, items: Iterable[DaemonSet]) -> None:
        """All DaemonSets there are."""
        was_unknown = self.by_uid is None
        self.by_uid = {item.uid: item for item in items}
        self.on_change(was_unknown)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch."""
        fresh = parse_daemon_set(item)
        known = self.by_uid if self.by_uid is not None else {}
        if type_ == "DELETED":
            known.pop(fresh.uid, None)
        elif self._is_here(fresh):
            known[fresh.uid] = fresh
        self.on_change(False)

    def lose(self, absence: Absence) -> None:
        """DaemonSets must not be read."""
        was_known, self.by_uid = self.by_uid is not None, None
        self.on_change(was_known)

    def _is_here(self, daemon_set: DaemonSet) -> bool:
        """The watch asks for this namespace alone; trust does not rest on what is asked for."""
        return daemon_set.key.namespace == self.namespace


@dataclass(slots=True)
class DynamicControllers:
    """The DaemonSets of the trusted namespaces, and what is a controller among them.

    Attributes:
        on_change: told the nodes on which the controller has changed; None: on all of them.
        on_found: told that other namespaces are trusted, or that other DaemonSets are controllers: other watches are
            needed.
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
        """The controller, seen from one node; of unknown state while DaemonSets or pods cannot be read.

        Args:
            name: of the node.
            node: what is known of it.
        """
        found = controller_on_node((self._seen_from(name, item) for item in self._controllers), node=node)
        return found if self.is_known() or found.state is ControllerState.READY else DynamicController()

    def ready_nodes(self) -> frozenset[str] | None:
        """The nodes with a ready controller, each pod looked at once; None while that is not known of all of them."""
        nodes: frozenset[str] = frozenset()
        for item in self._controllers:
            followed = self._pods.get(item.uid)
            ready = followed.ready_nodes() if followed is not None else None
            if ready is None:
                return None
            nodes |= ready
        return nodes if self.is_known() else None

    def is_known(self) -> bool:
        """The DaemonSets of every trusted namespace have been read."""
        return all(item.by_uid is not None for item in self._namespaces.values())

    def trusts_by_default(self) -> bool:
        """The cluster admin has not named the trusted namespaces."""
        return self._by_default

    def namespaces(self) -> dict[str, NamespaceDaemonSets]:
        """The trusted namespaces, with what takes in their DaemonSets."""
        return dict(self._namespaces)

    def controllers(self) -> tuple[DaemonSet, ...]:
        """The DaemonSets that are a controller, the oldest first."""
        return self._controllers

    def followed(self) -> dict[str, tuple[DaemonSet, ControllerPods]]:
        """The controllers whose pods are watched, by uid, with what takes the pods in."""
        return {item.uid: (item, self._pods[item.uid]) for item in self._controllers[:MOST_FOLLOWED]}

    def pods_of(self, uid: str) -> ControllerPods | None:
        """The pods of a controller that is followed; None for any other DaemonSet."""
        return self._pods.get(uid)

    def look_for(self, finder: ControllerFinder, *, namespaces: Iterable[str], by_default: bool = False) -> None:
        """Take in by what the controller is known, and in which namespaces, from the KubeVirt CR.

        Args:
            by_default: the cluster admin has not named the namespaces.
        """
        names = tuple(namespaces)
        known = (self._finder, set(self._namespaces), self._by_default)
        if known == (finder, set(names), by_default):
            return
        self._finder, self._by_default = finder, by_default
        self._trust(names)
        self._find(is_news=True)

    def on_pods(self, nodes: frozenset[str] | None) -> None:
        """Pods of a controller have changed."""
        self.on_change(nodes)

    def _trust(self, names: Iterable[str]) -> None:
        """DaemonSets of a namespace that is no longer trusted are forgotten."""
        self._namespaces = {name: self._namespaces.get(name) or self._namespace(name) for name in names}

    def _namespace(self, name: str) -> NamespaceDaemonSets:
        return NamespaceDaemonSets(name, lambda is_news: self._find(is_news=is_news))

    def _find(self, *, is_news: bool = False) -> None:
        """Choose the controllers anew; their status, which every pod changes, is not kept and so is no news."""
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
        """Of one that is not followed nobody knows where its pods are: it has the benefit of the doubt."""
        pods = self._pods.get(daemon_set.uid)
        if pods is None:
            return OnNode(daemon_set=daemon_set, pods=None)
        return OnNode(daemon_set=daemon_set, pods=pods.on_node(node), gone_at=pods.gone_at(node))
