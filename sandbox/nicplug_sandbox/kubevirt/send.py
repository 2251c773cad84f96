"""Sends what a controller has decided: the writes in order, then what is said about them.

A write counts as done only once the mirror shows it, so that the next decision never rests on a world without it:
what KubeVirt's controllers reach by expectations.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import aiohttp

from nicplug_sandbox.kubevirt.objects import Json, text_of, uid_of
from nicplug_sandbox.kubevirt.writes import Decision, Event, Kind, Write, WriteRefused
from nicplug_sandbox.node.api import (
    EVENTS,
    JSON_PATCH,
    NETWORK_ATTACHMENT_DEFINITIONS,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCES,
    Api,
    ApiError,
    Resource,
)
from nicplug_sandbox.node.mirror import Key, Mirror, key_of

log = logging.getLogger(__name__)

GROUP = "/apis/kubevirt.io/v1"
RESOURCES: Mapping[Kind, Resource] = {
    "VirtualMachine": Resource(prefix=GROUP, plural="virtualmachines"),
    "VirtualMachineInstance": VIRTUAL_MACHINE_INSTANCES,
    "VirtualMachineInstanceMigration": Resource(prefix=GROUP, plural="virtualmachineinstancemigrations"),
    "KubeVirt": Resource(prefix=GROUP, plural="kubevirts"),
    "Pod": PODS,
    "ControllerRevision": Resource(prefix="/apis/apps/v1", plural="controllerrevisions"),
    "Node": NODES,
    "NetworkAttachmentDefinition": NETWORK_ATTACHMENT_DEFINITIONS,
}
SHOWN_SECONDS = 5.0
POLL_SECONDS = 0.005


class PassFailed(ApiError):
    """A pass has failed; it is repeated with back-off. The message is the API server's, or the controller's own."""

    def __init__(self, message: str) -> None:
        super().__init__(status=HTTPStatus.BAD_REQUEST, reason="PassFailed", message=message, request="virt-controller")


class Sender:
    """Writes as virt-controller."""

    def __init__(self, *, api: Api, mirrors: Mapping[Kind, Mirror]) -> None:
        self._api = api
        self._mirrors = mirrors
        self._said: set[asyncio.Task[None]] = set()

    async def send(self, decision: Decision) -> float | None:
        """Carry a decision out; returns when to look again.

        Raises:
            WriteRefused: the API server refused a write, or the pass has an error of its own.
            ApiError: the object is gone.
        """
        for event in decision.events:
            self.say(event)
        for item in decision.writes:
            await self._write(item)
        if decision.error:
            raise WriteRefused(decision.error, reason=decision.reason)
        return decision.again

    def say(self, event: Event, *, name: str = "", error: str = "") -> None:
        """Post an event beside the work; it may get lost, as any event."""
        task = asyncio.create_task(self._post(event.told(name=name, error=error)))
        self._said.add(task)
        task.add_done_callback(self._said.discard)

    async def close(self) -> None:
        """Let what is being said be said."""
        await asyncio.gather(*self._said, return_exceptions=True)

    async def _write(self, item: Write) -> None:
        try:
            answer = await self._request(item)
        except ApiError as error:
            if item.failed is not None and not error.is_gone:
                self.say(item.failed, name=item.name, error=error.message)
            if error.is_gone or (error.is_stale and item.verb != "create"):
                await self._refresh(item)
            if error.is_gone and item.verb not in ("create", "delete"):
                raise
            if error.is_gone and item.verb == "delete":
                return
            raise item.refused(error.message) from error
        if item.said is not None:
            self.say(item.said, name=answer["metadata"]["name"] if item.verb == "create" else item.name)
        await self._shown(item, answer)

    async def _request(self, item: Write) -> Json:
        resource, where = RESOURCES[item.kind], item.namespace
        is_status = item.verb in ("update-status", "patch-status")
        path = resource.path(namespace=where, name=item.name, subresource="status" if is_status else None)
        match item.verb:
            case "create":
                return await self._api.request("POST", resource.path(namespace=where), body=item.body)
            case "update" | "update-status":
                return await self._api.request("PUT", path, body=self._typed(item))
            case "patch" | "patch-status":
                return await self._api.request("PATCH", path, body=item.body, content_type=JSON_PATCH)
            case "delete":
                # With the grace of the object: virt-controller never deletes at once.
                body = {"preconditions": {"uid": item.uid}}
                return await self._api.request("DELETE", path, body=body)
            case "evict":
                path = resource.path(namespace=where, name=item.name, subresource="eviction")
                metadata = {"name": item.name, "namespace": where}
                eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": {}}
                return await self._api.request("POST", path, body=eviction)

    def _typed(self, item: Write) -> Json:
        """Objects of a list carry neither kind nor apiVersion."""
        assert isinstance(item.body, dict)
        return {**item.body, "apiVersion": "v1" if item.kind == "Pod" else "kubevirt.io/v1", "kind": item.kind}

    async def _shown(self, item: Write, answer: Json) -> None:
        mirror = self._mirrors.get(item.kind)
        if mirror is None or answer.get("kind") == "Status":
            return
        if item.verb != "create":
            mirror.apply_response(answer)
            return
        deadline = asyncio.get_running_loop().time() + SHOWN_SECONDS
        # A mirror's listeners cannot be taken away, and this takes a few milliseconds.
        while mirror.get(key_of(answer)) is None and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)

    async def _refresh(self, item: Write) -> None:
        """Somebody was faster: read, and let the queue repeat."""
        mirror = self._mirrors.get(item.kind)
        try:
            answer = await self._api.get(RESOURCES[item.kind], name=item.name, namespace=item.namespace)
        except ApiError:
            return
        if mirror is not None and mirror.get(Key(item.namespace, item.name)) is not None:
            mirror.apply_response(answer)

    async def _post(self, event: Event) -> None:
        try:
            body = _body(event)
            await self._api.create(EVENTS, body, namespace=body["metadata"]["namespace"])
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            log.info("event %s not posted: %s", event.reason, error)


def _body(event: Event) -> Json:
    metadata, now = event.about["metadata"], text_of(datetime.now(UTC))
    moment = datetime.now(UTC).isoformat()
    digest = hashlib.sha256(f"{uid_of(event.about)}\n{event.reason}\n{event.message}\n{moment}".encode()).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{digest[:16]}", "namespace": metadata.get("namespace") or "default"},
        "involvedObject": {
            "kind": event.kind,
            "apiVersion": "v1" if event.kind == "Pod" else "kubevirt.io/v1",
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "source": {"component": "virt-controller"},
        "reportingComponent": "virt-controller",
        "reportingInstance": "virt-controller",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
