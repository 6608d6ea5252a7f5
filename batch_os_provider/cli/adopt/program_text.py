"""Writes the Pulumi program that adopts pools in Python: an outline in, text out.

People read, review and keep the program, so it reads as if a person had written it: each endpoint once, one resource
for each pool, stable names, and a sentence for each pool that is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from batch_os_provider.cli.adopt.outline import HEADLINE, Named, Outline, comment, labels, unique
from batch_os_provider.schema import inputs

__all__ = ["constants", "python_program"]


def python_program(outline: Outline) -> str:
    """The whole program."""
    endpoints = constants([section.endpoint for section in outline.sections])
    parts = [f'"""{HEADLINE}"""\n']
    if outline.declared:
        parts.append(
            f"from batch_os_provider import {', '.join(sorted({each.resource for each in outline.declared}))}\n"
        )
    used = [section.endpoint for section in outline.sections if section.declares]
    parts += ["".join(f'{endpoints[endpoint]} = "{endpoint}"\n' for endpoint in used)] if used else []
    for section in outline.sections:
        parts.append(comment(section.summary))
        for each in section.pools:
            if isinstance(each, Named):
                parts.append(_resource(each, endpoints[section.endpoint]))
            else:
                parts.append(comment(f"Pool {each.seen.pool.ref.pool_id} is not declared: {each.why}."))
    return "\n".join(parts)


def _resource(pool: Named, constant: str) -> str:
    lines = [f'    "{pool.name}",', f"    {inputs.ACCOUNT_ENDPOINT}={constant},"]
    lines += [f'    {key}="{value}",' for key, value in pool.inputs.items()]
    return f"{comment(pool.note)}{pool.resource}(\n" + "".join(f"{line}\n" for line in lines) + ")\n"


def constants(endpoints: Sequence[str]) -> dict[str, str]:
    """A Python constant for each endpoint: the account's name, and more of the host if two accounts share a name."""
    chosen = unique({each: [re.sub(r"\W", "_", label).upper() for label in labels(each)] for each in endpoints})
    return {each: f"ACCOUNT_{name}" if name[0].isdigit() else name for each, name in chosen.items()}
