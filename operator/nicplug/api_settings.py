"""Settings of `nicplug api`: frozen, validated once, from the environment and the command line."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from nicplug.metrics_settings import DnsLabel, DnsSubdomain, MetricsSettings, NonBlank
from nicplug.model.kubevirt import DEFAULT_KUBEVIRT_NAMESPACE

PREFIX = "NICPLUG_API_"


class ApiSettings(MetricsSettings):
    """Each value can be set by the environment variable `NICPLUG_API_<NAME>`; command-line options take precedence."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    kubeconfig: Path | None = None
    """Kubeconfig file. Default: the pod's service account, else $KUBECONFIG, else ~/.kube/config."""

    namespace: DnsLabel = "nicplug-system"
    """Namespace of the Service and of the Secret with the serving certificate."""

    kubevirt_namespace: DnsLabel = DEFAULT_KUBEVIRT_NAMESPACE
    """Namespace of the KubeVirt CR; CRs in other namespaces have no effect."""

    service: DnsLabel = "nicplug-api"
    """Name of the Service that the APIServices reference."""

    address: NonBlank = "0.0.0.0"
    """Address to serve the API on."""

    port: int = Field(default=8443, ge=0, le=65535)
    """Port to serve the API on; 0 selects a free port and logs it."""

    certificate_secret: DnsSubdomain = "nicplug-api-certificate"
    """Secret for the serving certificate and its CA, which are issued and renewed automatically."""

    tls_cert_file: Path | None = None
    """Serving certificate that another program renews, such as cert-manager; needs `tls_private_key_file`."""

    tls_private_key_file: Path | None = None
    """Key of `tls_cert_file`. Both files are reloaded when they change."""

    refresh_seconds: float = Field(default=10, ge=0.1, le=300)
    """How often certificate and front-proxy configuration are reloaded."""

    concurrent_requests: int = Field(default=400, ge=1)
    """Concurrent requests; further ones are answered with 429."""

    concurrent_requests_per_user: int = Field(default=250, ge=1)
    """Concurrent requests of one user; further ones are answered with 429."""

    connections: int = Field(default=1024, ge=16)
    """Open connections; further ones are closed."""

    request_seconds: float = Field(default=30, gt=0, le=300)
    """Time limit of a request, including the time to receive its body."""

    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """Minimum level of log lines."""

    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")
    """`json`, `console`, or `auto`: `console` if stderr is a terminal, else `json`."""

    @model_validator(mode="after")
    def _both_files(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            raise ValueError(f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_PRIVATE_KEY_FILE must be set together")
        return self

    def server_name(self) -> str:
        """Return the name against which the API server verifies the serving certificate."""
        return f"{self.service}.{self.namespace}.svc"
