"""Docker and buildah: which of them is here, and what each is asked to do."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.image import debian
from tools.image.command import run, say
from tools.image.commit import ROOT, Commit
from tools.image.wheels import wheels

DOCKERFILE = ROOT / "Dockerfile"
# Debian's packages of the programs, in the words of a skipped test.
PACKAGES = ("buildah", "mmdebstrap")
_DOCKER_SECONDS = 20


def cache() -> Path:
    """The folder shared by all clones of this user, as tools/environment.py has it."""
    chosen = os.environ.get("NICPLUG_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(chosen) if chosen else base / "nicplug") / "image"


def docker_missing() -> str:
    """Why Docker cannot build here, "" when it can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=_DOCKER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"`docker info` did not answer within {_DOCKER_SECONDS} s"
    lines = (asked.stderr.strip() or asked.stdout.strip()).splitlines()
    return "" if asked.returncode == 0 else f"`docker info` failed: {lines[-1] if lines else asked.returncode}"


def buildah_missing(*, packages: tuple[str, ...] = PACKAGES) -> str:
    """Why buildah cannot build here, "" when it can.

    Args:
        packages: of Debian, each with a program of its name.
    """
    if os.geteuid() != 0:
        return "it needs root: it makes a root file system"
    if absent := [name for name in packages if shutil.which(name) is None]:
        return f"no {', '.join(absent)}; on Debian: apt-get install --no-install-recommends {' '.join(packages)}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where buildah and podman keep images: a folder of ours, so that the system's stays as it is."""

    root: Path

    @property
    def options(self) -> list[str]:
        """Of both programs, before the command."""
        return [f"--root={self.root}", f"--runroot={self.root}-run", "--storage-driver=overlay"]


def build_arguments(commit: Commit) -> list[str]:
    """What the labels are made of."""
    values = {"VERSION": commit.version, "REVISION": commit.revision, "CREATED": commit.created}
    return [f"--build-arg={name}={value}" for name, value in values.items()]


def with_docker(*, tag: str, commit: Commit) -> None:
    """Build on the pinned bases, for this machine's architecture.

    Raises:
        ToolError: as `run`.
    """
    epoch = f"--build-arg=SOURCE_DATE_EPOCH={commit.epoch}"
    run(["docker", "build", f"--tag={tag}", *build_arguments(commit), epoch, ROOT], seconds=1800)


def archive_with_docker(*, tag: str, commit: Commit, archive: Path) -> None:
    """Build into a file that Docker, kind and containerd load; equal commits make equal files.

    Raises:
        ToolError: as `run`; also where Buildx runs in the Docker daemon, which cannot set the times of files.
    """
    output = f"--output=type=docker,dest={archive},rewrite-timestamp=true"
    epoch = f"--build-arg=SOURCE_DATE_EPOCH={commit.epoch}"
    options = ["--no-cache", "--provenance=false", f"--tag={tag}", output]
    run(["docker", "buildx", "build", *options, *build_arguments(commit), epoch, ROOT], seconds=1800)


def with_buildah(*, tag: str, commit: Commit, storage: Storage) -> None:
    """Build on the bases of Debian's packages, without a network when both caches are filled.

    Raises:
        ToolError: as `run`.
    """
    folder = cache()
    bases = {base: _base(base, folder=folder, storage=storage, epoch=commit.epoch) for base in _BASES}
    packages = wheels(folder=folder)
    say(f"building {tag} with buildah")
    run(
        [
            *("buildah", *storage.options, "build", "--isolation=chroot", "--network=host", f"--tag={tag}"),
            *("--no-cache", f"--timestamp={commit.epoch}", f"--volume={packages}:/wheels:ro"),
            *("--build-arg=PIP_NO_INDEX=1", "--build-arg=PIP_FIND_LINKS=/wheels"),
            *(f"--build-arg={base.name.upper()}={image}" for base, image in bases.items()),
            *build_arguments(commit),
            *("--file", DOCKERFILE, ROOT),
        ]
    )


_BASES = (debian.RUNTIME, debian.BUILDER)


def _base(base: debian.Base, *, folder: Path, storage: Storage, epoch: int) -> str:
    """The name of a base in the storage, imported when it is not there."""
    image = f"localhost/nicplug-{base.name}:{base.key}"
    known = run(["buildah", *storage.options, "images", "--format={{.Name}}:{{.Tag}}"])
    if image not in known.split():
        path = debian.archive(base, folder=folder, epoch=epoch)
        file = f"FROM scratch\nADD {path.name} /\n"
        run(
            ["buildah", *storage.options, "build", f"--tag={image}", f"--timestamp={epoch}", "--file=-", folder],
            stdin=file.encode(),
        )
    return image


def save(*, tag: str, archive: Path, storage: Storage) -> None:
    """Write an image of buildah's to a file that Docker, kind and containerd load; equal images make equal files.

    Raises:
        ToolError: as `run`.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    target = f"docker-archive:{archive}:docker.io/library/{tag}"
    run(["buildah", *storage.options, "push", "--quiet", f"localhost/{tag}", target])


def sizes(*, tag: str, storage: Storage) -> str:
    """What takes how much of the image, in MB."""
    container = run(["buildah", *storage.options, "from", f"localhost/{tag}"]).strip()
    try:
        root = Path(run(["buildah", *storage.options, "mount", container]).strip())
        app = root / "app"
        packages, own, whole = size(app / "lib"), size(app / "nicplug"), size(root)
    finally:
        run(["buildah", *storage.options, "rm", container])
    rows = {"nicplug": own, "Debian with Python": whole - packages - own, "Python packages": packages, "in all": whole}
    return "\n".join(f"{found / 1e6:6.1f} MB  {name}" for name, found in rows.items())


def size(path: Path) -> int:
    """Bytes of all files below, links not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(size(below) for below in path.iterdir())
