"""Every way in which a migration fails: what is seen, the reason, and KubeVirt's event."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.build import (
    NODE,
    Json,
    migration_state,
    pod,
    target_pod,
    vmi,
)

from nicplug.plan.reasons import Reason

STARTED: Json = {"targetNodeAddress": "10.0.0.2", "startTimestamp": "2026-01-02T03:04:00Z"}
READY: Json = {**STARTED, "targetNodeDomainReadyTimestamp": "2026-01-02T03:04:03Z"}
DONE: Json = {**READY, "endTimestamp": "2026-01-02T03:04:04Z", "completed": True}
FAILED: Json = {**STARTED, "endTimestamp": "2026-01-02T03:04:04Z", "completed": True, "failed": True}
OTHER = "99999999-dddd-4000-8000-000000000009"


@dataclass(frozen=True, kw_only=True)
class World:
    """A migration, its VMI and its pods."""

    phase: str = "Running"
    vmi: Json | None = field(default_factory=lambda: vmi(moving=migration_state(**STARTED)))
    pods: tuple[Json, ...] = field(default_factory=lambda: (pod(), target_pod()))
    deleting: bool = False
    others: tuple[Json, ...] = ()
    members: dict[str, Any] = field(default_factory=dict)


def running(**members: Any) -> Json:
    """A VMI with a migration state of ours."""
    return vmi(moving=migration_state(**{**STARTED, **members}))


FAILURES = [
    pytest.param(
        World(vmi=None, pods=()),
        "VmiMissing",
        "Migration failed because vmi does not exist.",
        id="row 2: no VMI",
    ),
    pytest.param(
        World(vmi=vmi(uid="another"), members={"status": {"vmiUid": "gone"}}),
        "VmiMissing",
        "Migration failed because vmi does not exist.",
        id="row 2: another VMI of its name",
    ),
    pytest.param(
        World(vmi=vmi(phase="Failed", moving=migration_state(**STARTED))),
        "VmiFinal",
        "Migration failed vmi shutdown during migration.",
        id="row 3: VMI final",
    ),
    *(
        pytest.param(
            World(phase=phase, vmi=vmi(), pods=pods, deleting=True),
            "MigrationCanceled",
            "Migration failed due to being canceled",
            id=f"row 4: being deleted and not handed off, {phase or 'before it was seen'}",
        )
        for phase, pods in (
            ("", (pod(),)),
            ("Pending", (pod(),)),
            ("Scheduling", (pod(), target_pod())),
            ("Scheduled", (pod(), target_pod())),
        )
    ),
    pytest.param(
        World(pods=(pod(), target_pod(phase="Failed", ready=False))),
        "TargetPodLost",
        "Migration failed because target pod shutdown during migration",
        id="row 5: target pod Failed",
    ),
    pytest.param(
        World(phase="Scheduling", vmi=vmi(), pods=(pod(), target_pod(phase="Succeeded", ready=False))),
        "TargetPodLost",
        "Migration failed because target pod shutdown during migration",
        id="row 5: target pod Succeeded",
    ),
    *(
        pytest.param(
            World(phase=phase, vmi=of, pods=(pod(),)),
            "TargetPodLost",
            "Migration target pod was removed during active migration.",
            id=f"row 6: target created, but no pod, {phase}",
        )
        for phase, of in (
            ("Scheduling", vmi()),
            ("Scheduled", vmi()),
            ("PreparingTarget", vmi(moving=migration_state())),
            ("TargetReady", running()),
            ("Running", running()),
        )
    ),
    pytest.param(
        World(phase="PreparingTarget", vmi=vmi(moving=migration_state()), pods=(pod(), target_pod(deleting=True))),
        "TargetPodLost",
        "Migration target pod was removed during active migration.",
        id="row 6: target pod deleted by hand",
    ),
    pytest.param(
        World(vmi=vmi()),
        "MigrationStateLost",
        "VMI's migration state was cleared during the active migration.",
        id="row 7: handed off, but no migration state",
    ),
    pytest.param(
        World(vmi=vmi(moving=migration_state(migration_uid=OTHER, target=target_pod()))),
        "MigrationStateLost",
        "VMI's migration state was taken over by another migration job during active migration.",
        id="row 8: the migration state is another's",
    ),
    pytest.param(
        World(vmi=running(targetPod="virt-launcher-forged")),
        "MigrationStateLost",
        "VMI's migration state was taken over by another migration job during active migration.",
        id="row 8: the state has our uid and another pod",
    ),
    pytest.param(
        World(vmi=running(**FAILED, failureReason="broken pipe")),
        "MigrationFailed",
        "source node reported migration failed",
        id="row 9: ours, and failed",
    ),
    pytest.param(
        World(vmi=running(**FAILED), deleting=True),
        "MigrationCanceled",
        "source node reported migration failed",
        id="row 9: ours, and failed as it was cancelled",
    ),
    *(
        pytest.param(
            World(phase="PreparingTarget", vmi=vmi(moving=migration_state(**FAILED, failureReason=why)), pods=pods),
            "MigrationFailed",
            "source node reported migration failed",
            id=f"row 9 before rows 5 and 6: the target pod {end} after the failure",
        )
        for why, pods, end in (
            ("failed to prepare", (pod(), target_pod(phase="Succeeded", ready=False)), "ends"),
            ("failed to prepare", (pod(),), "is gone"),
        )
    ),
    pytest.param(
        World(vmi=running(completed=True)),
        "MigrationStateLost",
        "VMI's migration state says completed, while the VM is still on node01",
        id="own row: a forged end",
    ),
    pytest.param(
        World(phase="Scheduled", vmi=vmi(), pods=(pod(), target_pod(node=NODE))),
        "NoCandidateNode",
        f"target pod {target_pod()['metadata']['name']} was put on node01, which runs the VM",
        id="own row: the target landed on the source's node",
    ),
]
REASONS = {Reason(str(case.values[1])) for case in FAILURES}
"""Those that these cases show."""
