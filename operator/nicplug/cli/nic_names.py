"""The names that a person gives: refused before they are sent, as a MAC address is."""

from typing import Any

import click

from nicplug.model.operations import shortened

_WRITE = "Write NAME or NAMESPACE/NAME of a network attachment definition."


class NicName(click.ParamType[str]):
    """A name that KubeVirt takes for a NIC."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it was given."""
        from nicplug.model.networks import parse_interface
        from nicplug.plan.nic.spec_checks import name_is_valid

        if (refusal := name_is_valid(parse_interface({"name": str(value)}), None)) is not None:
            self.fail(f'name "{shortened(str(value))}" is not valid. {refusal.remedy}.', param, ctx)
        return str(value)


class NetworkName(click.ParamType[str]):
    """A reference that a network attachment definition can have."""

    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The reference as it was given."""
        from nicplug.model.networks import parse_interface, parse_network
        from nicplug.plan.nic.spec_checks import attachment_is_valid

        if not value:
            self.fail(f"a name is missing. {_WRITE}", param, ctx)
        network = parse_network({"name": "any", "multus": {"networkName": str(value)}})
        if attachment_is_valid(parse_interface({"name": "any"}), network) is not None:
            self.fail(f'"{shortened(str(value))}" is not a name. {_WRITE}', param, ctx)
        return str(value)


class Addition(click.ParamType[str]):
    """`[NIC=]NAD`; what a plan has to say of a network that can never be is said by the plan."""

    name = "addition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The pair as it was given."""
        if not str(value).rpartition("=")[2]:
            self.fail(f'"{shortened(str(value))}" names no network. {_WRITE}', param, ctx)
        return str(value)
