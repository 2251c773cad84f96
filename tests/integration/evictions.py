"""Evictions as the API server judges them, and the budgets that it judges by."""

from tests.integration.user import POD, Json, User
from tests.integration.waiting import until

BUDGETS = "poddisruptionbudgets"


def protected(body: Json, strategy: str = "LiveMigrate") -> Json:
    spec = body["spec"]["template"]["spec"] if body["kind"] == "VirtualMachine" else body["spec"]
    spec["evictionStrategy"] = strategy
    return body


def budgets(user: User) -> list[Json]:
    return user.items(BUDGETS)


def until_protected(user: User) -> Json:
    """The budget of the only guest, once the disruption controller counts its pod as healthy."""

    def found() -> Json:
        rows = [row for row in budgets(user) if (row.get("status") or {}).get("currentHealthy") == 1]
        return rows[0] if rows else {}

    return until(found)


def evict(user: User, pod: str) -> tuple[int, str]:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    code, answer = user.request("POST", f"{user.path(POD, pod)}/eviction", eviction)
    return code, answer.get("message", "")
