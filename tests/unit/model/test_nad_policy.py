"""Which namespaces' networks a VM may use: the two fields, Multus's own configuration, and what they come to."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.build import kubevirt

from nicplug.model.keys import AttachmentKey, ObjectKey
from nicplug.model.kubevirt import parse_kubevirt
from nicplug.model.nad_policy import (
    AttachmentAccess,
    MultusFindings,
    MultusIsolation,
    NadPolicy,
    NadRules,
    attachment_access,
    findings_of,
    parse_multus_config,
    parse_nad_rules,
)

BLOCK = "spec.configuration.network.hotplug"
WHERE = "KubeVirt CR kubevirt/kubevirt"
SAME = {"nadPolicy": "SameNamespace"}
SHARED_ORIGIN = f"spec.configuration.network.hotplug.sharedNamespaces of {WHERE}"
SAME_RULES = NadRules(policy=NadPolicy.SAME_NAMESPACE, origin=f"{BLOCK}.nadPolicy of {WHERE}")
OWN, OTHER, SHARED = AttachmentKey("green", "lan"), AttachmentKey("victim", "lan"), AttachmentKey("default", "lan")


def config_map(file: Any, *, namespace: str = "kube-system") -> dict[str, Any]:
    """The ConfigMap of Multus's daemon."""
    content = file if isinstance(file, str) or file is None else json.dumps(file)
    return {
        "metadata": {"namespace": namespace, "name": "multus-daemon-config"},
        "data": {"daemon-config.json": content} if content is not None else {},
    }


OPENSHIFT = {
    "cniVersion": "0.3.1",
    "multusConfigFile": "auto",
    "namespaceIsolation": True,
    "globalNamespaces": "default,openshift-multus, openshift-cnv",
}


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        pytest.param({}, NadRules(), id="absent: as Multus does"),
        pytest.param(SAME, SAME_RULES, id="default is shared where nothing is said"),
        pytest.param(
            {**SAME, "sharedNamespaces": []},
            replace(SAME_RULES, shared=(), shared_origin=SHARED_ORIGIN),
            id="an empty list",
        ),
        pytest.param(
            {**SAME, "sharedNamespaces": ["b", "a", "b"]},
            replace(SAME_RULES, shared=("b", "a"), shared_origin=SHARED_ORIGIN),
            id="a list",
        ),
    ],
)
def test_what_the_admin_wrote(block: dict[str, Any], wanted: NadRules) -> None:
    assert parse_nad_rules(block, where=WHERE) == wanted


@pytest.mark.parametrize(("value", "wanted"), [(None, False), (False, False), (True, True)])
def test_whether_a_requester_must_be_allowed_to_read_the_network(value: Any, wanted: bool) -> None:
    found = parse_nad_rules({"requireNadAccess": value}, where=WHERE)
    assert (found.requester_must_read, found.problems) == (wanted, ())


@pytest.mark.parametrize("value", ["false", 0, [], {}])
def test_a_demand_that_is_not_understood_counts(value: Any) -> None:
    found = parse_nad_rules({"requireNadAccess": value}, where=WHERE)
    assert found.requester_must_read
    assert found.problems[0].endswith("and counts as true: write true or false")


@pytest.mark.parametrize("value", ["Samenamespace", "any", "", 7, ["Any"]])
def test_a_policy_that_is_not_understood_opens_nothing(value: Any) -> None:
    found = parse_nad_rules({"nadPolicy": value}, where=WHERE)
    assert found.policy is NadPolicy.SAME_NAMESPACE
    (problem,) = found.problems
    assert problem.endswith("and counts as SameNamespace: write Multus, SameNamespace or Any")


@pytest.mark.parametrize(
    ("value", "shared"),
    [("red", ()), (["*"], ()), (["red", "Red"], ("red",)), (["a\n"], ()), ([f"n{i}" for i in range(70)], 64)],
    ids=["no list", "a pattern", "one of two", "a line break", "too many"],
)
def test_shared_namespaces_that_are_not_understood_share_nothing(value: Any, shared: Any) -> None:
    found = parse_nad_rules({**SAME, "sharedNamespaces": value}, where=WHERE)
    assert (len(found.shared) if isinstance(shared, int) else found.shared) == shared
    assert len(found.problems) == 1


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"sharedNamespaces": ["red"]}, "under nadPolicy Multus (the default) unless Multus's configuration cannot"),
        ({"nadPolicy": "Any", "sharedNamespaces": []}, f"under nadPolicy Any ({BLOCK}.nadPolicy of {WHERE}): set"),
        ({"nadPolicy": "SameNamespace", "sharedNamespaces": ["red"]}, ""),
        ({"sharedNamespaces": ["default"]}, ""),
    ],
    ids=["Multus", "Any", "in force", "the default, written out"],
)
def test_shared_namespaces_without_effect_went_unnoticed(block: dict[str, Any], problem: str) -> None:
    found = parse_nad_rules(block, where=WHERE).problems
    assert [problem in item for item in found] == ([True] if problem else [])


def test_the_problems_are_among_those_of_the_kubevirt_cr() -> None:
    config = parse_kubevirt(kubevirt(hotplug={"nadPolicy": "All", "sharedNamespaces": "red"}))
    assert len(config.problems) == 2


@pytest.mark.parametrize(
    ("file", "isolation"),
    [
        ({}, MultusIsolation(is_on=False)),
        ({"namespaceIsolation": False, "globalNamespaces": "red"}, MultusIsolation(is_on=False)),
        ({"namespaceIsolation": True}, MultusIsolation(is_on=True, global_namespaces=frozenset({"default"}))),
        # Go reads a member whatever the case of its name, so Multus isolates.
        ({"NamespaceIsolation": True}, MultusIsolation(is_on=True, global_namespaces=frozenset({"default"}))),
        (
            {"namespaceIsolation": True, "globalNamespaces": ""},
            MultusIsolation(is_on=True, global_namespaces=frozenset({"default"})),
        ),
        (
            OPENSHIFT,
            MultusIsolation(is_on=True, global_namespaces=frozenset({"default", "openshift-multus", "openshift-cnv"})),
        ),
    ],
    ids=["upstream's manifest", "off", "on", "in another case", "on, and nothing global", "OpenShift"],
)
def test_the_isolation_of_multus_is_read_as_multus_reads_it(file: Any, isolation: MultusIsolation) -> None:
    found = parse_multus_config(config_map(file))
    assert (found.isolation, found.problem) == (isolation, "")


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (None, "data has no daemon-config.json"),
        ("{", "Expecting"),
        ("[" * 60_000, ""),
        ("[]", "is not a JSON object"),
        ({"namespaceIsolation": "true"}, "namespaceIsolation is not true or false"),
        (
            {"namespaceIsolation": False, "NamespaceIsolation": True},
            "namespaceIsolation is written in several ways that disagree",
        ),
        ({"namespaceIsolation": True, "globalNamespaces": ["red"]}, "globalNamespaces is not a text"),
        ("{}" + " " * 70_000, "larger than 64 KiB"),
    ],
    ids=["no file", "cut", "bottomless", "a list", "a text", "two spellings", "a list of names", "huge"],
)
def test_a_configuration_that_cannot_be_read_says_so_and_isolates_nobody_s_way(file: Any, problem: str) -> None:
    found = parse_multus_config(config_map(file))
    assert found.isolation is None
    assert found.problem.startswith("ConfigMap kube-system/multus-daemon-config cannot be read")
    assert problem in found.problem


ON, OFF = parse_multus_config(config_map(OPENSHIFT)), parse_multus_config(config_map({}))
BROKEN = parse_multus_config(config_map("{", namespace="net"))
KUBE_SYSTEM, NET = ObjectKey("kube-system", "multus-daemon-config"), ObjectKey("net", "multus-daemon-config")


@pytest.mark.parametrize(
    ("configs", "unreadable", "is_on", "problem"),
    [
        ({"kube-system": ON, "net": None}, (), True, ""),
        ({"kube-system": OFF}, (), False, ""),
        ({"kube-system": ON, "net": ON}, (), True, ""),
        ({"kube-system": ON, "net": OFF}, (), None, "disagree"),
        ({"kube-system": ON, "net": BROKEN}, (), None, "ConfigMap net/multus-daemon-config cannot be read"),
        ({"kube-system": None}, (), None, "does not exist in trusted namespaces kube-system"),
        ({"kube-system": None}, ("kube-system",), None, "must not be read in kube-system"),
        ({"kube-system": ON, "net": None}, ("net",), True, ""),
        ({}, (), None, "no namespace is trusted, and so no ConfigMap multus-daemon-config counts"),
    ],
)
def test_what_several_configurations_say_together(
    configs: dict[str, Any], unreadable: tuple[str, ...], is_on: bool | None, problem: str
) -> None:
    found = findings_of(configs, unreadable=frozenset(unreadable))
    assert (found.isolation.is_on if found.isolation is not None else None) is is_on
    assert problem in found.problem
    assert bool(found.problem) == (is_on is None)


MULTUS_ON = findings_of({"kube-system": ON}, unreadable=frozenset())
MULTUS_OFF = findings_of({"kube-system": OFF}, unreadable=frozenset())
UNREAD = MultusFindings()


@pytest.mark.parametrize(
    ("policy", "multus", "allowed"),
    [
        pytest.param("Any", UNREAD, {OWN, SHARED, OTHER}, id="Any"),
        pytest.param("SameNamespace", MULTUS_OFF, {OWN, SHARED}, id="SameNamespace, whatever Multus says"),
        pytest.param("Multus", MULTUS_OFF, {OWN, SHARED, OTHER}, id="Multus, not isolated"),
        pytest.param("Multus", MULTUS_ON, {OWN, SHARED}, id="Multus, isolated"),
        pytest.param("Multus", UNREAD, {OWN, SHARED}, id="Multus, which cannot be read: as SameNamespace"),
    ],
)
def test_who_may_use_what(policy: str, multus: MultusFindings, allowed: set[AttachmentKey]) -> None:
    access = attachment_access(NadRules(policy=NadPolicy(policy)), multus)
    assert {key for key in (OWN, SHARED, OTHER) if access.allows(key, namespace="green")} == allowed


def test_what_is_shared_does_not_count_where_multus_isolates() -> None:
    rules = NadRules(shared=("victim",))
    assert not attachment_access(rules, MULTUS_ON).allows(OTHER, namespace="green")
    assert attachment_access(rules, UNREAD).allows(OTHER, namespace="green")


def test_the_refusal_names_the_rule_and_what_is_allowed() -> None:
    reported = attachment_access(NadRules(), MULTUS_ON).refusal(OTHER, namespace="green")
    assert reported == (
        "namespace green may not use network attachment definitions of namespace victim, such as victim/lan: nadPolicy "
        "Multus (the default), with the isolation of ConfigMap kube-system/multus-daemon-config, allows those of "
        "green, default, openshift-cnv, openshift-multus"
    )


def test_where_multus_cannot_be_read_the_refusal_says_why() -> None:
    access = attachment_access(NadRules(), findings_of({"kube-system": None}, unreadable=frozenset()))
    reported = access.refusal(OTHER, namespace="green")
    assert (
        "nadPolicy Multus (the default), which counts as SameNamespace, as ConfigMap multus-daemon-config does not "
        "exist in trusted namespaces kube-system, allows those of green, default" in reported
    )


def test_a_list_of_many_namespaces_is_cut() -> None:
    access = AttachmentAccess(shared=frozenset(f"n{number:02}" for number in range(50)))
    assert "green, n00, n01, n02, n03, n04, n05, n06, ..." in access.refusal(OTHER, namespace="green")
