"""What a program that adopts pools says, in every language: names, order, comments and the pools that are left out.

Python and YAML are two renderings of one outline (``program_text``, ``yaml_text``). So a program in another language
declares the same resources by the same names, and a stack can move between them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from batch_os_provider.batch.address import is_loopback
from batch_os_provider.cli.adopt.proposal import Declaration, Left
from batch_os_provider.schema import inputs
from batch_os_provider.wording import counted

__all__ = [
    "HEADLINE",
    "Named",
    "Outline",
    "Proposal",
    "Section",
    "comment",
    "labels",
    "outline",
    "resource_names",
    "unique",
]

WIDTH = 88
"""Characters in a line of a comment: the default of Python formatters."""
HEADLINE = "Azure Batch pools and the version that each is kept at, as `batch-os adopt` found them."

Proposal = Declaration | Left


@dataclass(frozen=True)
class Named:
    """A resource of the program: its name, its class, its inputs without the account, and a note or nothing."""

    name: str
    resource: str
    inputs: Mapping[str, str]
    note: str


@dataclass(frozen=True)
class Section:
    """The pools of one account. ``summary`` is a comment above them."""

    endpoint: str
    summary: str
    pools: tuple[Named | Left, ...]

    @property
    def declares(self) -> bool:
        """Whether the program declares a pool of this account."""
        return any(isinstance(each, Named) for each in self.pools)


@dataclass(frozen=True)
class Outline:
    """A program without its language."""

    sections: tuple[Section, ...]

    @property
    def declared(self) -> tuple[Named, ...]:
        """All resources."""
        return tuple(each for section in self.sections for each in section.pools if isinstance(each, Named))


def outline(accounts: Mapping[str, Sequence[Proposal]]) -> Outline:
    """The program for the proposals of each account, by its endpoint."""
    names = resource_names(accounts)
    return Outline(tuple(_section(endpoint, pools, names) for endpoint, pools in accounts.items()))


def _section(endpoint: str, pools: Sequence[Proposal], names: Mapping[str, str]) -> Section:
    kept = sum(isinstance(each, Declaration) for each in pools)
    summary = f"{endpoint}: {kept} of {counted(len(pools), 'pool')} declared" if pools else f"{endpoint}: no pools"
    return Section(
        endpoint,
        summary,
        tuple(
            Named(
                names[each.seen.pool.ref.key],
                each.resource,
                {name: value for name, value in each.inputs.items() if name != inputs.ACCOUNT_ENDPOINT},
                f"{each.note}." if each.note else "",
            )
            if isinstance(each, Declaration)
            else each
            for each in pools
        ),
    )


def comment(text: str, indent: str = "") -> str:
    """Lines of a comment, in Python and in YAML; empty for an empty text."""
    first = f"{indent}# "
    wrapped = textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=first, break_long_words=False, break_on_hyphens=False
    )
    return "".join(f"{line}\n" for line in wrapped)


def resource_names(accounts: Mapping[str, Sequence[Proposal]]) -> dict[str, str]:
    """A name for each pool, by its key: the pool's id, after its account if two accounts have this id."""
    wanted = {}
    for endpoint, pools in accounts.items():
        names = labels(endpoint)
        for each in pools:
            ref = each.seen.pool.ref
            wanted[ref.key] = [ref.pool_id, *(f"{label}-{ref.pool_id}" for label in names)]
    return unique(wanted)


def labels(endpoint: str) -> list[str]:
    """Possible names of an account, from its bare name to its whole address."""
    parts = urlsplit(endpoint)
    host, port = (parts.hostname or "").replace(":", "."), f".{parts.port}" if parts.port else ""
    whole = re.sub(r"[^a-z0-9]+", "-", host + port).strip("-")
    if is_loopback(endpoint):
        return [whole]
    words = host.split(".")
    return [words[0], "-".join(words[:2]), whole]


def unique(wanted: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """For each key its first name that no other key needs, ignoring case; with a number if all are taken."""
    level = dict.fromkeys(wanted, 0)
    longest = max((len(names) for names in wanted.values()), default=0)
    for _ in range(longest):
        taken: dict[str, list[str]] = {}
        for key, names in wanted.items():
            taken.setdefault(names[level[key]].lower(), []).append(key)
        for keys in taken.values():
            if len(keys) > 1:
                for key in keys:
                    level[key] = min(level[key] + 1, len(wanted[key]) - 1)
    chosen: dict[str, str] = {}
    for key, names in wanted.items():
        name, number = names[level[key]], 2
        while name.lower() in {each.lower() for each in chosen.values()}:
            name, number = f"{names[level[key]]}-{number}", number + 1
        chosen[key] = name
    return chosen
