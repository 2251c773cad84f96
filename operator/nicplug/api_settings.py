"""Settings of `nicplug api`: frozen, validated once, from the environment and the command line."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from nicplug.metrics_settings import DnsLabel, DnsSubdomain, MetricsSettings, NonBlank
from nicplug.model.kubevirt import DEFAULT_KUBEVIRT_NAMESPACE

PREFIX = "NICPLUG_API_"


class ApiSettings(MetricsSettings):
    """Every value can be set by an environment variable `NICPLUG_API_<NAME>`; the command line wins."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    kubeconfig: Path | None = None
    """File to use; None: the pod's service account, else $KUBECONFIG, else ~/.kube/config."""

    namespace: DnsLabel = "nicplug-system"
    """Where the Service and the Secret with the serving certificate lie."""

    kubevirt_namespace: DnsLabel = DEFAULT_KUBEVIRT_NAMESPACE
    """Where the KubeVirt CR lies; one in any other namespace has no effect."""

    service: DnsLabel = "nicplug-api"
    """Name of the Service that the APIServices point to."""

    address: NonBlank = "0.0.0.0"
    """Address to serve the API on."""

    port: int = Field(default=8443, ge=0, le=65535)
    """Port to serve the API on; 0 takes any free one and logs which."""

    certificate_secret: DnsSubdomain = "nicplug-api-certificate"
    """Secret for the serving certificate and its CA, which are made and renewed by themselves."""

    tls_cert_file: Path | None = None
    """Serving certificate that another program renews, such as cert-manager; needs `tls_private_key_file`."""

    tls_private_key_file: Path | None = None
    """Key of `tls_cert_file`. Both files are read again when they change."""

    refresh_seconds: float = Field(default=10, ge=0.1, le=300)
    """How often certificate and front-proxy configuration are read again."""

    concurrent_requests: int = Field(default=400, ge=1)
    """Requests under way at the same time; more are answered with 429."""

    concurrent_requests_per_user: int = Field(default=250, ge=1)
    """Of these, those of one user."""

    connections: int = Field(default=1024, ge=16)
    """Connections open at the same time; more are closed."""

    request_seconds: float = Field(default=30, gt=0, le=300)
    """Time limit of a request, in which its body must have come."""

    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """Lowest level that is logged."""

    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")
    """`json` lines, `console` for people; `auto` looks whether stderr is a terminal."""

    @model_validator(mode="after")
    def _both_files(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            raise ValueError(f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_PRIVATE_KEY_FILE must be set together")
        return self

    def server_name(self) -> str:
        """Return the name against which the API server verifies the serving certificate."""
        return f"{self.service}.{self.namespace}.svc"
