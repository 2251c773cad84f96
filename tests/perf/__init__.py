"""The bench: figures and counts on a real control plane. `make bench`, or `python -m tests.perf.bench --help`."""
