"""Renders a story as JSON for programs; docs/cli.md lists the members, which are stable."""

from typing import Any

from nicplug.insight.evidence import Target, Unknown
from nicplug.insight.story import Story


def story_json(story: Story, *, target: Target, unknown: list[Unknown]) -> dict[str, Any]:
    """Return the story of one NIC."""
    return {
        "kind": "NicStory",
        "target": {"namespace": target.namespace, "name": target.name},
        "nic": story.nic.to_json(),
        "meaning": story.meaning or None,
        "waitsFor": story.waits_for or None,
        "since": story.since.isoformat() if story.since is not None else None,
        "todo": story.todo or None,
        "restart": story.restart or None,
        "outdated": story.outdated or None,
        "kubevirtDoes": story.kubevirt or None,
        "nicplugDoes": story.nicplug or None,
        "next": [item.to_json() for item in story.next],
        "moments": [item.to_json() for item in story.moments],
        "unknown": [{"what": item.what, "why": item.why, "remedy": item.remedy} for item in unknown],
    }
