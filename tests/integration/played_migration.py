"""The migration controller's part, played by plain API calls: one migration of one VMI."""

import copy
import uuid
from dataclasses import dataclass

from tests.integration.played_operator import PlayedOperator, element, is_ready, pod_body
from tests.manifests import pod_interface

from nicplug_sandbox.node.api import JSON_PATCH, MERGE_PATCH, PODS, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedMigration:
    """A migration that was handed off to the node agents, or is about to be.

    Attributes:
        uid: of the VirtualMachineInstanceMigration, which need not exist for the node agents.
        vmi: name of the VMI.
        source: name of the source pod.
        target: name of the target pod.
    """

    operator: PlayedOperator
    uid: str
    vmi: str
    source: str
    target: str

    @classmethod
    async def with_target(
        cls, operator: PlayedOperator, *, vmi: str, source: str, nics: dict[str, str] | None = None
    ) -> "PlayedMigration":
        """Create the target pod with `nics` (their NADs by name), and wait until it is ready."""
        uid = str(uuid.uuid4())
        elements = [element(nic, nad=nad) for nic, nad in (nics or {}).items()]
        target = await operator.create_pod(_target_body(operator.vmi(vmi), elements=elements, uid=uid))
        await operator.until(lambda: is_ready(operator.find_pod(target)), seconds=60)
        return cls(operator=operator, uid=uid, vmi=vmi, source=source, target=target)

    def node_of(self, pod: str) -> str:
        """The node of a pod."""
        return str(self.operator.pod(pod)["spec"]["nodeName"])

    async def hand_off(self) -> None:
        """Labels, then a state of this migration alone."""
        node = self.node_of(self.target)
        label = {"metadata": {"labels": {"kubevirt.io/migrationTargetNodeName": node}}}
        await self.operator.patch_vmi(self.vmi, label, content_type=MERGE_PATCH)
        state = {
            "migrationUid": self.uid,
            "sourceNode": self.node_of(self.source),
            "sourcePod": self.source,
            "targetNode": node,
            "targetPod": self.target,
        }
        patch = [{"op": "add", "path": "/status/migrationState", "value": state}]
        await self.operator.patch_vmi(self.vmi, patch, subresource="status", content_type=JSON_PATCH)

    async def abort(self) -> None:
        """Ask for the end of it."""
        patch = [{"op": "add", "path": "/status/migrationState/abortRequested", "value": True}]
        await self.operator.patch_vmi(self.vmi, patch, subresource="status", content_type=JSON_PATCH)

    async def kill(self, pod: str) -> None:
        """DELETE a pod without grace."""
        await self.operator.api.delete(PODS, name=pod, namespace=self.operator.namespace)

    def state(self) -> Json:
        """`migrationState` as last seen, empty while it is another migration's."""
        state = dict(self.operator.vmi(self.vmi)["status"].get("migrationState") or {})
        return state if state.get("migrationUid") == self.uid else {}

    async def until(self, member: str) -> Json:
        """The state once it has the member."""
        await self.operator.until(lambda: self.state().get(member))
        return self.state()

    async def tell_rows(self, *names: str) -> None:
        """The VMI controller's part after the move: what the target pod has, in the rows."""
        rows = copy.deepcopy(self.operator.vmi(self.vmi)["status"]["interfaces"])
        present = {row["name"]: row for row in rows if row.get("name")}
        for name in names:
            row = present.get(name)
            if row is None:
                row = {"name": name, "infoSource": "multus-status"}
                rows.append(row)
            elif "multus-status" not in row["infoSource"]:
                row["infoSource"] += ", multus-status"
            row["podInterfaceName"] = pod_interface(name)
        await self.operator.write_rows(self.vmi, rows)


def _target_body(vmi: Json, *, elements: list[Json], uid: str) -> Json:
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"kubevirt.io/created-by": vmi["metadata"]["uid"]}},
    }
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    body = pod_body(vmi, elements=elements, affinity=affinity)
    body["metadata"]["labels"]["kubevirt.io/migrationJobUID"] = uid
    body["metadata"]["annotations"]["kubevirt.io/migrationJobName"] = "job"
    return body
