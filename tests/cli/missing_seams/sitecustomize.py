"""Takes one private part away from `batch_os_provider.engine.seams` in every Python process of a test.

Python imports this at its start when the folder is on PYTHONPATH. It stands for a release of
the SDK in which that part is gone: the names that the seam looks for are not there any more.
"""

import os
import sys
import threading
import traceback
from types import ModuleType, SimpleNamespace


class Without:
    """A module as it is, but for some names that are missing or different."""

    def __init__(self, module: ModuleType, **changes: object) -> None:
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
    from batch_os_provider.engine import diagnostics, foreign_calls, seams  # noqa: PLC0415 - only in one test's processes

    changes: dict[str, dict[str, object]] = {
        "other width": {"foreign_calls": SimpleNamespace(keep_width=None, confirm_ours=foreign_calls.confirm_ours)},
        "other calls": {"foreign_calls": SimpleNamespace(keep_width=foreign_calls.keep_width, confirm_ours=None)},
        "widen": {"threading": Without(threading, current_thread=SimpleNamespace)},
        "cancel": {"sys": Without(sys, _current_frames=None)},
        "clean errors": {"traceback": Without(traceback)},
        "urn": {"sys": Without(sys, _getframe=None)},
        "row status": {"sys": Without(sys, argv=["plugin"])},
        "watch": {"sys": Without(sys, argv=["plugin"])},
        "terminal": {"os": Without(os, getpid=None)},
        "tail": {"os": Without(os, getpid=None)},
    }
    for module in (diagnostics, seams):
        vars(module).update({name: value for name, value in changes[seam].items() if hasattr(module, name)})


if os.environ.get("BATCH_OS_TEST_WITHOUT"):
    take_away(os.environ["BATCH_OS_TEST_WITHOUT"])
