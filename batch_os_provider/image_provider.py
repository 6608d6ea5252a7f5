"""The provider behind ``PoolImageVersion``: bags in, bags out.

The same translation as in ``provider``, for VM pools. The declared version is a floor:
nodes above it are reported and never a change.

Pulumi pickles the provider by reference, so ``batch_os_provider.image_provider.PoolImageVersionProvider``
is a persistent name that must never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pulumi import dynamic

from batch_os_provider import pool_provider
from batch_os_provider.batch.vm_pool import parse_image_version
from batch_os_provider.errors import BatchOsError
from batch_os_provider.pool_provider import PoolProvider, ref_of
from batch_os_provider.runtime.cancellation import Canceled
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import DeclaredImage
from batch_os_provider.schema.outputs import OLDEST, PIN, RENEWING, STATE, PriorState, is_behind

if TYPE_CHECKING:
    from batch_os_provider.batch.address import PoolRef
    from batch_os_provider.preview.describe import Refused

__all__ = ["PoolImageVersionProvider"]


class PoolImageVersionProvider(PoolProvider):
    """Keeps the nodes of one VM pool at or above an image version."""

    spec = inputs.IMAGE

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Validate and normalise the inputs; where ``latest`` is asked for, tell what the pool's nodes run."""
        result = super().check(_olds, news)
        asked = str(news.get(inputs.IMAGE_TARGET)).strip().lower()
        for failure in result.failures:
            if failure.property == inputs.IMAGE_TARGET and asked == "latest":
                failure.reason += _newest(result.inputs)
        return result

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare every input by its meaning, and what was last seen of the nodes with the target."""
        changed, replaces = self.changed(_olds, _news)
        behind = not self.is_open(_news) and is_behind(_olds, parse_image_version(_news.get(inputs.IMAGE_TARGET)))
        behind = behind or _olds.get(STATE) == RENEWING
        if changed or behind:
            self.tell_change(_news, PriorState(str(_olds.get(OLDEST) or _olds.get(PIN) or "")), replaces)
        return dynamic.DiffResult(changes=bool(changed) or behind, replaces=replaces)

    def preview(self, bag: Mapping[str, Any], known: PriorState | None) -> Refused | None:
        """Tell what a renewal would take."""
        from batch_os_provider.preview.describe import preview_image  # noqa: PLC0415 - what has not changed needs none of it

        return preview_image(DeclaredImage.of(bag), known, look=pool_provider.program.looks)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Adopt the pool: renew its nodes if some are behind, else write nothing."""
        from batch_os_provider import crud  # noqa: PLC0415 - as above

        return dynamic.CreateResult(DeclaredImage.of(props).ref.url, crud.renew_image(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """The same rollout as create."""
        from batch_os_provider import crud  # noqa: PLC0415 - as above

        return dynamic.UpdateResult(crud.renew_image(_news))

    def look(self, ref: PoolRef, props: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Look at the pool and its nodes.

        While nodes or the pin are behind, ``target_image_version`` becomes the oldest version seen, in
        inputs and outputs, so that drift is a property change in the next preview.
        """
        from batch_os_provider import crud  # noqa: PLC0415 - as above

        return crud.read_image(ref, props)


def _newest(bag: Mapping[str, Any]) -> str:
    """The newest version on the pool's nodes, for who asked for ``latest``; empty where it cannot be seen."""
    from batch_os_provider.preview.account_snapshot import NotChecked  # noqa: PLC0415 - as above
    from batch_os_provider.preview.describe import newest_image  # noqa: PLC0415 - as above

    named = [bag.get(name) for name in (inputs.ACCOUNT_ENDPOINT, inputs.POOL_ID_NAME)]
    if not pool_provider.program.looks or not all(isinstance(value, str) for value in named):
        return ""
    try:
        newest = newest_image(ref_of(f"{named[0]}/pools/{named[1]}"))
    except (BatchOsError, NotChecked, Canceled) as error:
        return f"; its nodes could not be checked: {error}"
    return (
        f"; the newest on this pool's nodes is {newest}" if newest else "; no node of this pool shows a version number"
    )
