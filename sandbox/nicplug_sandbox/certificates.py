"""The keys and certificates of one control plane; recreated for every sandbox, valid nowhere else."""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SERVER_NAMES = (
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
# trustme marks the subject alternative name as critical, and Go refuses a critical one that is empty.
CLIENT_NAME = "client.nicplug-sandbox.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """Who a client is: kube-apiserver takes the user from CN and the groups from O."""

    user: str
    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """Where the files lie that kube-apiserver reads, and the credentials that go into kubeconfigs."""

    directory: Path
    authority: bytes
    admin: ClientCertificate  # also in admin.crt and admin.key
    controllers: ClientCertificate
    scheduler: ClientCertificate

    def file(self, name: str) -> str:
        """The path of one file as a command-line argument."""
        return str(self.directory / name)


def create(directory: Path) -> Pki:
    """Write a fresh PKI into `directory`: CA, front-proxy CA, serving and client certificates, token key."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.crt")
    serving = authority.issue_cert(*SERVER_NAMES, common_name="kube-apiserver")
    _write(directory, "apiserver", _client("kube-apiserver", serving))
    # A CA of its own: a client certificate of the other one must never pass as the aggregator's.
    front_proxy = trustme.CA()
    front_proxy.cert_pem.write_to_path(directory / "front-proxy-ca.crt")
    aggregator = front_proxy.issue_cert(CLIENT_NAME, common_name="front-proxy-client")
    _write(directory, "front-proxy-client", _client("front-proxy-client", aggregator))
    _write_token_key(directory)

    def client(user: str, group: str) -> ClientCertificate:
        return _client(user, authority.issue_cert(CLIENT_NAME, common_name=user, organization_name=group))

    admin = client("kubernetes-admin", "system:masters")
    _write(directory, "admin", admin)
    return Pki(
        directory=directory,
        authority=authority.cert_pem.bytes(),
        admin=admin,
        # These two get their rights from the bootstrap roles, by user name; the group is only a label.
        controllers=client("system:kube-controller-manager", "nicplug:sandbox"),
        scheduler=client("system:kube-scheduler", "nicplug:sandbox"),
    )


def _client(user: str, issued: trustme.LeafCert) -> ClientCertificate:
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return ClientCertificate(user=user, certificate=chain, key=issued.private_key_pem.bytes())


def _write(directory: Path, name: str, issued: ClientCertificate) -> None:
    (directory / f"{name}.crt").write_bytes(issued.certificate)
    write_private(directory / f"{name}.key", issued.key)


def _write_token_key(directory: Path) -> None:
    # Elliptic: made in a millisecond, where an RSA key takes a good part of the start-up budget.
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(directory / "service-account.key", private)
    (directory / "service-account.pub").write_bytes(public)


def write_private(path: Path, content: bytes) -> None:
    """Write a secret that only its owner can read, at no moment otherwise."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)
