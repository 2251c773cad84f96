"""Requests for NICs as the aggregated API leaves them in the status of a VM."""

from tests.build import Json
from tests.sim.cluster import VMS
from tests.unit.reconcile.bench import NAME, Bench


def add(name: str) -> Json:
    return {"addInterfaceOptions": {"networkAttachmentDefinitionName": "lan", "name": name}}


def stored(bench: Bench) -> Json:
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    return found


def pending(bench: Bench) -> list[Json]:
    return list(stored(bench).get("status", {}).get("interfaceRequests") or [])


def names(bench: Bench) -> list[str]:
    return [item["name"] for item in stored(bench)["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]]


def ask(bench: Bench, *requests: Json) -> None:
    """Record requests of the running VM."""
    found = stored(bench)
    found.setdefault("status", {})["interfaceRequests"] = list(requests)
    bench.cluster.replace(VMS, NAME, found, by="user", subresource="status")
    bench.hear()
