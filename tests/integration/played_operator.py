"""The operator's part, played by plain API calls: what the node simulator is tested against.

Deliberately no code of nicplug: the simulator has to serve anything that keeps the contract. It sees the
cluster by watches of its own, so that waiting costs no polling.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.manifests import pod_interface

from nicplug_sandbox.node.api import (
    JSON_PATCH,
    MERGE_PATCH,
    NETWORK_ATTACHMENT_DEFINITIONS,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCES,
    Api,
    Json,
    Resource,
    load_configuration,
)
from nicplug_sandbox.node.mirror import Key, Mirror

NETWORKS = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
NETWORKS_PATH = "/metadata/annotations/k8s.v1.cni.cncf.io~1networks"
NAMESPACES = Resource(prefix="/api/v1", plural="namespaces", namespaced=False)
EVENTS = Resource(prefix="/api/v1", plural="events")
SERVICE_ACCOUNTS = Resource(prefix="/api/v1", plural="serviceaccounts")
# Patience only: on a machine that others use as well, what takes a second has taken half a minute.
WAIT_SECONDS = 60.0


def element(network: str, *, nad: str | None = None, **more: Any) -> Json:
    """One element of the networks annotation for the logical network `network`."""
    return {"name": nad or network, "interface": pod_interface(network), **more}


def vmi_body(name: str, *, nics: tuple[str, ...] = (), annotations: dict[str, str] | None = None) -> Json:
    """A VMI with masquerade on the pod network, and a bridge NIC for each of `nics`."""
    interfaces: list[Json] = [{"name": "default", "masquerade": {}}]
    networks: list[Json] = [{"name": "default", "pod": {}}]
    for nic in nics:
        interfaces.append({"name": nic, "bridge": {}})
        networks.append({"name": nic, "multus": {"networkName": nic}})
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"domain": {"devices": {"interfaces": interfaces}}, "networks": networks},
    }


def pod_body(vmi: Json, *, elements: list[Json] | None = None, **spec: Any) -> Json:
    """The launcher pod of a VMI."""
    metadata = vmi["metadata"]
    annotations = {"kubevirt.io/domain": metadata["name"]}
    if elements:
        annotations[NETWORKS] = json.dumps(elements)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"virt-launcher-{metadata['name']}-{uuid.uuid4().hex[:5]}",
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": metadata["uid"]},
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": "kubevirt.io/v1",
                    "kind": "VirtualMachineInstance",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "containers": [
                {"name": "compute", "image": "launcher:1", "resources": {"requests": {"memory": "64Mi", "cpu": "10m"}}}
            ],
            **spec,
        },
    }


def is_ready(pod: Json | None) -> bool:
    """Whether the pod has condition Ready=True."""
    conditions = (pod or {}).get("status", {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def network_status(pod: Json) -> list[Json]:
    """The pod's network-status."""
    return list(json.loads(pod["metadata"]["annotations"].get(NETWORK_STATUS, "[]")))


def attached(pod: Json) -> set[str]:
    """The pod's secondary interfaces, as network-status tells."""
    return {entry["interface"] for entry in network_status(pod) if not entry.get("default")}


def info_sources(vmi: Json) -> dict[str, str]:
    """infoSource by NIC."""
    return {row.get("name", ""): row.get("infoSource", "") for row in vmi["status"].get("interfaces") or ()}


class PlayedOperator:
    """Creates and drives VMIs in one namespace."""

    def __init__(self, *, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.pods = Mirror(api=api, resource=PODS)
        self.vmis = Mirror(api=api, resource=VIRTUAL_MACHINE_INSTANCES)
        self.nodes = Mirror(api=api, resource=NODES)
        self._changed: set[asyncio.Event] = set()
        for mirror in (self.pods, self.vmis, self.nodes):
            mirror.listen(self._on_change)

    def _on_change(self, _old: Json | None, _new: Json | None) -> None:
        for event in self._changed:
            event.set()

    @classmethod
    @asynccontextmanager
    async def connect(cls, kubeconfig: Path) -> AsyncIterator["PlayedOperator"]:
        """In a fresh namespace, with watches running."""
        configuration = await load_configuration(kubeconfig)
        async with Api(configuration=configuration, connections=32, user_agent="played-operator") as api:
            namespace = f"node-{uuid.uuid4().hex[:8]}"
            await api.create(NAMESPACES, {"metadata": {"name": namespace}})
            operator = cls(api=api, namespace=namespace)
            mirrors = (operator.pods, operator.vmis, operator.nodes)
            tasks = [asyncio.create_task(mirror.run()) for mirror in mirrors]
            try:
                await asyncio.gather(*(mirror.synced.wait() for mirror in mirrors))
                await operator.eventually(operator.has_service_account)
                yield operator
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await api.request("DELETE", NAMESPACES.path(name=namespace))

    async def has_service_account(self) -> bool:
        """Pods are refused until the namespace has its default ServiceAccount."""
        found = await self.api.request("GET", SERVICE_ACCOUNTS.path(namespace=self.namespace))
        return bool(found["items"])

    async def until(self, condition: Callable[[], Any], *, seconds: float = WAIT_SECONDS) -> Any:
        """The value of `condition` once it is true; looks again at every change."""
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            async with asyncio.timeout(seconds):
                while not (value := condition()):
                    await changed.wait()
                    changed.clear()
                return value
        finally:
            self._changed.discard(changed)

    async def eventually(self, condition: Callable[[], Any], *, seconds: float = WAIT_SECONDS) -> Any:
        """The same for what is not watched: asks again every 20 ms."""
        deadline = time.monotonic() + seconds
        while not (value := await condition()):
            assert time.monotonic() < deadline, f"did not come true within {seconds} s: {condition}"
            await asyncio.sleep(0.02)
        return value

    def find_pod(self, name: str) -> Json | None:
        """The pod as last seen, None when it is not there."""
        return self.pods.get(Key(self.namespace, name))

    def find_vmi(self, name: str) -> Json | None:
        """The VMI as last seen, None when it is not there."""
        return self.vmis.get(Key(self.namespace, name))

    def pod(self, name: str) -> Json:
        """The pod as last seen; it must be there."""
        found = self.find_pod(name)
        assert found is not None, f"no pod {name}"
        return found

    def vmi(self, name: str) -> Json:
        """The VMI as last seen; it must be there."""
        found = self.find_vmi(name)
        assert found is not None, f"no VMI {name}"
        return found

    async def create_nad(self, name: str, config: Json | None = None, **annotations: str) -> Json:
        """A bridge network unless `config` says otherwise."""
        text = json.dumps(config or {"cniVersion": "0.3.1", "type": "bridge", "name": name})
        body = {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "annotations": {f"sandbox.nicplug.io/{k}": v for k, v in annotations.items()}},
            "spec": {"config": text},
        }
        return await self.api.create(NETWORK_ATTACHMENT_DEFINITIONS, body, namespace=self.namespace)

    async def create_pod(self, body: Json) -> str:
        """POST a pod; its name, once the watch has it."""
        name = str((await self.api.create(PODS, body, namespace=self.namespace))["metadata"]["name"])
        await self.until(lambda: self.find_pod(name))
        return name

    async def create_vmi(self, body: Json) -> Json:
        """POST a VMI."""
        return await self.api.create(VIRTUAL_MACHINE_INSTANCES, body, namespace=self.namespace)

    async def launch(self, body: Json, *, elements: list[Json] | None = None, **spec: Any) -> tuple[Json, str]:
        """VMI and launcher pod up to Scheduled, as an operator does it; the VMI and the pod's name."""
        vmi = await self.create_vmi(body)
        pod_name = await self.create_pod(pod_body(vmi, elements=elements, **spec))
        pod = await self.until(lambda: is_ready(self.pod(pod_name)) and self.pod(pod_name), seconds=60)
        await self.schedule(vmi, pod)
        return vmi, pod_name

    async def schedule(self, vmi: Json, pod: Json) -> None:
        """Hand the VMI over to the node: label first, then phase and rows."""
        name, node = vmi["metadata"]["name"], pod["spec"]["nodeName"]
        label = {"metadata": {"labels": {"kubevirt.io/nodeName": node}}}
        await self.patch_vmi(name, label, content_type=MERGE_PATCH)
        rows = [
            {"name": network["name"], "infoSource": "multus-status", "podInterfaceName": pod_interface(network["name"])}
            for network in vmi["spec"]["networks"]
            if "multus" in network and pod_interface(network["name"]) in attached(pod)
        ]
        rows.insert(0, {"name": "default", "podInterfaceName": "eth0"})
        status = {"phase": "Scheduled", "nodeName": node, "interfaces": rows}
        await self.patch_vmi(name, {"status": status}, subresource="status", content_type=MERGE_PATCH)

    async def run(self, body: Json, *, elements: list[Json] | None = None) -> tuple[Json, str]:
        """A VMI in phase Running; the VMI and the pod's name."""
        vmi, pod_name = await self.launch(body, elements=elements)
        name = vmi["metadata"]["name"]
        running = await self.until(lambda: self.phase(name) == "Running" and self.vmi(name))
        return running, pod_name

    def phase(self, name: str) -> str:
        """The VMI's phase."""
        return str((self.find_vmi(name) or {}).get("status", {}).get("phase", ""))

    async def patch_vmi(
        self, name: str, body: Any, *, subresource: str | None = None, content_type: str = JSON_PATCH
    ) -> Json:
        """PATCH a VMI."""
        return await self.api.patch(
            VIRTUAL_MACHINE_INSTANCES,
            body,
            name=name,
            namespace=self.namespace,
            subresource=subresource,
            content_type=content_type,
        )

    async def annotate_networks(self, pod: str, elements: list[Json] | str) -> Json:
        """Write the networks annotation."""
        text = elements if isinstance(elements, str) else json.dumps(elements)
        patch = [{"op": "add", "path": NETWORKS_PATH, "value": text}]
        return await self.api.patch(PODS, patch, name=pod, namespace=self.namespace, content_type=JSON_PATCH)

    async def add_nic_to_spec(self, vmi: str, nic: str) -> None:
        """Append a bridge NIC to the VMI's spec."""
        await self.patch_vmi(
            vmi,
            [
                {"op": "add", "path": "/spec/domain/devices/interfaces/-", "value": {"name": nic, "bridge": {}}},
                {"op": "add", "path": "/spec/networks/-", "value": {"name": nic, "multus": {"networkName": nic}}},
            ],
        )

    async def write_rows(self, vmi: str, rows: list[Json]) -> None:
        """Write `status.interfaces`, guarded as the contract wants it."""
        old = self.vmi(vmi)["status"].get("interfaces")
        patch = [
            {"op": "test", "path": "/status/interfaces", "value": old},
            {"op": "add", "path": "/status/interfaces", "value": rows},
        ]
        await self.patch_vmi(vmi, patch, subresource="status")

    async def go_ahead(self, vmi: str, nic: str) -> None:
        """Add the row that lets the node plug."""
        rows = self.vmi(vmi)["status"]["interfaces"]
        row = {"name": nic, "infoSource": "multus-status", "podInterfaceName": pod_interface(nic)}
        await self.write_rows(vmi, [*rows, row])

    async def hotplug(self, vmi: str, pod: str, nic: str, *, elements: list[Json]) -> Json:
        """The whole sequence; the VMI once the NIC is in the guest."""
        await self.add_nic_to_spec(vmi, nic)
        await self.annotate_networks(pod, elements)
        await self.until(lambda: pod_interface(nic) in attached(self.pod(pod)))
        await self.until(
            lambda: any(i["name"] == nic for i in self.vmi(vmi)["spec"]["domain"]["devices"]["interfaces"])
        )
        await self.go_ahead(vmi, nic)
        plugged: Json = await self.until(lambda: "domain" in info_sources(self.vmi(vmi)).get(nic, "") and self.vmi(vmi))
        return plugged

    async def annotate_node(self, node: str, **faults: str | None) -> None:
        """Set or remove (None) faults; underscores stand for hyphens."""
        annotations = {f"sandbox.nicplug.io/{k.replace('_', '-')}": v for k, v in faults.items()}
        await self.api.patch(NODES, {"metadata": {"annotations": annotations}}, name=node, content_type=MERGE_PATCH)

    async def events(self, name: str) -> list[Json]:
        """Events about one object, by name."""
        found = await self.api.request(
            "GET",
            EVENTS.path(namespace=self.namespace),
            params={"fieldSelector": f"involvedObject.name={name}"},
        )
        return list(found["items"])

    async def event(self, name: str, reason: str, *, count: int = 1) -> Json:
        """The first event of a reason that occurred at least `count` times."""

        async def find() -> Json | None:
            for item in await self.events(name):
                if item["reason"] == reason and int(item.get("count") or 1) >= count:
                    return item
            return None

        found: Json = await self.eventually(find)
        return found
