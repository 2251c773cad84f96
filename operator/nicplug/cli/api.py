"""`nicplug api`: the aggregated API server in the foreground."""

import asyncio
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from nicplug.cli.problems import setting_problems
from nicplug.cli.settings_help import ApiCommand


# Hidden while no subresource has a handler.
@click.command(cls=ApiCommand, hidden=True)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="File to use; in a pod: the service account.")
@click.option("--namespace", help="Where the Service and the certificate's Secret lie.")
@click.option("--service", help="Service that the APIServices point to.")
@click.option("--port", type=int, help="Port of the API; 0 = any free one.")
@click.option("--tls-cert-file", type=click.Path(path_type=Path), help="Certificate that somebody else renews.")
@click.option("--tls-private-key-file", type=click.Path(path_type=Path), help="Key of that certificate.")
@click.option("--metrics-port", type=int, help="Port of /metrics, /healthz, /readyz; 0 = any free one.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]))
def api(**options: Any) -> None:
    """Serve subresources.kubevirt.io behind the API server, until SIGTERM."""
    from nicplug.api_app import run_api
    from nicplug.api_settings import PREFIX, ApiSettings
    from nicplug.kube.connect import ConfigError
    from nicplug.obs.logging import configure_logging
    from nicplug.startup import StartError

    try:
        settings = ApiSettings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise click.ClickException(
            f"bad settings (options or {PREFIX}* variables): {setting_problems(error)}"
        ) from error
    configure_logging(level=settings.log_level, format_=settings.log_format)
    try:
        # What is served is given here, and nowhere else.
        asyncio.run(run_api(settings, lambda _api: {}))
    except (ConfigError, StartError) as error:
        raise click.ClickException(str(error)) from error
