"""The ConfigMap of Multus's daemon, as the manifest of its thick plugin has it, and the isolation that it asks for.

Source: Multus 4 `deployments/multus-daemonset-thick.yml`, its documentation of `namespaceIsolation`.
"""

import json

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.daemonsets import NAMESPACE, SIMULATED
from nicplug_sandbox.node.mirror import Key

NAME = "multus-daemon-config"
FILE = "daemon-config.json"
KEY = Key(NAMESPACE, NAME)


def config_map() -> Json:
    """The ConfigMap; namespaces are not isolated unless somebody says so in it."""
    config = {
        "chrootDir": "/hostroot",
        "cniVersion": "0.3.1",
        "logLevel": "verbose",
        "logToStderr": True,
        "cniConfigDir": "/host/etc/cni/net.d",
        "multusAutoconfigDir": "/host/etc/cni/net.d",
        "multusConfigFile": "auto",
        "socketDir": "/host/run/multus/",
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {"tier": "node", "app": "multus", SIMULATED: "true"},
        },
        "data": {FILE: json.dumps(config, indent=4)},
    }


def refuses(found: Json | None, *, namespace: str, target: str) -> bool:
    """Multus refuses a pod of `namespace` that asks for a network of namespace `target`.

    Args:
        found: the ConfigMap. The real daemon reads it when it starts; here a change holds at once.
    """
    try:
        config = json.loads((found or {}).get("data", {}).get(FILE, "{}"))
    except ValueError:
        return False
    if not config.get("namespaceIsolation") or target == namespace:
        return False
    return target not in [name.strip() for name in (config.get("globalNamespaces") or "default").split(",")]
