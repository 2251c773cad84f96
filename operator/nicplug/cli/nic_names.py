"""The name that a person gives a NIC: refused before it is sent, as a MAC address is."""

from typing import Any

import click


class NicName(click.ParamType[str]):
    """A name that KubeVirt takes for a NIC."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it was given."""
        from nicplug.model.networks import parse_interface
        from nicplug.plan.nic.validation import name_is_valid

        if (refusal := name_is_valid(parse_interface({"name": str(value)}), None)) is not None:
            self.fail(f"{refusal.message}. {refusal.remedy}.", param, ctx)
        return str(value)
