"""The provider behind ``PoolOsVersion``: bags in, bags out.

What both kinds of pools share is in ``pool_provider``. Pulumi pickles the provider into the stack's state by
reference, so ``batch_os_provider.provider.PoolOsVersionProvider`` is a persistent name that
must never change.

Facts of the engine that shape it (Pulumi CLI 3.259, SDK 3.272): a preview calls check and diff
only; numbers arrive as floats and None values not at all; a failed create stores nothing and a
failed update keeps the old state; refresh calls ``diff`` with the new outputs as olds and the
old inputs as news; the preview shows differences of inputs only, so drift has to be written
into the inputs that ``read`` returns.
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
    """Keeps the OS version of one Cloud Services pool as declared."""

    spec = inputs.OS

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare the last observed version with the target, and every other input by its meaning.

        No call is made where nothing changed.
        """
        changed, replaces = self.changed(_olds, _news)
        target = _news.get(inputs.TARGET)
        seen = _olds.get(CURRENT)
        behind = not is_unknown(target) and not same_version(seen, str(target))
        # A pool last seen upgrading does not stay at the version it shows, wherever the upgrade goes.
        # One that was not seen to pass its gate has to pass it, or whoever depends on it would go ahead.
        open_ = _olds.get(STATE) in (PoolState.UPGRADING.value, UNPROVEN)
        if changed or behind or open_:
            self.tell_change(_news, _known(_olds, _news, changed=bool(changed)), replaces)
        return dynamic.DiffResult(changes=bool(changed) or behind or open_, replaces=replaces)

    def preview(self, bag: Mapping[str, Any], known: PriorState | None) -> Refused | None:
        """Tell what an upgrade would take."""
        return describe.preview_os(Declared.of(bag), known, look=pool_provider.program.looks)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Adopt the pool: upgrade it if it does not run the target, else write nothing."""
        return dynamic.CreateResult(Declared.of(props).ref.url, crud.upgrade_os(props, {}))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """The same rollout as create."""
        return dynamic.UpdateResult(crud.upgrade_os(_news, _olds))

    def look(self, ref: PoolRef, props: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Look at the pool.

        ``target_os_version`` becomes the observed version, in inputs and outputs, so that drift is
        a property change in the next preview. Where the state declares a gate the nodes are judged too: a
        failed update keeps the old state, and a refresh that looked at the version alone would then make
        it look fine, with whoever depends on it.
        """
        return crud.read_os(ref, props)


def _known(olds: Mapping[str, Any], news: Mapping[str, Any], *, changed: bool) -> PriorState:
    """What the state says, and why a change is planned though no property changed."""
    at, target = olds.get(CURRENT), news.get(inputs.TARGET)
    if changed or not at:
        return PriorState(at or "")
    if same_version(at, str(target)):
        if olds.get(STATE) == UNPROVEN:
            return PriorState(at, f"at {short(at)}, but its nodes were not seen to be as declared", UNPROVEN)
        return PriorState(at, f"still at {short(at)}, but it was upgrading when last looked at", "moving")
    return PriorState(at, f"still at {short(at)}; upgrade to {short(str(target))} was deferred", "deferred")
