"""What must be true of migrations when everybody has come to rest."""

from collections import Counter

from tests.sim.cluster import MIGRATIONS, VMIS, Cluster, Json
from tests.sim.migration_invariants import FINAL
from tests.sim.node_agent import is_migrating

from nicplug.plan.reasons import Reason

_KEPT = 5


def check_migrations_rest(cluster: Cluster) -> None:
    """Every migration has ended, says how, and holds nothing any more."""
    jobs = cluster.all(MIGRATIONS)
    for job in jobs:
        _check_job(job)
    for vmi, count in Counter(job["spec"]["vmiName"] for job in jobs).items():
        assert count <= _KEPT, f"{count} migrations of {vmi} are kept"
    for vmi in cluster.all(VMIS):
        is_over = not is_migrating(vmi) or vmi["status"]["phase"] in FINAL
        assert is_over, f"{vmi['metadata']['name']} is said to be on the move"


def _check_job(job: Json) -> None:
    name, status = job["metadata"]["name"], job.get("status") or {}
    assert status.get("phase") in FINAL, f"{name} is {status.get('phase')}"
    assert not job["metadata"].get("finalizers"), f"{name} keeps its finalizer"
    assert "deletionTimestamp" not in job["metadata"], f"{name} does not go"
    told: Json = next((row for row in status.get("conditions", []) if row["type"] == "Progressing"), {})
    assert told.get("reason") in list(Reason), f"{name} has ended, and nobody knows why: {told}"
    assert told.get("message"), f"{name} has ended, and nobody knows why"
