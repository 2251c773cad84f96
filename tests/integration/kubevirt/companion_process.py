"""nicplug beside KubeVirt, as a process: python -m tests.integration.kubevirt.companion_process KUBECONFIG."""

import asyncio
import sys
from pathlib import Path

from nicplug import app
from nicplug.kube.connect import connect
from nicplug.model.mode import Mode
from nicplug.obs.logging import configure_logging
from nicplug.obs.metrics import OperatorMetrics
from nicplug.settings import Settings


async def _nothing(*_: object, **__: object) -> None:
    """The checks of standalone mode refuse a cluster that KubeVirt runs."""


async def _run(kubeconfig: Path) -> None:
    settings = Settings(kubeconfig=kubeconfig, metrics_port=0, log_level="debug", log_format="json")
    configure_logging(level=settings.log_level, format_=settings.log_format)
    metrics = OperatorMetrics()
    connection = await connect(
        kubeconfig=kubeconfig, on_response=metrics.requested, kubevirt_namespace=settings.kubevirt_namespace
    )
    await app.App(settings=settings, connection=connection, metrics=metrics, mode=Mode.COMPANION).run()


if __name__ == "__main__":
    app.check_cluster = _nothing  # type: ignore[assignment]
    asyncio.run(_run(Path(sys.argv[1])))
