"""What every test process needs before anything is started from it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, TypeVar

import tests.support.examples  # noqa: F401 - the profile of `make soak`, before pytest asks for it

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

T = TypeVar("T")

LONGEST = (
    ("tests/docs/test_docs.py::test_every_output_is_that_of_a_run",),
    ("tests/pipelines/test_github.py",),
    ("tests/pipelines/test_azure_devops.py",),
    ("tests/cli/interruptions/", "tests/cli/pools/", "tests/cli/", "tests/probe/", "tests/inprocess/"),
    ("tests/project/test_release.py",),
    ("tests/sdks/",),
)
"""What takes longest, longest first. All else is short. A wrong entry costs time and no test.

The entries of a row are mixed: while some tests wait for pools or processes, others compute.
"""

# A shell that starts the tests in the background ignores ^C for them, and each process that a test starts would
# inherit that: it could not be interrupted. A handler of our own is not inherited; such a process has its default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest tests: one that begins last keeps a single worker busy after all others are done."""
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    items[:] = dealt([items[n] for n in longest_first([item.nodeid for item in items])], workers)


def longest_first(names: Sequence[str]) -> list[int]:
    """The places of these tests in the order of ``LONGEST``. Those of one entry keep their order."""
    entries: dict[tuple[int, str], list[int]] = {}
    for n, name in enumerate(names):
        found = ((row, each) for row, mixed in enumerate(LONGEST) for each in mixed if name.startswith(each))
        entries.setdefault(next(found, (len(LONGEST), "")), []).append(n)
    # Each entry of a row is spread evenly over the row, and begins a little after its start: not all of them at once.
    placed = [(row, (n + 1) / (len(own) + 1), own[n]) for (row, _), own in entries.items() for n in range(len(own))]
    return [n for *_, n in sorted(placed)]


def dealt(items: Sequence[T], workers: int) -> list[T]:
    """The items in such an order that each worker begins with its share of the first ones.

    Each worker of pytest-xdist gets one contiguous part of the list, and others steal from the end of that part.
    Without this the first worker would get all of the longest tests, one after the other. The later parts have one
    item more where the items do not divide evenly.
    """
    parts = [items[first::workers] for first in reversed(range(workers))]
    return [item for part in parts for item in part]
