"""`make image`: build the image with what is here, and print its size by parts."""

import argparse
import sys
from pathlib import Path

from tools.image import engines
from tools.image.command import ToolError, run, say
from tools.image.commit import this_commit
from tools.image.engines import Storage

TAG = "nicplug:dev"


def main() -> int:
    """Build; 1 with what is missing."""
    parser = argparse.ArgumentParser(prog="make image", description=__doc__)
    parser.add_argument("--tag", default=TAG, help=f"name of the image (default: {TAG})")
    parser.add_argument("--archive", type=Path, help="also write it to a file that `docker load` reads")
    options = parser.parse_args()
    try:
        build(tag=options.tag, archive=options.archive)
    except ToolError as error:
        say(str(error))
        return 1
    return 0


def build(*, tag: str, archive: Path | None) -> None:
    """Build with Docker, or with buildah where there is no Docker engine.

    Raises:
        ToolError: neither can; the text says why.
    """
    lack = engines.docker_missing()
    if not lack:
        engines.with_docker(tag=tag, commit=this_commit())
        if archive is not None:
            run(["docker", "save", f"--output={archive}", tag])
        print(run(["docker", "history", tag]))
        return
    if other := engines.buildah_missing():
        raise ToolError(f"no image can be built. Docker: {lack}. buildah: {other}")
    storage = Storage(root=engines.cache() / "storage")
    engines.with_buildah(tag=tag, commit=this_commit(), storage=storage)
    if archive is not None:
        engines.save(tag=tag, archive=archive, storage=storage)
    print(engines.sizes(tag=tag, storage=storage))


if __name__ == "__main__":
    sys.exit(main())
