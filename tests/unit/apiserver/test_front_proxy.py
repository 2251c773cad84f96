"""Who is believed about who is calling: forged headers, forged certificates, and certificates that change."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.apiserver.conftest import World
from tests.unit.apiserver.played import PROXY, SERVER, Authority, Refused, put, trust_data

from nicplug.apiserver.calls import Caller
from nicplug.apiserver.key_pairs import SwitchingContext
from nicplug.kube.errors import Unavailable


async def _is_refused(world: World, **options: object) -> bool:
    """Neither the handler nor the access review has heard of it, whatever the client was told."""
    try:
        answer = await world.ask(put(), **options)  # type: ignore[arg-type]
    except Refused:
        pass
    else:
        assert (answer.code, answer.json()["reason"]) == (401, "Unauthorized")
    return not world.recorder.calls and not world.api.reviews


async def test_the_front_proxy_names_the_user(world: World) -> None:
    headers = {
        "X-Remote-Uid": "u-1",
        "X-Remote-Extra-Example.org%2fScopes": "a",
    }
    request = put(more=headers).replace(b"\r\n\r\n", b"\r\nX-Remote-Group: dev\r\nX-Remote-Group: ops\r\n\r\n")
    assert (await world.ask(request)).code == 202
    [call] = world.recorder.calls
    extra = (("example.org/scopes", ("a",)),)
    assert call.caller == Caller(name="alice", uid="u-1", groups=("dev", "ops"), extra=extra)


async def test_a_user_in_headers_without_a_certificate_counts_for_nothing(world: World) -> None:
    assert await _is_refused(world, pair=None)
    answer = await world.ask(put(), pair=None)
    assert answer.code == 401
    assert answer.body == (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized",'
        b'"reason":"Unauthorized","code":401}\n'
    )


async def test_a_certificate_of_another_ca_counts_for_nothing(world: World) -> None:
    assert await _is_refused(world, pair=Authority().issue())


async def test_a_certificate_of_the_serving_ca_counts_for_nothing(world: World) -> None:
    assert await _is_refused(world, pair=world.authority.issue())


async def test_a_ca_that_the_system_trusts_vouches_for_nobody(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every public CA could issue a front proxy's certificate."""
    public = Authority()
    (tmp_path / "public.pem").write_text(public.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    world.api.trust(trust_data(world.proxies.pem, allowed=(PROXY, "another")))
    await world.server.identity.refresh()  # a context of its own, made with this environment
    assert await _is_refused(world, pair=public.issue())
    assert (await world.ask(put())).code == 202


async def test_a_front_proxy_s_intermediate_ca_is_trusted_without_its_root(world: World) -> None:
    """As Go trusts it: the bundle may have no self-signed certificate."""
    front = world.proxies.intermediate()
    world.api.trust(trust_data(front.pem))
    await world.server.identity.refresh()
    assert (await world.ask(put(), pair=front.issue())).code == 202


async def test_beside_a_trusted_intermediate_ca_neither_its_root_nor_another_of_that_is_trusted(world: World) -> None:
    world.api.trust(trust_data(world.proxies.intermediate().pem))
    await world.server.identity.refresh()
    assert await _is_refused(world, pair=world.proxies.issue())
    assert await _is_refused(world, pair=world.proxies.intermediate().issue())


async def test_a_certificate_with_a_name_that_is_not_allowed_counts_for_nothing(world: World) -> None:
    """CVE-2025-64432: every certificate of the front proxy's CA could be anybody."""
    assert await _is_refused(world, pair=world.proxies.issue("somebody-else"))


async def test_an_empty_list_of_names_allows_any(world: World) -> None:
    world.api.trust(trust_data(world.proxies.pem, allowed=()))
    await world.server.identity.refresh()
    assert (await world.ask(put(), pair=world.proxies.issue("somebody-else"))).code == 202


async def test_an_expired_certificate_counts_for_nothing(world: World) -> None:
    assert await _is_refused(world, pair=world.proxies.issue(not_after=datetime(2021, 1, 1, tzinfo=UTC)))


async def test_a_certificate_that_expires_on_an_open_connection_counts_for_nothing(world: World) -> None:
    pair = world.proxies.issue(not_after=datetime(2090, 1, 1, tzinfo=UTC))
    client = await world.client(pair)
    await client.send(put())
    assert (await client.receive()).code == 202
    world.server.identity.now = lambda: datetime(2091, 1, 1, tzinfo=UTC).timestamp()
    await client.send(put())
    assert (await client.receive()).code == 401
    assert len(world.recorder.calls) == 1


@pytest.mark.parametrize("user", [None, ""])
async def test_a_front_proxy_that_names_no_user_is_nobody(world: World, user: str | None) -> None:
    assert (await world.ask(put(user=user))).code == 401


async def test_a_rotated_front_proxy_ca_is_picked_up(world: World) -> None:
    old, new = world.proxies, Authority()
    world.api.trust(trust_data(old.pem + new.pem))
    await world.server.identity.refresh()
    assert (await world.ask(put(), pair=old.issue())).code == 202
    assert (await world.ask(put(), pair=new.issue())).code == 202
    world.api.trust(trust_data(new.pem))
    await world.server.identity.refresh()
    assert (await world.ask(put(), pair=new.issue())).code == 202
    world.recorder.calls.clear()
    world.api.reviews.clear()
    assert await _is_refused(world, pair=old.issue())


async def test_a_connection_that_a_former_ca_has_verified_ends(world: World) -> None:
    client = await world.client()
    await client.send(put())
    assert (await client.receive()).code == 202
    world.api.trust(trust_data(Authority().pem))
    await world.server.identity.refresh()
    assert await client.ended()


async def test_a_connection_of_a_former_ca_that_is_still_open_counts_for_nothing(world: World) -> None:
    """The handshake may have begun before the change, and ended after it."""
    client = await world.client()
    await client.send(put())
    assert (await client.receive()).code == 202
    world.server.identity.on_switch = lambda: None
    world.api.trust(trust_data(Authority().pem))
    await world.server.identity.refresh()
    await client.send(put())
    assert (await client.receive()).code == 401
    assert len(world.recorder.calls) == 1


async def test_an_allowed_name_that_is_taken_away_no_longer_counts(world: World) -> None:
    pair = world.proxies.issue()
    assert (await world.ask(put(), pair=pair)).code == 202
    world.api.trust(trust_data(world.proxies.pem, allowed=["another"]))
    await world.server.identity.refresh()
    assert (await world.ask(put(), pair=pair)).code == 401


async def test_a_configuration_that_cannot_be_read_for_a_while_stays_in_force(world: World) -> None:
    world.api.fails["configmaps"] = Unavailable("no answer")
    await world.server.identity.refresh()
    assert (await world.ask(put())).code == 202
    assert world.server.problem() == ""


@pytest.mark.parametrize("data", [{}, {"requestheader-client-ca-file": "-----BEGIN CERTIFICATE-----\nno"}])
async def test_a_configuration_without_a_ca_lets_nobody_in(world: World, data: dict[str, str]) -> None:
    world.api.trust({**trust_data(world.proxies.pem), "requestheader-client-ca-file": "", **data})
    await world.server.identity.refresh()
    assert await _is_refused(world)
    assert "requestheader-client-ca-file" in world.server.problem()
    assert (await world.ask(put(path="/readyz", method="GET", body=b""), pair=None)).code == 503


async def test_a_configuration_that_is_deleted_lets_nobody_in(world: World) -> None:
    world.api.objects.clear()
    await world.server.identity.refresh()
    assert await _is_refused(world)


async def test_a_new_serving_certificate_is_served_without_a_restart(world: World) -> None:
    next_authority = Authority()
    world.source.pair = next_authority.issue("server", host=SERVER)
    await world.server.identity.refresh()
    with pytest.raises(Refused):
        await world.client()
    world.authority = next_authority
    assert (await world.ask(put())).code == 202


async def test_the_name_of_the_proxy_is_the_common_name_alone(world: World) -> None:
    """Not one of the alternative names, which the CA may sign for others."""
    assert await _is_refused(world, pair=world.proxies.issue("somebody-else", host=f"{PROXY}.invalid"))


async def test_neither_old_tls_nor_resumed_sessions_are_served(world: World) -> None:
    """A resumed session is not verified again; a connection of before TLS 1.2 is not private."""
    context = world.server.identity.tls.current
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_TICKET
    assert context.num_tickets == 0


def test_before_there_is_a_certificate_nobody_is_served() -> None:
    """And a handshake that came past the current context would find none."""
    with pytest.raises(ssl.SSLError, match="no certificate"):
        SwitchingContext().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
