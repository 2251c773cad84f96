"""Guests that no eviction may end: what admins and tenants do to that, and what must be true of their budgets."""

import random

from tests.sim.cluster import (
    BUDGETS,
    KUBEVIRTS,
    VMIS,
    Change,
    Cluster,
    Json,
    is_in_sight,
    is_live,
    launcher_pods,
    owner_of,
)

from nicplug.kube.errors import AlreadyExists

MANAGED_BY = ("app.kubernetes.io/managed-by", "nicplug")
JOB = "kubevirt.io/migrationJobUID"
_STRATEGIES = (None, "None", "LiveMigrate", "LiveMigrate", "LiveMigrateIfPossible", "External")
_ENDED = ("Succeeded", "Failed")


def edit_strategy(cluster: Cluster, randomness: random.Random) -> None:
    """What an eviction means for every VMI that does not say so itself."""
    for body in cluster.all(KUBEVIRTS):
        configuration, strategy = body["spec"]["configuration"], randomness.choice(_STRATEGIES)
        configuration.pop("evictionStrategy", None)
        configuration |= {"evictionStrategy": strategy} if strategy else {}
        cluster.say(f"admin: evictionStrategy {strategy}")
        cluster.replace(KUBEVIRTS, body["metadata"]["name"], body, by="admin")


def delete_budget(cluster: Cluster, randomness: random.Random) -> None:
    """Somebody deletes a budget."""
    if found := cluster.all(BUDGETS):
        cluster.delete(BUDGETS, randomness.choice(found)["metadata"]["name"], by="user")


def alter_budget(cluster: Cluster, randomness: random.Random) -> None:
    """Somebody edits a budget, or takes its labels away."""
    if not (found := cluster.all(BUDGETS)):
        return
    body = randomness.choice(found)
    match randomness.randrange(3):
        case 0:
            body["spec"] = {**body["spec"], "minAvailable": randomness.choice((0, 1, 2, 5))}
        case 1:
            body["spec"] = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        case _:
            body["metadata"].pop("labels", None)
    cluster.replace(BUDGETS, body["metadata"]["name"], body, by="user")


def evict(cluster: Cluster, randomness: random.Random) -> None:
    """Somebody evicts the pod of a guest, and the webhook marks the node that it is to leave."""
    running = [vmi for vmi in cluster.all(VMIS) if (vmi.get("status") or {}).get("nodeName")]
    if not running:
        return
    body = randomness.choice(running)
    body["status"]["evacuationNodeName"] = body["status"]["nodeName"]
    cluster.replace(VMIS, body["metadata"]["name"], body, by="webhook", subresource="status")


def take_budget_name(cluster: Cluster, _: random.Random) -> None:
    """Somebody's budget has the name that the budget of a VMI is to have; its owner takes it away in the end."""
    for body in cluster.all(BUDGETS):
        name = body["metadata"]["name"]
        cluster.delete(BUDGETS, name, by="user")
        try:
            cluster.create(BUDGETS, {"metadata": {"name": name}, "spec": {"minAvailable": 1}}, by="user")
        except AlreadyExists:
            return
        return


def give_names_back(cluster: Cluster) -> None:
    """End what `take_budget_name` began."""
    for body in cluster.all(BUDGETS):
        if owner_of(body) is None:
            cluster.delete(BUDGETS, body["metadata"]["name"], by="user")


def check_lowering(cluster: Cluster) -> None:
    """After every change, with one leader: no budget is lowered while two pods of the guest live that count."""
    change = cluster.last
    if change is None or change.plural != BUDGETS or not change.by.startswith("operator"):
        return
    if not _is_lowered(change):
        return
    owner = owner_of(change.after) or {}
    pods = [pod for pod in launcher_pods(cluster, owner.get("uid")) if is_live(pod)]
    counted = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["uid"] in cluster.recorded]
    assert len(counted) <= 1, f"{change.after['metadata']['name']} is lowered beside {counted}"


def _is_lowered(change: Change) -> bool:
    before = (change.before or {}).get("spec", {}).get("minAvailable")
    return bool(before == 2 and change.after["spec"].get("minAvailable") == 1)


def check_budgets_rest(cluster: Cluster) -> None:
    """At rest every guest that wants protection has exactly its budget, and no other one has any."""
    (configuration,) = (body["spec"]["configuration"] for body in cluster.shown(KUBEVIRTS))
    budgets = {(owner_of(body) or {}).get("uid"): body for body in cluster.shown(BUDGETS)}
    assert len(budgets) == len(cluster.shown(BUDGETS)), "two budgets of one VMI"
    for vmi in cluster.shown(VMIS):
        uid, name = vmi["metadata"]["uid"], vmi["metadata"]["name"]
        strategy = vmi["spec"].get("evictionStrategy") or configuration.get("evictionStrategy") or "None"
        budget = budgets.pop(uid, None)
        _check_left(vmi, strategy)
        if not _wants_budget(vmi, strategy):
            # One whose label somebody has taken away is out of sight; it goes with its VMI.
            is_seen = budget is not None and is_in_sight(BUDGETS, budget)
            assert not is_seen, f"{name} has a budget, and its strategy is {strategy}"
            continue
        assert budget is not None, f"{name} has no budget, and its strategy is {strategy}"
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"kubevirt.io/created-by": uid}}}
        assert budget["spec"] == spec, f"the budget of {name} is {budget['spec']}"
        assert budget["metadata"]["labels"] == dict([MANAGED_BY]), budget["metadata"]["labels"]
    assert not budgets, f"budgets of nobody: {list(budgets)}"


def _check_left(vmi: Json, strategy: str) -> None:
    """A guest that was asked to leave a node has done so; nobody else is said to be asked."""
    status = vmi.get("status") or {}
    marked, name = status.get("evacuationNodeName"), vmi["metadata"]["name"]
    if marked and status.get("phase") == "Running":
        assert marked == status["nodeName"], f"{name} is said to have to leave {marked}"
        assert strategy not in ("LiveMigrate", "LiveMigrateIfPossible"), f"{name} has not left {marked}"


def _wants_budget(vmi: Json, strategy: str) -> bool:
    status = vmi.get("status") or {}
    if status.get("phase") in _ENDED:
        return False
    conditions = {row["type"]: row["status"] for row in status.get("conditions") or ()}
    is_migratable = conditions.get("LiveMigratable") == "True"
    return strategy in ("LiveMigrate", "External") or (strategy == "LiveMigrateIfPossible" and is_migratable)
