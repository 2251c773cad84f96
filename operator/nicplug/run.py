"""Runs one operator: connects, chooses the mode that fits the cluster, and builds the rest."""

import os
import threading

from nicplug.app import App
from nicplug.choose_mode import choose_mode
from nicplug.kube.connect import connect
from nicplug.obs.metrics import OperatorMetrics
from nicplug.settings import Settings

_LINGER_SECONDS = 2.0


def _exit_soon(code: int) -> None:
    """End the process whatever its event loop still waits for: the supervisor waits for the exit."""
    timer = threading.Timer(_LINGER_SECONDS, os._exit, (code,))
    timer.daemon = True
    timer.start()


async def run_operator(settings: Settings) -> None:
    """Connect, choose the mode, and run one operator.

    Raises:
        ConfigError: the configuration does not lead to an API server.
        RivalError: the cluster is not one for the mode that was asked for.
    """
    metrics = OperatorMetrics()
    connection = await connect(
        kubeconfig=settings.kubeconfig,
        on_response=metrics.requested,
        kubevirt_namespace=settings.kubevirt_namespace,
    )
    mode = None
    try:
        mode = await choose_mode(settings=settings, connection=connection, metrics=metrics)
    finally:
        if mode is None:
            await connection.close()
    if mode is not None:
        app = App(settings=settings, connection=connection, metrics=metrics, mode=mode, exit_soon=_exit_soon)
        await app.run()
