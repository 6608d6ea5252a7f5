"""Lists every declared pool that an `up` would refuse, in one run.

Pulumi ends a preview at the first failed check, so of ten refused pools it shows one. Here the tables that preview and
`up` follow judge each declaration, with one read of the accounts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.vm_target import Target
from batch_os_provider.cli.adopt.declaration import DeclaredPool
from batch_os_provider.cli.inventory import Account, PoolSeen, ask
from batch_os_provider.errors import BatchOsError
from batch_os_provider.preview.plan import plan_image, plan_os
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.rollout.image_renewal.decide import refuse_kind
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import Declared, DeclaredImage
from batch_os_provider.schema.spelling import camel, spell

__all__ = ["Refused", "refused"]


@dataclass(frozen=True)
class Refused:
    """A declaration that `up` would refuse; ``property`` is the wrong input."""

    declared: DeclaredPool
    url: str
    property: str
    why: str
    next_step: str


Lists = Callable[[str], "tuple[SupportedImage, ...] | None"]
"""Reads the images that Batch supports in an account, by endpoint; None if they cannot be read."""


def listed(endpoint: str) -> tuple[SupportedImage, ...] | None:
    """The images that Batch supports in an account that was read; None if the list cannot be read now."""
    images = ask(shared_client(endpoint).list_supported_images, time.sleep)
    return None if isinstance(images, BatchOsError) else images


def refused(accounts: list[Account], declared: list[DeclaredPool], images: Lists = listed) -> tuple[Refused, ...]:
    """The refusals, in the order of the declarations; ``images`` is asked once for each account with another image.

    Two kinds of declarations are left out, since they cannot be judged: those of a pool that does not exist or was not
    read, and those with inputs that only a deployment knows.
    """
    pools = {seen.pool.ref.key: seen for account in accounts for seen in account.pools if not seen.trouble}
    found = []
    images = cache(images)
    for each in declared:
        seen = pools.get(each.ref.key) if each.ref is not None else None
        told = _judge(each, seen, images) if seen is not None else None
        if seen is not None and told is not None:
            target = (inputs.IMAGE if _is_image(each) else inputs.OS).target_of(each.inputs)
            wrong = Refused(each, seen.pool.ref.url, told.property or target, told.reason, told.next_step)
            found.append(_as_native(wrong) if each.is_native else wrong)
    return tuple(found)


def _as_native(wrong: Refused) -> Refused:
    """A refusal as a program of the native provider spells properties."""
    return replace(wrong, property=camel(wrong.property), why=spell(wrong.why), next_step=spell(wrong.next_step))


def _is_image(declared: DeclaredPool) -> bool:
    return any(name in declared.inputs for name in (*inputs.IMAGE.targets, inputs.STRATEGY))


def _judge(declared: DeclaredPool, seen: PoolSeen, images: Lists) -> Refuse | None:
    spec = inputs.IMAGE if _is_image(declared) else inputs.OS
    bag, failures = inputs.check(
        {name: declared.inputs[name] for name in spec.names if name in declared.inputs}, lambda _: False, spec
    )
    if failures:
        return None  # not known yet, or an input that the preview refuses without a read of the pool
    if spec is inputs.IMAGE:
        image = DeclaredImage.of(bag)
        if seen.vm is None:
            return refuse_kind(seen.pool, image.target)
        target = _looked_up(image.target, seen.vm.pool, images)
        told = plan_image(seen.vm, target, image.policy, image.timeout, image.drain_timeout)
    elif seen.retired:
        return Refuse(seen.retired, "Move the work to a VM pool and remove this PoolOsVersion", property="pool_id")
    else:
        os = Declared.of(bag)
        told = plan_os(seen.pool, None, os.target, os.policy, os.timeout)
    return told if isinstance(told, Refuse) else None


def _looked_up(target: Target, pool: VmPool, images: Lists) -> Target:
    """The target with the node agent SKU of its image, where the pool needs it and Batch lists it."""
    if target.image is None or not target.image.needs_lookup(pool):
        return target
    found = images(pool.base.ref.endpoint)
    return target if found is None else replace(target, image=target.image.looked_up(found, pool))
