"""Whether what is exported is what the catalogue declares."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from nicplug.obs.catalogue import FAMILIES
from nicplug.obs.families import OTHER, Family, MetricType

BY_NAME = {family.name: family for family in FAMILIES}
# Of the process and of Python, by the library.
NOT_OURS = ("process_", "python_")


def family_of(sample: str) -> Family:
    """The declared family that a sample belongs to."""
    return BY_NAME.get(sample) or BY_NAME[sample.rpartition("_")[0]]


def undeclared(registry: CollectorRegistry) -> Iterator[str]:
    """The series whose labels, or their values, are not in the catalogue."""
    for metric in registry.collect():
        for sample in metric.samples:
            if sample.name.startswith(NOT_OURS):
                continue
            family = family_of(sample.name)
            declared = {label.name: {*label.values, OTHER} for label in family.labels}
            if family.type is MetricType.HISTOGRAM and sample.name.endswith("_bucket"):
                declared["le"] = {*map(str, map(float, family.buckets)), "+Inf"}
            if family.name == "nicplug_build_info":
                declared["version"] = {sample.labels["version"]}
            if sample.labels.keys() != declared.keys() or any(
                value not in declared[name] for name, value in sample.labels.items()
            ):
                yield f"{sample.name}{sample.labels}"
