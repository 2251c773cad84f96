"""Whether the cluster admin has enabled hot-plug: without that no NIC is plugged, and requests for NICs wait."""

from nicplug.model.kubevirt import KubevirtConfig
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal

_GATE = '"HotplugNICs" to spec.configuration.developerConfiguration.featureGates of the KubeVirt CR'


def refuse_hotplug(config: KubevirtConfig | None, *, kubevirt_namespace: str) -> Refusal | None:
    """Why no NIC is hot-plugged; None when the feature gate is on.

    Args:
        config: the KubeVirt CR that counts; None when there is none.
        kubevirt_namespace: where it is looked for.
    """
    if config is None:
        return Refusal(
            reason=Reason.KUBEVIRT_CR_MISSING,
            message=f'there is no KubeVirt CR in namespace "{kubevirt_namespace}" (setting NICPLUG_KUBEVIRT_NAMESPACE '
            "of the operator)",
            remedy=f"Create one there (kind KubeVirt), and add {_GATE}",
        )
    if config.hotplug_enabled:
        return None
    remedy = f"Add {_GATE}"
    if "HotplugNICs" in config.disabled_feature_gates:
        remedy = f'Remove "HotplugNICs" from its developerConfiguration.disabledFeatureGates, and add {_GATE}'
    message = f"hot-plug is off in KubeVirt CR {config.key}"
    return Refusal(reason=Reason.FEATURE_GATE_DISABLED, message=message, remedy=remedy)
