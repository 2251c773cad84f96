"""The three rules of the store: newer wins, gone is gone, equal is no news."""

from dataclasses import dataclass, field

from nicplug.cache.store import Change, Store
from nicplug.model.keys import PodKey

KEY = PodKey("default", "a")


@dataclass(frozen=True)
class Thing:
    uid: str = "one"
    resource_version: int = field(default=1, compare=False)
    says: str = ""
    key: PodKey = KEY


def test_a_new_record_is_news() -> None:
    store: Store[Thing] = Store()
    assert store.put(Thing()) == Change(None, Thing())
    assert store.get(KEY) == Thing()


def test_an_equal_record_is_no_news_but_moves_the_version() -> None:
    """Else an old line that differs could come in behind it."""
    store: Store[Thing] = Store()
    store.put(Thing(resource_version=1))
    assert store.put(Thing(resource_version=5)) is None
    assert store.put(Thing(resource_version=3, says="old")) is None
    assert store.get(KEY) == Thing()


def test_the_answer_to_a_write_and_its_echo_come_in_any_order() -> None:
    answer, before = Thing(resource_version=7, says="written"), Thing(resource_version=6)
    for events in ([answer, before, answer], [before, answer, answer]):
        store: Store[Thing] = Store()
        for event in events:
            store.put(event)
        assert store.get(KEY) == answer


def test_a_deleted_uid_stays_deleted() -> None:
    """The answer to a write that left before the deletion must not raise the dead."""
    store: Store[Thing] = Store()
    store.put(Thing())
    assert store.remove(key=KEY, uid="one") == Change(Thing(), None)
    assert store.put(Thing(resource_version=99, says="late")) is None
    assert store.get(KEY) is None
    assert store.knows("one")


def test_a_deletion_that_is_heard_first_counts() -> None:
    store: Store[Thing] = Store()
    assert store.remove(key=KEY, uid="one") is None
    assert store.put(Thing()) is None


def test_the_deletion_of_a_former_namesake_changes_nothing() -> None:
    store: Store[Thing] = Store()
    store.put(Thing(uid="two", resource_version=9))
    assert store.remove(key=KEY, uid="one") is None
    assert store.get(KEY) == Thing(uid="two")


def test_a_namesake_takes_the_place_of_one_whose_deletion_was_missed() -> None:
    forgotten: list[Thing] = []
    store: Store[Thing] = Store(on_forget=forgotten.append)
    store.put(Thing(uid="one", resource_version=1))
    assert store.put(Thing(uid="two", resource_version=2)) == Change(Thing(uid="one"), Thing(uid="two"))
    assert forgotten == [Thing(uid="one")]
    assert store.put(Thing(uid="one", resource_version=3)) is None, "the former one is gone for good"


def test_an_old_line_about_a_former_namesake_is_no_news() -> None:
    store: Store[Thing] = Store()
    store.put(Thing(uid="two", resource_version=9))
    assert store.put(Thing(uid="one", resource_version=3)) is None
    assert store.get(KEY) == Thing(uid="two")


def test_it_remembers_so_many_deletions_and_no_more() -> None:
    store: Store[Thing] = Store()
    for index in range(5000):
        store.remove(key=KEY, uid=str(index))
    assert store.knows("4999")
    assert not store.knows("0")


def test_it_can_be_changed_while_it_is_looked_through() -> None:
    store: Store[Thing] = Store()
    for name in "abc":
        store.put(Thing(uid=name, key=PodKey("default", name)))
    for record in store:
        store.remove(key=record.key, uid=record.uid)
    assert len(store) == 0


class TestOutOfSight:
    """A watch by label tells of an object that lost the label as of a deleted one."""

    def _store(self) -> Store[Thing]:
        store: Store[Thing] = Store()
        store.put(Thing(resource_version=1))
        assert store.remove(key=KEY, uid="one", version=5) is not None
        return store

    def test_what_is_older_does_not_come_back(self) -> None:
        store = self._store()
        assert store.put(Thing(resource_version=4)) is None
        assert store.put(Thing(resource_version=5)) is None

    def test_what_is_newer_lives(self) -> None:
        assert self._store().put(Thing(resource_version=6)) is not None

    def test_that_very_version_lives_when_it_was_read_by_name(self) -> None:
        store = self._store()
        assert store.put(Thing(resource_version=5), lives=True) is not None
        assert store.version_of("one") == 5

    def test_an_old_line_takes_nothing_away(self) -> None:
        store = self._store()
        store.put(Thing(resource_version=6))
        assert store.remove(key=KEY, uid="one", version=5) is None
        assert store.get(KEY) is not None

    def test_gone_for_good_is_stronger(self) -> None:
        store = self._store()
        store.remove(key=KEY, uid="one")
        store.remove(key=KEY, uid="one", version=7)
        assert store.put(Thing(resource_version=9), lives=True) is None
