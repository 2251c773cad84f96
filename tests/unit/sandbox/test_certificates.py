"""kube-apiserver takes user and groups from client certificates, and Go is strict about the rest."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from nicplug_sandbox import certificates
from nicplug_sandbox.certificates import ClientCertificate, Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return certificates.create(tmp_path_factory.mktemp("pki") / "pki")


def leaf(certificate: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(certificate)[0]


def subject(certificate: ClientCertificate) -> tuple[str, str]:
    name = leaf(certificate.certificate).subject
    user, group = (
        name.get_attributes_for_oid(oid)[0].value for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    )
    return str(user), str(group)


def test_users_and_groups(pki: Pki) -> None:
    assert subject(pki.admin) == ("kubernetes-admin", "system:masters")
    assert subject(pki.scheduler)[0] == "system:kube-scheduler"
    assert subject(pki.controllers)[0] == "system:kube-controller-manager"
    for component in (pki.scheduler, pki.controllers):
        assert subject(component)[1] != "system:masters", "their rights come from the bootstrap roles"


@pytest.mark.parametrize("name", ["admin", "scheduler", "controllers"])
def test_critical_alternative_name_is_not_empty(pki: Pki, name: str) -> None:
    # Go refuses `unhandled critical extension` otherwise, and every request is a 401.
    client: ClientCertificate = getattr(pki, name)
    alternative = leaf(client.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(alternative.value)


def test_serving_certificate_is_valid_for_the_names_clients_use(pki: Pki) -> None:
    serving = leaf(Path(pki.file("apiserver.crt")).read_bytes())
    serving.verify_directly_issued_by(leaf(pki.authority))
    alternative = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "kubernetes.default.svc"} <= set(alternative.get_values_for_type(x509.DNSName))
    assert "127.0.0.1" in map(str, alternative.get_values_for_type(x509.IPAddress))


def test_front_proxy_has_an_authority_of_its_own(pki: Pki) -> None:
    front_proxy = leaf(Path(pki.file("front-proxy-client.crt")).read_bytes())
    clients = leaf(pki.authority)
    assert front_proxy.issuer != clients.subject
    assert Path(pki.file("front-proxy-ca.crt")).read_bytes() != pki.authority


def test_token_key_pair_belongs_together(pki: Pki) -> None:
    private = serialization.load_pem_private_key(Path(pki.file("service-account.key")).read_bytes(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert public == Path(pki.file("service-account.pub")).read_bytes()


def test_only_the_owner_reads_keys(pki: Pki) -> None:
    assert stat.S_IMODE(pki.directory.stat().st_mode) == 0o700
    keys = list(pki.directory.glob("*.key"))
    assert len(keys) == 4
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_two_sandboxes_do_not_trust_each_other(pki: Pki, tmp_path: Path) -> None:
    assert certificates.create(tmp_path / "pki").authority != pki.authority
