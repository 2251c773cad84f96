"""What is remembered of VMs whose requests were pending already."""

from nicplug.model.keys import ObjectKey
from nicplug.subresources.repetitions import MOST, Repetitions


def test_the_last_request_counts() -> None:
    found, key = Repetitions(), ObjectKey("default", "vm")
    assert not found.expects(key)
    found.note(key, repeated=True)
    assert found.expects(key)
    found.note(key, repeated=False)
    assert (found.expects(key), len(found)) == (False, 0)


def test_the_memory_is_bounded() -> None:
    found, keys = Repetitions(), [ObjectKey("default", f"vm-{number}") for number in range(MOST + 1)]
    for key in keys:
        found.note(key, repeated=True)
    assert (len(found), found.expects(keys[0]), found.expects(keys[-1])) == (MOST, False, True)
