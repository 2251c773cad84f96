"""The checks before any object is looked at: which code and text, and in which order (KubeVirt 1.0)."""

from typing import Any

import pytest
from tests.build import a_config, kubevirt

from nicplug.model.requests import AddInterface, RemoveInterface
from nicplug.plan.subresources.answers import Answer
from nicplug.plan.subresources.options import UnreadableBody, Verb, options_of, read_request

ON, OFF = a_config(kubevirt()), a_config(kubevirt("x"))
GATE = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
UNMARSHAL = "cannot unmarshal Request body to struct, error: "


def refusal(verb: Verb, body: Any, *, config: Any = ON) -> str:
    """The message of the 400."""
    answer = read_request(verb, body, config=config)
    assert isinstance(answer, Answer)
    assert (answer.code, answer.reason, answer.write) == (400, "BadRequest", None)
    return answer.message


@pytest.mark.parametrize("config", [OFF, None], ids=["gate off", "no KubeVirt CR"])
@pytest.mark.parametrize("body", [None, UnreadableBody("x"), {}, {"name": "blue"}], ids=str)
@pytest.mark.parametrize("verb", list(Verb))
def test_the_gate_comes_first_and_a_removal_has_the_words_of_an_addition(verb: Verb, body: Any, config: Any) -> None:
    assert refusal(verb, body, config=config) == GATE


ADD, REMOVE = Verb.ADD, Verb.REMOVE


@pytest.mark.parametrize(
    ("verb", "body", "problem"),
    [
        (ADD, UnreadableBody("unexpected EOF"), "unexpected EOF"),
        (ADD, [], "json: cannot unmarshal array into Go value of type v1.AddInterfaceOptions"),
        (REMOVE, "x", "json: cannot unmarshal string into Go value of type v1.RemoveInterfaceOptions"),
        (
            ADD,
            {"name": 7},
            "json: cannot unmarshal number into Go struct field AddInterfaceOptions.name of type string",
        ),
        (
            ADD,
            {"networkAttachmentDefinitionName": {}},
            "json: cannot unmarshal object into Go struct field "
            "AddInterfaceOptions.networkAttachmentDefinitionName of type string",
        ),
        (
            REMOVE,
            {"name": True},
            "json: cannot unmarshal bool into Go struct field RemoveInterfaceOptions.name of type string",
        ),
        (
            REMOVE,
            {"name": []},
            "json: cannot unmarshal array into Go struct field RemoveInterfaceOptions.name of type string",
        ),
    ],
)
def test_a_body_that_does_not_fit(verb: Verb, body: Any, problem: str) -> None:
    assert refusal(verb, body) == UNMARSHAL + problem


NETWORK_MISSING = "AddInterfaceOptions requires `networkAttachmentDefinitionName` to be set"


@pytest.mark.parametrize(
    ("verb", "body", "message"),
    [
        (ADD, {}, NETWORK_MISSING),
        (ADD, None, NETWORK_MISSING),
        (ADD, {"name": "blue"}, NETWORK_MISSING),
        (ADD, {"name": "blue", "networkAttachmentDefinitionName": ""}, NETWORK_MISSING),
        (ADD, {"networkAttachmentDefinitionName": "lan"}, "AddInterfaceOptions requires `name` to be set"),
        (REMOVE, {}, "RemoveInterfaceOptions requires `name` to be set"),
        (REMOVE, {"name": None}, "RemoveInterfaceOptions requires `name` to be set"),
    ],
    ids=str,
)
def test_the_network_is_asked_for_before_the_name(verb: Verb, body: Any, message: str) -> None:
    assert refusal(verb, body) == message


def test_what_virtctl_sends() -> None:
    add = read_request(ADD, {"networkAttachmentDefinitionName": "N", "name": "I"}, config=ON)
    assert add == AddInterface(name="I", network="N")
    assert read_request(REMOVE, {"name": "I"}, config=ON) == RemoveInterface(name="I")


def test_unknown_fields_are_ignored_as_in_kubevirt() -> None:
    body = {"name": "I", "networkAttachmentDefinitionName": 7, "dryRun": ["All"]}
    assert read_request(REMOVE, body, config=ON) == RemoveInterface(name="I")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"Name": "I"}, "I"),
        ({"NAME": "I"}, "I"),
        ({"name": "first", "Name": "I"}, "I"),
        ({"Name": "first", "name": "I"}, "I"),
        ({"name": "I", "Name": None}, "I"),
    ],
    ids=str,
)
def test_a_member_in_another_case_is_not_missing(body: Any, wanted: str) -> None:
    """Go's decoder takes it, and the last one of several counts."""
    assert read_request(REMOVE, body, config=ON) == RemoveInterface(name=wanted)
    add = read_request(ADD, {**body, "NetworkAttachmentDefinitionNAME": "N"}, config=ON)
    assert add == AddInterface(name=wanted, network="N")


def test_a_member_in_another_case_is_checked_and_named_as_go_names_it() -> None:
    problem = "json: cannot unmarshal number into Go struct field RemoveInterfaceOptions.name of type string"
    assert refusal(REMOVE, {"NAME": 7}) == UNMARSHAL + problem


def test_folding_is_that_of_go() -> None:
    """One character for one: \u017f is an s, and \ufb06 is not `st`."""
    members = ("dryRun", "list", "gracePeriodSeconds")
    assert options_of({"gracePeriod\u017feconds": 1}, members) == {"gracePeriodSeconds": 1}
    assert options_of({"li\ufb06": 1}, members) == {}
