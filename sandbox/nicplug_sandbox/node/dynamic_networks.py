"""The Multus dynamic networks controller: makes a running pod's networks follow its annotation.

With the sharp edges of the real one: it reacts only to a changed text, tries four times and then falls
silent, stops at the first failing element (removals come after additions), writes network-status in
random order, and believes network-status more than the pod. Source: its `pkg/controller/pod.go` and
`pkg/annotations`. Kinder in one point: pods of a node are worked on side by side, not by one worker.
"""

import asyncio
import json
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from nicplug_sandbox.node.api import JSON_PATCH, PODS, Api, ApiError, Json
from nicplug_sandbox.node.daemonsets import is_role_ready
from nicplug_sandbox.node.events import Event, EventPoster
from nicplug_sandbox.node.faults import Fault, RoleName, fault_of
from nicplug_sandbox.node.mirror import Key, Mirror, key_of
from nicplug_sandbox.node.multus import CniError, MissingNetworkError, Multus
from nicplug_sandbox.node.networks import (
    NETWORK_STATUS,
    NETWORKS,
    POD_LINKS,
    AnnotationError,
    Element,
    annotation,
    format_status,
    links_annotation,
    links_of,
    parse_networks,
    read_status,
    status_key,
)
from nicplug_sandbox.node.work import WorkQueue

log = logging.getLogger(__name__)

COMPONENT = "pod-networks-updates"
BACKOFF_SECONDS = (0.005, 0.01, 0.02)
"""client-go's default rate limiter; four attempts, three pauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What an annotation asks for beyond, and what network-status lists beyond the other."""

    add: tuple[Element, ...]
    remove: tuple[Json, ...]


def difference(*, elements: Sequence[Element], entries: Sequence[Json]) -> Difference:
    """Compare by namespace, name and interface; the default entry does not count."""
    present = {status_key(entry): entry for entry in entries if not entry.get("default")}
    wanted = {element.key for element in elements}
    return Difference(
        add=tuple(element for element in elements if element.key not in present),
        remove=tuple(entry for key, entry in present.items() if key not in wanted),
    )


def shuffled(entries: Sequence[Json], *, seed: str) -> list[Json]:
    """The order of a Go map: any, but the same for the same seed."""
    result = list(entries)
    random.Random(seed).shuffle(result)
    return result


def status_patch(*, pod: Json, entries: Sequence[Json], links: frozenset[str]) -> list[Json]:
    """The guarded write of network-status; empty when nothing changes."""
    annotations = pod["metadata"].get("annotations") or {}
    wanted: dict[str, str | None] = {
        NETWORK_STATUS: format_status(entries) if entries != read_status(pod) else annotations.get(NETWORK_STATUS),
        POD_LINKS: links_annotation(links=links, entries=entries),
    }
    patch: list[Json] = []
    for key, value in wanted.items():
        present = annotations.get(key)
        path = "/metadata/annotations/" + key.replace("~", "~0").replace("/", "~1")
        if value == present:
            continue
        patch.append({"op": "test", "path": path, "value": present})
        patch.append({"op": "remove", "path": path} if value is None else {"op": "add", "path": path, "value": value})
    if patch:
        patch.insert(0, {"op": "test", "path": "/metadata/uid", "value": pod["metadata"]["uid"]})
    return patch


def attributes_text(element: Element) -> str:
    """What AddedInterface says of requested attributes, in Go's formatting of slices and maps."""
    if not (element.ips or element.mac or element.cni_args):
        return ""
    arguments = "<nil>"
    if element.cni_args:
        pairs = sorted(json.loads(element.cni_args).items())
        arguments = "&map[" + " ".join(f"{key}:{value}" for key, value in pairs) + "]"
    return f"(ips: [{' '.join(element.ips)}], mac: {element.mac}, cni-args: {arguments})"


@dataclass(slots=True)
class _Attempt:
    """What one attempt did so far."""

    entries: list[Json]
    links: frozenset[str]
    changed: bool = False
    added: list[Element] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)


class DynamicNetworks:
    """The controllers of all simulated nodes."""

    def __init__(
        self,
        *,
        api: Api,
        pods: Mirror,
        nodes: Mirror,
        nads: Mirror,
        multus: Multus,
        events: EventPoster,
        seed: int,
        concurrency: int,
        node_names: frozenset[str],
    ) -> None:
        self._api = api
        self._pods = pods
        self._nodes = nodes
        self._nads = nads
        self._multus = multus
        self._events = events
        self._seed = seed
        self._names = node_names
        self._seen: dict[str, str | None] = {}
        self._ready: set[str] = set()
        self.queue = WorkQueue(name="dynamic networks", work=self.reconcile, concurrency=concurrency)

    def start(self) -> None:
        """Begin to listen; pods that are there already count as seen, as for a fresh informer."""
        for pod in self._pods.all():
            self._on_pod(None, pod)
        for node in self._names:
            self._update_readiness(node)
        self._pods.listen(self._on_pod)

    def _fault(self, node: str) -> Fault:
        return fault_of(self._nodes.get(Key("", node)), RoleName.DYNAMIC_NETWORKS)

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        pod = new or old
        assert pod is not None
        node = pod["spec"].get("nodeName", "")
        if node not in self._names:
            return
        self._update_readiness(node)
        uid = pod["metadata"]["uid"]
        if new is None or new.get("status", {}).get("phase") != "Running":
            self._seen.pop(uid, None)
            return
        text = (new["metadata"].get("annotations") or {}).get(NETWORKS)
        if uid not in self._seen:
            # Only updates count: what changed before the pod was Running is lost until the next change.
            self._seen[uid] = text
        elif self._seen[uid] != text:
            self._seen[uid] = text
            self._enqueue(new)

    def _update_readiness(self, node: str) -> None:
        if not is_role_ready(pods=self._pods, role=RoleName.DYNAMIC_NETWORKS, node=node):
            self._ready.discard(node)
        elif node not in self._ready:
            self._ready.add(node)
            for pod in self._pods.by_index("node", node):
                if pod.get("status", {}).get("phase") == "Running":
                    self._enqueue(pod)

    def _enqueue(self, pod: Json) -> None:
        node = pod["spec"]["nodeName"]
        fault = self._fault(node)
        if node not in self._ready or fault.broken == "silent":
            return
        if pod["spec"].get("hostNetwork"):
            if NETWORKS in (pod["metadata"].get("annotations") or {}):
                name = str(key_of(pod))
                text = f"pod [{name}]: will not add interface to host networked pod"
                self._post(pod, "Warning", "InterfaceAddRejected", text)
            return
        self.queue.add(key_of(pod), after=fault.slow_seconds)

    async def reconcile(self, key: Key) -> None:
        """Up to four attempts, then silence until the text changes again."""
        for pause in (*BACKOFF_SECONDS, None):
            pod = self._pods.get(key)
            if pod is None or pod["spec"].get("nodeName") not in self._ready:
                return
            if await self._attempt(pod) or pause is None:
                return
            await asyncio.sleep(pause)

    async def _attempt(self, pod: Json) -> bool:
        """One pass over the pod; False when it has to be repeated."""
        try:
            elements = parse_networks(annotation(pod, NETWORKS), namespace=pod["metadata"]["namespace"])
        except AnnotationError as error:
            log.info("pod %s: %s", key_of(pod), error)
            return False
        entries = read_status(pod)
        wanted = difference(elements=elements, entries=entries)
        attempt = _Attempt(entries=list(entries), links=links_of(pod))
        succeeded = await self._add_all(pod, wanted.add, attempt)
        if succeeded:
            succeeded = await self._remove_all(pod, wanted.remove, attempt)
        if wanted.remove and self._fault(pod["spec"]["nodeName"]).broken == "mixed":
            # The second write of the real one is of a status that it read before the first.
            attempt.entries = [item for item in attempt.entries if item in entries]
        await self._write(pod, attempt)
        for kind, reason, message in attempt.events:
            self._post(pod, kind, reason, message)
        return succeeded

    async def _add_all(self, pod: Json, elements: Sequence[Element], attempt: _Attempt) -> bool:
        name = str(key_of(pod))
        for element in elements:
            about = f"interface {element.interface} to network: {element.name}{attributes_text(element)}"
            try:
                if self._fault(pod["spec"]["nodeName"]).broken == "fails":
                    raise MissingNetworkError("sandbox fault")
                nad = self._nads.get(Key(element.namespace, element.name))
                if nad is None:
                    raise MissingNetworkError(element.network)
                entry = await self._multus.add(pod=pod, element=element, nad=nad, links=attempt.links)
            except CniError as error:
                log.info("pod %s: %s", name, error)
                attempt.events.append(("Warning", "FailedAddingInterface", f"pod [{name}]: failed adding {about}"))
                if not isinstance(error, MissingNetworkError):
                    self._roll_back(pod, element, attempt)
                return False
            attempt.entries.append(entry)
            attempt.links |= {element.interface}
            attempt.added.append(element)
            attempt.changed = True
            attempt.events.append(("Normal", "AddedInterface", f"pod [{name}]: added {about}"))
        return True

    def _roll_back(self, pod: Json, failed: Element, attempt: _Attempt) -> None:
        """Multus answers a failed ADD with a DEL of that name and of what it added just before.

        A link that was there already is deleted too, eth0 not excepted, and network-status keeps the
        entries of the others: both faults are real.
        """
        attempt.links -= {failed.interface, *(element.interface for element in attempt.added)}
        for element in attempt.added:
            self._multus.release(pod=pod, network=element.network)

    async def _remove_all(self, pod: Json, entries: Sequence[Json], attempt: _Attempt) -> bool:
        name = str(key_of(pod))
        for entry in entries:
            network, interface = str(entry.get("name", "")), entry.get("interface", "")
            namespace, _, nad_name = network.partition("/")
            about = f"interface {interface} from network: {nad_name}"
            try:
                if self._fault(pod["spec"]["nodeName"]).broken == "fails":
                    raise MissingNetworkError("sandbox fault")
                nad = self._nads.get(Key(namespace, nad_name))
                if nad is None:
                    raise MissingNetworkError(network)
                await self._multus.delete(pod=pod, network=network, nad=nad)
            except CniError as error:
                log.info("pod %s: %s", name, error)
                attempt.events.append(("Warning", "FailedRemovingInterface", f"pod [{name}]: failed removing {about}"))
                return False
            attempt.entries = [item for item in attempt.entries if item is not entry]
            attempt.links -= {interface}
            attempt.changed = True
            attempt.events.append(("Normal", "RemovedInterface", f"pod [{name}]: removed {about}"))
        return True

    async def _write(self, pod: Json, attempt: _Attempt) -> None:
        entries: Sequence[Json] = attempt.entries
        if attempt.changed:
            seed = f"{self._seed} {key_of(pod)} {annotation(pod, NETWORKS)}"
            entries = shuffled(entries, seed=seed)
        patch = status_patch(pod=pod, entries=entries, links=attempt.links)
        if not patch:
            return
        key = key_of(pod)
        try:
            answer = await self._api.patch(
                PODS, patch,
                name=key.name, namespace=key.namespace, subresource="status", content_type=JSON_PATCH,
            )  # fmt: skip
        except ApiError:
            for element in attempt.added:
                self._multus.release(pod=pod, network=element.network)
            raise
        self._pods.apply_response(answer)

    def _post(self, pod: Json, kind: str, reason: str, message: str) -> None:
        self._events.post(
            Event(
                about=pod, kind="Pod", api_version="v1", component=COMPONENT,
                host=pod["spec"]["nodeName"], type=kind, reason=reason, message=message,
            )
        )  # fmt: skip
