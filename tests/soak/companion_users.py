"""Users beside KubeVirt: they edit VM templates, ask for migrations and cancel them, and evict launcher pods."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from tests.perf.concurrency import FINAL
from tests.perf.migrations import MIGRATIONS
from tests.soak.expectations import is_live
from tests.soak.script import Deed, Operation, network_of
from tests.soak.users import NAMESPACE, NotPossible, Users

from nicplug_sandbox.node.api import MERGE_PATCH, NETWORK_ATTACHMENT_DEFINITIONS, PODS, ApiError, Json
from nicplug_sandbox.node.settings import PREFIX

# By its name a migration tells who has made it.
USERS_PREFIX = "job-"
_CNI, _COPY = f"{PREFIX}cni", f"{PREFIX}migration-copy"
_MIGRATION_SECONDS, _POLL_SECONDS = 10.0, 0.2


class CompanionUsers(Users):
    """Everybody who asks for something of a cluster of KubeVirt's."""

    async def prepare(self) -> None:
        """Networks, and every VM."""
        await self.create_all()

    def body(self, name: str, *nics: str) -> Json:
        """A VM that an eviction migrates, slowly enough for somebody to cancel it."""
        found = super().body(name, *nics)
        template = found["spec"]["template"]
        template["metadata"]["annotations"] = {_COPY: "1.5s"}
        template["spec"]["evictionStrategy"] = "LiveMigrate"
        return found

    def deeds(self) -> Mapping[Deed, Callable[[Operation], Awaitable[None]]]:
        """Those of all users, and what KubeVirt offers beside."""
        return {
            **super().deeds(),
            Deed.BREAK_NETWORK: self.break_network,
            Deed.MIGRATE: self.migrate,
            Deed.CANCEL: self.cancel,
            Deed.EVICT: self.evict,
        }

    async def break_network(self, operation: Operation) -> None:
        """Every attachment to it fails, or does not any more."""
        fault = None if operation.value == "on" else "fails"
        body = {"metadata": {"annotations": {_CNI: fault}}}
        await self._until_answered(
            lambda: self._api.patch(
                NETWORK_ATTACHMENT_DEFINITIONS,
                body,
                name=network_of(operation.nic),
                namespace=NAMESPACE,
                content_type=MERGE_PATCH,
            )
        )

    async def migrate(self, operation: Operation) -> None:
        """Refused while another migration of the VM is under way."""
        await self._running_instance(operation.vm)
        body = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceMigration",
            "metadata": {"generateName": USERS_PREFIX},
            "spec": {"vmiName": operation.vm},
        }
        try:
            await self._until_answered(lambda: self._api.create(MIGRATIONS, body, namespace=NAMESPACE))
        except ApiError as error:
            raise NotPossible(error.message) from error

    async def cancel(self, _: Operation) -> None:
        """The next migration of any VM that is under way, whoever has made it."""
        scope = {"fieldSelector": f"metadata.namespace={NAMESPACE}"}
        deadline = asyncio.get_running_loop().time() + _MIGRATION_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            page = await self._until_answered(lambda: self._api.list(MIGRATIONS, params=scope)) or {"items": []}
            for found in page["items"]:
                if (found.get("status") or {}).get("phase") not in FINAL:
                    await self._delete(MIGRATIONS, found["metadata"]["name"], uid=found["metadata"]["uid"])
                    return
            await asyncio.sleep(_POLL_SECONDS)
        raise NotPossible(f"no migration was under way within {_MIGRATION_SECONDS:.0f} s")

    async def evict(self, operation: Operation) -> None:
        """As `kubectl drain` does once: refused, and the guest is to leave the node."""
        vmi = await self._running_instance(operation.vm)
        page = await self._until_answered(
            lambda: self._api.list(PODS, params={"labelSelector": f"kubevirt.io/created-by={vmi['metadata']['uid']}"})
        )
        home = vmi["status"].get("nodeName")
        pods = [pod for pod in (page or {})["items"] if pod["spec"].get("nodeName") == home and is_live(pod)]
        if not pods:
            raise NotPossible("the launcher pod has gone")
        name = pods[0]["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        path = PODS.path(namespace=NAMESPACE, name=name, subresource="eviction")
        try:
            await self._api.request("POST", path, body=eviction)
        except ApiError as error:
            if error.status != HTTPStatus.TOO_MANY_REQUESTS:
                raise NotPossible(error.message) from error
