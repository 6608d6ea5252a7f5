"""Chooses the resource for a pool, and the inputs with which an `up` adopts the pool without a write.

The tables that an `up` follows decide, so a program written from a proposal cannot do more than the proposal says.
Nothing here calls Batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from batch_os_provider.batch.pool import Kind, PoolState
from batch_os_provider.batch.vm_target import AllocatedSince, day_of
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.cli.inventory import PoolSeen
from batch_os_provider.guest_os.version import LATEST
from batch_os_provider.preview.plan import Plan, plan_image, plan_os
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.rollout.image_renewal.decide import incomparable
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import Declared, DeclaredImage
from batch_os_provider.schema.inputs import Spec

__all__ = ["Declaration", "Fit", "Left", "Resource", "fit", "propose"]

Resource = Literal["PoolOsVersion", "PoolImageVersion"]


@dataclass(frozen=True)
class Fit:
    """The resource that fits a pool; None with the reason if none fits."""

    resource: Resource | None
    why: str = ""


@dataclass(frozen=True)
class Declaration:
    """A resource that adopts a pool as it is. ``note`` becomes a comment above it."""

    seen: PoolSeen
    resource: Resource
    inputs: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True)
class Left:
    """A pool that cannot be adopted now, and why."""

    seen: PoolSeen
    why: str


def fit(seen: PoolSeen) -> Fit:
    """The resource for a pool."""
    if seen.pool.kind is Kind.CLOUD_SERVICES:
        return Fit("PoolOsVersion")
    if seen.vm is not None:
        return Fit("PoolImageVersion")
    if seen.retired:
        return Fit(None, seen.retired)
    return Fit(None, "Batch shows neither a cloudServiceConfiguration nor a virtualMachineConfiguration")


def propose(seen: PoolSeen) -> Declaration | Left:
    """The declaration that adopts a pool without a write, judged by the pool as it was read."""
    fitting = fit(seen)
    if fitting.resource is None:
        return Left(seen, f"no resource fits: {fitting.why}")
    if seen.vm is None:
        return _propose_os(seen)
    return _propose_image(seen, seen.vm)


def _propose_os(seen: PoolSeen) -> Declaration | Left:
    pool, target = seen.pool, seen.pool.current_os_version
    if target is None:
        return Left(seen, "Batch shows no currentOSVersion")
    if pool.state is PoolState.UPGRADING:
        going = f"an upgrade {target} -> {pool.target_os_version} is in flight"
        return Left(seen, f"{going}; run `batch-os adopt` again when it has ended")
    bag = {**_place(seen), inputs.TARGET: target}
    wrong = _wrong(bag, inputs.OS)
    if wrong:
        return Left(seen, wrong)
    declared = Declared.of(bag)
    told = plan_os(pool, None, declared.target, declared.policy, declared.timeout)
    note = "Batch shows `*`, not the version behind it: the newest of the family" if target == LATEST else ""
    return _unless_it_writes(Declaration(seen, "PoolOsVersion", bag, note), told)


def _propose_image(seen: PoolSeen, vm: VmPoolView) -> Declaration | Left:
    pool, oldest = vm.pool, vm.oldest()
    if pool.automatic:
        return _propose_automatic(seen, vm)
    if not pool.is_steady:
        going = f"a resize is under way ({seen.pool.allocation_text})"
        return Left(seen, f"{going}; run `batch-os adopt` again when it has ended")
    versions = [(oldest.version, oldest.version_text)] if oldest is not None and oldest.version is not None else []
    versions += [(pool.pin, pool.pin_text)] if pool.pin is not None else []
    # A gallery image without a version would be pinned by `when_empty`, and adoption writes nothing.
    follows = pool.gallery and pool.pin is None and seen.pool.autoscale
    by_version = bool(versions) and incomparable(vm) is None and not follows
    since = _day_of_the_oldest(vm)
    if not by_version and not since:
        return Left(seen, "no node shows when it was allocated" if vm.judged else "it has no nodes")
    # The version of a pinned pool is its pin, exactly.
    version = pool.pin_text if pool.pin is not None or not versions else min(versions)[1]
    name, target = (inputs.IMAGE_TARGET, version) if by_version else (inputs.NODES_SINCE, since)
    # Batch refuses a resize of a pool that scales itself, and new nodes of a pinned pool get its pin.
    strategy = "when_empty" if seen.pool.autoscale or (by_version and not pool.is_latest) else "surge"
    bag = {**_place(seen), name: target, inputs.STRATEGY: strategy}
    wrong = _wrong(bag, inputs.IMAGE)
    if wrong:
        return Left(seen, wrong)
    declared = DeclaredImage.of(bag)
    told = plan_image(vm, declared.target, declared.policy, declared.timeout)
    note = "" if by_version else "nodes_since: no node is older than this day; a later day renews the older nodes"
    if strategy == "when_empty":
        why = "the pool scales itself" if seen.pool.autoscale else f"the pool is pinned to {pool.pin_text}"
        why = f'when_empty: {why}, so `up` would refuse "surge"'
        note = f"{note}; {why}" if note else why
    return _unless_it_writes(Declaration(seen, "PoolImageVersion", bag, note), told)


def _propose_automatic(seen: PoolSeen, vm: VmPoolView) -> Declaration | Left:
    """The declaration of a pool that Batch renews itself: without a target."""
    bag = {**_place(seen), inputs.STRATEGY: inputs.AUTOMATIC}
    wrong = _wrong(bag, inputs.IMAGE)
    if wrong:
        return Left(seen, wrong)
    declared = DeclaredImage.of(bag)
    told = plan_image(vm, declared.target, declared.policy, declared.timeout)
    note = "automatic: Batch renews the nodes of this pool itself, and `up` writes nothing"
    return _unless_it_writes(Declaration(seen, "PoolImageVersion", bag, note), told)


def _day_of_the_oldest(vm: VmPoolView) -> str:
    """The day on which the oldest node was allocated, or the present day without nodes; empty if unknown."""
    oldest = vm.oldest(AllocatedSince)
    if oldest is not None:
        return AllocatedSince.shown(oldest).partition("T")[0]
    at = vm.pool.base.seen_at
    return day_of(at) if at is not None and not vm.judged else ""


def _place(seen: PoolSeen) -> dict[str, str]:
    return {inputs.ACCOUNT_ENDPOINT: seen.pool.ref.endpoint, inputs.POOL_ID_NAME: seen.pool.ref.pool_id}


def _wrong(bag: Mapping[str, str], spec: Spec) -> str:
    """Why these inputs cannot be declared; empty if they can."""
    _, failures = inputs.check(bag, lambda _: False, spec)
    return "; ".join(f"{failure.property} {failure.reason}" for failure in failures)


def _unless_it_writes(declaration: Declaration, told: Plan | Refuse) -> Declaration | Left:
    if isinstance(told, Refuse):
        return Left(declaration.seen, told.reason)
    return declaration if told.what == "adopt" else Left(declaration.seen, told.text)
