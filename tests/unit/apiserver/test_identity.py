"""How a server follows its certificate and the front proxy, on a clock that is turned forward."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.apiserver.conftest import Given
from tests.unit.apiserver.played import SERVER, Authority, PlayedApi, trust_data

from nicplug.apiserver.identity import Identity
from nicplug.apiserver.key_pairs import KeyPair
from nicplug.apiserver.self_signed import CERTIFICATE_LIFE, issue

pytestmark = pytest.mark.looptime

EVERY_SECONDS = 60.0


@contextlib.asynccontextmanager
async def kept(identity: Identity) -> AsyncIterator[None]:
    """Follow in the background."""
    task = asyncio.create_task(identity.keep(every_seconds=EVERY_SECONDS))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def server(api: PlayedApi) -> tuple[Identity, Given]:
    source = Given(Authority().issue("server", host=SERVER))
    return Identity(api=api.api, source=source), source


def reads(api: PlayedApi) -> int:
    return sum(verb == "get" for verb, *_ in api.requests)


async def test_a_renewed_certificate_is_served_at_the_next_refresh() -> None:
    api = PlayedApi()
    api.trust(trust_data(Authority().pem))
    identity, source = server(api)
    await identity.refresh()
    first = identity.tls.current
    source.pair = Authority().issue("server", host=SERVER)
    async with kept(identity):
        await asyncio.sleep(EVERY_SECONDS - 1)
        assert (identity.tls.current, reads(api)) == (first, 1)
        await asyncio.sleep(2)
        second = identity.tls.current
        assert second is not first
        source.pair = Authority().issue("server", host=SERVER)
        await asyncio.sleep(EVERY_SECONDS)
        assert identity.tls.current is not second, "and at the one after it"


async def test_the_expiry_is_that_of_the_certificate_that_is_served_with() -> None:
    api = PlayedApi()
    api.trust(trust_data(Authority().pem))
    identity, source = server(api)
    assert identity.expires is None
    await identity.refresh()
    assert identity.expires == source.pair.expires
    now = datetime.now(UTC)
    source.pair = issue(names=(SERVER,), now=now).pair
    assert identity.expires != source.pair.expires, "the one in use is still the former"
    await identity.refresh()
    assert identity.expires == now.replace(microsecond=0) + CERTIFICATE_LIFE


def test_a_chain_expires_with_its_first_certificate() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    early, late = (issue(names=(SERVER,), now=moment).pair for moment in (now, now + timedelta(days=30)))
    chain = KeyPair(certificate=late.certificate + early.certificate, key=late.key)
    assert chain.expires == now + CERTIFICATE_LIFE
    assert KeyPair(certificate=b"none", key=b"").expires is None


async def test_a_front_proxy_ca_that_is_missing_at_the_start_is_looked_for_every_second() -> None:
    api = PlayedApi()
    identity, _ = server(api)
    await identity.refresh()
    assert identity.problem
    async with kept(identity):
        await asyncio.sleep(3.5)
        assert reads(api) == 4
        api.trust(trust_data(Authority().pem))
        await asyncio.sleep(1)
        assert identity.problem == ""
        before = reads(api)
        await asyncio.sleep(EVERY_SECONDS - 1)
        assert reads(api) == before, "and then no longer"
