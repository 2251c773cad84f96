"""Each field of the policy, what is refused of it, and who overrides whom."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.build import kubevirt, vm, vmi

from nicplug.model.hotplug_policy import (
    POLICY_FIELDS,
    CompanionPolicy,
    DynamicPath,
    HotplugPolicy,
    MigrationPolicy,
    OnFailure,
    RemovalPolicy,
    overridden,
    parse_overrides,
    parse_policy_object,
)
from nicplug.model.kubevirt import KubevirtConfig, governed, parse_kubevirt
from nicplug.model.vm import parse_vm
from nicplug.model.vmi import parse_vmi

BLOCK = "spec.configuration.network.hotplug"
CR = "KubeVirt CR kubevirt/kubevirt"
VM, VMI = "VirtualMachine default/a", "VirtualMachineInstance default/a"

DEFAULT = HotplugPolicy()
FIELDS = {item.name: item for item in POLICY_FIELDS}
GOOD = [
    pytest.param("dynamicPath", "Auto", DynamicPath.AUTO, id="dynamicPath Auto"),
    pytest.param("dynamicPath", "Always", DynamicPath.ALWAYS, id="dynamicPath Always"),
    pytest.param("dynamicPath", "Never", DynamicPath.NEVER, id="dynamicPath Never"),
    pytest.param("dynamicTimeout", "1s", timedelta(seconds=1), id="the shortest timeout"),
    pytest.param("dynamicTimeout", "1m30s", timedelta(seconds=90), id="a timeout"),
    pytest.param("dynamicTimeout", "1h", timedelta(hours=1), id="the longest timeout"),
    pytest.param("onFailure", "Migrate", OnFailure.MIGRATE, id="onFailure Migrate"),
    pytest.param("onFailure", "Hold", OnFailure.HOLD, id="onFailure Hold"),
    pytest.param("onFailure", "Rollback", OnFailure.ROLLBACK, id="onFailure Rollback"),
    pytest.param("migration", "Allowed", MigrationPolicy.ALLOWED, id="migration Allowed"),
    pytest.param("migration", "Never", MigrationPolicy.NEVER, id="migration Never"),
    pytest.param("removalPolicy", "Explicit", RemovalPolicy.EXPLICIT, id="removalPolicy Explicit"),
    pytest.param("removalPolicy", "Declarative", RemovalPolicy.DECLARATIVE, id="removalPolicy Declarative"),
]
BAD_TEXTS = [
    pytest.param("dynamicPath", "auto", "Auto, Always or Never", id="dynamicPath in small letters"),
    pytest.param("dynamicTimeout", "10", "a duration of 1s to 1h, such as 10s or 1m30s", id="a timeout without a unit"),
    pytest.param("dynamicTimeout", "999ms", "a duration of 1s to 1h, such as 10s or 1m30s", id="too short"),
    pytest.param("dynamicTimeout", "1h1s", "a duration of 1s to 1h, such as 10s or 1m30s", id="too long"),
    pytest.param("dynamicTimeout", "-10s", "a duration of 1s to 1h, such as 10s or 1m30s", id="a negative timeout"),
    pytest.param("onFailure", "Retry", "Migrate, Hold or Rollback", id="onFailure unknown"),
    pytest.param("migration", "Always", "Allowed or Never", id="migration unknown"),
    pytest.param("removalPolicy", "declarative", "Explicit or Declarative", id="removalPolicy in small letters"),
]


def of_cluster(**block: Any) -> HotplugPolicy:
    return parse_kubevirt(kubevirt(hotplug=block)).hotplug


def of_vm(policy: HotplugPolicy = DEFAULT, /, *, vmi: Any = None, **vm: Any) -> HotplugPolicy:
    """Annotations by the name of their field."""
    found = {VMI: vmi or {}, VM: vm}
    return overridden(policy, {name: parse_overrides(_annotations(fields)) for name, fields in found.items()})


def _annotations(fields: dict[str, str]) -> dict[str, str]:
    return {FIELDS[name].annotation: value for name, value in fields.items()}


def test_defaults_that_just_work() -> None:
    policy = of_cluster()
    assert policy == HotplugPolicy()
    assert policy.dynamic_timeout == timedelta(seconds=10)
    assert policy.origin("dynamicPath") == "the default"


@pytest.mark.parametrize(("name", "value", "meant"), GOOD)
def test_a_field_of_the_cluster(name: str, value: str, meant: Any) -> None:
    policy = of_cluster(**{name: value})
    assert getattr(policy, FIELDS[name].attribute) == meant
    assert policy.origin(name) == f"{BLOCK}.{name} of {CR}"
    assert not policy.problems


@pytest.mark.parametrize(("name", "value", "meant"), GOOD)
def test_an_annotation(name: str, value: str, meant: Any) -> None:
    policy = of_vm(**{name: value})
    assert getattr(policy, FIELDS[name].attribute) == meant
    assert policy.origin(name) == f"annotation {FIELDS[name].annotation} of {VM}"
    assert not policy.problems


@pytest.mark.parametrize(("name", "value", "remedy"), BAD_TEXTS)
def test_a_bad_field_of_the_cluster_has_no_effect_and_is_reported(name: str, value: str, remedy: str) -> None:
    policy = of_cluster(**{name: value})
    assert policy.problems == (f'{BLOCK}.{name} of {CR} is "{value}", and has no effect: write {remedy}',)
    assert getattr(policy, FIELDS[name].attribute) == getattr(HotplugPolicy(), FIELDS[name].attribute)
    assert policy.origin(name) == "the default"


@pytest.mark.parametrize(("name", "value", "remedy"), BAD_TEXTS)
def test_a_bad_annotation_leaves_the_cluster_s_word(name: str, value: str, remedy: str) -> None:
    word = {
        "dynamicPath": "Never",
        "dynamicTimeout": "20s",
        "onFailure": "Hold",
        "migration": "Allowed",
        "removalPolicy": "Declarative",
    }[name]
    cluster = of_cluster(**{name: word})
    policy = of_vm(cluster, **{name: value})
    annotation = f"annotation {FIELDS[name].annotation} of {VM}"
    assert policy.problems == (f'{annotation} is "{value}", and has no effect: write {remedy}',)
    assert getattr(policy, FIELDS[name].attribute) == getattr(cluster, FIELDS[name].attribute)
    assert policy.origin(name) == f"{BLOCK}.{name} of {CR}"


@pytest.mark.parametrize("value", [10, True, ["Never"], {"a": 1}, ""], ids=repr)
@pytest.mark.parametrize("name", FIELDS)
def test_what_is_no_text_has_no_effect(name: str, value: Any) -> None:
    policy = of_cluster(**{name: value})
    assert len(policy.problems) == 1
    assert policy == HotplugPolicy(problems=policy.problems)


@pytest.mark.parametrize("name", FIELDS)
def test_null_is_as_if_absent(name: str) -> None:
    assert of_cluster(**{name: None}) == HotplugPolicy()


@pytest.mark.parametrize("name", FIELDS)
def test_an_empty_annotation_is_reported_like_any_other_bad_value(name: str) -> None:
    field = FIELDS[name]
    reported = f'annotation {field.annotation} of {VM} is "", and has no effect: write {field.values}'
    assert of_vm(**{name: ""}) == HotplugPolicy(problems=(reported,))


def test_the_vm_overrides_its_vmi_and_that_the_cluster_field_by_field() -> None:
    cluster = of_cluster(dynamicPath="Never", dynamicTimeout="20s", onFailure="Hold")
    policy = of_vm(cluster, vmi={"dynamicPath": "Auto", "dynamicTimeout": "30s"}, dynamicPath="Always")
    assert (policy.dynamic_path, policy.dynamic_timeout) == (DynamicPath.ALWAYS, timedelta(seconds=30))
    assert policy.on_failure is OnFailure.HOLD
    assert policy.origins == {
        "dynamicPath": f"annotation nicplug.io/dynamic-path of {VM}",
        "dynamicTimeout": f"annotation nicplug.io/dynamic-timeout of {VMI}",
        "onFailure": f"{BLOCK}.onFailure of {CR}",
    }


def test_the_cluster_s_never_holds_for_every_vm() -> None:
    cluster = of_cluster(migration="Never")
    policy = of_vm(cluster, migration="Allowed")
    assert policy.migration is MigrationPolicy.NEVER
    assert policy.origin("migration") == f"{BLOCK}.migration of {CR}"
    assert policy.problems == (
        f"annotation nicplug.io/migration of {VM} is Allowed, and has no effect: the cluster's is Never "
        f"({BLOCK}.migration of {CR}) and holds for every VM. Take the annotation away, or ask the cluster admin",
    )


def test_a_vm_may_forbid_what_the_cluster_allows() -> None:
    policy = of_vm(of_cluster(migration="Allowed"), migration="Never")
    assert policy.migration is MigrationPolicy.NEVER
    assert not policy.problems


@pytest.mark.parametrize(("name", "value", "remedy"), BAD_TEXTS)
def test_a_bad_annotation_of_both_vm_and_vmi_was_reported_twice(name: str, value: str, remedy: str) -> None:
    annotation = f"annotation {FIELDS[name].annotation} of"
    policy = of_vm(vmi={name: value}, **{name: value})
    assert policy.problems == (f'{annotation} {VM} and of {VMI} is "{value}", and has no effect: write {remedy}',)
    # Two mistakes are told one by one.
    policy = of_vm(vmi={name: f"{value}!"}, **{name: value})
    assert [problem.split(" is ")[0] for problem in policy.problems] == [f"{annotation} {VMI}", f"{annotation} {VM}"]


def test_a_misspelt_annotation_of_both_is_reported_once() -> None:
    overrides = parse_overrides({"nicplug.io/on-failur": "Hold"})
    policy = overridden(DEFAULT, dict.fromkeys((VMI, VM), overrides))
    (problem,) = policy.problems
    assert f"of {VM} and of {VMI} is unknown" in problem


def test_of_equal_good_annotations_the_origin_is_the_stronger_object() -> None:
    policy = of_vm(vmi={"onFailure": "Hold"}, onFailure="Hold")
    assert (policy.origin("onFailure"), policy.problems) == (f"annotation nicplug.io/on-failure of {VM}", ())


def test_a_long_or_unprintable_value_is_quoted_on_one_short_line() -> None:
    (problem,) = of_vm(onFailure="x\n" * 500).problems
    assert "\n" not in problem
    assert len(problem) < 250


def test_only_the_policy_s_annotations_are_kept() -> None:
    annotations = {"nicplug.io/on-failure": "Hold", "kubectl.kubernetes.io/last-applied-configuration": "{}" * 999}
    assert parse_overrides(annotations) == (("nicplug.io/on-failure", "Hold"),)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("nicplug.io/migrations", "did you mean nicplug.io/migration?"),
        ("nicplug.io/onFailure", "did you mean nicplug.io/on-failure?"),
        ("nicplug.io/something", "known are dynamic-path, dynamic-timeout"),
    ],
)
def test_a_misspelt_annotation_is_reported(name: str, remedy: str) -> None:
    """Somebody who forbids to migrate has to know that it is not forbidden."""
    (problem,) = overridden(DEFAULT, {VM: parse_overrides({name: "Never"})}).problems
    assert problem.startswith(f'annotation "{name}" of {VM} is unknown, and has no effect: {remedy}')


def test_what_nicplug_writes_itself_is_no_misspelling_and_of_many_some_are_reported() -> None:
    own = {"nicplug.io/template-interfaces": "[]", "nicplug.io/rolled-back-interfaces": "{}"}
    assert parse_overrides(own) == ()
    assert len(parse_overrides({f"nicplug.io/{number}": "x" for number in range(99)})) < 5


def test_of_a_vm_those_of_its_own_metadata_count() -> None:
    raw = vm()
    raw["metadata"]["annotations"] = {"nicplug.io/migration": "Never"}
    assert parse_vm(raw).overrides == (("nicplug.io/migration", "Never"),)
    raw = vmi()
    raw["metadata"]["annotations"] = {"nicplug.io/migration": "Never"}
    assert parse_vmi(raw).overrides == (("nicplug.io/migration", "Never"),)


@pytest.mark.parametrize(
    ("strategy", "allows"),
    [
        pytest.param(None, True, id="no strategy"),
        pytest.param({}, True, id="no methods"),
        pytest.param({"workloadUpdateMethods": None}, True, id="null"),
        pytest.param({"workloadUpdateMethods": ["LiveMigrate"]}, True, id="LiveMigrate"),
        pytest.param({"workloadUpdateMethods": ["Evict", "LiveMigrate"]}, True, id="both"),
        pytest.param({"workloadUpdateMethods": ["Evict"]}, False, id="Evict alone"),
        pytest.param({"workloadUpdateMethods": []}, False, id="an empty list"),
    ],
)
def test_workload_update_methods(strategy: Any, allows: bool) -> None:
    raw = kubevirt()
    raw["spec"]["workloadUpdateStrategy"] = strategy
    assert parse_kubevirt(raw).workload_update_allows is allows


def of_object(spec: dict[str, Any], /, **block: Any) -> KubevirtConfig:
    """The configuration by a HotplugPolicy over the block of the KubeVirt CR."""
    policy = parse_policy_object({"metadata": {"name": "default", "uid": "p"}, "spec": spec})
    return governed(parse_kubevirt(kubevirt(hotplug=block)), policy)


@pytest.mark.parametrize(("name", "value", "meant"), GOOD)
def test_a_field_of_the_policy_object(name: str, value: str, meant: Any) -> None:
    config = of_object({name: value})
    assert getattr(config.hotplug, FIELDS[name].attribute) == meant
    assert config.hotplug.origin(name) == f"spec.{name} of HotplugPolicy default"
    assert not config.problems


@pytest.mark.parametrize(("name", "value", "remedy"), BAD_TEXTS)
def test_a_bad_field_of_the_policy_object_leaves_the_kubevirt_object_s(name: str, value: str, remedy: str) -> None:
    config = of_object({name: value})
    assert config.problems == (f'spec.{name} of HotplugPolicy default is "{value}", and has no effect: write {remedy}',)
    assert config.hotplug == replace(HotplugPolicy(), problems=config.hotplug.problems)


def test_the_policy_object_wins_field_by_field() -> None:
    config = of_object(
        {"dynamicPath": "Always", "migration": "Never"}, dynamicPath="Never", onFailure="Hold", migration="Allowed"
    )
    policy = config.hotplug
    assert (policy.dynamic_path, policy.on_failure, policy.migration) == (
        DynamicPath.ALWAYS,
        OnFailure.HOLD,
        MigrationPolicy.NEVER,
    )
    assert policy.origins == {
        "dynamicPath": "spec.dynamicPath of HotplugPolicy default",
        "onFailure": f"{BLOCK}.onFailure of {CR}",
        "migration": "spec.migration of HotplugPolicy default",
    }


def test_never_of_the_policy_object_holds_for_every_vm() -> None:
    policy = of_vm(of_object({"migration": "Never"}).hotplug, migration="Allowed")
    assert policy.migration is MigrationPolicy.NEVER
    (problem,) = policy.problems
    assert "the cluster's is Never (spec.migration of HotplugPolicy default)" in problem


def test_problems_of_both_objects_are_reported_once() -> None:
    config = of_object({"onFailure": "Retry", "companion": {"nudge": "yes"}}, dynamicPath="auto")
    assert [problem.split(", and")[0] for problem in config.problems] == [
        f'{BLOCK}.dynamicPath of {CR} is "auto"',
        'spec.onFailure of HotplugPolicy default is "Retry"',
        'spec.companion.nudge of HotplugPolicy default is "yes"',
    ]


@pytest.mark.parametrize(
    ("block", "companion"),
    [
        (None, CompanionPolicy()),
        ({}, CompanionPolicy()),
        ({"nudge": True}, CompanionPolicy(nudge=True)),
        ({"ignoreWorkloadUpdateMethods": True, "nudge": False}, CompanionPolicy(ignore_workload_update_methods=True)),
        ({"ignoreWorkloadUpdateMethods": None}, CompanionPolicy()),
        ([], CompanionPolicy()),
    ],
)
def test_what_a_companion_may_do(block: Any, companion: CompanionPolicy) -> None:
    config = of_object({"companion": block})
    assert (config.companion, config.problems) == (companion, ())
    assert parse_kubevirt(kubevirt()).companion == CompanionPolicy()
