"""Issues the server's own certificate: a CA, and a serving certificate that it signs.

Pure but for the randomness of keys: renewal depends only on the certificates and `now`.
A new CA joins the old one in the bundle, so that replicas that still serve with the old certificate remain trusted.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nicplug.apiserver.key_pairs import KeyPair, UnusableKeyPair, check

CERTIFICATE_LIFE = timedelta(days=90)
CERTIFICATE_RENEWAL = timedelta(days=30)
AUTHORITY_LIFE = timedelta(days=3650)
# Longer than a certificate lives, so that none outlives its CA.
AUTHORITY_RENEWAL = timedelta(days=365)
# Tolerates clock skew between nodes.
_BACKDATED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and the CAs to verify it with.

    Attributes:
        authorities: trusted CAs, PEM, the current one first.
        authority_key: key of the current CA.
    """

    authorities: bytes = field(repr=False)
    authority_key: bytes = field(repr=False)
    pair: KeyPair


def due(issued: Issued, *, names: tuple[str, ...], now: datetime) -> str:
    """Return why a new certificate is due; "" if none is."""
    try:
        check(issued.pair)
        authority, leaf = _authority(issued), x509.load_pem_x509_certificate(issued.pair.certificate)
        served = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (UnusableKeyPair, ValueError, IndexError, x509.ExtensionNotFound):
        return "it cannot be read"
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return "it is not the CA's"
    known = set(served.get_values_for_type(x509.DNSName))
    if known != set(names):
        return "the names have changed"
    if leaf.not_valid_after_utc - now < CERTIFICATE_RENEWAL:
        return "it expires soon"
    if authority.not_valid_after_utc - now < AUTHORITY_RENEWAL:
        return "its CA expires soon"
    return ""


def issue(*, names: tuple[str, ...], now: datetime, previous: Issued | None = None) -> Issued:
    """Issue a certificate, signed by the CA of `previous` while that is valid, else by a new one."""
    authorities, key = _signer(now=now, previous=previous)
    authority, leaf_key = authorities[0], ec.generate_private_key(ec.SECP256R1())
    leaf = (
        _builder(names[0], issuer=authority.subject, public=leaf_key.public_key(), now=now, life=CERTIFICATE_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(
        authorities=b"".join(_pem(certificate) for certificate in authorities),
        authority_key=_private(key),
        pair=KeyPair(certificate=_pem(leaf), key=_private(leaf_key)),
    )


def _signer(*, now: datetime, previous: Issued | None) -> tuple[list[x509.Certificate], ec.EllipticCurvePrivateKey]:
    """Return the trusted CAs, the signing one first, and its key."""
    known = _known_authorities(previous, now=now)
    if previous is not None and known and known[0].not_valid_after_utc - now >= AUTHORITY_RENEWAL:
        try:
            key = serialization.load_pem_private_key(previous.authority_key, password=None)
        except (ValueError, TypeError):
            key = None
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == known[0].public_key():
            return known, key
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"nicplug-api-ca@{int(now.timestamp())}")])
    authority = (
        _builder(subject, issuer=subject, public=key.public_key(), now=now, life=AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    # Only the preceding CA, so that the bundle does not grow over the years.
    return [authority, *known[:1]], key


def _known_authorities(previous: Issued | None, *, now: datetime) -> list[x509.Certificate]:
    if previous is None:
        return []
    try:
        found = x509.load_pem_x509_certificates(previous.authorities)
    except ValueError:
        return []
    return [certificate for certificate in found if certificate.not_valid_after_utc > now]


def _authority(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificates(issued.authorities)[0]


def _builder(
    subject: x509.Name | str, *, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    # A common name has at most 64 characters; clients no longer verify it.
    if isinstance(subject, str):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
