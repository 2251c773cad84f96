"""Provides the serving certificate: from a Secret that the replicas maintain, or from files that others maintain.

Both are read every few seconds; neither is watched, since a certificate changes a few times a year.
"""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import structlog

from nicplug.apiserver import self_signed
from nicplug.apiserver.key_pairs import KeyPair, UnusableKeyPair, check
from nicplug.apiserver.reviews import WEBHOOK_PATH, review_token
from nicplug.apiserver.self_signed import Issued
from nicplug.kube.api import Json, Resource, ServerApi
from nicplug.kube.errors import MANIFESTS, AlreadyExists, ApiError, Gone, Stale
from nicplug.kube.resources import API_SERVICES as API_SERVICES
from nicplug.kube.resources import VALIDATING_WEBHOOK_CONFIGURATIONS
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.names import API_LABELS

log = structlog.get_logger(__name__)

SECRETS = Resource(group="", version="v1", plural="secrets", kind="Secret")
_ATTEMPTS = 5
_WEBHOOK_REMEDY = f"{MANIFESTS} give the right; until then a drain waits, and moves no guest"


class CertificateSource(Protocol):
    """Provides the serving certificate."""

    async def current(self) -> KeyPair:
        """Return the current certificate.

        Raises:
            UnusableKeyPair: there is no usable certificate.
            ApiError: it cannot be read.
        """
        ...

    def review_token(self, pair: KeyPair) -> str:
        """Return the last segment of the webhook's path while this pair is in use; "" for none."""
        ...


@dataclass(slots=True, kw_only=True)
class FileCertificate:
    """A certificate and key in files, as cert-manager mounts them."""

    certificate: Path
    key: Path

    async def current(self) -> KeyPair:
        """Read both files; rejects a pair that does not match, such as one that is half written."""
        try:
            pair = KeyPair(certificate=self.certificate.read_bytes(), key=self.key.read_bytes())
        except OSError as error:
            raise UnusableKeyPair(f"{error.filename}: {error.strerror}") from None
        check(pair)
        return pair

    def review_token(self, pair: KeyPair) -> str:
        """Return "": nicplug does not write this webhook's registration, so its path never changes."""
        return ""


@dataclass(slots=True, kw_only=True)
class SecretCertificate:
    """A self-made certificate that all replicas share in a Secret; its CA is registered with the API server.

    Attributes:
        names: DNS names of the Service.
        announce: writes the CAs into the registrations, before the certificate is used.
    """

    api: ServerApi
    namespace: str
    name: str
    names: tuple[str, ...]
    announce: Callable[[Issued], Awaitable[None]]
    clock: Callable[[], datetime]

    async def current(self) -> KeyPair:
        """Read the Secret; issue or renew the certificate if due."""
        for _ in range(_ATTEMPTS):
            try:
                issued = await self._read_or_issue()
            except (AlreadyExists, Stale) as error:
                # Another replica was faster; its certificate is as good.
                log.debug("the certificate has been written by another replica", error=str(error))
                continue
            await self.announce(issued)
            return issued.pair
        raise UnusableKeyPair(f"Secret {self.namespace}/{self.name} changes all the time")

    def review_token(self, pair: KeyPair) -> str:
        """Derive the token from the key that all replicas share."""
        return review_token(pair.key)

    async def _read_or_issue(self) -> Issued:
        now = self.clock()
        try:
            secret = json.loads(await self.api.read(SECRETS, name=self.name, namespace=self.namespace))
        except Gone:
            issued = self_signed.issue(names=self.names, now=now)
            metadata = {"name": self.name, "labels": dict(API_LABELS)}
            body = {"metadata": metadata, "type": "kubernetes.io/tls", "data": _data_of(issued)}
            await self.api.create(SECRETS, body, namespace=self.namespace)
            log.info("serving certificate made", secret=self.name)
            return issued
        known = _issued_of(mapping(secret.get("data")))
        reason = self_signed.due(known, names=self.names, now=now) if known else "the Secret has none"
        if known and not reason:
            return known
        issued = self_signed.issue(names=self.names, now=now, previous=known)
        # Guarded by the resourceVersion in it.
        await self.api.replace(SECRETS, {**secret, "data": _data_of(issued)}, name=self.name, namespace=self.namespace)
        log.info("serving certificate renewed", secret=self.name, reason=reason)
        return issued


def _data_of(issued: Issued) -> dict[str, str]:
    members = {
        "ca.crt": issued.authorities,
        "ca.key": issued.authority_key,
        "tls.crt": issued.pair.certificate,
        "tls.key": issued.pair.key,
    }
    return {name: base64.b64encode(content).decode() for name, content in members.items()}


def _issued_of(data: Mapping[str, Any]) -> Issued | None:
    try:
        read = {name: base64.b64decode(text(data.get(name)), validate=True) for name in ("ca.crt", "ca.key")}
        pair = KeyPair(
            certificate=base64.b64decode(text(data.get("tls.crt")), validate=True),
            key=base64.b64decode(text(data.get("tls.key")), validate=True),
        )
    except binascii.Error:
        return None
    return Issued(authorities=read["ca.crt"], authority_key=read["ca.key"], pair=pair)


@dataclass(slots=True, kw_only=True)
class CaBundles:
    """Writes our CAs into the APIServices, so that the API server trusts us.

    Writes only to APIServices that reference our own Service: where KubeVirt's virt-api serves the group, its CA stays.
    """

    api: ServerApi
    api_services: tuple[str, ...]
    namespace: str
    service: str

    async def write(self, authorities: bytes) -> None:
        """Write the bundle where it differs.

        Raises:
            ApiError: an APIService cannot be read or written.
        """
        for name in self.api_services:
            await self._write(name, base64.b64encode(authorities).decode())

    async def _write(self, name: str, bundle: str) -> None:
        try:
            found = json.loads(await self.api.read(API_SERVICES, name=name))
        except Gone:
            log.debug("no such APIService", name=name)
            return
        spec = mapping(found.get("spec"))
        service = mapping(spec.get("service"))
        if (service.get("namespace"), service.get("name")) != (self.namespace, self.service):
            log.warning("the APIService belongs to another server", name=name, service=text(service.get("name")))
            return
        if spec.get("caBundle") == bundle:
            return
        patch: list[Json] = [
            {"op": "test", "path": "/metadata/uid", "value": mapping(found.get("metadata")).get("uid")},
            {"op": "test", "path": "/spec/service/namespace", "value": self.namespace},
            {"op": "test", "path": "/spec/service/name", "value": self.service},
            {"op": "add", "path": "/spec/caBundle", "value": bundle},
        ]
        await self.api.patch(API_SERVICES, patch, name=name)
        log.info("CA written into the APIService", name=name)


@dataclass(slots=True, kw_only=True)
class EvictionWebhook:
    """Registers URL path and CAs of the eviction webhook with the API server.

    Writes only to webhooks that reference our own Service. A failed write does not stop the server from serving:
    evictions are then judged by budgets alone.
    """

    api: ServerApi
    name: str
    namespace: str
    service: str
    _problem: str = ""

    async def write(self, issued: Issued) -> None:
        """Write CA and path where they differ; API errors are logged, not raised."""
        try:
            await self._write(issued)
        except ApiError as error:
            if str(error) != self._problem:
                log.warning("the webhook for evictions cannot be registered", error=str(error), remedy=_WEBHOOK_REMEDY)
            self._problem = str(error)
            return
        self._problem = ""

    async def _write(self, issued: Issued) -> None:
        try:
            found = json.loads(await self.api.read(VALIDATING_WEBHOOK_CONFIGURATIONS, name=self.name))
        except Gone:
            log.debug("no such webhook configuration", name=self.name)
            return
        wanted = {
            "caBundle": base64.b64encode(issued.authorities).decode(),
            "service/path": f"{WEBHOOK_PATH}/{review_token(issued.pair.key)}",
        }
        patch: list[Json] = [
            {"op": "test", "path": "/metadata/uid", "value": mapping(found.get("metadata")).get("uid")}
        ]
        for index, webhook in enumerate(objects(found.get("webhooks"))):
            client = mapping(webhook.get("clientConfig"))
            service = mapping(client.get("service"))
            if (service.get("namespace"), service.get("name")) != (self.namespace, self.service):
                continue
            if (client.get("caBundle"), service.get("path")) == tuple(wanted.values()):
                continue
            root = f"/webhooks/{index}/clientConfig"
            patch.append({"op": "test", "path": f"{root}/service/name", "value": self.service})
            patch += [{"op": "add", "path": f"{root}/{name}", "value": value} for name, value in wanted.items()]
        if len(patch) > 1:
            await self.api.patch(VALIDATING_WEBHOOK_CONFIGURATIONS, patch, name=self.name)
            log.info("CA and path written into the webhook configuration", name=self.name)
