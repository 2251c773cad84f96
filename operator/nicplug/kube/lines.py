"""Splits a watch stream into lines of any length; aiohttp's `readline` fails on lines larger than its buffer."""

from collections.abc import AsyncIterator

import aiohttp

from nicplug.kube.errors import Unavailable

# etcd stores no object above 1.5 MiB; JSON and managed fields add less than the same again.
_LONGEST_LINE = 4 * 1024 * 1024


async def lines_of(content: aiohttp.StreamReader, *, request: str) -> AsyncIterator[bytes]:
    """Yield each complete line.

    Raises:
        Unavailable: a line is longer than any object can be.
    """
    begun: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join((*begun, ended[0]))
            begun, size = [], 0
            for line in ended:
                yield line
        begun.append(rest)
        size += len(rest)
        if size > _LONGEST_LINE:
            raise Unavailable(f"a line of the watch is longer than {_LONGEST_LINE} bytes", request=request)
