"""Conditions and `infoSource` tokens: what counts as a change."""

from typing import Any

import pytest
from tests.build import NOW

from nicplug.model.conditions import Condition, drop_condition, is_true, merge_condition
from nicplug.model.interface_status import InterfaceRow, add_source, has_source, remove_source, rows_by_name
from nicplug.model.metadata import are_equal_sets
from nicplug.model.times import format_micro_time, format_time, parse_time

OLD: dict[str, Any] = {
    "type": "Ready",
    "status": "False",
    "reason": "PodNotExists",
    "message": "old",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
SINCE = "2026-01-02T03:04:05Z"


def _merged(**wanted: Any) -> dict[str, Any]:
    (row,) = merge_condition(
        [OLD], Condition(**{"type": "Ready", "status": "False", "reason": "PodNotExists"} | wanted), now=NOW
    )
    return row


def test_the_same_status_and_reason_keep_the_old_entry() -> None:
    assert _merged(message="new") == OLD


def test_another_reason_replaces_it_and_keeps_the_time() -> None:
    row = _merged(reason="GuestNotRunning", message="new")
    assert (row["reason"], row["message"], row["lastTransitionTime"]) == (
        "GuestNotRunning",
        "new",
        OLD["lastTransitionTime"],
    )


def test_another_status_moves_the_time() -> None:
    assert _merged(status="True")["lastTransitionTime"] == SINCE


def test_with_a_generation_the_message_counts() -> None:
    """nicplug's own conditions tell about one generation, in words that people read."""
    row = _merged(message="new", observed_generation=2)
    assert (row["message"], row["observedGeneration"]) == ("new", 2)
    assert row["lastTransitionTime"] == OLD["lastTransitionTime"]


def test_a_new_condition_goes_to_the_end() -> None:
    rows = merge_condition([OLD], Condition(type="Paused", status="True"), now=NOW)
    assert rows == [OLD, {"type": "Paused", "status": "True", "lastTransitionTime": SINCE}]


def test_merging_twice_is_merging_once() -> None:
    wanted = Condition(type="InterfacesReady", status="False", reason="x", message="y", observed_generation=3)
    rows = merge_condition([OLD], wanted, now=NOW)
    assert merge_condition(rows, wanted, now=NOW) == rows


def test_the_list_that_was_given_is_not_changed() -> None:
    rows = [dict(OLD)]
    merge_condition(rows, Condition(type="Ready", status="True"), now=NOW)
    assert rows == [OLD]


def test_drop_and_is_true() -> None:
    assert drop_condition([OLD], "Ready") == []
    assert not is_true([OLD], "Ready")
    assert is_true([{"type": "Ready", "status": "True"}], "Ready")
    assert not is_true([], "Ready")


@pytest.mark.parametrize(
    ("before", "token", "after"),
    [
        ("", "domain", "domain"),
        ("domain", "multus-status", "domain, multus-status"),
        ("domain, multus-status", "domain", "domain, multus-status"),
        ("multus-status", "guest-agent", "multus-status, guest-agent"),
        ("multus-status-x", "multus-status", "multus-status-x, multus-status"),
    ],
)
def test_a_token_is_added_at_the_end_once(before: str, token: str, after: str) -> None:
    assert add_source({"infoSource": before}, token)["infoSource"] == after


@pytest.mark.parametrize(
    ("before", "token", "after"),
    [
        ("domain, guest-agent, multus-status", "multus-status", "domain, guest-agent"),
        ("domain, guest-agent", "domain", "guest-agent"),
        ("domain", "multus-status", "domain"),
        ("domain", "domain", None),
    ],
)
def test_a_token_is_taken_away(before: str, token: str, after: str | None) -> None:
    assert remove_source({"infoSource": before}, token).get("infoSource") == after


def test_tokens_are_compared_whole() -> None:
    assert not has_source(InterfaceRow({"infoSource": "domain-x"}), "domain")
    assert not has_source(None, "domain")
    assert not has_source(InterfaceRow({"infoSource": None}), "domain")


def test_rows_are_compared_whatever_their_order() -> None:
    one, other = {"name": "a", "mac": "x"}, {"name": "b"}
    assert are_equal_sets([one, other], [other, {"mac": "x", "name": "a"}])
    assert not are_equal_sets([one], [one, one])
    assert not are_equal_sets([one], [{"name": "a", "mac": "y"}])


def test_guest_made_rows_have_no_name() -> None:
    assert rows_by_name([{"name": "a"}, {"infoSource": "guest-agent"}, {"name": ""}]).keys() == {"a"}


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00", "2026-01-02T03:04:05.000000Z"])
def test_times_are_utc(text: str) -> None:
    moment = parse_time(text)
    assert moment is not None
    assert format_time(moment) == "2026-01-02T03:04:05Z"
    assert format_micro_time(moment) == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize("text", [None, "", "soon", 7, {}, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_what_is_no_time_is_none(text: Any) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_what_no_deadline_can_be_counted_from_is_none(text: str) -> None:
    """Written into a status by anyone who may: each pass over it would end in an overflow."""
    assert parse_time(text) is None
