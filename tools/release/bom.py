"""The image's bill of materials, as CycloneDX: what is pinned, with its hashes, licences and who needs whom.

Made from the pins, not from an image: it is the same on every machine, and says what every architecture's image has.
Licences and dependencies are those that the installed packages declare, which are of the pinned versions.
"""

import importlib.metadata
import re
import tomllib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from tools.image.commit import ROOT, Commit

PINS = ROOT / "requirements" / "operator.txt"
DOCKERFILE = ROOT / "Dockerfile"
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_BASE = re.compile(
    r"^ARG BASE=(?P<repository>[\w./-]+):(?P<tag>[\w.-]+)@(?P<digest>sha256:[0-9a-f]{64})$", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package of the image.

    Attributes:
        hashes: SHA-256 of each file that pip may take for it.
    """

    name: str
    version: str
    hashes: tuple[str, ...]


def pins(text: str) -> tuple[Pin, ...]:
    """The packages of a file of pins, in its order."""
    return tuple(_pins(text))


def _pins(text: str) -> Iterator[Pin]:
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE):
        if match := _PIN.match(block):
            yield Pin(name=match[1], version=match[2], hashes=tuple(sorted(_HASH.findall(block))))


def bill(commit: Commit) -> str:
    """The document, as JSON of CycloneDX 1.6; equal for equal commits.

    Raises:
        ValueError: the Dockerfile does not pin its base by digest.
        importlib.metadata.PackageNotFoundError: a pinned package is not installed here.
    """
    packages = {pin.name: _package(pin) for pin in pins(PINS.read_text())}
    image, base = _image(commit), _base(DOCKERFILE.read_text())
    bom = Bom(components=[base, *packages.values()])
    bom.metadata.component = image
    bom.metadata.timestamp = datetime.fromtimestamp(commit.epoch, UTC)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"nicplug:{commit.version}:{commit.revision}")
    needed = {name: [found for found in needs(name) if found in packages] for name in packages}
    for name, component in packages.items():
        bom.register_dependency(component, [packages[other] for other in needed[name]])
    bom.register_dependency(image, [base, *(packages[name] for name in direct())])
    text = make_outputter(bom, output_format=OutputFormat.JSON, schema_version=SchemaVersion.V1_6).output_as_string(
        indent=2
    )
    return text + "\n"


def direct() -> list[str]:
    """The packages that pyproject.toml names, normalised."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return _names(project["dependencies"])


def needs(name: str) -> list[str]:
    """The packages that one names as its dependencies, without extras, normalised."""
    return _names(row for row in importlib.metadata.requires(name) or [] if "extra ==" not in row)


def _names(requirements: Iterable[str]) -> list[str]:
    matches = (re.match(r"[\w.-]+", row) for row in requirements)
    return sorted({re.sub(r"[-_.]+", "-", match[0]).lower() for match in matches if match})


def licence(metadata: Mapping[str, str]) -> str:
    """What a package says about its licence: an SPDX expression where it has one, else its own words.

    Args:
        metadata: its core metadata; of classifiers only the last one counts.
    """
    for key in ("License-Expression", "License"):
        if found := metadata.get(key, ""):
            return found.splitlines()[0]
    return metadata.get("Classifier", "").rpartition(" :: ")[2]


def _package(pin: Pin) -> Component:
    metadata = importlib.metadata.metadata(pin.name)
    url = PackageURL(type="pypi", name=pin.name, version=pin.version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=value) for value in pin.hashes]
    files = [
        ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(url.to_string()), hashes=[one])
        for one in hashes
    ]
    classifiers = [row for row in metadata.get_all("Classifier") or [] if row.startswith("License ::")]
    said = {key: metadata[key] for key in ("License-Expression", "License") if metadata[key]}
    words = licence({**said, "Classifier": classifiers[-1] if classifiers else ""})
    return Component(
        type=ComponentType.LIBRARY,
        name=pin.name,
        version=pin.version,
        purl=url,
        bom_ref=url.to_string(),
        licenses=[LicenseFactory().make_from_string(words)],
        external_references=files,
    )


def _base(dockerfile: str) -> Component:
    match = _BASE.search(dockerfile)
    if match is None:
        raise ValueError("Dockerfile: ARG BASE names no image with tag and digest; write REPOSITORY:TAG@sha256:DIGEST")
    name = Path(match["repository"]).name
    url = PackageURL(type="oci", name=name, version=match["digest"], qualifiers={"repository_url": match["repository"]})
    return Component(type=ComponentType.CONTAINER, name=name, version=match["tag"], purl=url, bom_ref=url.to_string())


def _image(commit: Commit) -> Component:
    return Component(
        type=ComponentType.CONTAINER,
        name="nicplug",
        version=commit.version,
        bom_ref="nicplug",
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )
