"""The HotplugPolicy in effect, and the KubeVirt CR with its values."""

from typing import Any

import pytest
from tests.build import kubevirt

from nicplug.cache.kubevirts import Kubevirts
from nicplug.cache.optional_watch import Absence
from nicplug.model.hotplug_policy import CompanionPolicy, HotplugPolicy, MigrationPolicy
from nicplug.model.keys import KubevirtKey


def policy(name: str = "default", *, version: int = 1, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": spec}


@pytest.fixture
def told() -> list[HotplugPolicy]:
    """What the policy was at each change that was reported."""
    return []


@pytest.fixture
def kubevirts(told: list[HotplugPolicy]) -> Kubevirts:
    found = Kubevirts(namespace="kubevirt")
    found.put(kubevirt(hotplug={"migration": "Allowed"}))

    def tell() -> None:
        config = found.config()
        assert config is not None
        told.append(config.hotplug)

    found.on_policy = tell
    return found


def test_a_policy_takes_effect_and_its_deletion_restores_the_kubevirt_object(
    kubevirts: Kubevirts, told: list[HotplugPolicy]
) -> None:
    kubevirts.policies.change("ADDED", policy(migration="Never"))
    kubevirts.policies.change("DELETED", policy(version=2, migration="Never"))
    assert [(item.migration, item.origin("migration")) for item in told] == [
        (MigrationPolicy.NEVER, "spec.migration of HotplugPolicy default"),
        (MigrationPolicy.ALLOWED, "spec.configuration.network.hotplug.migration of KubeVirt CR kubevirt/kubevirt"),
    ]


def test_a_change_without_effect_is_not_reported(kubevirts: Kubevirts, told: list[HotplugPolicy]) -> None:
    kubevirts.policies.change("ADDED", policy(migration="Never"))
    kubevirts.policies.change("MODIFIED", policy(version=2, migration="Never"))
    kubevirts.policies.replace([kubevirts.policies.current] if kubevirts.policies.current else [])
    assert len(told) == 1


def test_a_policy_of_another_name_has_no_effect(kubevirts: Kubevirts, told: list[HotplugPolicy]) -> None:
    kubevirts.policies.change("ADDED", policy("other", migration="Never"))
    listed = [kubevirts.policies.project(item) for item in (policy("other", migration="Never"),)]
    assert (listed, told) == ([None], [])


def test_what_a_companion_may_do_is_the_policy_object_s(kubevirts: Kubevirts) -> None:
    assert kubevirts.companion() == CompanionPolicy()
    kubevirts.policies.change("ADDED", policy(companion={"nudge": True}))
    assert kubevirts.companion() == CompanionPolicy(nudge=True)
    assert Kubevirts(namespace="kubevirt").companion() == CompanionPolicy()


def test_a_policy_governs_a_kubevirt_object_that_comes_later(told: list[HotplugPolicy]) -> None:
    found = Kubevirts(namespace="kubevirt")
    found.policies.change("ADDED", policy(migration="Never"))
    assert found.config() is None
    assert found.put(kubevirt(hotplug={"onFailure": "Hold"}))
    config = found.config()
    assert config is not None
    assert config.hotplug.migration is MigrationPolicy.NEVER
    assert found.ignored() == ()
    assert found.remove(KubevirtKey("kubevirt", "kubevirt"), uid=config.uid)
    assert found.config() is None


@pytest.mark.parametrize(
    ("absence", "migration"),
    [(Absence.DENIED, MigrationPolicy.NEVER), (Absence.NOT_SERVED, MigrationPolicy.ALLOWED)],
)
def test_never_migrate_was_forgotten_with_the_right_to_read_it(
    kubevirts: Kubevirts, absence: Absence, migration: MigrationPolicy
) -> None:
    """Without its CRD there is no policy."""
    kubevirts.policies.change("ADDED", policy(migration="Never"))
    kubevirts.policies.lose(absence)
    config = kubevirts.config()
    assert config is not None
    assert config.hotplug.migration is migration
