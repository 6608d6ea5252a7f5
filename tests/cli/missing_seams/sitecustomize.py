"""Takes private parts away from `batch_os_provider.engine.seams` in the Python processes of a test.

Python imports this at its start when the folder is on PYTHONPATH. It stands for a release of
the SDK in which these parts are gone: the names that a seam looks for are not there any more.

BATCH_OS_TEST_WITHOUT names the seams, separated by commas. With BATCH_OS_TEST_ONE_EACH, a folder, every plugin process
lacks one of them, and each of them is missing in one process.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Without:
    """A module as it is, but for some names that are missing or different."""

    def __init__(self, module: Any, **changes: object) -> None:
        self._module = module
        self._changes = changes

    def __getattr__(self, name: str) -> object:
        if name in self._changes:
            value = self._changes[name]
            if value is None:
                raise AttributeError(name)
            return value
        return getattr(self._module, name)


def take_away(seam: str) -> None:
    """Make one seam impossible."""
    from batch_os_provider.engine import (  # noqa: PLC0415 - only in one test's processes
        diagnostics,
        foreign_calls,
        pulumi_process,
        seams,
    )

    changes: dict[str, tuple[str, Callable[[Any], object]]] = {
        "other width": (
            "foreign_calls",
            lambda _: SimpleNamespace(keep_width=None, confirm_ours=foreign_calls.confirm_ours),
        ),
        "other calls": (
            "foreign_calls",
            lambda _: SimpleNamespace(keep_width=foreign_calls.keep_width, confirm_ours=None),
        ),
        "widen": ("threading", lambda _: Without(threading, current_thread=SimpleNamespace)),
        "cancel": ("sys", lambda now: Without(now, _current_frames=None)),
        "clean errors": ("traceback", lambda _: Without(traceback)),
        "urn": ("sys", lambda now: Without(now, _getframe=None)),
        "row status": ("sys", lambda now: Without(now, argv=["plugin"])),
        "watch": ("sys", lambda now: Without(now, argv=["plugin"])),
        "terminal": ("os", lambda now: Without(now, getpid=None)),
        "tail": ("os", lambda now: Without(now, getpid=None)),
    }
    name, change = changes[seam]
    for module in (diagnostics, pulumi_process, seams):
        if hasattr(module, name):
            vars(module)[name] = change(vars(module)[name])


def of_this_process(names: list[str], taken: Path) -> list[str]:
    """One of them that no other plugin process lacks; nothing in other processes, such as that of the program."""
    if "pulumi.dynamic" not in sys.orig_argv:
        return []
    for name in names:
        try:
            (taken / name).touch(exist_ok=False)
        except FileExistsError:
            continue
        return [name]
    return []


if os.environ.get("BATCH_OS_TEST_WITHOUT"):
    missing = os.environ["BATCH_OS_TEST_WITHOUT"].split(",")
    if folder := os.environ.get("BATCH_OS_TEST_ONE_EACH"):
        missing = of_this_process(missing, Path(folder))
    for each in missing:
        take_away(each)
