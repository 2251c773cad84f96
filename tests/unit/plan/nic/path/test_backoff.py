"""Who waits after failures, and for how long (reference: `handleBackoff`)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from tests.build import MIGRATION_UID, NOW, VMI_UID, Json, later, migration, migration_view, owner, pod, vmi

from nicplug.plan.nic.path.migration_history import backoff_until, spaced_until

FAILED_AT = datetime.fromisoformat("2026-01-02T03:04:00+00:00")
WORKLOAD: Json = {"kubevirt.io/workloadUpdateMigration": ""}
EVACUATION: Json = {"kubevirt.io/evacuationMigration": "node01"}


def earlier(number: int, phase: str = "Failed", *, accepted: bool = True, **members: Any) -> Json:
    """The `number`-th before this one, the lower the newer; each failed a minute before the next."""
    failed = later(-5.678 - 60 * (number - 1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    entered = ["Pending", phase] if accepted else [phase]
    times = [{"phase": item, "phaseTransitionTimestamp": failed} for item in entered]
    made = {"annotations": WORKLOAD, "creationTimestamp": f"2026-01-02T02:{59 - number:02}:00Z"}
    return migration(
        phase, name=f"m{number}", uid=f"m{number}", status={"phaseTransitionTimestamps": times}, **made | members
    )


def interfaces(text: str, *, of: Json = WORKLOAD) -> Json:
    """Made for these NICs."""
    return {"annotations": {**of, "nicplug.io/interfaces": text}}


OTHER_VMI: Json = {"ownerReferences": [{"kind": "VirtualMachineInstance", "uid": "x", "name": "vmi-fedora"}]}
CASES = [
    pytest.param([], {"annotations": WORKLOAD}, None, id="the first one waits for nothing"),
    pytest.param([earlier(1)], {"annotations": WORKLOAD}, (20, 1), id="after one failure 20 s"),
    pytest.param([earlier(1)], {"annotations": EVACUATION}, (20, 1), id="an evacuation as well"),
    pytest.param([earlier(1), earlier(2)], {"annotations": WORKLOAD}, (40, 2), id="after two 40 s"),
    pytest.param([earlier(n) for n in range(1, 6)], {"annotations": WORKLOAD}, (320, 5), id="after five 320 s"),
    pytest.param(
        [earlier(1), earlier(2, "Succeeded"), earlier(3)],
        {"annotations": WORKLOAD},
        (20, 1),
        id="counted back to the last success",
    ),
    pytest.param([earlier(1, "Succeeded"), earlier(2)], {"annotations": WORKLOAD}, None, id="none after a success"),
    pytest.param([earlier(1)], {}, None, id="a user's waits for nothing"),
    pytest.param(
        [earlier(1)],
        {"annotations": {**WORKLOAD, "kubevirt.io/func-test-ignore-migration-backoff": ""}},
        None,
        id="the annotation against it",
    ),
    pytest.param([earlier(1, deleting=True)], {"annotations": WORKLOAD}, None, id="cancelled ones do not count"),
    pytest.param(
        [earlier(1, accepted=False)],
        {"annotations": WORKLOAD},
        None,
        id="own: one that was refused before it began does not count",
    ),
    pytest.param(
        [earlier(1, **interfaces('{"blue":"1/"}'))],
        interfaces('{"blue":"2/"}'),
        None,
        id="own: a corrected NIC is tried at once",
    ),
    pytest.param(
        [earlier(1, **interfaces('{"blue":"1/"}')), earlier(2, **interfaces('{"blue":"1/"}'))],
        interfaces('{"blue":"1/"}'),
        (40, 2),
        id="own: the same NIC again is not",
    ),
    pytest.param(
        [earlier(1, creationTimestamp="2026-01-02T03:30:00Z")],
        {"annotations": WORKLOAD},
        None,
        id="only the newest waits",
    ),
    pytest.param([earlier(n) for n in range(1, 55)], {"annotations": WORKLOAD}, (320, 54), id="own: 320 s at most"),
    pytest.param([earlier(1, annotations={})], {"annotations": WORKLOAD}, None, id="a user's failure does not count"),
    pytest.param(
        [earlier(1, "Succeeded", annotations={}), earlier(2)],
        {"annotations": WORKLOAD},
        None,
        id="own: a user's success does",
    ),
    pytest.param(
        [earlier(1, **OTHER_VMI)],
        {"annotations": WORKLOAD},
        None,
        id="own: failures of an earlier VMI of that name do not count",
    ),
]


@pytest.mark.parametrize(("others", "meta", "expected"), CASES)
def test_how_long_it_waits(others: Sequence[Json], meta: Json, expected: tuple[int, int] | None) -> None:
    view = migration_view(migration("Pending", uid=MIGRATION_UID, **meta), vmi(), pod(), others=others)
    found = backoff_until(view.migration, migrations=view.migrations, vmi=view.vmi, known=view.attachments)
    assert (found and (int((found[0] - FAILED_AT).total_seconds()), found[1])) == expected


@pytest.mark.parametrize(
    ("failed", "asked", "waits"),
    [
        pytest.param(interfaces('{"blue":"1/a"}'), interfaces('{"blue":"1/a"}'), True, id="the same NIC"),
        pytest.param({"annotations": WORKLOAD}, interfaces('{"blue":"1/a"}'), False, id="the other says nothing"),
        pytest.param(interfaces('{"blue":"1/a"}'), {"annotations": WORKLOAD}, False, id="this one says nothing"),
        pytest.param(interfaces('{"blue":"1/a"}'), interfaces('{"blue":"1/z"}'), False, id="a corrected network"),
        pytest.param(interfaces('{"blue":"1/a"}'), interfaces('{"blue":"1/"}'), True, id="a network not known now"),
        pytest.param(interfaces('{"blue":"1/a"}'), interfaces('{"blue":"1/a","red":"2/b"}'), False, id="one NIC more"),
        pytest.param(interfaces('{"blue":"1/a","red":"2/b"}'), interfaces('{"blue":"1/a"}'), True, id="one NIC less"),
        pytest.param(interfaces('{"red":"2/b"}'), interfaces('{"blue":"1/a"}'), False, id="another NIC"),
    ],
)
def test_a_nic_that_is_new_does_not_wait_for_what_failed_before(failed: Json, asked: Json, waits: bool) -> None:
    view = migration_view(migration("Pending", uid=MIGRATION_UID, **asked), vmi(), pod(), others=[earlier(1, **failed)])
    assert (
        backoff_until(view.migration, migrations=view.migrations, vmi=view.vmi, known=view.attachments) is not None
    ) is waits


def test_a_failure_that_a_wrong_clock_has_put_hours_ahead_delays_by_minutes() -> None:
    """A failure drill set the operator's clock two hours ahead: the NIC then waited for two hours."""
    times = [
        {"phase": phase, "phaseTransitionTimestamp": later(7200).strftime("%Y-%m-%dT%H:%M:%SZ")}
        for phase in ("Pending", "Failed")
    ]
    failed = migration(
        "Failed", name="m1", uid="m1", status={"phaseTransitionTimestamps": times}, annotations=WORKLOAD,
        creationTimestamp="2026-01-02T02:58:00Z",
    )  # fmt: skip
    asked = migration("Pending", uid=MIGRATION_UID, annotations=WORKLOAD, creationTimestamp="2026-01-02T03:04:00Z")
    view = migration_view(asked, vmi(), pod(), others=[failed])
    found = backoff_until(view.migration, migrations=view.migrations, vmi=view.vmi, known=view.attachments)
    assert found is not None
    assert (found[0] - FAILED_AT).total_seconds() == 15 * 60 + 20


# -- how often a guest is moved by itself ---------------------------------------------------------

OURS: Json = {"annotations": WORKLOAD, "ownerReferences": [owner("VirtualMachineInstance", "vmi-fedora", VMI_UID)]}


def moved(number: int, *, ago: float, phase: str = "Succeeded", had_agents: bool = True, **meta: Any) -> Json:
    """One that nicplug made, and that ended so many seconds ago."""
    ended = later(-ago).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    entered = ["Pending", "Scheduling", *(["PreparingTarget"] if had_agents else []), phase]
    return migration(
        phase,
        name=f"kubevirt-workload-update-{number}",
        uid=f"m{number}",
        status={"phaseTransitionTimestamps": [{"phase": item, "phaseTransitionTimestamp": ended} for item in entered]},
        creationTimestamp=f"2026-01-02T02:0{number}:00Z",
        **OURS | meta,
    )


def four(ago: float = 10, **members: Any) -> list[Json]:
    return [moved(number, ago=ago + 5 * (3 - number), **members) for number in range(4)]


NOW_MADE: Json = {"creationTimestamp": "2026-01-02T03:04:05Z", **OURS}
MINE: Json = {"name": "kubevirt-workload-update-now", **NOW_MADE}


@pytest.mark.parametrize(
    ("others", "meta", "seconds"),
    [
        pytest.param([], MINE, None, id="the first one"),
        pytest.param(four()[1:], MINE, None, id="after three"),
        pytest.param(four(), MINE, 50, id="a minute after the last of four"),
        pytest.param([*four(), moved(4, ago=4)], MINE, 56, id="and of five"),
        pytest.param([*four()[1:], moved(0, ago=609)], MINE, 50, id="within ten minutes of the last"),
        pytest.param([*four()[1:], moved(0, ago=611)], MINE, None, id="not when one of them was before"),
        pytest.param(four(phase="Failed"), MINE, 50, id="those that failed on their way count"),
        pytest.param(four(phase="Failed", had_agents=False), MINE, None, id="not those that moved nobody"),
        pytest.param(four(annotations={}), MINE, None, id="not a user's"),
        pytest.param(four(**OTHER_VMI), MINE, None, id="nor those of an earlier VMI"),
        pytest.param(four(), {"name": "mine", **NOW_MADE}, None, id="a user's own waits for nothing"),
        pytest.param(four(), {**MINE, "annotations": EVACUATION}, None, id="nor does an evacuation"),
        pytest.param(
            four(),
            {**MINE, "annotations": {**WORKLOAD, "kubevirt.io/func-test-ignore-migration-backoff": ""}},
            None,
            id="the annotation against it",
        ),
        pytest.param(four(-3600), MINE, None, id="a clock that is hours ahead delays nothing"),
    ],
)
def test_a_user_who_toggled_a_nic_had_the_guest_moved_without_end(
    others: Sequence[Json], meta: Json, seconds: int | None
) -> None:
    """Each success ended every back-off."""
    view = migration_view(migration("Pending", uid=MIGRATION_UID, **meta), vmi(), pod(), others=others)
    found = spaced_until(view.migration, migrations=view.migrations, vmi=view.vmi)
    assert (found and round((found[0] - NOW).total_seconds())) == seconds


@pytest.mark.parametrize(("uid", "seconds"), [("gone", 58), ("m0", 50)])
def test_one_that_moved_the_guest_and_was_deleted_counts(uid: str, seconds: int) -> None:
    """Taken back at the last moment: the instance alone still says that the guest has moved."""
    state = {"migrationUid": uid, "completed": True, "endTimestamp": later(-1).strftime("%Y-%m-%dT%H:%M:%SZ")}
    moving = vmi(moving=state)
    view = migration_view(migration("Pending", uid=MIGRATION_UID, **MINE), moving, pod(), others=four())
    found = spaced_until(view.migration, migrations=view.migrations, vmi=view.vmi)
    assert found is not None
    assert round((found[0] - NOW).total_seconds()) == seconds
