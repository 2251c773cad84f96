"""An API server with one VMI, which remembers what it was asked."""

from typing import Any

from tests.build import kubevirt, nad, nic, primary, vmi
from tests.sim.planning import _is_labelled, _is_selected

from nicplug.kube.api import Json, Resource
from nicplug.kube.errors import Denied, Gone


class Api:
    """A cluster with one VMI; remembers what was asked."""

    def __init__(self, *networks: str, denied: frozenset[str] = frozenset()) -> None:
        self.asked: list[str] = []
        self.denied = denied
        pairs = [nic(f"n{number}", attachment=name) for number, name in enumerate(networks)]
        self.objects: dict[str, list[Json]] = {
            "kubevirts": [kubevirt()],
            "virtualmachineinstances": [vmi(primary(), *pairs)],
            "network-attachment-definitions": [nad("lan")],
        }

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        self.asked.append(f"{resource.plural} {namespace}/{name}")
        if resource.plural in self.denied:
            raise Denied(f"{resource.plural} cannot be read", status=403)
        for item in self.objects.get(resource.plural, []):
            if (item["metadata"]["name"], item["metadata"]["namespace"]) == (name, namespace):
                return item
        raise Gone(f'{resource.plural} "{name}" not found', status=404)

    async def list(self, resource: Resource, **options: Any) -> Json:
        """Read a collection."""
        self.asked.append(f"{resource.plural} {options.get('namespace')}")
        if resource.plural in self.denied:
            raise Denied(f"{resource.plural} cannot be read", status=403)
        items = self.objects.get(resource.plural, [])
        chosen = [item for item in items if _is_labelled(item, options.get("label_selector"))]
        chosen = [item for item in chosen if _is_selected(item, options.get("field_selector"))]
        return {"metadata": {"resourceVersion": "1"}, "items": chosen}
