"""Which resources in a program, a preview, a state or a policy are pools of this package.

The comment, the policies and ``adopt --check`` have to find every pool. A type token is not enough:
earlier versions left a subclass the token that Pulumi's SDK gives it, and states with such tokens exist.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["IMAGE_TYPE", "OS_TYPE", "kind_of"]

OS_TYPE = "pulumi-python:dynamic/batch:PoolOsVersion"
IMAGE_TYPE = "pulumi-python:dynamic/batch:PoolImageVersion"

_KINDS = {OS_TYPE: "os", IMAGE_TYPE: "image"}
_DYNAMIC = "pulumi-python:dynamic"
_POOL = ("account_endpoint", "pool_id")
_TARGETS: Mapping[str, str] = {"target_os_version": "os", "target_image_version": "image"}


def kind_of(type_: str, names: Collection[str] = ()) -> str:
    """Tell whether a resource is a pool of this package.

    Args:
        type_: its type token, without those of its parents.
        names: the names of its inputs, where they are known: a dynamic resource of any type is a pool if they name an
            account, a pool and a target version.

    Returns:
        ``os`` or ``image``, as in the tail of a message; empty for any other resource.

    """
    if type_ in _KINDS:
        return _KINDS[type_]
    if not type_.startswith((f"{_DYNAMIC}:", f"{_DYNAMIC}/")) or not all(name in names for name in _POOL):
        return ""
    return next((kind for target, kind in _TARGETS.items() if target in names), "")
