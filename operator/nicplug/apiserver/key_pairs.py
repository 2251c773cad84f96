"""A certificate and its key, and the TLS context that serves with them and verifies the front proxy's certificate.

Certificate, key and CAs may change while the server runs: `SwitchingContext` gives each new connection the current
ones. An earlier connection is recognized by its context.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509

from nicplug.apiserver.trust import FrontProxyTrust, UnusableTrust


class UnusableKeyPair(ValueError):
    """Certificate and key cannot be used; the text says why, without quoting them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """The server's certificate and key, as PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def expires(self) -> datetime | None:
        """Return the first expiry in the certificate chain; None if it cannot be parsed."""
        try:
            chain = x509.load_pem_x509_certificates(self.certificate)
        except ValueError:
            return None
        return min((certificate.not_valid_after_utc for certificate in chain), default=None)


class SwitchingContext(ssl.SSLContext):
    """Passes each new connection to the current context.

    This context itself has no certificate: a connection that bypassed `wrap_bio` would fail, rather than be served with
    an outdated CA.
    """

    current: ssl.SSLContext | None = None

    def __new__(cls) -> "SwitchingContext":
        """Create a context without a certificate."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin the handshake of one connection; asyncio calls it."""
        if self.current is None:
            raise ssl.SSLError("no certificate to serve with yet")
        return self.current.wrap_bio(*args, **options)


def serving_context(pair: KeyPair, trust: FrontProxyTrust | None) -> ssl.SSLContext:
    """Create a context for TLS 1.2 or newer that verifies client certificates; they are optional, as probes have none.

    Without trust, every client certificate is rejected.

    Raises:
        UnusableKeyPair: the pair is not valid.
        UnusableTrust: the CAs are not certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would not be verified again.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = ssl.CERT_OPTIONAL
    # As in Go: every certificate in the bundle is trusted, self-signed or not.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if trust is not None:
        try:
            context.load_verify_locations(cadata=trust.authorities)
        except (ssl.SSLError, ValueError):
            raise UnusableTrust("requestheader-client-ca-file cannot be read as certificates") from None
    _load(context, pair)
    return context


def check(pair: KeyPair) -> None:
    """Check that the key belongs to the certificate.

    Raises:
        UnusableKeyPair: it does not.
    """
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    def no_password() -> str:
        raise ssl.SSLError("the key is encrypted")

    with _readable_file(pair.certificate) as certificate, _readable_file(pair.key) as key:
        try:
            context.load_cert_chain(certificate, key, password=no_password)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "not a certificate and its key in PEM"
            raise UnusableKeyPair(str(reason)) from None


@contextmanager
def _readable_file(content: bytes) -> Iterator[str]:
    """Provide a file for OpenSSL to read, in memory if the system supports it: a key should not touch a disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("nicplug")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name
