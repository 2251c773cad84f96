"""Runs virt-controller, or virt-api's webhooks, until told to stop."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from nicplug_sandbox.kubevirt.admission import VIRT_CONTROLLER
from nicplug_sandbox.kubevirt.controllers import Controllers, make_mirrors
from nicplug_sandbox.kubevirt.lease import keep_lease
from nicplug_sandbox.kubevirt.send import RESOURCES, Sender
from nicplug_sandbox.kubevirt.webhooks import serve
from nicplug_sandbox.node.api import MERGE_PATCH, Api, load_configuration

CONNECTIONS = 32
VERSION = "v1.9.0"
DEPLOYMENT = "0123456789abcdef"


async def run_controller(kubeconfig: Path, *, stop: asyncio.Event) -> None:
    """Play virt-controller, with the rights of its ServiceAccount.

    Raises:
        ConfigurationError: the kubeconfig cannot be used.
    """
    async with AsyncExitStack() as stack:
        admin = await _connect(stack, kubeconfig, agent="virt-controller")
        api = admin.acting_as(VIRT_CONTROLLER)
        mirrors = make_mirrors(api)
        watches = [asyncio.create_task(mirror.run()) for mirror in mirrors.values()]
        stack.push_async_callback(_cancel, watches)
        await asyncio.gather(*(mirror.synced.wait() for mirror in mirrors.values()))
        sender = Sender(api=api, mirrors=mirrors)
        stack.push_async_callback(sender.close)
        controllers = Controllers(mirrors=mirrors, sender=sender)
        stack.push_async_callback(controllers.close)
        controllers.start()
        stack.push_async_callback(_cancel, [asyncio.create_task(keep_lease(api))])
        _say_ready()
        await stop.wait()


async def run_api(kubeconfig: Path, *, stop: asyncio.Event, version: str = VERSION) -> None:
    """Play virt-api's webhooks, after virt-operator's last word: KubeVirt is deployed, in this version.

    Raises:
        ConfigurationError: the kubeconfig cannot be used.
    """
    async with AsyncExitStack() as stack:
        admin = await _connect(stack, kubeconfig, agent="virt-api")
        await _tell_deployed(admin, version=version)
        port = await stack.enter_async_context(serve(admin))
        _say_ready(port=port)
        await stop.wait()


async def _connect(stack: AsyncExitStack, kubeconfig: Path, *, agent: str) -> Api:
    configuration = await load_configuration(kubeconfig)
    return await stack.enter_async_context(Api(configuration=configuration, connections=CONNECTIONS, user_agent=agent))


async def _tell_deployed(admin: Api, *, version: str) -> None:
    """What virt-operator writes into each KubeVirt CR at the end of an installation."""
    resource = RESOURCES["KubeVirt"]
    status = {
        "phase": "Deployed",
        "observedDeploymentID": DEPLOYMENT,
        "targetDeploymentID": DEPLOYMENT,
        "observedKubeVirtVersion": version,
        "targetKubeVirtVersion": version,
        "operatorVersion": version,
    }
    for item in (await admin.list(resource, params={}))["items"]:
        await admin.patch(
            resource, {"status": status},
            name=item["metadata"]["name"], namespace=item["metadata"]["namespace"],
            subresource="status", content_type=MERGE_PATCH,
        )  # fmt: skip


def _say_ready(**facts: int) -> None:
    """One JSON line on stdout: whoever started the process waits for it."""
    sys.stdout.write(json.dumps({"ready": True, **facts}) + "\n")
    sys.stdout.flush()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
