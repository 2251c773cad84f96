"""The image's two bases from Debian's packages, for machines that reach those and no container registry.

The same Debian release and the same Python as the pinned bases of the Dockerfile have, and as little of it: packages
are unpacked and not configured, so that no shell or package manager has to be among them.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.image.command import run, say

SUITE = "trixie"
PYTHON = "3.13"
# What Python's own modules and the wheels link to comes by their dependencies; base-files has /lib and /bin as links.
_RUNTIME = ("python3", "base-files", "libstdc++6", "tzdata")
_BUILDER = (*_RUNTIME, "python3-pip", "dash", "coreutils")
# A user that is not root, and without what nobody reads in a container.
_TRIM = """\
set -e; cd "$1"
printf 'root:x:0:0:root:/root:/sbin/nologin\\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\\n' > etc/passwd
printf 'root:x:0:\\nnonroot:x:65532:\\n' > etc/group
mkdir -p tmp home/nonroot; chmod 1777 tmp; chown 65532:65532 home/nonroot
cd usr/share; rm -rf doc man info lintian locale bug pixmaps applications bash-completion; cd ../..
"""
# Packages depend on what configures them: dpkg, debconf with Perl's modules, awk.
_TRIM_RUNTIME = """\
find usr/bin usr/sbin -mindepth 1 ! -name 'python3*' -delete
rm -rf etc/dpkg etc/cron.daily etc/logrotate.d etc/debconf.conf usr/libexec
cd usr/share; rm -rf perl5 dpkg debconf python3; cd ../..
"""
# pip loads it even where it needs no network; the package makes it when it is configured.
_CERTIFICATES = """\
mkdir -p etc/ssl/certs
cat usr/share/ca-certificates/mozilla/*.crt > etc/ssl/certs/ca-certificates.crt
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """One root file system.

    Attributes:
        name: for tags and messages.
        packages: Debian packages; their dependencies come along.
        trim: what of them is left out, as a script that runs in the root file system.
    """

    name: str
    packages: tuple[str, ...]
    trim: str

    @property
    def command(self) -> list[str]:
        """mmdebstrap without its output. It knows the mirror of a suite by itself."""
        # A container gets devices from its runtime.
        options = ["--variant=extract", "--skip=output/dev", f"--extract-hook={self.trim}"]
        return ["mmdebstrap", *options, f"--include={','.join(self.packages)}"]

    @property
    def key(self) -> str:
        """Changes when something else would be made."""
        return hashlib.sha256("\0".join([*self.command, SUITE]).encode()).hexdigest()[:12]


RUNTIME = Base(name="base", packages=_RUNTIME, trim=_TRIM + _TRIM_RUNTIME)
BUILDER = Base(name="builder", packages=_BUILDER, trim=_TRIM + _CERTIFICATES)


def archive(base: Base, *, folder: Path, epoch: int) -> Path:
    """The root file system as a tar archive, made when `folder` has none.

    Args:
        folder: a cache; deleting it brings newer packages.
        epoch: newest time of a file.

    Raises:
        ToolError: mmdebstrap is missing, or the packages cannot be fetched.
    """
    path = folder / f"{base.name}-{base.key}.tar"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    say(f"making the image's {base.name} from Debian {SUITE}'s packages (once)")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as temporary:
        fresh = Path(temporary) / path.name
        run([*base.command, SUITE, fresh], variables={"SOURCE_DATE_EPOCH": str(epoch)})
        fresh.replace(path)
    return path
