"""What is noted at every moment of a soak, not only in the end."""

from tests.perf.audit import counted
from tests.soak.expectations import live_pods
from tests.soak.moves import too_many_pods
from tests.soak.users import NAMESPACE

from nicplug_sandbox.node.api import PODS, Api, Json
from nicplug_sandbox.node.mirror import Mirror


class PodWatch:
    """Notes every moment at which an instance had more live pods than it may have."""

    def __init__(self, api: Api) -> None:
        self.seen: list[str] = []
        self.mirror = Mirror(api=api, resource=PODS, selector={"fieldSelector": f"metadata.namespace={NAMESPACE}"})
        self.mirror.listen(self._look)

    def _look(self, _old: Json | None, new: Json | None) -> None:
        if new is None:
            return
        for uid, pods in live_pods(self.mirror.all()).items():
            if why := too_many_pods(pods):
                text = f"VMI {uid}: {why}: {sorted(pod['metadata']['name'] for pod in pods)}"
                if text not in self.seen:
                    self.seen.append(text)


class PathWatch:
    """Notes each NIC that was ready at any moment: a VM that restarts, and a user who unplugs it, take its record."""

    def __init__(self, records: Mirror) -> None:
        """`records`: of the objects whose status has them."""
        self._came: set[tuple[str, ...]] = set()
        records.listen(self._look)

    def _look(self, _old: Json | None, new: Json | None) -> None:
        if new is None:
            return
        for record in (new.get("status") or {}).get("interfaceOperations") or []:
            if record["phase"] == "Ready":
                came = (new["metadata"]["uid"], record["name"], record["startTime"], record["path"])
                self._came.add(came)

    def counted(self) -> dict[str, int]:
        """How many, by their path."""
        return counted(self._came, by=lambda came: came[-1])
