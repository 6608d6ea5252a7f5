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
    "tests/docs/test_docs.py::test_every_output_is_that_of_a_run",
    "tests/pipelines/test_github.py",
    "tests/pipelines/test_azure_devops.py",
    "tests/cli/",
    "tests/probe/",
    "tests/project/test_release.py",
    "tests/sdks/",
    "tests/inprocess/",
)
"""What takes longest, longest first. All else is short. A wrong entry costs time and no test."""

# A shell that starts the tests in the background ignores ^C for them, and each process that a test starts would
# inherit that: it could not be interrupted. A handler of our own is not inherited; such a process has its default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest tests: one that begins last keeps a single worker busy after all others are done."""

    def place(item: pytest.Item) -> int:
        return next((n for n, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    items[:] = dealt(sorted(items, key=place), workers)  # the order within a file stays


def dealt(items: Sequence[T], workers: int) -> list[T]:
    """The items in such an order that each worker begins with its share of the first ones.

    Each worker of pytest-xdist gets one contiguous part of the list, and others steal from the end of that part.
    Without this the first worker would get all of the longest tests, one after the other. The later parts have one
    item more where the items do not divide evenly.
    """
    parts = [items[first::workers] for first in reversed(range(workers))]
    return [item for part in parts for item in part]
