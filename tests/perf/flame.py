"""What the operator spends its CPU on, from the samples of `sampler.py`."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# First match wins, from the innermost frame outwards: who caused the work, not who carried it out.
AREAS: tuple[tuple[str, str], ...] = (
    ("nicplug/plan/", "nicplug: plan"),
    ("nicplug/model/", "nicplug: model (parse)"),
    ("nicplug/cache/", "nicplug: cache"),
    ("nicplug/obs/", "nicplug: logs, metrics"),
    ("structlog/", "nicplug: logs, metrics"),
    ("nicplug/reconcile/", "nicplug: reconcile"),
    ("nicplug/kube/", "nicplug: requests (own layer)"),
    ("kubernetes/", "kubernetes.aio"),
    ("kopf/", "Kopf"),
    ("aiohttp/", "aiohttp"),
    ("asyncio/", "asyncio, TLS"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One row of a profile; `share` is of all samples of the window."""

    name: str
    samples: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Samples of one window of time.

    Attributes:
        areas: where the work was caused; sums up to 1.
        functions: by inclusive time; does not sum up, callers contain callees.
        lines: by own time, C calls included.
    """

    samples: int
    areas: tuple[Share, ...]
    functions: tuple[Share, ...]
    lines: tuple[Share, ...]


def profile(path: Path, *, window: tuple[float, float], top: int = 25) -> Profile:
    """Summarise the samples that were taken between two moments, in seconds since the epoch."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    inside = [(row["stack"], row["samples"]) for row in rows if window[0] <= row["second"] <= window[1]]
    total = sum(count for _, count in inside)
    return Profile(
        samples=total,
        areas=_ranked(((_area(stack), count) for stack, count in inside), total=total, top=len(AREAS) + 1),
        functions=_ranked(((name, count) for stack, count in inside for name in set(stack)), total=total, top=top),
        lines=_ranked(((stack[0], count) for stack, count in inside if stack), total=total, top=top),
    )


def _area(stack: Sequence[str]) -> str:
    for frame in stack:
        for prefix, area in AREAS:
            if frame.startswith(prefix):
                return area
    return "other"


def _ranked(items: Iterable[tuple[str, int]], *, total: int, top: int) -> tuple[Share, ...]:
    counts: Counter[str] = Counter()
    for name, count in items:
        counts[name] += count
    return tuple(Share(name=name, samples=n, share=n / max(total, 1)) for name, n in counts.most_common(top))
