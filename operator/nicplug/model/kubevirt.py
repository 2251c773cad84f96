"""The KubeVirt CR: cluster-wide configuration, re-read at every change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.keys import KubevirtKey
from nicplug.model.metadata import mapping, sequence, text
from nicplug.model.names import HOTPLUG_FEATURE_GATE
from nicplug.model.networks import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class KubevirtConfig:
    """The parts of one KubeVirt CR that steer nicplug."""

    key: KubevirtKey
    uid: str
    resource_version: int = field(compare=False)
    created: datetime | None
    feature_gates: frozenset[str]
    disabled_feature_gates: frozenset[str]
    default_binding: Binding

    @property
    def hotplug_enabled(self) -> bool:
        """`HotplugNICs` is listed and not disabled; being GA upstream does not count (docs/differences.md)."""
        return HOTPLUG_FEATURE_GATE in self.feature_gates - self.disabled_feature_gates


def parse_kubevirt(raw: Mapping[str, Any]) -> KubevirtConfig:
    """Project a KubeVirt CR of the API."""
    metadata = mapping(raw.get("metadata"))
    configuration = mapping(mapping(raw.get("spec")).get("configuration"))
    developer = mapping(configuration.get("developerConfiguration"))
    network = mapping(configuration.get("network"))
    return KubevirtConfig(
        key=KubevirtKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        created=meta.creation_time(metadata),
        feature_gates=frozenset(map(text, sequence(developer.get("featureGates")))),
        disabled_feature_gates=frozenset(map(text, sequence(developer.get("disabledFeatureGates")))),
        default_binding=_default_binding(text(network.get("defaultNetworkInterface"))),
    )


def _default_binding(value: str) -> Binding:
    """Binding of the pod network that is added to a VMI without networks; `bridge` unless configured."""
    return Binding.MASQUERADE if value == Binding.MASQUERADE else Binding.BRIDGE
