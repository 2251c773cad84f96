"""In companion mode: reports are the records of the VMIs that they are about."""

from datetime import datetime

from tests.build import (
    NAME,
    NAMESPACE,
    NODE,
    NOW,
    VMI_UID,
    Json,
    a_vmi,
    interface_report,
    later,
    migration,
    nic,
    operation,
    primary,
    vm,
    vmi,
)

from nicplug.cache.caches import CachedKind, Caches, kinds_of
from nicplug.model.interface_report import interfaces_hash
from nicplug.model.keys import ReportKey, VmiKey, VmKey
from nicplug.model.mode import Mode

KEY = VmiKey(NAMESPACE, NAME)
PENDING = [operation("blue", phase="Pending")]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def caches(*objects: tuple[CachedKind, Json], clock: Clock | None = None) -> Caches:
    made = Caches(clock=clock or Clock(), mode=Mode.COMPANION)
    for kind, raw in objects:
        made.observe(kind, raw)
    return made


def report(*rows: Json, vmi_uid: str = VMI_UID, version: int = 10) -> tuple[CachedKind, Json]:
    raw = interface_report(vmiUid=vmi_uid, interfaceOperations=list(rows), version=version)
    return CachedKind.REPORT, raw


def instance(*rows: Json, uid: str = VMI_UID, version: int = 10) -> tuple[CachedKind, Json]:
    return CachedKind.VMI, vmi(primary(), nic("blue"), operations=rows, uid=uid, version=version)


def test_a_companion_watches_reports_and_no_revisions() -> None:
    assert set(kinds_of(Mode.COMPANION)) ^ set(kinds_of(Mode.STANDALONE)) == {CachedKind.REPORT, CachedKind.REVISION}
    assert CachedKind.REPORT in kinds_of(Mode.COMPANION)


def test_a_report_is_looked_at_with_its_vmi() -> None:
    known = caches()
    assert known.observe(*report(*PENDING)) == [KEY]
    assert known.observe(*report(*PENDING)) == [], "the same once more"
    assert known.observe(*report(version=11)) == [KEY]
    assert known.forget(CachedKind.REPORT, report(version=12)[1]) == [KEY]


def test_the_report_says_which_nics_wait_whichever_comes_first() -> None:
    for objects in ([instance(), report(*PENDING)], [report(*PENDING), instance()]):
        known = caches(*objects)
        assert known.waiting_for_a_node() == [KEY]
        assert known.waiting_for_controller({NODE}) == [KEY]


def test_rows_in_the_vmi_itself_are_nobodys() -> None:
    """KubeVirt's schema prunes them; another operator's CRD may not."""
    known = caches(instance(*PENDING))
    assert known.waiting_for_a_node() == []
    assert known.operations.by_phase_and_reason() == {}


def test_the_indexes_follow_the_report() -> None:
    known = caches(instance(), report(*PENDING))
    assert sum(known.operations.by_phase_and_reason().values()) == 1
    known.observe(*report(operation("blue", phase="Ready"), version=11))
    assert known.waiting_for_a_node() == []
    known.observe(*report(*PENDING, version=12))
    assert known.waiting_for_a_node() == [KEY]
    known.forget(CachedKind.REPORT, report(version=13)[1])
    assert known.waiting_for_a_node() == []
    assert known.operations.by_phase_and_reason() == {}


def test_the_records_of_an_earlier_vmi_count_for_none() -> None:
    known = caches(instance(), report(*PENDING, vmi_uid="another"))
    assert known.waiting_for_a_node() == []
    assert known.report_of(a_vmi(instance()[1])) is None
    known = caches(instance(), report(*PENDING))
    known.forget(*instance())
    known.observe(*instance(uid="another", version=20))
    assert known.waiting_for_a_node() == []


def test_a_report_without_a_vmi_waits_for_nothing() -> None:
    known = caches(report(*PENDING))
    assert known.waiting_for_a_node() == []
    assert known.reports.get(ReportKey(NAMESPACE, NAME)) is not None


def test_a_spec_is_new_when_its_nics_are() -> None:
    """KubeVirt's VMIs count each write of their status as a generation."""
    clock = Clock()
    before = vmi(primary(), nic("blue"), generation=3)
    known = caches((CachedKind.VMI, before), clock=clock)
    clock.now = later(10)
    again = vmi(primary(), nic("blue"), generation=9, version=11)
    known.observe(CachedKind.VMI, again)
    assert known.spec_seen_at(a_vmi(again)) == NOW
    clock.now = later(20)
    changed = vmi(primary(), nic("blue"), nic("red"), generation=10, version=12)
    known.observe(CachedKind.VMI, changed)
    assert known.spec_seen_at(a_vmi(changed)) == later(20)
    assert known.digest_of(a_vmi(changed)) == interfaces_hash(changed["spec"])


def test_a_vmi_of_the_same_name_has_a_spec_of_its_own() -> None:
    clock = Clock()
    known = caches(instance(), clock=clock)
    clock.now = later(10)
    known.forget(*instance())
    known.observe(*instance(uid="another", version=20))
    assert known.spec_seen_at(a_vmi(instance(uid="another")[1])) == later(10)


def test_a_new_leader_looks_at_all_names() -> None:
    found = caches(
        (CachedKind.VM, vm(name="stopped", uid="vm-2")), instance(), report(), (CachedKind.MIGRATION, migration())
    ).all_keys()
    assert {KEY, VmKey(NAMESPACE, "stopped")} <= set(found)
