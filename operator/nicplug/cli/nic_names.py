"""Arguments that name NICs and networks; invalid ones are rejected before a request, as MAC addresses are."""

from typing import Any

import click

from nicplug.model.operations import shortened

_WRITE = "Write NAME or NAMESPACE/NAME of a network attachment definition."


class NicName(click.ParamType[str]):
    """A name that KubeVirt accepts for a NIC."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name unchanged if it is valid."""
        from nicplug.model.networks import parse_interface
        from nicplug.plan.nic.spec_checks import name_is_valid

        if (refusal := name_is_valid(parse_interface({"name": str(value)}), None)) is not None:
            self.fail(f'name "{shortened(str(value))}" is not valid. {refusal.remedy}.', param, ctx)
        return str(value)


class NetworkName(click.ParamType[str]):
    """`NAME` or `NAMESPACE/NAME` of a network attachment definition."""

    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the reference unchanged if it is valid."""
        from nicplug.model.networks import parse_interface, parse_network
        from nicplug.plan.nic.spec_checks import attachment_is_valid

        if not value:
            self.fail(f"a name is missing. {_WRITE}", param, ctx)
        network = parse_network({"name": "any", "multus": {"networkName": str(value)}})
        if attachment_is_valid(parse_interface({"name": "any"}), network) is not None:
            self.fail(f'"{shortened(str(value))}" is not a name. {_WRITE}', param, ctx)
        return str(value)


class Addition(click.ParamType[str]):
    """`[NIC=]NAD`; only the plan rejects a network whose name is invalid."""

    name = "addition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value unchanged if it names a network."""
        if not str(value).rpartition("=")[2]:
            self.fail(f'"{shortened(str(value))}" names no network. {_WRITE}', param, ctx)
        return str(value)
