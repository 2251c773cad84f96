"""Who waits for nodes and controllers."""

from tests.build import NAME, NAMESPACE, NODE, NOW, Json, operation, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.model.keys import VmiKey

KEY = VmiKey(NAMESPACE, NAME)


def caches(*objects: Json) -> Caches:
    made = Caches(clock=lambda: NOW)
    for item in objects:
        made.observe(CachedKind.VMI, item)
    return made


def waiting(*phases: str) -> Json:
    return vmi(operations=[operation(f"nic{index}", phase=phase) for index, phase in enumerate(phases)])


def test_a_vmi_waits_while_one_of_its_nics_is_not_ready() -> None:
    for phase in ("Pending", "InPod", "Migrating", "InGuest", "Blocked", "Failed"):
        assert caches(waiting("Ready", phase)).waiting_for_a_node() == [KEY], phase
    assert caches(waiting("Ready")).waiting_for_a_node() == []
    assert caches(vmi()).waiting_for_a_node() == []


def test_it_waits_for_the_controller_of_its_node() -> None:
    known = caches(waiting("Pending"))
    assert known.waiting_for_controller({NODE, "node09"}) == [KEY]
    assert known.waiting_for_controller({"node09"}) == []
    assert known.waiting_for_controller(None) == [KEY]


def test_it_waits_no_more_when_all_is_done_or_it_is_gone() -> None:
    known = caches(waiting("Pending"), {**vmi(version=11)})
    assert known.waiting_for_controller(None) == []
    known = caches(waiting("Pending"))
    known.forget(CachedKind.VMI, vmi())
    assert known.waiting_for_controller({NODE}) == []


def test_after_a_move_it_is_the_other_node_s() -> None:
    moved = vmi(operations=[operation("nic0")], node="node02", version=11)
    known = caches(waiting("Pending"), moved)
    assert known.waiting_for_controller({NODE}) == []
    assert known.waiting_for_controller({"node02"}) == [KEY]
