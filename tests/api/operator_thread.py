"""A whole operator in the test's process, in a thread with a loop of its own.

`kopf.operator()` cancels, when it ends, every task of its loop that began after it: in the test's own
loop that would be the test.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nicplug.app import App
from nicplug.kube.connect import connect
from nicplug.obs.metrics import OperatorMetrics
from nicplug.settings import Settings

# As in a process of its own (`nicplug.run`): Kopf lingers now and then, for minutes even.
_LINGER_SECONDS = 2.0


class OperatorThread:
    """One operator.

    Args:
        kubeconfig: the API server.
        prepare: changes the `App` before it runs, for what only a test can bring about.
        settings: over the defaults of a test.

    Attributes:
        error: what `App.run` raised; None when it returned.
    """

    def __init__(self, *, kubeconfig: Path, prepare: Callable[[App], None] = lambda _: None, **settings: Any) -> None:
        defaults = {"metrics_port": 0, "metrics_address": "127.0.0.1", "leader_election": False}
        self._settings = Settings(kubeconfig=kubeconfig, **{**defaults, **settings})
        self._prepare = prepare
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: App | None = None
        self._made = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self.metrics = OperatorMetrics()
        self.error: BaseException | None = None

    def start(self) -> None:
        """Start it; returns when its `App` exists, long before it works."""
        self._thread.start()
        assert self._made.wait(10)

    def stop(self) -> None:
        """As SIGTERM does, and wait for the end, at most 15 s."""
        if self._thread.is_alive() and self._loop is not None and self._app is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself, and its loop is closed
                self._loop.call_soon_threadsafe(self._app.stop)
        assert self._ended.wait(15), "the operator does not end"

    def freeze(self) -> Callable[[], None]:
        """Let its loop stand still, as under SIGSTOP; call the result to let it go on."""
        go_on = threading.Event()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(go_on.wait, 20)
        return go_on.set

    def sample(self, name: str, **labels: str) -> float | None:
        """A metric as Prometheus would scrape it now; alone where that is possible, as this is asked all the time."""
        registry = self.metrics.registry
        families = list(registry.restricted_registry([name]).collect())
        if not families:  # of a collector of our own, which makes several
            return registry.get_sample_value(name, labels)
        samples = (sample for family in families for sample in family.samples)
        return next((sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)), None)

    @property
    def app(self) -> App:
        """The running application, to look into."""
        assert self._app is not None
        return self._app

    @property
    def works(self) -> bool:
        """Its caches are complete, and it leads."""
        return self.sample("nicplug_leader") == 1.0

    @property
    def generation(self) -> int:
        """Which one of the KubeVirt CR it goes by; 0: none."""
        config = self.app.caches.config()
        return config.generation if config is not None else 0

    @property
    def has_ended(self) -> bool:
        """Its process would be gone."""
        return self._ended.is_set()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.error = error
        finally:
            self._made.set()
            self._ended.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        connection = await connect(
            kubeconfig=self._settings.kubeconfig,
            on_response=self.metrics.requested,
            kubevirt_namespace=self._settings.kubevirt_namespace,
        )
        self._app = App(settings=self._settings, connection=connection, metrics=self.metrics, exit_soon=self._exit_soon)
        self._prepare(self._app)
        self._made.set()
        await self._app.run()

    def _exit_soon(self, _code: int) -> None:
        """A process would be gone then, whatever Kopf still waits for; this thread ends with the tests."""
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._ended.set)


async def eventually(condition: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Wait for something that no event tells about: the state of another thread or process.

    Raises:
        AssertionError: not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about"
        await asyncio.sleep(0.01)
