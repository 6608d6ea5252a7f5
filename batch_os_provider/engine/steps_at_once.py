"""The words of the hint that more pools change than the engine runs at once.

A Python program counts its pools in ``parallel_hint``, which needs Pulumi's SDK. The native provider knows the pools of
a fleet only, and its processes load no SDK. Both say the same sentence.
"""

from __future__ import annotations

from batch_os_provider.wording import counted, plural

__all__ = ["hint"]


def hint(changes: int, at_once: int | None, wanted: int | None = None) -> str:
    """The hint; empty if the engine can run all changes at once.

    Args:
        changes: how many pools change.
        at_once: how many steps the engine runs at once; None or less than 1 means no limit.
        wanted: how many of the changes could run at once; None means all.

    """
    needed = changes if wanted is None else wanted
    if not at_once or at_once < 1 or needed <= at_once:
        return ""
    waves = "" if needed == changes else f", up to {needed} at once"
    pools = f"{counted(changes, 'pool')} {plural(changes, 'changes', 'change')}"
    return f"{pools}{waves}, but the engine runs {counted(at_once, 'step')} at once; pass --parallel {needed}"
