"""An event loop in a thread of its own, so that what runs there survives Kopf.

`kopf.operator()` cancels at its end every task that began in its loop after it did: a server in
the same loop would lose the connections it accepted in between, and clients would wait for ever.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs functions and coroutines in its loop; before `start`, functions run where they are called."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; does nothing when it runs."""
        if self._loop is not None:
            return
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread; functions run where they are called again."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, 5)
        self._loop.close()
        self._loop = self._thread = None

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the loop and wait for it, at most 10 s."""
        if self._loop is None or threading.current_thread() is self._thread:
            return function()
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(timeout=10)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` in the loop and await it from another."""
        if self._loop is None:
            coroutine.close()
            raise RuntimeError("the loop is not running: call start() first")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))
