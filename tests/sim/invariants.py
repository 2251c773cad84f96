"""What must hold after every change, whoever made it."""

from tests.sim.cluster import (
    MIGRATIONS,
    PODS,
    VMIS,
    VMS,
    Cluster,
    Json,
    is_in_sight,
    is_live,
    is_target,
    launcher_pods,
    owner_of,
)
from tests.sim.kubelet import elements_of
from tests.sim.users import FOREIGN


class Invariants:
    """Checked after every commit.

    Args:
        has_one_leader: nobody else makes or fails anything in between.
    """

    def __init__(self, *, has_one_leader: bool) -> None:
        self._has_one_leader = has_one_leader
        self._foreign_in: set[str] = set()
        self._failed: set[str] = set()
        self._vmis: set[str] = set()

    def __call__(self, cluster: Cluster) -> None:
        if self._has_one_leader:
            self._check_owners(cluster)
        assert cluster.recorded <= cluster.made, f"counts pods of others: {cluster.recorded - cluster.made}"
        self._check_pods(cluster)
        self._check_starts(cluster)

    def _check_pods(self, cluster: Cluster) -> None:
        """One live pod of a VMI, and one more while it is migrated; pods of two VMIs of one name never run at once.

        Of two leaders each may make one, of which one is recorded; or, of the targets of one migration, one with the
        VMI and one with the migration, and no guest runs in either before they agree; or one makes the target of a
        migration that the other has failed for another one, and it goes with that. Nor does anybody see a pod whose
        answer was lost and whose labels somebody took away; no guest runs in it, and it goes with its VMI.
        """
        live: dict[str, dict[str, str]] = {}
        running: dict[str, str] = {}
        moved: set[str] = set()
        for pod in launcher_pods(cluster):
            uid, name, owner = pod["metadata"]["uid"], pod["metadata"]["name"], owner_of(pod) or {}
            is_seen = self._has_one_leader and is_in_sight(PODS, pod)
            is_left_over = not self._has_one_leader and _is_left_over(cluster, pod, of=owner.get("uid", ""))
            if is_live(pod) and (is_seen or uid in cluster.recorded) and not is_left_over:
                place = name if self._has_one_leader else _migration_of(pod) or name
                live.setdefault(owner["uid"], {})[place] = name
                moved |= {owner["uid"]} if is_target(cluster, pod) else set()
            if pod["status"]["phase"] == "Running" and uid in cluster.recorded:
                other = running.setdefault(owner["name"], owner["uid"])
                assert other == owner["uid"], f"guests of two VMIs that are both called {owner['name']}"
            elements = elements_of(pod)
            if FOREIGN in elements:
                self._foreign_in.add(uid)
            assert uid not in self._foreign_in or FOREIGN in elements, f"{name} has lost a foreign element"
        for owner_uid, names in live.items():
            most = 2 if owner_uid in moved else 1
            assert len(names) <= most, f"{len(names)} live pods of one VMI: {sorted(names.values())}"

    def _check_starts(self, cluster: Cluster) -> None:
        """Once is once. A second leader may act on what it has not heard yet; no guard spans two objects."""
        vms = {vm["metadata"]["uid"]: vm for vm in cluster.shown(VMS)}
        for vmi in cluster.shown(VMIS):
            if vmi["metadata"]["uid"] in self._vmis:
                continue
            self._vmis.add(vmi["metadata"]["uid"])
            vm = vms.get((owner_of(vmi) or {}).get("uid"))
            if vm is not None and vm["spec"]["runStrategy"] == "Once" and self._has_one_leader:
                assert vm.get("status", {}).get("runStrategy") != "Once", "a VM that runs once was started twice"

    def _check_owners(self, cluster: Cluster) -> None:
        """No guest outlives its VMI, and none is given up while somebody only took its pod out of sight."""
        vmis = {item["metadata"]["uid"]: item.get("status", {}).get("phase") for item in cluster.shown(VMIS)}
        failed = {uid for uid, phase in vmis.items() if phase == "Failed"}
        for pod in launcher_pods(cluster):
            name, owner = pod["metadata"]["name"], (owner_of(pod) or {})["uid"]
            if pod["metadata"]["uid"] not in cluster.recorded:
                continue  # nobody starts a guest in it
            home = cluster.homes.get(owner, "" if is_target(cluster, pod) else pod["metadata"]["uid"])
            may_run_it = is_live(pod) and home == pod["metadata"]["uid"]
            assert owner in vmis, f"{name} has outlived its VMI"
            assert not (may_run_it and owner in failed - self._failed), f"{name} lives, and its VMI was failed"
        self._failed = failed


def _is_left_over(cluster: Cluster, pod: Json, *, of: str) -> bool:
    """It was made for a migration that has failed, and the guest of the VMI `of` is not in it."""
    job = cluster.get(MIGRATIONS, _migration_of(pod))
    has_failed = job is not None and (job.get("status") or {}).get("phase") == "Failed"
    return has_failed and cluster.homes.get(of) != pod["metadata"]["uid"]


def _migration_of(target: Json) -> str:
    """The name of the migration that a target pod was made for; its labels may have been taken away."""
    return str((target["metadata"].get("annotations") or {}).get("kubevirt.io/migrationJobName", ""))
