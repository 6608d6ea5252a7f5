"""The provider of ``PoolOsVersion``.

Its base in ``pool_provider`` has the rules for both kinds of pools. Pulumi pickles the provider into the stack's state
by reference, so the name ``batch_os_provider.provider.PoolOsVersionProvider`` must never change.

These facts about the engine shape the provider (Pulumi CLI 3.259, SDK 3.272):

* A preview calls only check and diff.
* Numbers arrive as floats, and inputs with the value None do not arrive.
* A failed create stores nothing, and a failed update keeps the old state.
* A refresh calls ``diff`` with the new outputs as olds and the old inputs as news.
* A preview shows only differences of inputs, so ``read`` writes drift into the inputs that it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi import dynamic

from batch_os_provider import pool_provider
from batch_os_provider.comparison.compared import compare_os
from batch_os_provider.pool_provider import PoolProvider, crud, describe, is_unknown
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import Declared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.batch.address import PoolRef
    from batch_os_provider.comparison.compared import Compared, PriorState
    from batch_os_provider.preview.describe import Refused

__all__ = ["PoolOsVersionProvider"]


class PoolOsVersionProvider(PoolProvider):
    """Keeps the OS version of a Cloud Services pool as declared."""

    spec = inputs.OS

    def compare(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Compared:
        """Compare the last observed version with the target, and the meaning of every other input."""
        return compare_os(olds, news, is_unknown)

    def preview(self, bag: Mapping[str, Any], known: PriorState | None) -> Refused | None:
        """Write on the row what an upgrade would do. Returns the refusal if `up` would refuse, else None."""
        return describe.preview_os(Declared.of(bag), known, look=pool_provider.program.looks)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Adopt the pool: upgrade it if it does not run the target, otherwise write nothing."""
        return dynamic.CreateResult(Declared.of(props).ref.url, crud.upgrade_os(props, {}))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """Run the same rollout as create."""
        return dynamic.UpdateResult(crud.upgrade_os(_news, _olds))

    def look(self, ref: PoolRef, props: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Read the pool.

        ``target_os_version`` becomes the observed version, in inputs and outputs, so that the next preview shows drift
        as a property change. If the state declares a gate, this method judges the nodes too. A failed update keeps the
        old state, so a refresh of the version alone would hide that the pool has not passed its gate.
        """
        return crud.read_os(ref, props)
