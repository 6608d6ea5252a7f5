"""The provider of ``PoolImageVersion``, for VM pools.

Its base in ``pool_provider`` has the rules for both kinds of pools. On a pinned pool the declared version is the pin,
exactly (except for ``surge``). Elsewhere the version or the moment is a minimum: newer nodes are reported and are not a
change. Pulumi pickles the provider into the stack's state by reference, so the name
``batch_os_provider.image_provider.PoolImageVersionProvider`` must never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pulumi import dynamic

from batch_os_provider import pool_provider
from batch_os_provider.comparison.compared import compare_image
from batch_os_provider.pool_provider import PoolProvider, crud, describe, is_unknown
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import DeclaredImage

if TYPE_CHECKING:
    from batch_os_provider.batch.address import PoolRef
    from batch_os_provider.comparison.compared import Compared, PriorState
    from batch_os_provider.preview.describe import Refused

__all__ = ["PoolImageVersionProvider"]


class PoolImageVersionProvider(PoolProvider):
    """Keeps a pinned VM pool at an image version, or its nodes at or above a version or allocated since a moment."""

    spec = inputs.IMAGE

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Validate and normalise the inputs. The refusal of ``latest`` names the newest version on the nodes."""
        result = super().check(_olds, news)
        for failure in result.failures:
            if inputs.asks_for_latest(failure.property, news) and pool_provider.program.looks:
                failure.reason += describe.newest_clause(result.inputs)
        return result

    def compare(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Compared:
        """Compare the meaning of every input, and the last observed pin and nodes with the target."""
        return compare_image(olds, news, is_unknown)

    def preview(self, bag: Mapping[str, Any], known: PriorState | None) -> Refused | None:
        """Write on the row what a renewal would do. Returns the refusal if `up` would refuse, else None."""
        return describe.preview_image(DeclaredImage.of(bag), known, look=pool_provider.program.looks)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Adopt the pool: renew its nodes if some are older than the target, otherwise write nothing."""
        return dynamic.CreateResult(DeclaredImage.of(props).ref.url, crud.renew_image(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """Run the same rollout as create."""
        return dynamic.UpdateResult(crud.renew_image(_news))

    def look(self, ref: PoolRef, props: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Read the pool and its nodes.

        If nodes or the pin are older than the target, ``target_image_version`` becomes the oldest observed version, or
        ``nodes_since`` the allocation time of the oldest node, in inputs and outputs. Where the pin is the version,
        ``target_image_version`` becomes the pin if that differs, also if it is newer. If the pool has another image
        than ``target_image``, that becomes the pool's image. The next preview then shows drift as a property change.
        """
        return crud.read_image(ref, props)
