"""What keeps pods from starting: a quota, an image, and a controller that only seems not to be ready."""

import random

from tests.sim.cluster import NODES, Cluster
from tests.sim.dynamic_controller import set_ready


def toggle_quota(cluster: Cluster, _: random.Random) -> None:
    """No more pods may be made, or they may again."""
    cluster.is_quota_reached = not cluster.is_quota_reached
    cluster.say(f"admin: the quota is {'reached' if cluster.is_quota_reached else 'raised'}")


def toggle_images(cluster: Cluster, randomness: random.Random) -> None:
    """A node can pull no image, or can again."""
    node = randomness.choice(list(cluster.machines))
    machine = cluster.machines[node]
    machine.pulls_images = not machine.pulls_images
    cluster.say(f"{node} {'pulls images' if machine.pulls_images else 'pulls no image'}")


def toggle_operators(cluster: Cluster, _: random.Random) -> None:
    """Every operator is stopped, or started."""
    cluster.is_unattended = not cluster.is_unattended
    cluster.say(f"admin: the operators are {'stopped' if cluster.is_unattended else 'started'}")


def toggle_room(cluster: Cluster, randomness: random.Random) -> None:
    """A node is full, or has room again."""
    node = randomness.choice(list(cluster.machines))
    machine = cluster.machines[node]
    machine.has_room = not machine.has_room
    cluster.say(f"{node} {'has room' if machine.has_room else 'is full'}")


def toggle_readiness(cluster: Cluster, randomness: random.Random) -> None:
    """The dynamic networks controller of a node says that it is not ready, or that it is."""
    node = randomness.choice([node["metadata"]["name"] for node in cluster.all(NODES)])
    set_ready(cluster, node, is_ready=randomness.random() < 0.5)


def let_pods_start(cluster: Cluster) -> None:
    """End what `toggle_quota`, `toggle_images`, `toggle_room` and `toggle_operators` began."""
    cluster.is_quota_reached = cluster.is_unattended = False
    for machine in cluster.machines.values():
        machine.pulls_images = machine.has_room = True
