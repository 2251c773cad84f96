"""Settings of the port of /metrics, /healthz and /readyz, shared by operator and API."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FilePath, model_validator
from pydantic_settings import BaseSettings

from nicplug.model.kubevirt_versions import MINOR_VERSION

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL = f"^{_LABEL}$"
SUBDOMAIN = rf"^{_LABEL}(\.{_LABEL})*$"
NO_SPACES = r"^\S+$"

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL)]
"""Name of a namespace or Service: an RFC 1123 label."""

DnsSubdomain = Annotated[str, Field(min_length=1, max_length=253, pattern=SUBDOMAIN)]
"""Name of most other objects: labels with dots between them."""

NonBlank = Annotated[str, Field(pattern=NO_SPACES)]
"""An address or the name of an image."""

MinorVersion = Annotated[str, Field(pattern=MINOR_VERSION)]
"""Major and minor version."""

PATTERNS = {
    LABEL: "must consist of lowercase letters, digits and '-', and begin and end with a letter or digit",
    SUBDOMAIN: "must consist of lowercase letters, digits, '-' and '.', and begin and end with a letter or digit",
    NO_SPACES: "must not be empty or contain spaces",
    MINOR_VERSION: "must be a minor version, such as 1.10",
}
"""Messages about values that do not match, by pattern."""


class MetricsSettings(BaseSettings):
    """Settings that both processes have, each under its own prefix."""

    metrics_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz; 0 selects a free port and logs it."""

    metrics_address: NonBlank = "0.0.0.0"
    """Address to serve /metrics, /healthz and /readyz on."""

    metrics_tls_cert_file: FilePath | None = None
    """Certificate for the port of /metrics; needs `metrics_tls_private_key_file`. Default: plain HTTP."""

    metrics_tls_private_key_file: FilePath | None = None
    """Key of `metrics_tls_cert_file`. Both files are reloaded when they change."""

    metrics_authentication: Literal["none", "token-review"] = "none"
    """`token-review`: requires a bearer token whose user may get the URL /metrics. Needs TLS."""

    @model_validator(mode="after")
    def _is_protected_as_a_whole(self) -> Self:
        prefix = str(self.model_config.get("env_prefix") or "")
        certificate, key = f"{prefix}METRICS_TLS_CERT_FILE", f"{prefix}METRICS_TLS_PRIVATE_KEY_FILE"
        if (self.metrics_tls_cert_file is None) != (self.metrics_tls_private_key_file is None):
            raise ValueError(f"{certificate} and {key} must be set together")
        if self.metrics_authentication == "token-review" and self.metrics_tls_cert_file is None:
            variable = f"{prefix}METRICS_AUTHENTICATION"
            raise ValueError(f"{variable}=token-review needs {certificate} and {key}: tokens are not sent in the clear")
        return self

    @property
    def metrics_tls_files(self) -> tuple[Path, Path] | None:
        """Return certificate and key; None without TLS."""
        if self.metrics_tls_cert_file is None or self.metrics_tls_private_key_file is None:
            return None
        return self.metrics_tls_cert_file, self.metrics_tls_private_key_file
