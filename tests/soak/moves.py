"""What must be true of migrations when everybody has come to rest, and at every moment before.

Pure. From the API alone; every violation is a sentence that names the object.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.perf.concurrency import FINAL, JOB_LABEL, Concurrency
from tests.perf.migrations import LIMIT_INBOUND, LIMIT_OUTBOUND, LIMIT_PER_CLUSTER

from nicplug_sandbox.node.api import Json

NODE_LABEL = "kubevirt.io/nodeName"
_KEPT = 5


def leftovers_of_migrations(migrations: Iterable[Json]) -> Iterator[str]:
    """Migrations that are not over, not let go, or too many; those of an instance that has gone stay for a while."""
    kept: Counter[str] = Counter()
    for body in migrations:
        metadata, status = body["metadata"], body.get("status") or {}
        what, vmi = f"migration {metadata['name']}", str(body["spec"].get("vmiName", ""))
        kept[vmi] += 1
        if status.get("phase") not in FINAL:
            yield f"{what} of {vmi}: is {status.get('phase') or 'not accepted'}, and everybody has come to rest"
        if finalizers := metadata.get("finalizers"):
            yield f"{what} of {vmi}: keeps its finalizers {finalizers}"
        if "deletionTimestamp" in metadata:
            yield f"{what} of {vmi}: is being deleted, and does not go"
    for vmi, count in kept.items():
        if count > _KEPT:
            yield f"VMI {vmi}: {count} migrations are kept, more than {_KEPT}"


def traces_in_vmi(name: str, vmi: Json, pod: Json) -> Iterator[str]:
    """What a migration leaves behind in an instance: nothing is under way, and it is where its pod is."""
    status = vmi["status"]
    state, node = status.get("migrationState") or {}, pod["spec"].get("nodeName")
    if state.get("migrationUid") and not state.get("completed"):
        yield f"VMI {name}: migrationState is of migration {state['migrationUid']}, and not completed"
    required = [row for row in status.get("conditions") or [] if row["type"] == "MigrationRequired"]
    if any(row["status"] == "True" for row in required):
        yield f"VMI {name}: MigrationRequired is True: {required[0].get('message')}"
    label = (vmi["metadata"].get("labels") or {}).get(NODE_LABEL)
    if not status.get("nodeName") == label == node:
        yield f"VMI {name}: is on {status.get('nodeName')}, labelled {label}, and its pod is on {node}"


def is_kept_for_a_migration(pod: Json, migrations: Iterable[Json]) -> bool:
    """An ended pod stays as long as the migration that it ended with, for people who look for its log."""
    job = (pod["metadata"].get("labels") or {}).get(JOB_LABEL)
    states = [((body.get("status") or {}).get("migrationState") or {}, body["metadata"]["uid"]) for body in migrations]
    return any(uid == job or state.get("sourcePod") == pod["metadata"]["name"] for state, uid in states)


def too_many_pods(pods: Iterable[Json]) -> str:
    """Why these live pods of one instance are too many; "" when they are not.

    One runs it, and a migration may have made another; the one that a guest has just left ends by itself.
    """
    found = list(pods)
    targets = [pod for pod in found if JOB_LABEL in (pod["metadata"].get("labels") or {})]
    if len(found) > 2 or len(found) - len(targets) > 1:
        return f"had {len(found)} live pods at once, {len(targets)} of them made for migrations"
    return ""


def exceeded(found: Concurrency) -> list[str]:
    """What happened at any moment and must never: limits exceeded, two migrations of one instance."""
    told = [f"two unfinished migrations at once: {names}" for names in found.doubled]
    if found.cluster > LIMIT_PER_CLUSTER:
        told.append(f"{found.cluster} migrations at once, more than {LIMIT_PER_CLUSTER}")
    for where, peaks, limit in (("from", found.outbound, LIMIT_OUTBOUND), ("to", found.inbound, LIMIT_INBOUND)):
        told += [
            f"{peak} migrations at once {where} {node}, more than {limit}"
            for node, peak in sorted(peaks.items())
            if peak > limit
        ]
    return told
