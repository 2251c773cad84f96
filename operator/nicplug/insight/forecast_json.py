"""Renders a forecast as JSON for programs; docs/cli.md lists the members, which are stable."""

from datetime import timedelta
from typing import Any

from nicplug.insight.evidence import Unknown
from nicplug.insight.outcome import NicForecast, VmForecast
from nicplug.model.hotplug_policy import POLICY_FIELDS, HotplugPolicy
from nicplug.model.nad_policy import NadRules
from nicplug.model.pci import PciBudget
from nicplug.model.times import format_duration, format_micro_time
from nicplug.plan.nic.path.evidence import PathEvidence

NODES_LISTED = 10


def forecast_json(found: VmForecast, *, unknown: list[Unknown], slots: tuple[int, int] | None = None) -> dict[str, Any]:
    """Return the whole answer.

    Args:
        slots: of migrations in the whole cluster, how many are taken and how many exist; None for a caller that may not
            know.
    """
    return {
        "kind": "Plan",
        "target": {"kind": found.kind, "namespace": found.key.namespace, "name": found.key.name},
        "arrives": found.arrives,
        "node": found.node or None,
        "nics": [_nic(nic) for nic in found.nics],
        "pciSlots": {
            "before": _slots(found.slots_before, possible=found.possible_before),
            "after": _slots(found.slots_after, possible=found.possible_after),
        },
        "migration": found.migration or None,
        "migrationSlots": {"taken": slots[0], "perCluster": slots[1]} if slots is not None else None,
        "policy": [*policy_rows(found.policy), *nad_rows(found.nad_rules)],
        "policyProblems": list(found.policy.problems),
        "restartFields": list(found.restart_fields),
        "refusals": list(found.refusals),
        "unknown": [{"what": item.what, "why": item.why, "remedy": item.remedy} for item in unknown],
    }


def _slots(budget: PciBudget | None, *, possible: int) -> dict[str, Any] | None:
    return {**budget.to_row(), "possible": possible} if budget is not None else None


def policy_rows(policy: HotplugPolicy) -> list[dict[str, str]]:
    """Return each field of the policy, and where it is set."""
    rows = []
    for item in POLICY_FIELDS:
        value = getattr(policy, item.attribute)
        shown = format_duration(value) if isinstance(value, timedelta) else str(value)
        rows.append({"name": item.name, "value": shown, "origin": policy.origin(item.name)})
    return rows


def nad_rows(rules: NadRules) -> list[dict[str, str]]:
    """Return which networks VMs may use, field by field, and where each is set."""
    shared, must_read = ", ".join(rules.shared) or "none", "true" if rules.requester_must_read else "false"
    return [
        {"name": "nadPolicy", "value": str(rules.policy), "origin": rules.origin},
        {"name": "sharedNamespaces", "value": shared, "origin": rules.shared_origin},
        {"name": "requireNadAccess", "value": must_read, "origin": rules.access_origin},
    ]


def _nic(nic: NicForecast) -> dict[str, Any]:
    then = nic.otherwise
    return {
        "name": nic.name,
        "operation": nic.operation,
        "affected": nic.is_affected,
        "sideEffect": nic.is_side_effect,
        "network": nic.network,
        "binding": nic.binding,
        "outcome": str(nic.outcome),
        "path": nic.path,
        "phase": nic.phase,
        "reason": nic.reason,
        "message": nic.message,
        "remedy": nic.remedy or None,
        "evidence": _evidence(nic.evidence) if nic.evidence is not None else None,
        "otherwise": {
            "afterSeconds": round(then.after.total_seconds(), 3),
            "outcome": str(then.outcome),
            "reason": then.reason,
            "message": then.message,
            "remedy": then.remedy or None,
        }
        if then is not None
        else None,
    }


def _evidence(found: PathEvidence) -> dict[str, Any]:
    controller, candidates = found.controller, found.candidates
    return {
        "node": found.node,
        "pod": found.pod,
        "controller": {
            "state": str(controller.state),
            "daemonSet": controller.daemon_set or None,
            "message": controller.message or None,
            "since": format_micro_time(controller.since) if controller.since is not None else None,
        },
        "liveMigratable": {"possible": not found.not_migratable, "message": found.not_migratable or None},
        "candidates": {
            "known": candidates.is_known,
            "fitting": len(candidates.nodes),
            "total": candidates.total,
            "nodes": sorted(candidates.nodes)[:NODES_LISTED],
            "message": candidates.message or None,
        },
        "attempts": found.attempts,
        "failedAttempts": found.failed_attempts,
        "failedMigrations": found.failed_migrations,
        "lastError": found.error or found.migration_error or None,
    }
