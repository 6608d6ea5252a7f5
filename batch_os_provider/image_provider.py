"""The provider behind ``PoolImageVersion``: bags in, bags out.

Why it exists: the same translation as in ``provider``, for VM pools. The declared version is a floor:
nodes above it are reported and never a change.

Pulumi pickles the provider by reference, so ``batch_os_provider.image_provider.PoolImageVersionProvider``
is a persistent name that must never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi import dynamic

from batch_os_provider import engine, inputs
from batch_os_provider.client import shared_client
from batch_os_provider.errors import BatchOsError
from batch_os_provider.image_steps import dotted
from batch_os_provider.inputs import DeclaredImage
from batch_os_provider.lookout import NotLookedAt
from batch_os_provider.preview import Known, Refused, newest_image, preview_image
from batch_os_provider.provider import PoolProvider, known, observer, program, ref_of
from batch_os_provider.renewal import ImageGoal, ImageRenewal, look_at
from batch_os_provider.report import Reporter
from batch_os_provider.rollout import read
from batch_os_provider.vm import VmSeen, parse_image_version
from batch_os_provider.wait import RealWaiter, Stopped

__all__ = ["IMAGE_OUTPUTS", "PoolImageVersionProvider"]

IMAGE, PIN, OLDEST, BEHIND, STATE = "image", "pool_image_version", "oldest_node_version", "nodes_behind", "pool_state"
IMAGE_OUTPUTS = (IMAGE, PIN, OLDEST, BEHIND, STATE)
"""What the provider adds to the inputs."""
RENEWING = "renewing"
"""``pool_state`` of an active pool in which a renewal was cut off; the next `up` finishes or undoes it."""


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
        behind = not self.is_open(_news) and _is_behind(_olds, parse_image_version(_news.get(inputs.IMAGE_TARGET)))
        behind = behind or _olds.get(STATE) == RENEWING
        if changed or behind:
            self.tell_change(_news, Known(str(_olds.get(OLDEST) or _olds.get(PIN) or "")), replaces)
        return dynamic.DiffResult(changes=bool(changed) or behind, replaces=replaces)

    def preview(self, bag: Mapping[str, Any], known: Known | None) -> Refused | None:
        """Tell what a renewal would take."""
        return preview_image(DeclaredImage.of(bag), known, look=program.looks)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Adopt the pool: renew its nodes if some are behind, else write nothing."""
        return dynamic.CreateResult(DeclaredImage.of(props).ref.url, _roll(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """The same rollout as create."""
        return dynamic.UpdateResult(_roll(_news))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What the pool shows now.

        While nodes or the pin are behind, ``target_image_version`` becomes the oldest version seen, in
        inputs and outputs, so that drift is a property change in the next preview.
        """
        ref = ref_of(id_)
        program.read(engine.current_urn())
        bag = {inputs.ACCOUNT_ENDPOINT: ref.endpoint, inputs.POOL_ID_NAME: ref.pool_id, **known(self.spec.names, props)}
        client = shared_client(ref.endpoint)
        seen = read(ref, lambda: look_at(client, ref), RealWaiter(engine.stop))
        if seen is None:
            return dynamic.ReadResult(None, {})
        if not seen.pool.is_vm:
            engine.Row(engine.current_urn(), ref.pool_id).warn(f"pool {ref.url} is not a VM pool; nothing is compared")
        observed = _observed(seen, bag.get(inputs.IMAGE_TARGET))
        target = parse_image_version(bag.get(inputs.IMAGE_TARGET))
        if target is None or _is_behind(observed, target):
            lowest = _lowest(observed[OLDEST], observed[PIN])
            bag |= {inputs.IMAGE_TARGET: lowest} if lowest else {}
        return dynamic.ReadResult(id_, {**bag, **observed}, dict(bag))


def _roll(bag: Mapping[str, Any]) -> dict[str, Any]:
    """Bring one pool's nodes to the target and return the outputs."""
    declared = DeclaredImage.of(bag)
    row = engine.Row(engine.current_urn(), declared.ref.pool_id)
    goal = ImageGoal(
        declared.ref, declared.target, declared.policy, declared.drain_timeout, declared.timeout, declared.defer
    )
    account = observer(declared.ref.endpoint)
    rollout = ImageRenewal(goal, account, RealWaiter(engine.stop), Reporter(row), company=account)
    seen = rollout.run().pool
    return {**known(inputs.IMAGE.names, bag), **_observed(seen, bag[inputs.IMAGE_TARGET])}


def _observed(seen: VmSeen, target_text: object) -> dict[str, Any]:
    """The outputs. Where no node is behind, nothing in them moves with a node."""
    target = parse_image_version(target_text)
    oldest = seen.oldest()
    behind = len(seen.behind(target)) if target is not None else 0
    return {
        IMAGE: seen.pool.image or None,
        PIN: seen.pool.pin_text if seen.pool.is_vm else None,
        OLDEST: oldest.version_text if oldest is not None else None,
        BEHIND: behind,
        STATE: RENEWING if seen.pool.mark is not None else seen.pool.base.state_text,
    }


def _is_behind(outputs: Mapping[str, Any], target: tuple[int, ...] | None) -> bool:
    """Whether what was seen leaves something to do: a node below the target, or a pin below it."""
    if target is None:
        return False
    oldest, pin = parse_image_version(outputs.get(OLDEST)), parse_image_version(outputs.get(PIN))
    return (oldest is not None and oldest < target) or (pin is not None and pin < target)


def _lowest(one: str | None, other: str | None) -> str | None:
    """The older of two versions; ``latest`` is none, and None where there is none at all."""
    versions = [version for version in map(parse_image_version, (one, other)) if version is not None]
    return dotted(min(versions)) if versions else None


def _newest(bag: Mapping[str, Any]) -> str:
    """The newest version on the pool's nodes, for who asked for ``latest``; empty where it cannot be seen."""
    named = [bag.get(name) for name in (inputs.ACCOUNT_ENDPOINT, inputs.POOL_ID_NAME)]
    if not program.looks or not all(isinstance(value, str) for value in named):
        return ""
    try:
        newest = newest_image(ref_of(f"{named[0]}/pools/{named[1]}"))
    except (BatchOsError, NotLookedAt, Stopped) as error:
        return f"; its nodes were not looked at: {error}"
    return f"; the newest on this pool's nodes is {newest}" if newest else "; the pool has no nodes to tell one"
