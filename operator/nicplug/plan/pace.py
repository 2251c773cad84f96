"""How often a large object is written and looked at, so that it never takes more than a small share of the time.

A write costs the API server, every watcher and nicplug itself in proportion to the size of the object: 10 ms for an
ordinary VMI, 0.3 s and more for one of 1.3 MB. So whatever only reports progress waits in proportion to it as well.
An object of up to `LARGE_BYTES`, or with the NICs of an ordinary guest, waits for nothing here (docs/adr/0024).
"""

from datetime import timedelta

from nicplug.elided import LARGE_BYTES

# A write of a megabyte takes some 0.6 s of CPU of all who see it: it may have a fiftieth of a core.
_PAUSE_PER_MEGABYTE = timedelta(seconds=30)
_MEGABYTE = 1_000_000
# The API server stores no object above about 1.5 MB.
_LONGEST_PAUSE = timedelta(seconds=45)
# Each NIC may cause a write, so fewer of them may do so sooner.
_MANY_NICS = 8
# A pass over a VMI takes a third of a millisecond for each of its NICs: ten times as much is for others.
_REST_PER_NIC = timedelta(milliseconds=4)
# Twice as many as a guest of a PC has room for (`model.pci_topology`), so that one of another machine type is ordinary.
_ORDINARY_NICS = 64


def write_pause(stored_bytes: int, *, nics: int) -> timedelta:
    """How long a write that only carries progress waits for company; zero for an ordinary object.

    Args:
        stored_bytes: the size of the object in the API; 0 where it is not large.
        nics: how many NICs there may be something to be said of.
    """
    excess = max(0, stored_bytes - LARGE_BYTES)
    pause = min(_PAUSE_PER_MEGABYTE * (excess / _MEGABYTE), _LONGEST_PAUSE)
    return pause * (min(nics, _MANY_NICS) / _MANY_NICS)


def pass_rest(nics: int) -> timedelta:
    """How long an object with so many NICs is not looked at again after a pass; zero for an ordinary one.

    Whatever happens to it meanwhile is seen by one pass then.
    """
    return _REST_PER_NIC * nics if nics > _ORDINARY_NICS else timedelta(0)
