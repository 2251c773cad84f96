"""The option for the operator's setting `allow_kubevirt_version`, for users who may not read its Lease."""

import re
from typing import Any

import click

from nicplug.model.kubevirt_versions import MINOR_VERSION


class MinorVersion(click.ParamType[str]):
    """A major and minor version, as the operator takes it."""

    name = "minor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the version unchanged if it is valid."""
        if not re.match(MINOR_VERSION, str(value)):
            self.fail(f'"{value}" is not a minor version, such as 1.10.', param, ctx)
        return str(value)


with_allowed_version = click.option(
    "--allow-kubevirt-version",
    type=MinorVersion(),
    default=None,
    metavar="MINOR",
    envvar="NICPLUG_ALLOW_KUBEVIRT_VERSION",
    show_envvar=True,
    help="Newer KubeVirt beside which the operator may act; only needed if you may not read its Lease, which says so.",
)
