"""The provider behind ``PoolImageVersion``: bags in, bags out.

Why it exists: the same translation as in ``provider``, for VM pools. The declared version is a floor:
nodes above it are reported and never a change. What an `up` would cost cannot be seen in the inputs,
so a planned change is looked at and told on the row.

Pulumi pickles the provider by reference, so ``batch_os_provider.image_provider.PoolImageVersionProvider``
is a persistent name that must never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi import dynamic

from batch_os_provider import engine, inputs
from batch_os_provider.client import shared_client
from batch_os_provider.decide import Refuse
from batch_os_provider.decide_image import dotted
from batch_os_provider.errors import BatchOsError, PoolGoneError
from batch_os_provider.inputs import DeclaredImage
from batch_os_provider.plan import plan
from batch_os_provider.provider import PoolProvider, is_unknown, known, ref_of
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

    def looked_at(self, olds: Mapping[str, Any], kept: Mapping[str, Any]) -> list[inputs.Failure]:
        """Look at a pool that is declared for the first time: tell what `up` would do, or that it would refuse."""
        if olds or any(is_unknown(kept.get(name)) for name in self.spec.names):
            return []
        refusal = _tell_plan(DeclaredImage.of(kept))
        if refusal is None:
            return []
        reason = f"{kept[inputs.IMAGE_TARGET]!r} cannot be reached: {refusal.seen}. {refusal.next_step}"
        return [inputs.Failure(inputs.IMAGE_TARGET, reason)]

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare every input by its meaning, and what was last seen of the nodes with the target."""
        changed, replaces = self.changed(_olds, _news)
        unknown = any(is_unknown(_news.get(name)) for name in self.spec.names)
        behind = not unknown and _is_behind(_olds, parse_image_version(_news.get(inputs.IMAGE_TARGET)))
        behind = behind or _olds.get(STATE) == RENEWING
        if (changed or behind) and not unknown:
            declared = DeclaredImage.of(_news)
            refusal = _tell_plan(declared)
            if refusal is not None:
                # A warning and not an error: refresh asks diff too, and must be able to show the drift.
                row = engine.Row(engine.current_urn(), declared.ref.pool_id)
                row.warn(f"an up would be refused: {refusal.seen}. {refusal.next_step}")
        return dynamic.DiffResult(changes=bool(changed) or behind, replaces=replaces)

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
    rollout = ImageRenewal(goal, shared_client(declared.ref.endpoint), RealWaiter(engine.stop), Reporter(row))
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


def _tell_plan(declared: DeclaredImage) -> Refuse | None:
    """Look at the pool and tell on the row what an `up` would do; the refusal, if it would refuse."""
    row = engine.Row(engine.current_urn(), declared.ref.pool_id)
    try:
        client = shared_client(declared.ref.endpoint)
        seen = RealWaiter(engine.stop).call(lambda: look_at(client, declared.ref))
    except PoolGoneError:
        row.info("not looked at: the pool does not exist yet")
        return None
    except (BatchOsError, Stopped) as error:
        # The look is a courtesy to the reviewer: `up` looks again, and says what is wrong.
        row.warn(f"not looked at: {error}")
        return None
    told = plan(seen, declared.target, declared.policy, declared.timeout)
    if isinstance(told, Refuse):
        return told
    row.info(told)
    return None


def _newest(bag: Mapping[str, Any]) -> str:
    """The newest version on the pool's nodes, for who asked for ``latest``; empty where it cannot be seen."""
    named = [bag.get(name) for name in (inputs.ACCOUNT_ENDPOINT, inputs.POOL_ID_NAME)]
    if not all(isinstance(value, str) for value in named):
        return ""
    try:
        ref = ref_of(f"{named[0]}/pools/{named[1]}")
        client = shared_client(ref.endpoint)
        seen = RealWaiter(engine.stop).call(lambda: look_at(client, ref))
    except (BatchOsError, Stopped) as error:
        return f"; its nodes were not looked at: {error}"
    versions = [(node.version, node.version_text) for node in seen.nodes if node.version is not None]
    return (
        f"; the newest on this pool's nodes is {max(versions)[1]}"
        if versions
        else "; the pool has no nodes to tell one"
    )
