"""A pure function is computed once in a planning pass, and nothing is kept after it."""

import pytest

from nicplug.model.frozen_json import FrozenJson, freeze, read, thaw
from nicplug.model.per_pass import once_per_pass, planning_pass


class Counted:
    """A function that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.joined = once_per_pass(self._joined)

    def _joined(self, items: tuple[str, ...], *, between: tuple[str, ...] = ()) -> str | None:
        self.calls += 1
        return "".join(between).join(items) or None


THINGS = ("a", "b")


def test_a_value_is_computed_once_in_a_pass_and_again_in_the_next_one() -> None:
    counted = Counted()
    for passes in (1, 2):
        with planning_pass():
            assert [counted.joined(THINGS), counted.joined(THINGS)] == ["ab", "ab"]
        assert counted.calls == passes


def test_no_value_is_a_value_too() -> None:
    counted, nothing = Counted(), ()
    with planning_pass():
        assert [counted.joined(nothing), counted.joined(nothing)] == [None, None]
    assert counted.calls == 1


def test_other_arguments_are_computed_by_themselves() -> None:
    counted, comma = Counted(), (",",)
    with planning_pass():
        assert [counted.joined(THINGS), counted.joined(THINGS, between=comma)] == ["ab", "a,b"]


def test_an_argument_that_is_gone_is_not_taken_for_one_that_comes_at_its_address() -> None:
    counted = Counted()
    with planning_pass():
        found = [counted.joined((str(number),)) for number in range(100)]
    assert found == [str(number) for number in range(100)]


def test_nothing_is_remembered_outside_of_a_pass() -> None:
    counted = Counted()
    assert [counted.joined(THINGS), counted.joined(THINGS)] == ["ab", "ab"]
    assert counted.calls == 2


def test_a_pass_within_a_pass_is_part_of_it_and_a_failed_one_is_over() -> None:
    counted = Counted()

    @planning_pass()
    def failing() -> None:
        with planning_pass():
            counted.joined(THINGS)
        counted.joined(THINGS)
        raise ValueError("bug")

    with pytest.raises(ValueError, match="bug"):
        failing()
    counted.joined(THINGS)
    assert counted.calls == 2


def test_a_large_text_is_parsed_once_in_a_pass() -> None:
    text = freeze({"a": ["x" * 10_000]})
    with planning_pass():
        assert read(text) is read(text)
    assert read(text) is not read(text), "a thousand of them would be kept"


def test_a_small_text_is_parsed_once_for_the_passes_that_follow() -> None:
    text = freeze({"a": [1]})
    assert read(text) is read(FrozenJson(text[:1] + text[1:]))
    assert thaw(text) is not read(text), "a caller that changes it has a copy of its own"
    assert read(FrozenJson("null")) is None
