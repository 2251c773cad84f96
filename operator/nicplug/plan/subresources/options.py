"""The gate and the body of a request to add or remove a NIC: the checks before any object is looked at, in KubeVirt's
order and words.

Source: KubeVirt 1.0 `pkg/virt-api/rest/interfacehotplug.go`.
"""

from enum import Enum

from nicplug.model.interface_requests import (
    NAME_OPTION,
    NETWORK_OPTION,
    AddInterface,
    InterfaceRequest,
    RemoveInterface,
)
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.plan.subresources.answers import Answer, bad_request
from nicplug.plan.subresources.go_options import Body, GoType, options_of, problem_of

GATE_IS_OFF = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
_UNREADABLE = "cannot unmarshal Request body to struct, error: "


class Verb(Enum):
    """The subresource; the value is its name in the path."""

    ADD = "addinterface"
    REMOVE = "removeinterface"


def read_request(verb: Verb, body: Body, *, config: KubevirtConfig | None) -> InterfaceRequest | Answer:
    """What is asked for; or the answer, when nobody need look at any object for it.

    Args:
        config: the KubeVirt CR; None when there is none, and then no gate is on.
    """
    if config is None or not config.hotplug_enabled:
        return bad_request(GATE_IS_OFF)  # KubeVirt says Add to a removal as well
    # KubeVirt's next check, "no request body, unable to decode options", never fails over HTTP: Go's server hands on an
    # empty body where there is none, and KubeVirt reads that as `{}`.
    struct = "AddInterfaceOptions" if verb is Verb.ADD else "RemoveInterfaceOptions"
    names = (NETWORK_OPTION, NAME_OPTION) if verb is Verb.ADD else (NAME_OPTION,)
    if problem := problem_of(body, struct=struct, members=dict.fromkeys(names, GoType.STRING)):
        return bad_request(f"{_UNREADABLE}{problem}")
    options = options_of(body, names)
    name = options.get(NAME_OPTION) or ""
    network = options.get(NETWORK_OPTION) or ""
    request = AddInterface(name=name, network=network) if verb is Verb.ADD else RemoveInterface(name=name)
    return bad_request(request.problem) if request.problem else request
