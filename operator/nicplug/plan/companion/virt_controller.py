"""The settings that hold where virt-controller acts, so that a decision never contradicts what it does.

Source: KubeVirt 1.4 to 1.9, `pkg/virt-controller/watch`: hot-plug of NICs is on whatever the feature gates say, NICs of
a template are synchronized whatever `vmRolloutStrategy` says, and migrations for changes need `LiveMigrate`.
"""

from dataclasses import replace

from nicplug.model.hotplug_policy import HotplugPolicy, MigrationPolicy, OnFailure, RemovalPolicy
from nicplug.model.kubevirt import KubevirtConfig, RolloutStrategy
from nicplug.model.names import HOTPLUG_FEATURE_GATE

LIVE_MIGRATE = "LiveMigrate"
EVICT = "Evict"
_OTHER_VERSION = "Use a version of KubeVirt beside which nicplug acts (docs/beside-kubevirt.md)"


def effective_config(config: KubevirtConfig | None, *, ignores_methods: bool) -> KubevirtConfig | None:
    """Return the configuration as virt-controller acts on it.

    Args:
        ignores_methods: nicplug may migrate although `workloadUpdateMethods` does not list LiveMigrate.
    """
    if config is None:
        return None
    return replace(
        config,
        feature_gates=config.feature_gates | {HOTPLUG_FEATURE_GATE},
        disabled_feature_gates=config.disabled_feature_gates - {HOTPLUG_FEATURE_GATE},
        rollout_strategy=RolloutStrategy.LIVE_UPDATE,
        workload_update_allows=ignores_methods or LIVE_MIGRATE in config.workload_update_methods,
    )


def effective_policy(policy: HotplugPolicy, *, report_only: str, remedy: str = "") -> HotplugPolicy:
    """Return the policy without what only nicplug's own controller can do; each such value is a problem.

    Args:
        report_only: why nicplug may only report in this cluster; "" if it may migrate.
        remedy: what makes nicplug act there; "" if nothing but another version of KubeVirt does.
    """
    problems = list(policy.problems)
    if policy.on_failure is OnFailure.ROLLBACK:
        problems.append(_without_effect("onFailure: Rollback", policy.origin("onFailure"), "it acts as Hold"))
        policy = replace(policy, on_failure=OnFailure.HOLD)
    if policy.removal_policy is RemovalPolicy.DECLARATIVE:
        problems.append(
            _without_effect("removalPolicy: Declarative", policy.origin("removalPolicy"), "it acts as Explicit")
        )
        policy = replace(policy, removal_policy=RemovalPolicy.EXPLICIT)
    if report_only:
        origins = {**policy.origins, "migration": report_only}
        policy = replace(
            policy, migration=MigrationPolicy.NEVER, origins=origins, migration_remedy=remedy or _OTHER_VERSION
        )
    return replace(policy, problems=tuple(problems))


def _without_effect(value: str, origin: str, instead: str) -> str:
    return f"{value} ({origin}) has no effect beside KubeVirt, whose virt-controller owns pods and VMIs: {instead}"
