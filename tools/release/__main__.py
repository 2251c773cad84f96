"""`make release`: write everything that a release has into dist/, with checksums."""

import argparse
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tools.image import engines
from tools.image.command import ToolError, say
from tools.image.commit import ROOT, Commit, this_commit
from tools.image.engines import Storage
from tools.release.archives import SUMS, checksums, compress
from tools.release.parts import write_parts

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def main() -> int:
    """Write it; 1 with what is missing."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="emptied first (default: dist)")
    parser.add_argument("--without-image", action="store_true", help="leave the image archive out")
    options = parser.parse_args()
    try:
        commit = this_commit()
        if commit.revision.endswith("-dirty"):
            raise ToolError("files differ from the commit: commit or stash them, a release is made of a commit")
        release(folder=options.output, commit=commit, with_image=not options.without_image)
    except (ToolError, ValueError) as error:
        say(str(error))
        return 1
    return 0


def release(*, folder: Path, commit: Commit, with_image: bool) -> None:
    """Write the parts, the image where it can be built, and the checksums of all.

    Raises:
        ToolError: a program failed.
        ValueError: as `write_parts`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = write_parts(folder=folder, commit=commit)
    if with_image:
        files += image(folder=folder, commit=commit)
    sums = checksums(files)
    (folder / SUMS).write_text(sums)
    print(sums, end="")


def image(*, folder: Path, commit: Commit) -> list[Path]:
    """The image of this machine's architecture as an archive; nothing, with the reason, where none can be built.

    Raises:
        ToolError: the build failed.
    """
    architecture = _MACHINES.get(platform.machine(), platform.machine())
    target = folder / f"nicplug-{commit.version}-image-linux-{architecture}.tar.gz"
    tag = f"nicplug:{commit.version}"
    with tempfile.TemporaryDirectory(prefix="nicplug-release-") as temporary:
        plain = Path(temporary) / "image.tar"
        if not (docker := engines.docker_missing()):
            engines.archive_with_docker(tag=tag, commit=commit, archive=plain)
        elif not (other := engines.buildah_missing()):
            storage = Storage(root=engines.cache() / "storage")
            engines.with_buildah(tag=tag, commit=commit, storage=storage)
            engines.save(tag=tag, archive=plain, storage=storage)
        else:
            say(f"RELEASE WITHOUT IMAGE ARCHIVE. Docker: {docker}. buildah: {other}")
            return []
        compress(plain, target)
    return [target]


if __name__ == "__main__":
    sys.exit(main())
