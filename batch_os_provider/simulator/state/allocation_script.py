"""Reads the allocation script of a pool: which failures its future nodes have (:mod:`.resizes` describes the fields).

A script is written by hand. An invalid one must be refused, or a test would wait for a failure that never comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world.reader import Reader, StateError

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.model import Pool

FAILURES: Final = (
    *("AllocationFailed", "AllocationTimedout", "AccountCoreQuotaReached", "AccountLowPriorityCoreQuotaReached"),
    "Unknown",
)
_WORDS: Final = {"fail": FAILURES, "startTask": ("fail", "hang"), "state": ("unusable", "unknown"), "version": ()}
_NUMBERS: Final = {"failAfter": 0, "times": 1, "count": 1}
"""Field -> its smallest value."""
_REQUIRES: Final = {
    "failAfter": ("fail",),
    "times": ("fail",),
    "count": ("startTask", "state", "version"),
}


def read_script(work: Reader, pool: Pool) -> dict[str, Any] | None:
    """Take the allocation script from the ``simulator`` object of a pool; None without one."""
    given = work.take("allocation", dict, None)
    if given is None:
        return None
    reader = Reader(f"{work.where} allocation", given)
    words = {name: word for name in _WORDS if (word := reader.take(name, str, None)) is not None}
    numbers = {name: number for name in _NUMBERS if (number := reader.take(name, int, None)) is not None}
    reader.finish()
    for name, word in words.items():
        if _WORDS[name] and word not in _WORDS[name]:
            raise StateError(f"{reader.where}: {name} is one of {', '.join(_WORDS[name])}, not {word!r}.")
    for name, number in numbers.items():
        if number < _NUMBERS[name]:
            raise StateError(f"{reader.where}: {name} is at least {_NUMBERS[name]}, not {number}.")
    script: dict[str, Any] = {**words, **numbers}
    for name, needed in _REQUIRES.items():
        if name in script and not set(needed) & set(script):
            raise StateError(f"{reader.where}: {name} needs {' or '.join(needed)}.")
    if "version" in script and pool.virtual_machine is None:
        raise StateError(f"{reader.where}: version needs a VM pool; Cloud Services nodes have no image version.")
    return script or None
