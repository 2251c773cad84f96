"""What is built: the version, and the commit with its time, from which every time stamp of a release comes."""

import os
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.image.command import run

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One state of the sources.

    Attributes:
        version: of pyproject.toml.
        revision: hash of the commit, with `-dirty` where files differ from it.
        epoch: time of the commit in seconds, or `SOURCE_DATE_EPOCH`.
    """

    version: str
    revision: str
    epoch: int

    @property
    def created(self) -> str:
        """The time as RFC 3339 has it, in UTC."""
        return datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def this_commit() -> Commit:
    """The commit of this checkout.

    Raises:
        ToolError: git is missing, or this is no checkout.
    """
    revision = run(["git", "-C", ROOT, "rev-parse", "HEAD"]).strip()
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or run(["git", "-C", ROOT, "show", "-s", "--format=%ct", "HEAD"])
    changed = run(["git", "-C", ROOT, "status", "--porcelain"]).strip()
    return Commit(version=version(), revision=f"{revision}-dirty" if changed else revision, epoch=int(epoch))


def version() -> str:
    """The version of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])
