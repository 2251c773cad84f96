"""The files of a release, but the image: chart, bill of materials, notes."""

import tempfile
from pathlib import Path

from tools.image.command import run, say
from tools.image.commit import ROOT, Commit
from tools.release.archives import normalise
from tools.release.bom import bill
from tools.release.changelog import section

from nicplug_sandbox.build import binary
from nicplug_sandbox.go_programs import HELM

CHART = ROOT / "deploy" / "helm" / "nicplug"
CHANGELOG = ROOT / "CHANGELOG.md"


def write_parts(*, folder: Path, commit: Commit) -> list[Path]:
    """Write them; equal commits give equal files.

    Args:
        folder: exists; files of the same names are replaced.

    Raises:
        ToolError: the chart cannot be packaged.
        ValueError: the changelog or the Dockerfile lacks what a release needs.
    """
    name = f"nicplug-{commit.version}"
    chart, bom, notes = folder / f"{name}.tgz", folder / f"{name}-sbom.cdx.json", folder / f"{name}-notes.txt"
    _chart(chart, commit=commit)
    bom.write_text(bill(commit))
    notes.write_text(section(CHANGELOG.read_text(), version=commit.version))
    return [chart, bom, notes]


def _chart(target: Path, *, commit: Commit) -> None:
    """Helm's own archive, in which the chart's links have become files, without the time of day."""
    with tempfile.TemporaryDirectory(prefix="nicplug-chart-") as temporary:
        version = (f"--version={commit.version}", f"--app-version={commit.version}")
        run([binary(HELM, progress=say), "package", CHART, f"--destination={temporary}", *version])
        (archive,) = Path(temporary).glob("*.tgz")
        normalise(archive, target, epoch=commit.epoch)
