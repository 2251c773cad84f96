"""What the end-to-end tests download is pinned, and a manifest that differs is refused: without a network."""

import hashlib
import re
from dataclasses import replace

import pytest
from tests.e2e.node_networks import DYNAMIC_NETWORKS_CONTROLLER, MULTUS, Pinned, WrongManifest

MANIFEST = b"""\
      containers:
        - name: a
          image: example.com/a:latest
      initContainers:
        - image: example.com/b
"""
PINNED = replace(MULTUS, sha256=hashlib.sha256(MANIFEST).hexdigest(), image="example.com/pinned@sha256:1")


@pytest.mark.parametrize("pinned", [MULTUS, DYNAMIC_NETWORKS_CONTROLLER], ids=lambda pinned: pinned.daemon_set)
def test_everything_is_pinned(pinned: Pinned) -> None:
    assert re.search(r"/[0-9a-f]{40}/", pinned.url)
    assert re.fullmatch(r"[0-9a-f]{64}", pinned.sha256)
    assert re.search(r"@sha256:[0-9a-f]{64}$", pinned.image)


def test_every_image_is_the_pinned_one() -> None:
    text = PINNED.checked(MANIFEST)
    assert re.findall(r"image: (.*)", text) == [PINNED.image] * 2


def test_another_manifest_is_refused() -> None:
    with pytest.raises(WrongManifest, match=r"has the checksum [0-9a-f]{64}, pinned is"):
        PINNED.checked(MANIFEST + b"\n")


def test_a_manifest_without_an_image_is_refused() -> None:
    content = b"kind: Namespace\n"
    with pytest.raises(WrongManifest, match="names no image"):
        replace(PINNED, sha256=hashlib.sha256(content).hexdigest()).checked(content)
