"""Settings of the operator: frozen, validated once, from the environment and the command line."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from nicplug.metrics_settings import DnsLabel, MetricsSettings, MinorVersion, NonBlank
from nicplug.model.kubevirt import DEFAULT_KUBEVIRT_NAMESPACE
from nicplug.model.mode import Mode
from nicplug.plan.views import PlanSettings

PREFIX = "NICPLUG_"


class Settings(MetricsSettings):
    """Each value can be set by the environment variable `NICPLUG_<NAME>`; command-line options take precedence."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    kubeconfig: Path | None = None
    """Kubeconfig file. Default: the pod's service account, else $KUBECONFIG, else ~/.kube/config."""

    mode: Literal["auto", "standalone", "companion"] = "auto"
    """`companion`: KubeVirt runs the VMs; `standalone`: nicplug does; `auto` detects it (docs/beside-kubevirt.md)."""

    allow_kubevirt_version: MinorVersion | None = None
    """Newer minor version of KubeVirt beside which nicplug may act rather than only report, such as `1.10`."""

    namespace: DnsLabel = "nicplug-system"
    """Namespace of the leader election Lease."""

    kubevirt_namespace: DnsLabel = DEFAULT_KUBEVIRT_NAMESPACE
    """Namespace of the KubeVirt CR; CRs in other namespaces are reported and have no effect."""

    workers: int = Field(default=16, ge=1, le=256)
    """Number of objects reconciled concurrently."""

    leader_election: bool = True
    """Work only while holding the Lease; disable it only if a second replica can never exist."""

    report_delay_seconds: float = Field(default=0.3, ge=0, le=5)
    """How long status changes that no component acts on are batched (docs/adr/0006)."""

    sweep_interval_seconds: float = Field(default=600, ge=1)
    """How often the caches are compared with the API server."""

    launcher_image: NonBlank = "nicplug/virt-launcher:dev"
    """Image of the `compute` container of launcher pods."""

    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """Minimum level of log lines."""

    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")
    """`json`, `console`, or `auto`: `console` if stderr is a terminal, else `json`."""

    @property
    def wanted_mode(self) -> Mode | None:
        """Return the mode to run in; None to detect it."""
        return None if self.mode == "auto" else Mode(self.mode)

    def plan_settings(self) -> PlanSettings:
        """Return the settings that planners need."""
        return PlanSettings(
            report_delay=timedelta(seconds=self.report_delay_seconds),
            first_report_delay=timedelta(seconds=self.report_delay_seconds),
            launcher_image=self.launcher_image,
            kubevirt_namespace=self.kubevirt_namespace,
        )
