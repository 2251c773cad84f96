"""All rules of admission, as the tests run them and docs/admission.md lists them."""

from tests.admission.interfaces import INTERFACES
from tests.admission.machines import MIGRATING, POLICIES, VIRTUAL_MACHINES
from tests.admission.networks import CLAIMS, PAIRS, SOURCES
from tests.admission.ports import PORTS
from tests.admission.row import Row

SECTIONS: dict[str, tuple[Row, ...]] = {
    "Networks": SOURCES,
    "Networks of resource claims": CLAIMS,
    "Interfaces": INTERFACES,
    "Interfaces and networks together": PAIRS,
    "Ports": PORTS,
    "Virtual machines": VIRTUAL_MACHINES,
    "Migrations": MIGRATING,
    "What depends on the KubeVirt object, on disks, or on what runs already": POLICIES,
}
ROWS: tuple[Row, ...] = tuple(row for rows in SECTIONS.values() for row in rows)
