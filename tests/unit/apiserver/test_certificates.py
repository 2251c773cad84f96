"""Where the serving certificate comes from: the Secret, shared by replicas, and files."""

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.apiserver.played import Authority, PlayedApi

from nicplug.apiserver.certificates import CaBundles, EvictionWebhook, FileCertificate, SecretCertificate
from nicplug.apiserver.key_pairs import UnusableKeyPair
from nicplug.apiserver.self_signed import Issued
from nicplug.kube.errors import Unavailable
from nicplug.model.names import API_LABELS

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECRET = ("secrets", "nicplug-api-certificate")
SERVICE = "v1.subresources.kubevirt.io"


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def _source(
    api: PlayedApi, clock: Clock, announce: Callable[[Issued], Awaitable[None]] | None = None
) -> SecretCertificate:
    async def nobody(_: Issued) -> None:
        pass

    return SecretCertificate(
        api=api.api,
        namespace="nicplug-system",
        name="nicplug-api-certificate",
        names=("nicplug-api.nicplug-system.svc",),
        announce=announce or nobody,
        clock=clock,
    )


def _verbs(api: PlayedApi) -> list[tuple[str, str]]:
    return [(verb, plural) for verb, plural, _ in api.requests]


async def test_the_first_replica_makes_the_certificate_and_the_others_use_it() -> None:
    api = PlayedApi()
    first = await _source(api, Clock()).current()
    assert await _source(api, Clock()).current() == first
    assert _verbs(api) == [("get", "secrets"), ("create", "secrets"), ("get", "secrets")]
    assert set(api.objects[SECRET]["data"]) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
    assert api.objects[SECRET]["metadata"]["labels"] == API_LABELS


async def test_two_replicas_that_start_at_once_serve_with_one_certificate() -> None:
    api, rival = PlayedApi(), PlayedApi()
    theirs = await _source(rival, Clock()).current()
    api.before_write = lambda: api.objects.update(rival.objects)
    assert await _source(api, Clock()).current() == theirs


async def test_a_certificate_is_renewed_before_it_expires_and_once() -> None:
    api, clock = PlayedApi(), Clock()
    first = await _source(api, clock).current()
    clock.now = NOW + timedelta(days=61)
    second = await _source(api, clock).current()
    assert second != first
    assert await _source(api, clock).current() == second
    assert [verb for verb, _ in _verbs(api)].count("update") == 1


async def test_a_renewal_that_another_replica_did_meanwhile_is_taken_over() -> None:
    api, clock = PlayedApi(), Clock()
    await _source(api, clock).current()
    clock.now = NOW + timedelta(days=61)
    rival = PlayedApi(objects=dict(api.objects))
    theirs = await _source(rival, clock).current()
    api.before_write = lambda: api.objects.update(rival.objects)
    assert await _source(api, clock).current() == theirs


@pytest.mark.parametrize("data", [{}, {"tls.crt": "!"}, {"tls.crt": "", "tls.key": "", "ca.crt": "", "ca.key": ""}])
async def test_a_secret_that_cannot_be_used_is_filled_again(data: dict[str, str]) -> None:
    api = PlayedApi(objects={SECRET: {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}, "data": data}})
    assert (await _source(api, Clock()).current()).certificate
    assert api.objects[SECRET]["metadata"]["labels"] == {"a": "b"}


async def test_the_ca_is_made_known_before_the_certificate_is_served_with() -> None:
    api, announced = PlayedApi(), list[Issued]()

    async def fail(issued: Issued) -> None:
        announced.append(issued)
        raise Unavailable("no answer")

    with pytest.raises(Unavailable):
        await _source(api, Clock(), fail).current()
    [issued] = announced
    assert base64.b64encode(issued.authorities).decode() == api.objects[SECRET]["data"]["ca.crt"]


def _api_service(**spec: Any) -> dict[str, Any]:
    service = {"namespace": "nicplug-system", "name": "nicplug-api"}
    return {"metadata": {"uid": "u-1"}, "spec": {"service": service, **spec}}


def _bundles(api: PlayedApi) -> CaBundles:
    return CaBundles(
        api=api.api, api_services=(SERVICE, "v1alpha3.x"), namespace="nicplug-system", service="nicplug-api"
    )


async def test_the_ca_is_written_into_the_api_service_guarded_and_once() -> None:
    api = PlayedApi(objects={("apiservices", SERVICE): _api_service()})
    await _bundles(api).write(b"CA")
    await _bundles(api).write(b"CA")
    bundle = base64.b64encode(b"CA").decode()
    assert api.objects["apiservices", SERVICE]["spec"]["caBundle"] == bundle
    [patch] = [what for verb, _, what in api.requests if verb == "patch"]
    assert patch == [
        {"op": "test", "path": "/metadata/uid", "value": "u-1"},
        {"op": "test", "path": "/spec/service/namespace", "value": "nicplug-system"},
        {"op": "test", "path": "/spec/service/name", "value": "nicplug-api"},
        {"op": "add", "path": "/spec/caBundle", "value": bundle},
    ]


@pytest.mark.parametrize("service", [{"namespace": "kubevirt", "name": "virt-api"}, None])
async def test_the_api_service_of_another_server_is_left_alone(service: dict[str, str] | None) -> None:
    """Where KubeVirt itself serves the group, our CA would cut it off."""
    api = PlayedApi(objects={("apiservices", SERVICE): _api_service(service=service, caBundle="theirs")})
    await _bundles(api).write(b"CA")
    assert api.objects["apiservices", SERVICE]["spec"]["caBundle"] == "theirs"


WEBHOOKS = ("validatingwebhookconfigurations", "nicplug-evictions")


def _webhook(**client: Any) -> dict[str, Any]:
    service = {"namespace": "nicplug-system", "name": "nicplug-api", "port": 443}
    return {"metadata": {"uid": "u-2"}, "webhooks": [{"name": "w", "clientConfig": {"service": service, **client}}]}


def _registration(api: PlayedApi) -> EvictionWebhook:
    return EvictionWebhook(api=api.api, name=WEBHOOKS[1], namespace="nicplug-system", service="nicplug-api")


async def test_ca_and_path_are_written_into_the_webhook_once() -> None:
    api, secret = PlayedApi(objects={WEBHOOKS: _webhook()}), PlayedApi()
    issued: list[Issued] = []

    async def keep(item: Issued) -> None:
        issued.append(item)

    source = _source(secret, Clock(), keep)
    pair = await source.current()
    await _registration(api).write(issued[0])
    await _registration(api).write(issued[0])
    client = api.objects[WEBHOOKS]["webhooks"][0]["clientConfig"]
    assert base64.b64decode(client["caBundle"]) == issued[0].authorities
    assert client["service"]["path"] == f"/evictions/{source.review_token(pair)}"
    assert len(source.review_token(pair)) == 32
    assert [verb for verb, _, _ in api.requests].count("patch") == 1


async def test_a_webhook_of_another_server_is_left_alone_and_an_error_keeps_nobody_from_being_served() -> None:
    issued: list[Issued] = []

    async def keep(item: Issued) -> None:
        issued.append(item)

    await _source(PlayedApi(), Clock(), keep).current()
    api = PlayedApi(objects={WEBHOOKS: _webhook(service={"namespace": "kubevirt", "name": "virt-api"})})
    await _registration(api).write(issued[0])
    await _registration(PlayedApi()).write(issued[0])
    broken = PlayedApi(fails={"validatingwebhookconfigurations": Unavailable("no answer")})
    await _registration(broken).write(issued[0])
    assert [verb for verb, _, _ in api.requests] == ["get"]


def _files(directory: Path) -> FileCertificate:
    return FileCertificate(certificate=directory / "tls.crt", key=directory / "tls.key")


async def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    source, authority = _files(tmp_path), Authority()
    for _ in range(2):
        pair = authority.issue("server")
        source.certificate.write_bytes(pair.certificate)
        source.key.write_bytes(pair.key)
        assert await source.current() == pair


async def test_files_of_which_only_one_is_new_are_refused(tmp_path: Path) -> None:
    source, authority = _files(tmp_path), Authority()
    source.certificate.write_bytes(authority.issue("server").certificate)
    source.key.write_bytes(authority.issue("server").key)
    with pytest.raises(UnusableKeyPair):
        await source.current()


async def test_a_file_that_is_missing_is_named_and_its_content_is_not(tmp_path: Path) -> None:
    source = _files(tmp_path)
    source.certificate.write_text("s3cr3t")
    with pytest.raises(UnusableKeyPair, match=r"tls\.key"):
        await source.current()
    source.key.write_text("s3cr3t")
    with pytest.raises(UnusableKeyPair) as caught:
        await source.current()
    assert "s3cr3t" not in str(caught.value)
