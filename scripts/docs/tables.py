"""Tables of the pages, from the code that they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batch_os_provider.cli.comment.fail_on import MEANINGS
from batch_os_provider.engine.seams import SEAMS
from batch_os_provider.simulator.state.seed_fields import FIELDS
from batch_os_provider.simulator.world.unknowns import ROWS as UNKNOWNS
from tests.simulator.protocol.golden_table import golden_table


def unknowns_table() -> str:
    """The switches for what is not known of the service."""
    rows = ["| Switch | Default | Other values | What is known, and why this default |", "|---|---|---|---|"]
    for row in UNKNOWNS:
        others = ", ".join(f"`{value}`" for value in row.allowed if value != row.default)
        why = row.why.replace("*", r"\*")
        rows.append(f"| `{row.name}` | `{row.default}` | {others} | {why} |")
    return "".join(f"{row}\n" for row in rows)


def seams_table() -> str:
    """What a user loses without each seam."""
    rows = ("| Seam | Without it |", "|---|---|", *(f"| {seam.name} | {seam.without} |" for seam in SEAMS))
    return "".join(f"{row}\n" for row in rows)


def seed_table() -> str:
    """The fields of a seed of the simulator."""
    rows = (
        "| In | Field | Means |",
        "|---|---|---|",
        *(f"| {at} | `{name}` | {means} |" for at, name, means in FIELDS),
    )
    return "".join(f"{row}\n" for row in rows)


def fail_on_table() -> str:
    """The words of --fail-on."""
    rows = ("| Word | Stops at |", "|---|---|", *(f"| `{word}` | {text} |" for word, text in MEANINGS.items()))
    return "".join(f"{row}\n" for row in rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "golden": golden_table,
    "unknowns": unknowns_table,
    "seams": seams_table,
    "fail-on": fail_on_table,
    "seed": seed_table,
}
