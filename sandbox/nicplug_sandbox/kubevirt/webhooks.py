"""The webhooks of virt-api, served over HTTPS on this host: `admission` decides.

The API server asks by URL: it must run on the same host, as the sandbox's does.
"""

import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import trustme
from aiohttp import web

from nicplug_sandbox.kubevirt.admission import (
    Refusal,
    admitted_migration,
    guest_of,
    judged_eviction,
    refused_creation,
    refused_migration_update,
    refused_vmi_update,
)
from nicplug_sandbox.kubevirt.objects import Json
from nicplug_sandbox.kubevirt.send import RESOURCES
from nicplug_sandbox.kubevirt.settings import ClusterSettings, read_settings
from nicplug_sandbox.node.api import JSON_PATCH, PODS, Api, ApiError, Resource

log = logging.getLogger(__name__)

MIGRATIONS, VMIS = RESOURCES["VirtualMachineInstanceMigration"], RESOURCES["VirtualMachineInstance"]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
CONFIGURATIONS = {
    "ValidatingWebhookConfiguration": Resource(
        prefix=ADMISSION, plural="validatingwebhookconfigurations", namespaced=False
    ),
    "MutatingWebhookConfiguration": Resource(
        prefix=ADMISSION, plural="mutatingwebhookconfigurations", namespaced=False
    ),
}
VALIDATING, MUTATING = "virt-api-validator", "virt-api-mutator"
Answer = Callable[[Json], Awaitable[Json]]


class Webhooks:
    """Answers AdmissionReviews; looks VMIs and migrations up at the API server, as virt-api does."""

    def __init__(self, *, api: Api) -> None:
        self._api = api

    async def mutate_migration(self, request: Json) -> Json:
        """The label and the finalizer of a new migration."""
        sent, stored = request["object"], admitted_migration(request["object"])
        if request["operation"] != "CREATE" or sent == stored:
            return {}
        patch = [{"op": "add", "path": "/metadata", "value": stored["metadata"]}]
        return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}

    async def validate_migration(self, request: Json) -> Json:
        """Whether a migration may be created or changed so."""
        new = request["object"]
        if request["operation"] == "UPDATE":
            return _verdict(refused_migration_update(new, request["oldObject"]))
        namespace, name = request["namespace"], (new.get("spec") or {}).get("vmiName") or ""
        found = await self._api.request("GET", MIGRATIONS.path(namespace=namespace))
        new = {**new, "metadata": {**new["metadata"], "namespace": namespace}}
        refusal = refused_creation(
            new, user=request["userInfo"]["username"], vmi=await self._vmi(namespace, name), migrations=found["items"]
        )
        return _verdict(refusal)

    async def validate_vmi(self, request: Json) -> Json:
        """Whether a VMI may be changed so."""
        user = request["userInfo"]["username"]
        return _verdict(refused_vmi_update(request["object"], request["oldObject"], user=user))

    async def validate_eviction(self, request: Json) -> Json:
        """Whether a pod may be evicted; where the guest is to be migrated instead, its VMI is marked."""
        namespace, name = request["namespace"], request["name"]
        pod = await self._found(PODS, namespace, name)
        guest = guest_of(pod) if pod is not None else ""
        if pod is None or not guest:
            return {}
        vmi = await self._vmi(namespace, guest)
        if vmi is None:
            message = f'kubevirt failed getting the vmi: virtualmachineinstances.kubevirt.io "{guest}" not found'
            return _verdict(Refusal(message=message, code=429))
        judged = judged_eviction(pod, vmi, settings=await self._settings())
        if judged.node and not _is_dry_run(request):
            patch: list[Json] = [{"op": "add", "path": "/status/evacuationNodeName", "value": judged.node}]
            path = VMIS.path(namespace=namespace, name=guest)
            await self._api.request("PATCH", path, body=patch, content_type=JSON_PATCH)
        return _verdict(judged.refusal)

    async def _settings(self) -> ClusterSettings:
        found = await self._api.request("GET", RESOURCES["KubeVirt"].path())
        return read_settings(next(iter(found["items"]), None))

    async def _vmi(self, namespace: str, name: str) -> Json | None:
        return await self._found(VMIS, namespace, name) if name else None

    async def _found(self, resource: Resource, namespace: str, name: str) -> Json | None:
        try:
            return await self._api.get(resource, namespace=namespace, name=name)
        except ApiError as error:
            if error.is_gone:
                return None
            raise


def _is_dry_run(request: Json) -> bool:
    options = (request.get("object") or {}).get("deleteOptions") or {}
    return bool(request.get("dryRun")) or "All" in (options.get("dryRun") or ())


def _verdict(refusal: Refusal | None) -> Json:
    if refusal is None:
        return {}
    if refusal.code != 422:
        return {"allowed": False, "status": {"message": refusal.message, "code": refusal.code}}
    causes = [{"reason": "FieldValueInvalid", "message": refusal.message, "field": refusal.field}]
    status = {"message": refusal.message, "code": refusal.code, "reason": "Invalid", "details": {"causes": causes}}
    return {"allowed": False, "status": status}


def _handler(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            review = await request.json()
        except ConnectionResetError:
            # The API server drops the question when the client of the write has died; nobody reads the answer.
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        response = {"uid": review["request"]["uid"], "allowed": True, **await answer(review["request"])}
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})

    return handle


def configurations(*, url: str, authority: bytes) -> list[Json]:
    """What registers the webhooks at the API server."""
    bundle = base64.b64encode(authority).decode()

    def webhook(name: str, resource: str, operations: list[str], *, group: str = "kubevirt.io") -> Json:
        rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": [resource]}
        return {
            "name": f"{name}.kubevirt.io",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None" if group == "kubevirt.io" else "NoneOnDryRun",
            # Evictions of all pods are asked about: they must not hang on virt-api.
            "failurePolicy": "Fail" if group == "kubevirt.io" else "Ignore",
            "timeoutSeconds": 10,
            "clientConfig": {"url": f"{url}/{name}", "caBundle": bundle},
            "rules": [rule],
        }

    migrations = "virtualmachineinstancemigrations"
    validating = [
        webhook("migration-validator", migrations, ["CREATE", "UPDATE"]),
        webhook("virtualmachineinstances-update-validator", "virtualmachineinstances", ["UPDATE"]),
        webhook("virt-launcher-eviction-interceptor", "pods/eviction", ["CREATE"], group=""),
    ]
    mutating = [webhook("migrations-mutator", migrations, ["CREATE"])]
    return [
        _configuration("ValidatingWebhookConfiguration", VALIDATING, validating),
        _configuration("MutatingWebhookConfiguration", MUTATING, mutating),
    ]


def _configuration(kind: str, name: str, webhooks: list[Json]) -> Json:
    api_version = "admissionregistration.k8s.io/v1"
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "webhooks": webhooks}


@asynccontextmanager
async def serve(api: Api) -> AsyncIterator[int]:
    """Serve on a free port, registered there; the port.

    As with KubeVirt the registration stays when virt-api ends: until the next one serves, what needs it is refused.
    """
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    hooks, application = Webhooks(api=api), web.Application()
    application.router.add_post("/migrations-mutator", _handler(hooks.mutate_migration))
    application.router.add_post("/migration-validator", _handler(hooks.validate_migration))
    application.router.add_post("/virtualmachineinstances-update-validator", _handler(hooks.validate_vmi))
    application.router.add_post("/virt-launcher-eviction-interceptor", _handler(hooks.validate_eviction))
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = int(runner.addresses[0][1])
        for body in configurations(url=f"https://127.0.0.1:{port}", authority=authority.cert_pem.bytes()):
            await api.apply(CONFIGURATIONS[body["kind"]], body)
        yield port
    finally:
        await runner.cleanup()
