"""Tables of the pages, from the code that they are about."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from batch_os_provider.cli.comment.fail_on import MEANINGS
from batch_os_provider.engine import seams
from batch_os_provider.simulator.state.seed_fields import FIELDS
from batch_os_provider.simulator.world.unknowns import ROWS as UNKNOWNS


def unknowns_table() -> str:
    """The switches for what is not known of the service."""
    rows = ["| Switch | Default | Other values | What is known, and why this default |", "|---|---|---|---|"]
    for row in UNKNOWNS:
        others = ", ".join(f"`{value}`" for value in row.allowed if value != row.default)
        why = row.why.replace("*", r"\*")
        rows.append(f"| `{row.name}` | `{row.default}` | {others} | {why} |")
    return "".join(f"{row}\n" for row in rows)


def seams_table() -> str:
    """What is lost without each seam, as engine.py's own table has it."""
    _, body, *_ = re.split(r"^=+ +=+$\n", seams.__doc__ or "", flags=re.MULTILINE)
    rows: list[list[str]] = []
    for line in body.splitlines():
        name, text = line[:15].strip(), line[15:].strip()
        if name:
            rows.append([name, text])
        else:
            rows[-1][1] += f" {text}"
    return "".join(f"{row}\n" for row in ("| Seam | Without it |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)))


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
    "unknowns": unknowns_table,
    "seams": seams_table,
    "fail-on": fail_on_table,
    "seed": seed_table,
}
