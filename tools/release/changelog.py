"""The part of CHANGELOG.md that is about one version: the notes of its release."""

import re


def section(text: str, *, version: str) -> str:
    """What the changelog says about a version, under its heading, without that.

    Args:
        version: without a leading `v`; `## Unreleased (VERSION)` counts while there is no heading of its own.

    Raises:
        ValueError: there is no such section, or it is empty.
    """
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    found = {heading.strip(): body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    dated = re.compile(rf"{re.escape(version)}( - .*| \(.*\))?")
    for heading, body in found.items():
        if body and (dated.fullmatch(heading) or heading == f"Unreleased ({version})"):
            return body + "\n"
    raise ValueError(
        f"CHANGELOG.md has nothing about {version}: add a section `## {version}`, or `## Unreleased ({version})`"
    )
