"""Multus and the dynamic networks controller from their projects' own manifests: by commit, checksum and image digest.

Nothing of them is kept in this repository; they are downloaded for a run on kind, and nowhere else.
"""

import hashlib
import re
from dataclasses import dataclass

import urllib3

_SOURCE = "https://raw.githubusercontent.com/k8snetworkplumbingwg"
_IMAGES = "ghcr.io/k8snetworkplumbingwg"
_SECONDS = 30


class WrongManifest(AssertionError):
    """What was downloaded is not what is pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One manifest.

    Attributes:
        daemon_set: that it makes in kube-system.
        url: with the commit.
        sha256: of the file.
        image: that takes the place of the one in it, which has a tag that moves.
    """

    daemon_set: str
    url: str
    sha256: str
    image: str

    def download(self) -> str:
        """The manifest, with the pinned image.

        Raises:
            WrongManifest: its checksum differs, or it could not be had.
        """
        answer = urllib3.PoolManager(retries=3).request("GET", self.url, timeout=_SECONDS)
        if answer.status != 200:
            raise WrongManifest(f"{self.url} answered {answer.status}")
        return self.checked(answer.data)

    def checked(self, content: bytes) -> str:
        """The text of a manifest with the pinned image in place of every other.

        Raises:
            WrongManifest: its checksum differs, or it names no image.
        """
        if (found := hashlib.sha256(content).hexdigest()) != self.sha256:
            raise WrongManifest(f"{self.url} has the checksum {found}, pinned is {self.sha256}")
        text, count = re.subn(r"(?m)^(\s+(?:- )?image:) \S+$", rf"\1 {self.image}", content.decode())
        if not count:
            raise WrongManifest(f"{self.url} names no image")
        return text


MULTUS = Pinned(
    daemon_set="kube-multus-ds",
    url=f"{_SOURCE}/multus-cni/05517e26bc4b5fe8a2058516843a43c8a619de8a/deployments/multus-daemonset-thick.yml",
    sha256="5cb2f95b51704d1e8d4660b7fdd330cd4d2e38a3eddc7143e60ba30787defc57",
    image=f"{_IMAGES}/multus-cni@sha256:2b9671447f3ea4e7e56730843dbf59445b9307246f393b61386b896d56ae51c9",
)
DYNAMIC_NETWORKS_CONTROLLER = Pinned(
    daemon_set="dynamic-networks-controller-ds",
    url=f"{_SOURCE}/multus-dynamic-networks-controller/1ca3cc09c8f6944631f2054bbc58b84a8639ee3d/manifests/"
    "dynamic-networks-controller.yaml",
    sha256="f59ccd53bb2fe3a8552ea08d53d4e3f5566cbd265702654539236b443e681f13",
    image=f"{_IMAGES}/multus-dynamic-networks-controller"
    "@sha256:c7d137a7f4ddd81233b9778d02ae57a496e892ddedf74d49382d86df50ddcc27",
)
