"""Archives that are equal when their contents are: no times, owners or order but the given ones."""

import gzip
import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

SUMS = "SHA256SUMS"


def normalise(source: Path, target: Path, *, epoch: int) -> None:
    """Write a tar.gz archive again: sorted by name, with one time, and root as the owner of everything.

    Args:
        source: an archive of files and directories; links are refused.
        epoch: time of each member in seconds.

    Raises:
        ValueError: it has a member that is neither a file nor a directory.
    """
    plain = io.BytesIO()
    with tarfile.open(source) as old, tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{source.name}: {member.name} is neither a file nor a directory")
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.size, clean.mtime = member.type, member.size, epoch
            clean.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(clean, old.extractfile(member) if member.isfile() else None)
    target.write_bytes(_compressed(plain.getvalue()))


def compress(source: Path, target: Path) -> None:
    """Write a file as gzip, without its name and time in the header."""
    with source.open("rb") as plain, target.open("wb") as raw, _gzip(raw) as packed:
        shutil.copyfileobj(plain, packed, length=1 << 20)


def checksums(files: Iterable[Path]) -> str:
    """What `sha256sum` prints for them in their directory, sorted by name."""
    return "".join(f"{_sha256(path)}  {path.name}\n" for path in sorted(files))


def _compressed(data: bytes) -> bytes:
    raw = io.BytesIO()
    with _gzip(raw) as packed:
        packed.write(data)
    return raw.getvalue()


def _gzip(raw: "io.BufferedIOBase | io.BytesIO") -> gzip.GzipFile:
    return gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
