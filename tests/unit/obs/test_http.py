"""The port of /metrics, /healthz and /readyz."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from nicplug.obs.http import ObservabilityServer, Probes
from nicplug.obs.metrics import OperatorMetrics


@pytest.fixture
async def problems() -> dict[str, str]:
    """What the probes find."""
    return {"healthy": "", "ready": "the caches are not complete yet"}


@pytest.fixture
async def url(problems: dict[str, str]) -> AsyncIterator[str]:
    """A running server."""
    probes = Probes(healthy=lambda: problems["healthy"], ready=lambda: problems["ready"])
    server = ObservabilityServer(metrics=OperatorMetrics(), probes=probes)
    port = await server.start(address="127.0.0.1", port=0)
    assert port > 0
    yield f"http://127.0.0.1:{port}"
    await server.stop()


async def _get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


async def test_a_probe_answers_200_for_yes_and_503_with_the_reason_for_no(url: str, problems: dict[str, str]) -> None:
    assert (await _get(f"{url}/healthz"))[:2] == (200, "ok")
    assert (await _get(f"{url}/readyz"))[:2] == (503, "the caches are not complete yet")
    problems["ready"], problems["healthy"] = "", "a watch is dead"
    assert (await _get(f"{url}/readyz"))[:2] == (200, "ok")
    assert (await _get(f"{url}/healthz"))[:2] == (503, "a watch is dead")


async def test_metrics_are_in_the_format_that_prometheus_names(url: str) -> None:
    status, text, content_type = await _get(f"{url}/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4")
    assert "nicplug_bugs_total 0.0" in text


async def test_there_is_nothing_else(url: str) -> None:
    assert (await _get(f"{url}/"))[0] == 404


async def test_a_taken_port_is_an_error_at_start() -> None:
    one = ObservabilityServer(metrics=OperatorMetrics(), probes=Probes(healthy=str, ready=str))
    other = ObservabilityServer(metrics=OperatorMetrics(), probes=Probes(healthy=str, ready=str))
    port = await one.start(address="127.0.0.1", port=0)
    with pytest.raises(OSError, match="in use"):
        await other.start(address="127.0.0.1", port=port)
    await other.stop()
    await one.stop()


async def test_a_server_that_never_started_can_be_stopped() -> None:
    await ObservabilityServer(metrics=OperatorMetrics(), probes=Probes(healthy=str, ready=str)).stop()
