"""Assembles what `nicplug api` serves."""

import time
from dataclasses import dataclass
from typing import Self

from nicplug.apiserver.calls import Handlers
from nicplug.kube.api import ServerApi, WatchingApi
from nicplug.subresources.cluster import NodeSide
from nicplug.subresources.evictions import Evictions
from nicplug.subresources.handlers import Subresources
from nicplug.subresources.knowledge import Knowledge
from nicplug.subresources.objects import Objects
from nicplug.subresources.questions import Questions
from nicplug.subresources.requester import Requesters
from nicplug.subresources.turns import OneAtATime


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The handlers, and the knowledge that they share.

    Attributes:
        evictions: answers the webhook.
        knowledge: has to run while the handlers are called.
    """

    handlers: Handlers
    evictions: Evictions
    knowledge: Knowledge

    @classmethod
    def make(cls, *, api: ServerApi, watching: WatchingApi, kubevirt_namespace: str) -> Self:
        """Assemble the handlers, without a request.

        Args:
            api: for reads and writes.
            watching: for watches, each of which holds a connection.
            kubevirt_namespace: namespace of the KubeVirt CR.
        """
        knowledge = Knowledge(watching, kubevirt_namespace=kubevirt_namespace)
        requesters = Requesters(api)
        subresources = Subresources(Objects(api), knowledge, OneAtATime(), requesters)
        questions = Questions(
            api=api,
            knowledge=knowledge,
            node_side=NodeSide(api, knowledge, time.monotonic),
            requesters=requesters,
            kubevirt_namespace=kubevirt_namespace,
        )
        handlers = {**subresources.handlers(), **questions.handlers()}
        return cls(handlers=handlers, evictions=Evictions(Objects(api), knowledge), knowledge=knowledge)

    def problem(self) -> str:
        """Return why requests cannot be answered yet; "" if they can."""
        return self.knowledge.problem

    def config_version(self) -> str:
        """Return the resourceVersion of the effective KubeVirt CR; "" if there is none."""
        config = self.knowledge.config
        return str(config.resource_version) if config is not None else ""
