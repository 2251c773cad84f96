"""Beside which versions of KubeVirt nicplug acts."""

import pytest

from nicplug.model.kubevirt_versions import remedy_for, why_only_report


@pytest.mark.parametrize(
    ("version", "allowed", "reason"),
    [
        ("v1.4.0", "", ""),
        ("v1.9.0", "", ""),
        ("1.9.3", "", ""),
        ("v1.9.0-alpha.0.12+3f2a", "", ""),
        ("v1.10.0", "", "KubeVirt 1.10 is newer than 1.9, the newest that nicplug knows"),
        ("v1.10.0", "1.10", ""),
        ("v1.10.4-rc.1", "1.10", ""),
        ("v1.11.0", "1.10", "KubeVirt 1.11 is newer than 1.9, the newest that nicplug knows"),
        ("v2.0.0", "", "KubeVirt 2.0 is newer than 1.9, the newest that nicplug knows"),
        ("v1.3.1", "", "KubeVirt 1.3 is older than 1.4, the oldest that nicplug knows"),
        ("v1.3.1", "1.3", "KubeVirt 1.3 is older than 1.4, the oldest that nicplug knows"),
        ("v0.59.2", "", "KubeVirt 0.59 is older than 1.4, the oldest that nicplug knows"),
        ("", "", "KubeVirt has not reported its version (status.observedKubeVirtVersion of the KubeVirt CR)"),
        ("devel", "", 'KubeVirt reports the version "devel", which nicplug cannot compare'),
        ("v1.99999.0", "", 'KubeVirt reports the version "v1.99999.0", which nicplug cannot compare'),
    ],
)
def test_beside_an_unknown_version_it_only_reports(version: str, allowed: str, reason: str) -> None:
    assert why_only_report(version, allowed=allowed) == reason


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        ("v1.10.0", "Upgrade nicplug, or let it act beside this version: --allow-kubevirt-version 1.10"),
        ("v1.9.0", ""),
        ("v1.3.0", ""),
        ("", ""),
    ],
)
def test_only_a_newer_version_can_be_allowed(version: str, remedy: str) -> None:
    assert remedy_for(version) == remedy
