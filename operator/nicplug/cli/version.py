"""`nicplug version`: of this command, of the aggregated API, of the API server."""

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
    """What is printed.

    Attributes:
        served: the version object of the aggregated API; empty when it does not answer.
        problem: why it does not; "" when it does.
        kubernetes: the version object of the API server.
    """

    served: Mapping[str, Any]
    problem: str
    kubernetes: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As programs get it: by the names that `kubectl version -o json` has, and the server that virtctl means."""
        return {
            "kind": "Version",
            "clientVersion": {"gitVersion": f"v{__version__}"},
            "serverVersion": {"gitVersion": self._served() or None},
            "serverProblem": self.problem or None,
            "kubernetesVersion": {"gitVersion": self.kubernetes.get("gitVersion")},
        }

    def names(self) -> Sequence[str]:
        """Not offered, as kubectl does not."""
        return []

    def show(self, console: "Console") -> None:
        """As `virtctl version` prints the first two."""
        line(console, f"Client Version: v{__version__}")
        line(console, f"Server Version: {self._served() or f'not served ({self.problem})'}")
        line(console, f"Kubernetes Version: {self.kubernetes.get('gitVersion')}")

    def _served(self) -> str:
        return str(self.served.get("gitVersion") or "")
