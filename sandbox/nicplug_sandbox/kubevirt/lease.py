"""virt-controller's Lease: by it others tell that somebody works.

There is one stand-in, so it takes the Lease at once; KubeVirt's second replica waits until it has expired.
"""

import asyncio
import logging
import os
from datetime import UTC, datetime

import aiohttp

from nicplug_sandbox.node.api import LEASES, MERGE_PATCH, Api, ApiError

NAME = "virt-controller"
NAMESPACE = "kubevirt"
# As KubeVirt renews it (client-go's defaults).
DURATION_SECONDS = 15
RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


async def keep_lease(api: Api) -> None:
    """Hold the Lease until cancelled; an API server that does not answer is asked again."""
    holder = f"virt-controller-{os.getpid()}"
    while True:
        try:
            await _renew(api, holder=holder)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            log.warning("the Lease is not renewed: %s", error)
        await asyncio.sleep(RETRY_SECONDS)


async def _renew(api: Api, *, holder: str) -> None:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": holder, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": moment}
    try:
        await api.patch(LEASES, {"spec": spec}, name=NAME, namespace=NAMESPACE, content_type=MERGE_PATCH)
    except ApiError as error:
        if not error.is_gone:
            raise
        body = {"metadata": {"name": NAME}, "spec": {**spec, "acquireTime": moment}}
        await api.create(LEASES, body, namespace=NAMESPACE)
