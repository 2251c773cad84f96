"""Events as the real node components post them: core/v1, repeats counted on the same object."""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from nicplug_sandbox.node.accounts import Clients
from nicplug_sandbox.node.api import EVENTS, MERGE_PATCH, Api, ApiError, Json

log = logging.getLogger(__name__)

REMEMBERED = 4096
QUEUE_LENGTH = 10_000
KUBELET = "kubelet"
VIRT_HANDLER = "virt-handler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One sentence about one object."""

    about: Json
    """The involved object; its kind and apiVersion are given, since watched pods carry neither."""
    kind: str
    api_version: str
    component: str
    host: str
    type: str
    reason: str
    message: str


def _moment() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event_body(event: Event, *, name: str, now: str) -> Json:
    """The core/v1 Event object of a first occurrence."""
    metadata = event.about["metadata"]
    namespace = metadata.get("namespace") or "default"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "kind": event.kind,
            "apiVersion": event.api_version,
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "source": {"component": event.component, "host": event.host},
        "reportingComponent": event.component,
        "reportingInstance": event.host,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def event_name(event: Event) -> str:
    """The same for every occurrence of the same sentence, so that a restart goes on counting."""
    metadata = event.about["metadata"]
    key = "\n".join((metadata["uid"], event.component, event.host, event.type, event.reason, event.message))
    # What a pod's annotation says is quoted in events, whatever it is.
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{metadata['name']}.{digest[:16]}"


class EventPoster:
    """Posts in the background, in order; never blocks or fails its caller."""

    def __init__(self, *, clients: Clients) -> None:
        self._clients = clients
        self._queue: asyncio.Queue[Event] = asyncio.Queue(maxsize=QUEUE_LENGTH)
        self._counts: OrderedDict[str, int] = OrderedDict()

    def post(self, event: Event) -> None:
        """Queue an event; it is dropped, with a line in the log, when thousands wait already."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("too many events wait, dropped: %s %s", event.reason, event.message)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._send(event)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                # Namespaces end and servers restart; nobody may rely on an event.
                log.info("event %s not posted: %s", event.reason, error)

    async def _send(self, event: Event) -> None:
        api, name, now = self._client_of(event), event_name(event), _moment()
        namespace = event.about["metadata"].get("namespace") or "default"
        count = self._counts.get(name, 0)
        if count == 0:
            try:
                await api.create(EVENTS, event_body(event, name=name, now=now), namespace=namespace)
            except ApiError as error:
                if not error.is_stale:
                    raise
                # Kubelets may not read events; the real ones count in memory alone.
                present = await self._clients.observer.get(EVENTS, name=name, namespace=namespace)
                count = int(present.get("count") or 1)
        if count:
            await api.patch(
                EVENTS,
                {"count": count + 1, "lastTimestamp": now},
                name=name, namespace=namespace, content_type=MERGE_PATCH,
            )  # fmt: skip
        self._counts[name] = count + 1
        self._counts.move_to_end(name)
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)

    def _client_of(self, event: Event) -> Api:
        """Each component posts its own events; what is neither of the two is the dynamic networks controller."""
        if event.component == KUBELET:
            return self._clients.kubelet(event.host)
        return self._clients.virt_handler if event.component == VIRT_HANDLER else self._clients.dynamic_networks
