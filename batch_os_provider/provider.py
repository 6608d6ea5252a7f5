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
from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import PoolState
from batch_os_provider.guest_os.version import same_version, short
from batch_os_provider.pool_provider import PoolProvider, crud, describe, is_unknown
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import Declared
from batch_os_provider.schema.outputs import CURRENT, STATE, UNPROVEN, PriorState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.preview.describe import Refused

__all__ = ["PoolOsVersionProvider"]


class PoolOsVersionProvider(PoolProvider):
    """Keeps the OS version of a Cloud Services pool as declared."""

    spec = inputs.OS

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare the last observed version with the target, and the meaning of every other input.

        An unchanged resource needs no call to Batch.
        """
        changed, replaces = self.changed(_olds, _news)
        target = _news.get(inputs.TARGET)
        seen = _olds.get(CURRENT)
        behind = not is_unknown(target) and not same_version(seen, str(target))
        # An upgrading pool will not stay at the version that it showed, whatever the target of the upgrade.
        # An unproven pool must pass its gate before resources that depend on it start.
        open_ = _olds.get(STATE) in (PoolState.UPGRADING.value, UNPROVEN)
        if changed or behind or open_:
            self.preview_change(_news, _known(_olds, _news, changed=bool(changed)), replaces)
        return dynamic.DiffResult(changes=bool(changed) or behind or open_, replaces=replaces)

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


def _known(olds: Mapping[str, Any], news: Mapping[str, Any], *, changed: bool) -> PriorState:
    """The version in the state, and the reason for a planned change without a changed input."""
    at, target = olds.get(CURRENT), news.get(inputs.TARGET)
    if changed or not at:
        return PriorState(at or "")
    if same_version(at, str(target)):
        if olds.get(STATE) == UNPROVEN:
            return PriorState(at, f"at {short(at)}, but the pool has not yet met max_unhealthy and soak", UNPROVEN)
        return PriorState(at, f"still at {short(at)}, but it was upgrading at the last read", "moving")
    return PriorState(at, f"still at {short(at)}; upgrade to {short(str(target))} was deferred", "deferred")
