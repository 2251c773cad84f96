"""What nicplug relies on in Kopf: public names only, null storages that Kopf accepts, settings that exist."""

import ast
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kopf
import pytest

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind, kinds_of
from nicplug.handlers import register
from nicplug.kopf_settings import EndlessBackoff, NullDiffBaseStorage, NullProgressStorage, kopf_settings
from nicplug.model.mode import Mode
from nicplug.reconcile.intake import Intake
from nicplug.reconcile.queue import WorkQueue

OPERATOR = Path(__file__).parents[2] / "operator"
BODY = kopf.Body(
    {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "a", "annotations": {"kopf.zalando.org/last-handled-configuration": "{}"}},
        "spec": {"running": True},
    }
)


def _kopf_names() -> Iterator[tuple[str, str]]:
    """Every dotted name of Kopf in the operator's sources, with where it is."""
    for path in sorted(OPERATOR.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(OPERATOR)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((where, alias.name) for alias in node.names if alias.name.split(".")[0] == "kopf")
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kopf":
                yield from ((where, f"{node.module}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "kopf":
                yield where, f"kopf.{node.attr}"


def test_only_public_names_of_kopf_are_used() -> None:
    names = list(_kopf_names())
    assert "nicplug/handlers.py" in {where.split(":")[0] for where, _ in names}
    private = [(where, name) for where, name in names if any(part.startswith("_") for part in name.split("."))]
    assert private == []
    missing = [name for _, name in names if name != "kopf" and not hasattr(kopf, name.split(".")[1])]
    assert missing == []


def test_the_null_diff_base_says_that_nothing_was_and_nothing_is() -> None:
    """None from either would make Kopf call change handlers, and store what it has seen."""
    storage = NullDiffBaseStorage()
    patch = kopf.Patch()
    assert storage.build(body=BODY) == {}
    assert storage.fetch(body=BODY) == {}
    storage.store(body=BODY, patch=patch, essence=kopf.BodyEssence({}))
    assert dict(patch) == {}


def test_the_null_progress_is_never_under_way_and_writes_nothing() -> None:
    storage = NullProgressStorage()
    patch = kopf.Patch()
    record: Any = {"started": "2026-01-01T00:00:00"}
    fetch: Callable[..., object] = storage.fetch
    assert fetch(key="handler", body=BODY) is None
    storage.store(key="handler", record=record, body=BODY, patch=patch)
    storage.purge(key="handler", body=BODY, patch=patch)
    storage.touch(body=BODY, patch=patch, value="now")
    storage.flush()
    assert dict(patch) == {}
    essence = kopf.BodyEssence({"spec": {}})
    assert storage.clear(essence=essence) is essence


@pytest.mark.parametrize(
    ("mine", "theirs"), [(NullDiffBaseStorage, kopf.DiffBaseStorage), (NullProgressStorage, kopf.ProgressStorage)]
)
def test_the_null_storages_override_every_abstract_method(mine: type, theirs: type) -> None:
    abstract: frozenset[str] = theirs.__abstractmethods__  # type: ignore[attr-defined]
    assert abstract
    assert abstract <= vars(mine).keys()


def test_the_back_off_begins_small_ends_never_and_can_be_drawn_again() -> None:
    delays = EndlessBackoff()
    first = [delay for delay, _ in zip(delays, range(200), strict=False)]
    assert first[0] <= 0.2
    assert first == sorted(first)
    assert first[-1] == 2.0
    assert [delay for delay, _ in zip(delays, range(200), strict=False)] == first


def test_kopf_writes_nothing_to_objects() -> None:
    settings = kopf_settings()
    assert settings.posting.enabled is False
    assert settings.scanning.disabled is True
    assert isinstance(settings.persistence.diffbase_storage, NullDiffBaseStorage)
    assert isinstance(settings.persistence.progress_storage, NullProgressStorage)


def test_no_worker_waits_for_another() -> None:
    """With a worker limit Kopf's indices lock a start up (trap A)."""
    assert kopf_settings().queueing.worker_limit is None


@pytest.mark.parametrize("kind", CachedKind)
@pytest.mark.parametrize("raw", [{}, {"metadata": None, "spec": 7, "status": []}, {"metadata": {"name": 5}}], ids=str)
async def test_taking_in_an_object_never_fails(kind: CachedKind, raw: dict[str, Any]) -> None:
    """Kopf does not call an event handler again that has failed (trap D): the event would be lost."""
    intake = Intake(caches=Caches(clock=lambda: datetime.now(UTC)), queue=WorkQueue())
    for type_ in (None, "ADDED", "MODIFIED", "DELETED"):
        intake.hear(kind, {"type": type_, "object": raw})


def test_only_launcher_pods_are_watched() -> None:
    assert kopf_settings().watching.label_selectors["v1", "pods"] == "kubevirt.io=virt-launcher"


@pytest.mark.parametrize("mode", list(Mode))
def test_every_handler_is_of_events_alone(mode: Mode) -> None:
    """Indices make a start quadratic (trap A); every other kind of handler makes Kopf write."""
    registry = kopf.OperatorRegistry()

    async def nothing() -> Any:
        return None

    class Deaf:
        def hear(self, kind: Any, event: Any) -> None:
            """Hear nothing."""

    register(registry=registry, listener=Deaf(), mode=mode, login=nothing, on_start=nothing, on_end=nothing)
    assert len(registry._watching.get_all_handlers()) == len(kinds_of(mode))
    for others in (registry._indexing, registry._changing, registry._spawning, registry._webhooks):
        assert list(others.get_all_handlers()) == []
