"""A watch line that echoes an answer is not read again."""

from datetime import UTC, datetime
from typing import Any

import pytest

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.model.keys import VmKey


def vm(*, version: str, status: str = "Running") -> dict[str, Any]:
    metadata = {"namespace": "default", "name": "vm", "uid": "u1", "resourceVersion": version}
    return {"metadata": metadata, "spec": {}, "status": {"printableStatus": status}}


@pytest.fixture
def caches() -> Caches:
    found = Caches(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    assert found.observe(CachedKind.VM, vm(version="7"))
    return found


@pytest.mark.parametrize("version", ["7", "6"])
def test_same_or_older_version_is_not_read(caches: Caches, version: str) -> None:
    """Other content in the same version cannot come from an API server: only that it is ignored shows the short cut."""
    assert caches.observe(CachedKind.VM, vm(version=version, status="Stopped")) == []
    kept = caches.vms.get(VmKey("default", "vm"))
    assert kept is not None
    assert kept.status.members == {"printableStatus": "Running"}


def test_newer_version_is_read(caches: Caches) -> None:
    assert caches.observe(CachedKind.VM, vm(version="8", status="Stopped"))


def test_object_without_version_is_always_read(caches: Caches) -> None:
    """As a fake or an odd server may send it: better read twice than never."""
    other = Caches(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    assert other.observe(CachedKind.VM, vm(version=""))
    assert other.observe(CachedKind.VM, vm(version="", status="Stopped"))
