"""`nicplug version`: versions of this command, the aggregated API and the API server."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nicplug import __version__
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.output import line, write

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="json and yaml are stable: docs/cli.md lists their members.",
)
@on_cluster
async def version(session: Session, *, output: str) -> int | None:
    """Print the versions of command, aggregated API and cluster.

    The aggregated API's is that of the KubeVirt release whose requests it takes, and nicplug's own behind the plus
    sign.
    """
    from nicplug.cli.subresources import server_version
    from nicplug.kube.errors import ApiError

    kubernetes = json.loads(await session.api.request("GET", "/version"))
    try:
        served, problem = await server_version(session), ""
    except ApiError as error:
        served, problem = {}, str(error)
    write(VersionDocument(served=served, problem=problem, kubernetes=kubernetes), output)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDocument:
    """The versions.

    Attributes:
        served: version object of the aggregated API; empty if it does not answer.
        problem: why it does not answer; "" if it does.
        kubernetes: version object of the API server.
    """

    served: Mapping[str, Any]
    problem: str
    kubernetes: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json`, with the names of `kubectl version -o json`; the server is virtctl's."""
        return {
            "kind": "Version",
            "clientVersion": {"gitVersion": f"v{__version__}"},
            "serverVersion": {"gitVersion": self._served() or None},
            "serverProblem": self.problem or None,
            "kubernetesVersion": {"gitVersion": self.kubernetes.get("gitVersion")},
        }

    def names(self) -> Sequence[str]:
        """Return nothing: like kubectl, the command does not offer `-o name`."""
        return []

    def show(self, console: "Console") -> None:
        """Print the versions; the first two lines are those of `virtctl version`."""
        line(console, f"Client Version: v{__version__}")
        line(console, f"Server Version: {self._served() or f'not served ({self.problem})'}")
        line(console, f"Kubernetes Version: {self.kubernetes.get('gitVersion')}")

    def _served(self) -> str:
        return str(self.served.get("gitVersion") or "")
