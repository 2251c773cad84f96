"""A played API server, and the command line against it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from tests.build import nic, primary, row, vmi
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.kubeconfig import write_kubeconfig
from tests.unit.cli.following import VMIS, born
from tests.unit.cli.played import CommandLine, PlayedServer, played_server


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy", "NICPLUG_TRACEBACK", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command silences the logs of its process, which here is that of the next test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def server() -> Iterator[PlayedServer]:
    with played_server() as played:
        yield played


@pytest.fixture
def nicplug(server: PlayedServer, tmp_path: Path) -> CommandLine:
    return CommandLine(write_kubeconfig(tmp_path / "config", server=server.url))


@pytest.fixture
async def cluster() -> AsyncIterator[FakeApiServer]:
    """A bare VMI with a NIC that the guest does not have yet, on a server that keeps objects and serves watches."""
    async with FakeApiServer() as fake:
        fake.create(VMIS, born(vmi(primary(), nic("blue"), rows=[row("default", "domain")])))
        yield fake
