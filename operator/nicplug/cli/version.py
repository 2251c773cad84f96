"""`nicplug version`: of this command, of the aggregated API, of the API server."""

import json

import click

from nicplug import __version__
from nicplug.cli.connection import Session, on_cluster


@click.command()
@on_cluster
async def version(session: Session) -> int | None:
    """Print the versions of command, aggregated API and cluster."""
    from nicplug.cli.subresources import server_version
    from nicplug.kube.errors import ApiError

    click.echo(f"Client Version: {__version__}")
    kubernetes = json.loads(await session.api.request("GET", "/version"))
    try:
        told = str((await server_version(session)).get("gitVersion") or "?")
    except ApiError as error:
        told = f"not served ({error})"
    click.echo(f"Server Version: {told}")
    click.echo(f"Kubernetes Version: {kubernetes.get('gitVersion')}")
    return None
