"""What `nicplug api` serves, put together."""

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
    """The handlers, and what they know.

    Attributes:
        evictions: answers the webhook.
        knowledge: to be run while the handlers are called.
    """

    handlers: Handlers
    evictions: Evictions
    knowledge: Knowledge

    @classmethod
    def make(cls, *, api: ServerApi, watching: WatchingApi, kubevirt_namespace: str) -> Self:
        """Put it together; sends no request.

        Args:
            api: for reads and writes.
            watching: for watches, each of which holds a connection.
            kubevirt_namespace: where the KubeVirt CR lies.
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
        """What keeps requests from being answered; "" for nothing."""
        return self.knowledge.problem

    def config_version(self) -> str:
        """The resourceVersion of the KubeVirt CR that counts; "" when there is none."""
        config = self.knowledge.config
        return str(config.resource_version) if config is not None else ""
