"""The KubeVirt CR as virt-controller acts on it, for questions in companion mode."""

from nicplug.cache.kubevirts import Kubevirts
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.plan.companion.virt_controller import effective_config


class EffectiveKubevirts(Kubevirts):
    """All KubeVirt CRs; the effective one has the settings that hold whatever it says."""

    def config(self) -> KubevirtConfig | None:
        """Return the effective CR as virt-controller acts on it."""
        return effective_config(super().config(), ignores_methods=self.companion().ignore_workload_update_methods)
