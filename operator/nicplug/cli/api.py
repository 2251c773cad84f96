"""`nicplug api`: the aggregated API server in the foreground."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.imports import leave_out_unused
from nicplug.cli.problems import setting_problems, unusable_kubeconfig
from nicplug.cli.settings_help import ApiCommand


@click.command(cls=ApiCommand)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig file; in a pod: the service account.")
@click.option("--namespace", help="Namespace of the Service and the certificate's Secret.")
@click.option("--kubevirt-namespace", help="Namespace of the KubeVirt CR; CRs in other namespaces have no effect.")
@click.option("--service", help="Service that the APIServices reference.")
@click.option("--port", type=int, help="Port of the API; 0 selects a free port.")
@click.option(
    "--tls-cert-file",
    type=click.Path(path_type=Path),
    help="Certificate that another program renews, such as cert-manager.",
)
@click.option("--tls-private-key-file", type=click.Path(path_type=Path), help="Key of that certificate.")
@click.option("--metrics-port", type=int, help="Port of /metrics, /healthz, /readyz; 0 selects a free port.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]))
def api(**options: Any) -> None:
    """Serve subresources.kubevirt.io behind the API server, until SIGTERM."""
    leave_out_unused()
    from nicplug.api_app import run_api
    from nicplug.api_settings import PREFIX, ApiSettings
    from nicplug.cli.unknown_variables import warn_of_unknown_variables
    from nicplug.kube.connect import ConfigError
    from nicplug.obs.logging import configure_logging
    from nicplug.startup import BadSetting, RivalError, StartError

    try:
        settings = ApiSettings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise CommandError(
            f"bad settings: {setting_problems(error, prefix=PREFIX)}",
            remedy="Correct the variable, or the option of the same name: nicplug api --help",
            code=Exit.WRONG_USE,
        ) from error
    configure_logging(level=settings.log_level, format_=settings.log_format)
    warn_of_unknown_variables(ApiSettings)
    try:
        asyncio.run(run_api(settings))
    except BadSetting as error:
        raise CommandError(f"bad settings: {error}", code=Exit.WRONG_USE) from error
    except RivalError as error:
        raise CommandError(str(error), remedy=error.remedy, code=Exit.REFUSED) from error
    except ConfigError as error:
        raise unusable_kubeconfig(error, given=settings.kubeconfig, prefix=PREFIX) from error
    except StartError as error:
        raise click.ClickException(str(error)) from error
    except Exception as error:  # a bug: report it in one line, and let the supervisor restart the process
        causes = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        names = ", ".join(f"{type(cause).__name__}: {cause}" for cause in causes)
        click.echo(f"nicplug api: ended by {names}", err=True)
        sys.exit(1)
