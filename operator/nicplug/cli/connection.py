"""The options that select the cluster, and the session that they open."""

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nicplug import __version__
from nicplug.cli.exits import CommandError, Exit
from nicplug.entry import INTERRUPTED

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from nicplug.kube.aio import AioApi

TRACEBACK_VARIABLE = "NICPLUG_TRACEBACK"
# The context that `nicplug sandbox up` writes; a test compares the two.
SANDBOX_CONTEXT = "nicplug-sandbox"
START_SANDBOX = "nicplug sandbox up --operator"
"""Command that restarts the parts of a sandbox that have died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster, user and namespace that the options select; namespace "" is that of the context."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = ""
    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A command's connection to one cluster.

    Attributes:
        api: client with the user's credentials.
        namespace: namespace of objects that are named without one.
    """

    api: "AioApi"
    namespace: str
    context: str
    server: str

    @property
    def is_sandbox(self) -> bool:
        """True for a sandbox, where operator and API are processes on this machine."""
        return self.context == SANDBOX_CONTEXT


def _namespaces(context: click.Context, parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    from nicplug.cli.completion import complete_namespace

    return complete_namespace(context, parameter, incomplete)


def _contexts(context: click.Context, parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    from nicplug.cli.completion import complete_context

    return complete_context(context, parameter, incomplete)


def _not_empty(_: click.Context, __: click.Parameter, value: Any) -> Any:
    """Reject "", as of an unset shell variable: treated as not given, it would select another cluster or user."""
    if "" in (value if isinstance(value, tuple) else (value,)):
        raise click.BadParameter("must not be empty.")
    return value


def _option(*names: str, complete: Any = None, **attributes: Any) -> Callable[..., Any]:
    return click.option(*names, default=None, callback=_not_empty, shell_complete=complete, **attributes)


_OPTIONS = (
    _option(
        "-n",
        "--namespace",
        metavar="NAME",
        complete=_namespaces,
        help="Namespace of the VM; the context's by default.",
    ),
    _option(
        "--context",
        metavar="NAME",
        complete=_contexts,
        help="Context of the kubeconfig; the current one by default.",
    ),
    _option(
        "--kubeconfig",
        type=click.Path(),
        help="File to use; by default the files of $KUBECONFIG, else ~/.kube/config.",
    ),
    _option("--as", "as_user", metavar="USER", help="User to act as; needs the right to impersonate."),
    _option("--as-group", multiple=True, metavar="GROUP", help="Group to act as; may be given several times."),
    _option("--as-uid", metavar="UID", help="UID to act as."),
)


CLUSTER_OPTIONS = ("namespace", "context", "kubeconfig", "as_user", "as_group", "as_uid")


def with_cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the cluster options to a command or group."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cluster_options(context: click.Context) -> dict[str, Any]:
    """Return the cluster options after the command's name, otherwise those before it, as virtctl and kubectl do."""
    before = context.find_root().params
    return {name: context.params.get(name) or before.get(name) for name in CLUSTER_OPTIONS}


def on_cluster(command: Callable[..., Coroutine[Any, Any, int | None]]) -> Callable[..., None]:
    """Add the cluster options to a command, run it with a session, and turn errors into messages and exit codes."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        cluster = _cluster(cluster_options(click.get_current_context()))
        own = {name: value for name, value in options.items() if name not in CLUSTER_OPTIONS}
        if own.get("vm") is not None:
            check_name(own["vm"])
        code = _run_safely(cluster, command, own)
        if code:
            raise click.exceptions.Exit(code)

    return with_cluster_options(run)


def _cluster(options: dict[str, Any]) -> Cluster:
    if (options["as_group"] or options["as_uid"]) and not options["as_user"]:
        raise click.UsageError("--as-group and --as-uid need --as.")
    return cluster_of(options)


def cluster_of(options: dict[str, Any]) -> Cluster:
    """Return the cluster that the options select."""
    return Cluster(
        kubeconfig=Path(options["kubeconfig"]) if options["kubeconfig"] else None,
        context=options["context"] or None,
        namespace=options["namespace"] or "",
        user=options["as_user"] or "",
        uid=options["as_uid"] or "",
        groups=tuple(options["as_group"] or ()),
    )


def check_name(name: str) -> None:
    """Check a name before any request, as its path could address another object.

    Raises:
        CommandError: no object can have that name.
    """
    if name in {"", ".", ".."} or "/" in name or "%" in name:
        remedy = "Give the name alone, without the kind: vm-fedora, not vm/vm-fedora."
        raise CommandError(f'"{name}" cannot be the name of an object', remedy=remedy, code=Exit.WRONG_USE)


def _run_safely(
    cluster: Cluster, command: Callable[..., Coroutine[Any, Any, int | None]], options: dict[str, Any]
) -> int | None:
    """Run the command; an unexpected error is a message, and a traceback only if the user asks for it."""
    try:
        return asyncio.run(_run(cluster, command, options))
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        remedy = f"Set {TRACEBACK_VARIABLE}=1 to see where, and report it with the command that you typed."
        raise CommandError(f"a bug in nicplug: {type(error).__name__}: {error}", remedy=remedy) from error


async def _run(
    cluster: Cluster, command: Callable[..., Coroutine[Any, Any, int | None]], options: dict[str, Any]
) -> int | None:
    from nicplug.cli.explain import explained
    from nicplug.cli.quiet import silence_logs

    silence_logs()
    async with open_session(cluster) as session:
        with explained(session):
            return await command(session, **options)


@asynccontextmanager
async def open_session(cluster: Cluster) -> AsyncIterator[Session]:
    """Connect to the cluster, without a request.

    Raises:
        CommandError: no usable kubeconfig.
    """
    from nicplug.kube.kubeconfig import ConfigError, Impersonation
    from nicplug.kube.person import connect_person

    try:
        connection = await connect_person(
            kubeconfig=cluster.kubeconfig,
            context=cluster.context,
            impersonation=Impersonation(user=cluster.user, uid=cluster.uid, groups=cluster.groups),
            user_agent=f"nicplug-cli/{__version__}",
        )
    except ConfigError as error:
        raise CommandError(str(error), code=Exit.UNREACHABLE) from error
    try:
        yield Session(
            api=connection.api,
            namespace=cluster.namespace or connection.context.namespace,
            context=connection.context.name,
            server=connection.server,
        )
    finally:
        await connection.api.close()
