"""Which settings hold where virt-controller acts."""

import pytest
from tests.build import Json, a_config, kubevirt

from nicplug.model.hotplug_policy import HotplugPolicy, MigrationPolicy, OnFailure, RemovalPolicy
from nicplug.model.kubevirt import RolloutStrategy
from nicplug.model.names import HOTPLUG_FEATURE_GATE
from nicplug.plan.companion.virt_controller import effective_config, effective_policy


def configuration(raw: Json, *, methods: list[str] | None = None, rollout: str | None = None) -> Json:
    """The KubeVirt CR with these settings; None leaves one out."""
    raw["spec"] |= {"workloadUpdateStrategy": {"workloadUpdateMethods": methods}} if methods is not None else {}
    raw["spec"]["configuration"] |= {"vmRolloutStrategy": rollout} if rollout is not None else {}
    return raw


@pytest.mark.parametrize(
    "raw", [kubevirt(""), kubevirt("LiveMigration"), kubevirt(disabled=["HotplugNICs"])], ids=["none", "other", "off"]
)
def test_hotplug_is_on_whatever_the_gates_say(raw: Json) -> None:
    found = effective_config(a_config(raw), ignores_methods=False)
    assert found is not None
    assert HOTPLUG_FEATURE_GATE in found.feature_gates
    assert HOTPLUG_FEATURE_GATE not in found.disabled_feature_gates


def test_other_gates_stay_as_they_are() -> None:
    found = effective_config(a_config(kubevirt("One", disabled=["Two", "HotplugNICs"])), ignores_methods=False)
    assert found is not None
    assert {"One"} <= found.feature_gates
    assert found.disabled_feature_gates == {"Two"}


@pytest.mark.parametrize("rollout", [None, "Stage", "LiveUpdate"])
def test_nics_are_not_staged(rollout: str | None) -> None:
    found = effective_config(a_config(configuration(kubevirt(), rollout=rollout)), ignores_methods=False)
    assert found is not None
    assert found.rollout_strategy is RolloutStrategy.LIVE_UPDATE
    assert not found.stages_changes


@pytest.mark.parametrize(
    ("methods", "may_migrate"),
    [(None, False), ([], False), (["Evict"], False), (["LiveMigrate"], True), (["LiveMigrate", "Evict"], True)],
    ids=str,
)
def test_migrations_need_live_migrate(methods: list[str] | None, *, may_migrate: bool) -> None:
    config = a_config(configuration(kubevirt(), methods=methods))
    for ignores_methods, expected in ((False, may_migrate), (True, True)):
        found = effective_config(config, ignores_methods=ignores_methods)
        assert found is not None
        assert found.workload_update_allows is expected


def test_no_kubevirt_cr() -> None:
    assert effective_config(None, ignores_methods=True) is None


def test_a_policy_that_virt_controller_can_follow_is_no_problem() -> None:
    policy = HotplugPolicy()
    assert effective_policy(policy, report_only="") == policy


def test_what_only_nicplugs_own_controller_can_do_is_a_problem() -> None:
    policy = HotplugPolicy(on_failure=OnFailure.ROLLBACK, removal_policy=RemovalPolicy.DECLARATIVE)
    found = effective_policy(policy, report_only="")
    assert (found.on_failure, found.removal_policy) == (OnFailure.HOLD, RemovalPolicy.EXPLICIT)
    rollback, declarative = found.problems
    assert "onFailure: Rollback" in rollback
    assert "it acts as Hold" in rollback
    assert "removalPolicy: Declarative" in declarative
    assert "it acts as Explicit" in declarative


def test_earlier_problems_are_kept() -> None:
    found = effective_policy(HotplugPolicy(problems=("a",), on_failure=OnFailure.ROLLBACK), report_only="")
    assert found.problems[0] == "a"
    assert len(found.problems) == 2


def test_report_only_says_why() -> None:
    found = effective_policy(HotplugPolicy(), report_only="version 1.10 is not known")
    assert found.migration is MigrationPolicy.NEVER
    assert found.origin("migration") == "version 1.10 is not known"
    assert found.problems == ()
