"""Rules about the ports of an interface on the pod network, and about ranges of ports."""

from tests.admission.row import TOGETHER, Json, Row, machine, on_pod, secondary

NICS = "{F}.domain.devices.interfaces"


def tcp(start: int, end: int) -> Json:
    """A range of ports."""
    return {"protocol": "TCP", "start": start, "end": end}


PORTS = (
    Row(
        name="port-name-twice",
        rule="a port name occurs once in an interface",
        text="Duplicate name of the port: http",
        path=f"{NICS}[0].ports[1].name",
        policy=TOGETHER,
        accepted=machine(on_pod(ports=[{"name": "http", "port": 80}, {"port": 80}, {"port": 80, "protocol": "UDP"}])),
        refused=machine(on_pod(ports=[{"name": "http", "port": 80}, {"name": "http", "port": 81}])),
    ),
    Row(
        name="port-name",
        rule="a port name is an IANA service name",
        text="Invalid name of the port: Web",
        path=f"{NICS}[0].ports[0].name",
        policy=TOGETHER,
        accepted=machine(on_pod(ports=[{"name": "web-1", "port": 80}])),
        refused=machine(on_pod(ports=[{"name": "Web", "port": 80}])),
    ),
    Row(
        name="port-zero",
        rule="a port has a number",
        text="Port field is mandatory.",
        path=f"{NICS}[0].ports[0].port",
        policy=TOGETHER,
        accepted=machine(secondary(ports=[{"port": 0}])),
        refused=machine(on_pod(ports=[{"name": "http"}])),
    ),
    Row(
        name="port-range",
        rule="a port is from 1 to 65535",
        text="Port field must be in range 0 < x < 65536.",
        path=f"{NICS}[0].ports[0].port",
        policy=TOGETHER,
        accepted=machine(on_pod(ports=[{"port": 65535}])),
        refused=machine(on_pod(ports=[{"port": 65536}])),
    ),
    Row(
        name="port-protocol",
        rule="a protocol is TCP, UDP or empty",
        text="Unknown protocol, only TCP or UDP allowed",
        path=f"{NICS}[0].ports[0].protocol",
        policy=TOGETHER,
        accepted=machine(on_pod(ports=[{"port": 53, "protocol": "UDP"}])),
        refused=machine(on_pod(ports=[{"port": 53, "protocol": "SCTP"}])),
    ),
    Row(
        name="ports-and-ranges",
        rule="ports or ranges of ports",
        text="Cannot define both ports and portRanges on interface",
        path=f"{NICS}[0].name",
        policy=TOGETHER,
        accepted=machine(on_pod(portRanges=[tcp(80, 90)])),
        refused=machine(on_pod(ports=[{"port": 22}], portRanges=[tcp(80, 90)])),
    ),
    Row(
        name="no-ports-and-ranges",
        rule="no `ports` beside ranges, also no empty list",
        text="Cannot define both ports and portRanges on interface",
        path=f"{NICS}[0].name",
        policy=TOGETHER,
        accepted=machine(secondary(ports=[], portRanges=[tcp(80, 90)])),
        refused=machine(on_pod(ports=[], portRanges=[tcp(80, 90)])),
    ),
    Row(
        name="ranges-masquerade",
        rule="ranges of ports are for masquerade",
        text="portRanges are only supported on masquerade interfaces",
        path=f"{NICS}[0].name",
        policy=TOGETHER,
        accepted=machine(secondary(portRanges=[tcp(22, 22)])),
        refused=machine(on_pod(bindings="passtBinding", portRanges=[tcp(80, 90)])),
    ),
    Row(
        name="eleven-ranges",
        rule="ten ranges of ports at most",
        text="No more than 10 portRanges are allowed",
        path=f"{NICS}[0].portRanges",
        accepted=machine(on_pod(portRanges=[tcp(10 * n, 10 * n + 9) for n in range(1, 11)])),
        refused=machine(on_pod(portRanges=[tcp(10 * n, 10 * n + 9) for n in range(1, 12)])),
    ),
    Row(
        name="range-protocol",
        rule="the protocol of a range is TCP or UDP",
        text="Unknown protocol, only TCP or UDP allowed",
        path=f"{NICS}[0].portRanges[0].protocol",
        accepted=machine(on_pod(portRanges=[{"protocol": "UDP", "start": 80, "end": 90}])),
        refused=machine(on_pod(portRanges=[{"protocol": "SCTP", "start": 80, "end": 90}])),
    ),
    Row(
        name="range-without-protocol",
        rule="a range has a protocol",
        text="Unknown protocol, only TCP or UDP allowed",
        path=f"{NICS}[0].portRanges[1].protocol",
        accepted=machine(on_pod(portRanges=[tcp(80, 90)])),
        refused=machine(on_pod(portRanges=[tcp(80, 90), {"start": 100, "end": 110}])),
    ),
    Row(
        name="range-start",
        rule="the first port of a range is from 1 to 65535",
        text="Start must be a valid port number, 0 < x < 65536",
        path=f"{NICS}[0].portRanges[0].start",
        accepted=machine(on_pod(portRanges=[])),
        refused=machine(on_pod(portRanges=[{"protocol": "TCP", "end": 90}])),
    ),
    Row(
        name="range-end",
        rule="the last port of a range is from 1 to 65535",
        text="End must be a valid port number, 0 < x < 65536",
        path=f"{NICS}[0].portRanges[0].end",
        accepted=machine(on_pod(portRanges=[tcp(1, 65535)])),
        refused=machine(on_pod(portRanges=[tcp(80, 65536)])),
    ),
    Row(
        name="range-backwards",
        rule="a range begins before it ends",
        text="Start must be less than or equal to end",
        path=f"{NICS}[0].portRanges[0].start",
        accepted=machine(on_pod(portRanges=[tcp(80, 80)])),
        refused=machine(on_pod(portRanges=[tcp(90, 80)])),
    ),
    Row(
        name="ranges-overlap",
        rule="ranges of one protocol do not overlap",
        text="TCP portRanges [80-200] and [150-300] overlap",
        path=f"{NICS}[0].portRanges",
        accepted=machine(on_pod(portRanges=[tcp(80, 200), {"protocol": "UDP", "start": 150, "end": 300}])),
        refused=machine(on_pod(portRanges=[tcp(80, 200), tcp(150, 300)])),
    ),
)
