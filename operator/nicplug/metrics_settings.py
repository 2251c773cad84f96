"""Settings of the port of /metrics, /healthz and /readyz, which operator and API have alike."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, FilePath, model_validator
from pydantic_settings import BaseSettings


class MetricsSettings(BaseSettings):
    """Both processes have these, each under its own prefix."""

    metrics_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz; 0 takes any free one and logs which."""

    metrics_address: str = "0.0.0.0"
    """Address to serve them on."""

    metrics_tls_cert_file: FilePath | None = None
    """Certificate to serve that port with; needs `metrics_tls_private_key_file`. None: in the clear."""

    metrics_tls_private_key_file: FilePath | None = None
    """Key of `metrics_tls_cert_file`. Both files are read again when they change."""

    metrics_authentication: Literal["none", "token-review"] = "none"
    """`token-review`: only a bearer token whose user may get the URL /metrics reads it. Needs TLS."""

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
        """Certificate and key; None: no TLS."""
        if self.metrics_tls_cert_file is None or self.metrics_tls_private_key_file is None:
            return None
        return self.metrics_tls_cert_file, self.metrics_tls_private_key_file
