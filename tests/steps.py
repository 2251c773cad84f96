"""How much work something is, in instructions of the interpreter: the same on every machine."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def count_steps(work: Callable[[], object]) -> int:
    """Do it; loops in comprehensions count, too, and what is written in C counts as one step."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before, was_enabled = sys.gettrace(), gc.isenabled()
    gc.disable()  # it would run the finalizers of what other tests have left
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        if was_enabled:
            gc.enable()
    return count
