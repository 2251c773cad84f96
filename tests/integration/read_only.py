"""Somebody whose kubeconfig lets them look at everything, and change nothing."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.integration.conftest import Sandbox
from tests.integration.kubectl import Kubectl

from nicplug_sandbox.operator_process import NAMESPACE, service_account_kubeconfig

READER = "reader"
ACCOUNT = f"{NAMESPACE}:{READER}"


@contextlib.contextmanager
def reading_only(sandbox: Sandbox) -> Iterator[Path]:
    """Their kubeconfig; the account and its rights go at the end."""
    kubectl = Kubectl(kubeconfig=sandbox.admin)
    kubectl("create", "clusterrole", READER, "--verb=get,list,watch", "--resource=*.*")
    kubectl("create", "serviceaccount", READER, f"--namespace={NAMESPACE}")
    kubectl("create", "clusterrolebinding", READER, f"--clusterrole={READER}", f"--serviceaccount={ACCOUNT}")
    try:
        yield service_account_kubeconfig(
            admin=sandbox.admin, path=sandbox.directory / f"{READER}.kubeconfig", name=READER
        )
    finally:
        kubectl("delete", f"clusterrolebinding/{READER}", f"clusterrole/{READER}")
        kubectl("delete", "serviceaccount", READER, f"--namespace={NAMESPACE}")
