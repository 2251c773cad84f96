"""The DaemonSets of the cluster, and the pods of those that are a dynamic networks controller.

The DaemonSets come by one optional watch, the pods of each controller by a narrow one of their own, which
`cache.controller_pods` opens and closes as the controllers come and go.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.controller_on_node import OnNode, controller_on_node
from nicplug.model.daemon_set import DaemonSet, DaemonSetPod, parse_daemon_set, parse_daemon_set_pod
from nicplug.model.dynamic_controller import ControllerFinder, DynamicController
from nicplug.model.node import Node


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

    def gone_at(self, node: str) -> datetime | None:
        """When the deletion of the last one that was on the node was asked for."""
        return self._gone.get(node)

    def replace(self, items: Iterable[Mapping[str, Any]]) -> None:
        """All pods there are."""
        listed = {pod.uid: pod for pod in map(parse_daemon_set_pod, items) if pod.owner_uid == self.owner_uid}
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
class DynamicControllers:
    """All DaemonSets, and what is a controller among them; a `Sink` of `OptionalWatch`.

    Attributes:
        on_change: told the nodes on which the controller has changed; None: on all of them.
        on_found: told that another DaemonSet is a controller, or one no more: their pods are to be watched.
    """

    on_change: Callable[[frozenset[str] | None], None] = lambda _nodes: None
    on_found: Callable[[], None] = lambda: None
    _finder: ControllerFinder = field(default_factory=ControllerFinder)
    _daemon_sets: dict[str, DaemonSet] | None = None
    _controllers: dict[str, DaemonSet] = field(default_factory=dict)
    _pods: dict[str, ControllerPods] = field(default_factory=dict)

    def on_node(self, name: str, *, node: Node | None) -> DynamicController:
        """The controller, seen from one node; of unknown state while DaemonSets or pods cannot be read.

        Args:
            name: of the node.
            node: what is known of it.
        """
        if self._daemon_sets is None:
            return DynamicController()
        seen = (
            OnNode(daemon_set=item, pods=self._pods[uid].on_node(name), gone_at=self._pods[uid].gone_at(name))
            for uid, item in self._controllers.items()
        )
        return controller_on_node(seen, node=node)

    def controllers(self) -> dict[str, DaemonSet]:
        """The DaemonSets that are a controller, by uid."""
        return dict(self._controllers)

    def pods_of(self, uid: str) -> ControllerPods | None:
        """The pods of a controller; None when that DaemonSet is none."""
        return self._pods.get(uid)

    def look_for(self, finder: ControllerFinder) -> None:
        """Take in by what the controller is known, from the KubeVirt CR."""
        if finder != self._finder:
            self._finder = finder
            self._find()

    def replace(self, items: Iterable[Mapping[str, Any]]) -> None:
        """All DaemonSets there are."""
        was_unknown = self._daemon_sets is None
        self._daemon_sets = {item.uid: item for item in map(parse_daemon_set, items)}
        self._find(is_news=was_unknown)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch."""
        fresh = parse_daemon_set(item)
        known = self._daemon_sets if self._daemon_sets is not None else {}
        if type_ == "DELETED":
            known.pop(fresh.uid, None)
        else:
            known[fresh.uid] = fresh
        self._find()

    def lose(self, absence: Absence) -> None:
        """DaemonSets must not be read."""
        was_known = self._daemon_sets is not None
        self._daemon_sets = None
        self._find(is_news=was_known)

    def _find(self, *, is_news: bool = False) -> None:
        """Choose the controllers anew; their status, which every pod changes, is not kept and so is no news."""
        before = self._controllers
        all_ = self._daemon_sets or {}
        self._controllers = {uid: item for uid, item in all_.items() if self._finder.matches(item)}
        if before == self._controllers and not is_news:
            return
        self._pods = {uid: self._pods.get(uid) or ControllerPods(uid, self.on_pods) for uid in self._controllers}
        self.on_found()
        self.on_change(None)

    def on_pods(self, nodes: frozenset[str] | None) -> None:
        """Pods of a controller have changed."""
        self.on_change(nodes)
