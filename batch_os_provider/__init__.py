"""Declare the OS version of Azure Batch pools in Pulumi programs.

``PoolOsVersion`` is for a pool of the Cloud Services kind, ``PoolImageVersion`` for a pool of virtual machines, and
``PoolFleet`` for many pools of one kind, in waves. The README shows them in a program. ARCHITECTURE.md shows how one
`pulumi up` flows through this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from batch_os_provider.fleet import PoolFleet
    from batch_os_provider.resource import PoolImageVersion, PoolOsVersion

__all__ = ["PoolFleet", "PoolImageVersion", "PoolOsVersion", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a name at its first use. The simulator is in this package too, and it needs no Pulumi."""
    if name == "PoolFleet":
        from batch_os_provider.fleet import PoolFleet  # noqa: PLC0415 - the purpose of this function

        return PoolFleet
    if name == "__version__":
        from importlib import metadata  # noqa: PLC0415 - the purpose of this function

        return metadata.version("batch-os-provider")
    if name in __all__:
        from batch_os_provider import resource  # noqa: PLC0415 - the purpose of this function

        return getattr(resource, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
