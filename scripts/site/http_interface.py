"""The page of the simulator's HTTP interface: every route that the running application has, with its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from starlette.routing import BaseRoute, Mount, Route

from batch_os_provider.simulator.app import build
from batch_os_provider.simulator.protocol import operations
from batch_os_provider.simulator.world.clock import VirtualClock
from batch_os_provider.simulator.world.world import World
from scripts.site.text import cell, paragraphs

HEADINGS = {
    "/_simulator": "Control",
    "/_simulator/identity": "Sign-in",
    "/subscriptions": "Azure Resource Manager",
}
"""The parts of the application, in the order of the page; what is not here is Batch."""
INTRO = {
    "/_simulator": "Batch does not have these. JSON; PUT takes what GET gives; a refusal is a 400 with one sentence. "
    "They need no key and are not in the audit.",
    "/_simulator/identity": "Endpoints that give tokens to principals, by the protocols of App Service, Entra, GitHub "
    "Actions and Azure Pipelines.",
    "/subscriptions": "The part that lists versions of images. It wants a token of its own audience.",
}


def page() -> str:
    """The page."""
    mounts = {
        each.path: each
        for each in build(World(VirtualClock(0, speed=0)), {}, lambda: None).routes
        if isinstance(each, Mount)
    }
    unknown = {*mounts} - {*HEADINGS, ""}
    if unknown:
        raise LookupError(f"the simulator has routes below {', '.join(sorted(unknown))}, which the page does not name")
    parts = [
        "# The simulator's HTTP interface",
        "`batch-simulator` prints its address in its first line. Guide: [the simulator](../simulator.md).",
    ]
    for path, heading in HEADINGS.items():
        parts += [f"## {heading}", INTRO[path], _table(path, mounts[path].routes)]
    built = [each for each in operations.OPERATIONS if each.implemented]
    rows = [f"| `{each.method} {each.path}` | `{each.id}` |" for each in built]
    parts += [
        "## Batch",
        "At the root, as in Batch. [Parity](../parity.md) says which client has proven what. Any other answers 501.",
        "\n".join(["| Request | Operation |", "|---|---|", *rows]),
    ]
    return "\n\n".join([*parts, ""])


def _table(path: str, routes: Iterable[BaseRoute]) -> str:
    rows = []
    for each in routes:
        if isinstance(each, Route):
            method = "/".join(sorted((each.methods or set()) - {"HEAD"}))
            text = paragraphs(inspect.getdoc(each.endpoint) or "").partition("\n\n")[0]
            rows.append(f"| `{method} {path}{each.path}` | {cell(text)} |")
    return "\n".join(["| Request | What it does |", "|---|---|", *rows])
