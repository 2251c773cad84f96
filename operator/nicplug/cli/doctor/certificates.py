"""Validity of the aggregated API's certificates: the trusted CA and the serving certificate."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, problem, unknown, warning
from nicplug.kube.api import Resource
from nicplug.kube.errors import Denied, Gone
from nicplug.model.metadata import mapping, text

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_CHECK = "certificate"
_SOON = timedelta(days=14)
_SECRETS = Resource(group="", version="v1", plural="secrets", kind="Secret")
# The Secret of `nicplug api` itself, and that of cert-manager (deploy/kustomize/overlays/cert-manager).
_OWN, _OF_CERT_MANAGER = "nicplug-api-certificate", "nicplug-api-tls"
_INJECTED = "cert-manager.io/inject-ca-from"


async def check_certificates(
    session: Session, api_service: Mapping[str, Any], *, namespace: str, at: datetime
) -> list[Finding]:
    """Check both; the serving certificate is in a Secret, which not every user can read."""
    trusted = check_authority(api_service, at=at)
    annotations = mapping(mapping(api_service.get("metadata")).get("annotations"))
    name = _OF_CERT_MANAGER if _INJECTED in annotations else _OWN
    try:
        secret = await session.api.get(_SECRETS, name=name, namespace=namespace)
    except Denied as error:
        return [trusted, unknown(_CHECK, f"the serving certificate of the aggregated API: {error}")]
    except Gone:
        message = f"there is no Secret {namespace}/{name} with the serving certificate of the aggregated API"
        remedy = "If it serves from files (NICPLUG_API_TLS_CERT_FILE), look at these."
        return [trusted, unknown(_CHECK, message, remedy)]
    return [trusted, check_served(secret, at=at)]


def check_authority(api_service: Mapping[str, Any], *, at: datetime) -> Finding:
    """Check how long the CA that the API server trusts is valid; of several, the one that expires last counts."""
    name = text(mapping(api_service.get("metadata")).get("name"))
    bundle = text(mapping(api_service.get("spec")).get("caBundle"))
    if not bundle:
        remedy = "Set caBundle, or let nicplug api keep it: insecureSkipTLSVerify trusts anybody."
        return warning(_CHECK, f"APIService {name} has no caBundle", remedy)
    try:
        certificates = _read(bundle)
    except ValueError as error:
        return problem(
            _CHECK, f"caBundle of APIService {name} cannot be read: {error}", "Remove it: it is written again."
        )
    return _judge("the CA", max(item.not_valid_after_utc for item in certificates), at=at)


def check_served(secret: Mapping[str, Any], *, at: datetime) -> Finding:
    """Check how long the serving certificate is valid: the first of `tls.crt`, which its issuers follow."""
    name = text(mapping(secret.get("metadata")).get("name"))
    try:
        leaf, *_ = _read(text(mapping(secret.get("data")).get("tls.crt")))
    except ValueError as error:
        remedy = "Delete it: it is made again."
        return problem(_CHECK, f"tls.crt of Secret {name} cannot be read: {error}", remedy)
    return _judge("the serving certificate", leaf.not_valid_after_utc, at=at)


def _read(encoded: str) -> "list[Certificate]":
    from cryptography import x509

    return x509.load_pem_x509_certificates(base64.b64decode(encoded))


def _judge(what: str, ends: datetime, *, at: datetime) -> Finding:
    moment = f"{ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if ends <= at:
        remedy = "Restart nicplug-api, and see its log for why the certificate is not renewed."
        return problem(_CHECK, f"{what} of the aggregated API has expired at {moment}", remedy)
    message = f"{what} of the aggregated API is valid until {moment}"
    if ends - at < _SOON:
        return warning(_CHECK, message, "It is renewed automatically; if not, see the log of nicplug-api.")
    return ok(_CHECK, message)
