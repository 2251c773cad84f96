"""Run a module under a sampling profiler: `python -P tests/perf/sampler.py OUT MODULE [ARGUMENT...]`.

Every few milliseconds of CPU time (user and system, by SIGPROF; the kernel's tick sets how many, 4 ms is
usual) the stack of the main thread is noted with the time of day, so that the samples of one scenario can be
told from those of another. Time in C, such as TLS or JSON, counts for the Python function that called it.
cProfile, which traces every call, costs far more and falsifies asyncio code. Writes JSON lines at the end:
`{"second": ..., "stack": [...], "samples": n}`, innermost frame first.
"""

import atexit
import json
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_SECONDS = 0.002
DEPTH = 80

Stack = tuple[str, ...]


def main() -> None:
    """Profile the module named on the command line as if it were run with `python -m`."""
    out, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    samples: Counter[tuple[int, Stack]] = Counter()

    def note(_number: int, frame: FrameType | None) -> None:
        samples[(int(time.time()), _stack(frame))] += 1

    def write() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        rows = ({"second": second, "stack": stack, "samples": count} for (second, stack), count in samples.items())
        out.write_text("".join(json.dumps(row) + "\n" for row in rows))

    atexit.register(write)
    signal.signal(signal.SIGPROF, note)
    # A system call that a sample interrupts goes on by itself.
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _stack(frame: FrameType | None) -> Stack:
    found: list[str] = []
    while frame is not None and len(found) < DEPTH:
        code = frame.f_code
        found.append(f"{_short(code.co_filename)}:{code.co_qualname}")
        frame = frame.f_back
    return tuple(found)


def _short(filename: str) -> str:
    """The path from the package on: no directory of this machine belongs in a report."""
    for root in ("/site-packages/", "/operator/", "/sandbox/"):
        _, found, rest = filename.rpartition(root)
        if found:
            return rest
    parts = Path(filename).parts
    return "/".join(parts[-2:])


if __name__ == "__main__":
    main()
