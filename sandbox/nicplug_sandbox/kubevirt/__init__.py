"""A stand-in of KubeVirt's virt-controller 1.9, as far as NICs, launcher pods and live migrations go.

KubeVirt's binaries are not to be had from the package registries; this plays them for tests of nicplug beside
KubeVirt. Written from a description of KubeVirt's behaviour, whose sections the tests name, and from nothing of
nicplug. It has KubeVirt's faults too: it is a rival, not a better one.

What a controller decides is a pure function of objects and a moment (`vm`, `vmi`, `migration_*`, `workload_updater`,
`admission`): it returns `writes.Decision`. `controllers` sends them.
"""
