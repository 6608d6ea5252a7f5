"""Which resources of a program, a preview, a state or a policy are pools of this package.

The comment, the policies and ``adopt --check`` must find every pool. A type token is not enough: in earlier versions
of this package, a subclass had the token that Pulumi's SDK gave it, and states with such tokens exist.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["FLEETS", "FLEET_TYPE", "IMAGE_TYPE", "OS_TYPE", "kind_of"]

OS_TYPE = "pulumi-python:dynamic/batch:PoolOsVersion"
IMAGE_TYPE = "pulumi-python:dynamic/batch:PoolImageVersion"
FLEET_TYPE = "batch:index:PoolFleet"
FLEETS = (FLEET_TYPE, "batchos:index:PoolFleet")
"""The types of fleets in both providers."""

_KINDS = {
    OS_TYPE: "os",
    IMAGE_TYPE: "image",
    "batchos:index:PoolOsVersion": "os",
    "batchos:index:PoolImageVersion": "image",
}
"""The types of both providers."""
_DYNAMIC = "pulumi-python:dynamic"
_POOL = ("account_endpoint", "pool_id")
_TARGETS: Mapping[str, str] = {"target_os_version": "os", "target_image_version": "image", "nodes_since": "image"}


def kind_of(type_: str, names: Collection[str] = ()) -> str:
    """The kind of pool that a resource is.

    Args:
        type_: the type token of the resource, without those of its parents.
        names: the names of its inputs, if they are known. A dynamic resource of any type is a pool if it has inputs
            for an account, a pool and a target.

    Returns:
        ``os`` or ``image``, as in the tail of a message; empty for any other resource.

    """
    if type_ in _KINDS:
        return _KINDS[type_]
    if not type_.startswith((f"{_DYNAMIC}:", f"{_DYNAMIC}/")) or not all(name in names for name in _POOL):
        return ""
    return next((kind for target, kind in _TARGETS.items() if target in names), "")
