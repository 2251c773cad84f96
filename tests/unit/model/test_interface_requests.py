"""`status.interfaceRequests`: what a row asks for; and whatever else somebody wrote there, nothing raises."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicplug.model.requests import (
    AddInterface,
    InterfaceRequest,
    RemoveInterface,
    UnreadableRequest,
    parse_interface_requests,
)

ADD = {"addInterfaceOptions": {"networkAttachmentDefinitionName": "lan", "name": "blue"}}
REMOVE = {"removeInterfaceOptions": {"name": "blue"}}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (ADD, AddInterface(name="blue", network="lan")),
        (REMOVE, RemoveInterface(name="blue")),
        ({**REMOVE, "addInterfaceOptions": None}, RemoveInterface(name="blue")),
    ],
)
def test_a_request_is_read_and_written_as_virtctl_s_api_has_it(row: Any, wanted: InterfaceRequest) -> None:
    (pending,) = parse_interface_requests([row])
    assert pending.request == wanted
    assert pending.to_row() == row
    assert parse_interface_requests([wanted.to_row()])[0].request == wanted


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("add", "the request is not an object"),
        ({}, "the request has neither of addInterfaceOptions and removeInterfaceOptions"),
        ({**ADD, **REMOVE}, "the request has both of addInterfaceOptions and removeInterfaceOptions"),
        (
            {"addInterfaceOptions": {"name": "blue"}},
            "AddInterfaceOptions requires `networkAttachmentDefinitionName` to be set",
        ),
        (
            {"addInterfaceOptions": {"networkAttachmentDefinitionName": "lan", "name": 7}},
            "AddInterfaceOptions requires `name` to be set",
        ),
        ({"addInterfaceOptions": 7}, "AddInterfaceOptions requires `networkAttachmentDefinitionName` to be set"),
        ({"removeInterfaceOptions": {}}, "RemoveInterfaceOptions requires `name` to be set"),
    ],
)
def test_a_row_that_asks_for_nothing_says_why(row: Any, problem: str) -> None:
    assert [item.request for item in parse_interface_requests([row])] == [UnreadableRequest(problem=problem)]


def test_the_order_stays() -> None:
    requests = [item.request for item in parse_interface_requests([REMOVE, ADD])]
    assert [type(request) for request in requests] == [RemoveInterface, AddInterface]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["addInterfaceOptions", "removeInterfaceOptions", "name", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(ANYTHING)
def test_nothing_that_a_status_can_hold_raises(value: Any) -> None:
    parse_interface_requests(value)
