"""What must be true of migrations when everybody has come to rest."""

from collections import Counter

from tests.sim.cluster import MIGRATIONS, PODS, VMIS, Cluster, Json, is_in_sight, is_live, is_target, launcher_pods
from tests.sim.migration_invariants import FINAL
from tests.sim.node_agent import is_migrating, state_of

from nicplug.plan.reasons import Reason

_KEPT = 5


def check_migrations_rest(cluster: Cluster) -> None:
    """Every migration has ended, says how, and holds nothing any more."""
    jobs = cluster.shown(MIGRATIONS)
    for job in jobs:
        _check_job(job)
    for vmi, count in Counter(job["spec"]["vmiName"] for job in jobs).items():
        assert count <= _KEPT, f"{count} migrations of {vmi} are kept"
    for vmi in cluster.shown(VMIS):
        is_over = not is_migrating(vmi) or vmi["status"]["phase"] in FINAL
        assert is_over, f"{vmi['metadata']['name']} is said to be on the move"


def check_migrations_calm(cluster: Cluster, *, had_two_leaders: bool) -> None:
    """While VMs are on the move: who came second has been refused, and a migration that has failed has no pod.

    Asked before the operator looks for pods that nobody answers for any more, which it deletes for another reason. Of
    two leaders one may make the pod of a migration that the other one has just ended: no guard spans two objects. Nor
    does anybody see a pod whose maker died before it recorded it, and whose labels were then taken away: it goes with
    its VMI.
    """
    jobs = cluster.shown(MIGRATIONS)
    unfinished = [job for job in jobs if (job.get("status") or {}).get("phase") not in FINAL]
    accepted = [job for job in unfinished if (job.get("status") or {}).get("phase")]
    for vmi, count in Counter(job["spec"]["vmiName"] for job in accepted).items():
        assert count == 1, f"{count} migrations of {vmi} are under way or wait"
    states = [state_of(item) for item in (*jobs, *cluster.shown(VMIS))]
    needed = {job["metadata"]["uid"] for job in jobs if job in unfinished or job["status"]["phase"] == "Succeeded"}
    homes = {*cluster.homes.values()}
    for pod in launcher_pods(cluster):
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        was_home = uid in homes or any(state.get("sourcePod") == name for state in states)
        is_late = had_two_leaders and uid in cluster.made_late
        is_seen = is_in_sight(PODS, pod) or uid in cluster.recorded
        is_left = is_target(cluster, pod) and is_live(pod) and is_seen and not was_home and not is_late
        assert not is_left or cluster.made_for[uid] in needed, f"{name} is left of a migration that has failed"


def _check_job(job: Json) -> None:
    name, status = job["metadata"]["name"], job.get("status") or {}
    assert status.get("phase") in FINAL, f"{name} is {status.get('phase')}"
    assert not job["metadata"].get("finalizers"), f"{name} keeps its finalizer"
    assert "deletionTimestamp" not in job["metadata"], f"{name} does not go"
    told: Json = next((row for row in status.get("conditions", []) if row["type"] == "Progressing"), {})
    assert told.get("reason") in list(Reason), f"{name} has ended, and nobody knows why: {told}"
    assert told.get("message"), f"{name} has ended, and nobody knows why"
