"""The command `nicplug` and its subcommands."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from nicplug import __version__
from nicplug.cli.api import api
from nicplug.cli.change import add, remove
from nicplug.cli.completion import completion
from nicplug.cli.connection import with_cluster_options
from nicplug.cli.doctor.command import doctor
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.imports import leave_out_unused
from nicplug.cli.migrations import migrations
from nicplug.cli.plan import plan
from nicplug.cli.power import migrate, restart, start, stop
from nicplug.cli.problems import setting_problems, unusable_kubeconfig
from nicplug.cli.settings_help import RunCommand
from nicplug.cli.status import status
from nicplug.cli.uninstall.command import uninstall
from nicplug.cli.version import version
from nicplug.cli.virtctl import addinterface, removeinterface
from nicplug.cli.wait import wait
from nicplug.cli.why import why


class LazySandbox(click.Group):
    """`nicplug sandbox`, imported on first use: the operator's image does not contain it."""

    def _group(self) -> click.Group:
        try:
            from nicplug_sandbox.cli import sandbox
        except ModuleNotFoundError as error:
            raise click.ClickException(f"{error}: install nicplug[sandbox], or use a checkout's bin/nicplug") from error
        return sandbox

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the sandbox's commands."""
        return self._group().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one of the sandbox's commands."""
        return self._group().get_command(ctx, cmd_name)


_ELSEWHERE = "Use KubeVirt's own virtctl for it."
OF_VIRTCTL: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("addvolume", "adm", "console", "create", "credentials", "expose", "fslist", "guestfs", "guestosinfo"),
            *("image-upload", "memory-dump", "objectgraph", "pause", "permitted-devices", "port-forward"),
            *("removevolume", "reset", "scp", "soft-reboot", "ssh", "unpause", "usbredir", "userlist", "vmexport"),
            "vnc",
        ),
        _ELSEWHERE,
    ),
    "migrate-cancel": "Delete the migration: kubectl delete vmim NAME (`nicplug migrations` has the names).",
}
"""Commands of KubeVirt's virtctl that nicplug lacks, with what to use instead. Source: KubeVirt 1.9 `pkg/virtctl`."""

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("NICs", ("status", "plan", "why", "add", "remove", "wait")),
    ("Virtual machines", ("start", "stop", "restart", "migrate", "migrations")),
    ("As virtctl", ("addinterface", "removeinterface")),
    ("Installation", ("doctor", "version", "uninstall", "completion")),
    ("Processes", ("run", "api", "sandbox")),
)


class SectionedGroup(click.Group):
    """Lists its commands by topic, and explains where the commands are that only KubeVirt's virtctl has."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command.

        Raises:
            CommandError: only KubeVirt's virtctl has that command; the remedy says what to use.
        """
        if args and args[0] in OF_VIRTCTL and self.get_command(ctx, args[0]) is None:
            message = f'"{args[0]}" is not about NICs'
            raise CommandError(message, remedy=OF_VIRTCTL[args[0]], code=Exit.WRONG_USE)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each topic; every command is in exactly one."""
        for title, names in SECTIONS:
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, item.get_short_help_str(90)) for name, item in found if item is not None and not item.hidden]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Environment: NICPLUG_TRACEBACK=1 shows where a bug in nicplug is, NO_COLOR=1 turns colours off; "
    "KUBECONFIG, HTTPS_PROXY, HTTP_PROXY and NO_PROXY as in kubectl. "
    "Exit codes, the members of -o json and every option: docs/cli.md.",
)
@click.version_option(__version__, prog_name="nicplug")
@with_cluster_options
def main(**options: Any) -> None:
    """Give a running virtual machine a new network interface on Kubernetes."""
    name = click.get_current_context().invoked_subcommand or ""
    command = main.commands.get(name)
    takes_them = command is not None and {"as_user", "namespace"} <= {item.name for item in command.params}
    if any(options.values()) and not takes_them:
        raise click.UsageError(f"{name} takes its options after its name.")


for command in (
    *(status, plan, why, add, remove, wait),
    *(start, stop, restart, migrate, migrations),
    *(addinterface, removeinterface, doctor, version, uninstall, completion, api),
):
    main.add_command(command)


@main.group(
    cls=LazySandbox,
    epilog="Environment: NICPLUG_CACHE_DIR is the directory of the cache (otherwise nicplug in XDG_CACHE_HOME or "
    "~/.cache), KUBEBUILDER_ASSETS one that has the control plane's programs, which are built otherwise, "
    "NICPLUG_SANDBOX_KUBERNETES the minor version that is built (the newest unless given, or 1.31).",
)
def sandbox() -> None:
    """A laptop cluster: real control plane, simulated nodes."""


@main.command(cls=RunCommand)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig file; in a pod: the service account.")
@click.option("--mode", type=click.Choice(["auto", "standalone", "companion"]), help="Companion: beside KubeVirt.")
@click.option("--allow-kubevirt-version", metavar="MINOR", help="Act beside this newer KubeVirt too, such as 1.10.")
@click.option("--namespace", help="Namespace of the leader election Lease.")
@click.option("--kubevirt-namespace", help="Namespace of the KubeVirt CR; CRs in other namespaces have no effect.")
@click.option("--metrics-port", type=int, help="Port of /metrics, /healthz, /readyz; 0 selects a free port.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]))
@click.option("--leader-election/--no-leader-election", default=None, help="Work only while holding the Lease.")
def run(**options: Any) -> None:
    """Run the operator in the foreground, until SIGTERM."""
    leave_out_unused()
    from nicplug.cli.unknown_variables import warn_of_unknown_variables
    from nicplug.kube.connect import ConfigError
    from nicplug.obs.logging import configure_logging
    from nicplug.run import run_operator
    from nicplug.settings import PREFIX, Settings
    from nicplug.startup import BadSetting, RivalError, StartError

    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise CommandError(
            f"bad settings: {setting_problems(error, prefix=PREFIX)}",
            remedy="Correct the variable, or the option of the same name: nicplug run --help",
            code=Exit.WRONG_USE,
        ) from error
    configure_logging(level=settings.log_level, format_=settings.log_format)
    warn_of_unknown_variables(Settings)
    try:
        asyncio.run(run_operator(settings))
    except BadSetting as error:
        raise CommandError(f"bad settings: {error}", code=Exit.WRONG_USE) from error
    except RivalError as error:
        raise CommandError(str(error), remedy=error.remedy, code=Exit.REFUSED) from error
    except ConfigError as error:
        raise unusable_kubeconfig(error, given=settings.kubeconfig, prefix=PREFIX) from error
    except StartError as error:
        raise click.ClickException(str(error)) from error
    except Exception as error:  # Kopf ended: report why in one line, and let the supervisor restart the process
        click.echo(f"nicplug: ended by {type(error).__name__}: {error}", err=True)
        sys.exit(1)
