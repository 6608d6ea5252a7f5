"""Pools with automatic OS upgrade, which Batch renews itself: what the strategy ``automatic`` and all others say.

With such a policy Batch replaces the OS of the nodes in place, image by image and region by region, over weeks. A
rollout beside it would work against it, and a wait could take longer than any deadline. So ``automatic`` only checks
the policy and reports the nodes, and every other strategy is refused with the line to declare.

Sources: azure-batch 15.1 models (API 2025-06-01), ``upgradePolicy``; the policy needs an image on ``latest``, and
without ``osRollingUpgradeDeferral`` nodes are upgraded while tasks run.
"""

from __future__ import annotations

from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Done, Refuse
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted, plural

__all__ = ["INTERRUPTS", "check_policy", "interrupts_tasks", "refuse_other_strategy", "report"]

INTERRUPTS = (
    "its upgrades interrupt running tasks: set osRollingUpgradeDeferral in its automaticOSUpgradePolicy, which Batch "
    "accepts while the pool has no nodes"
)
"""The warning about a policy that does not wait for tasks."""


def check_policy(seen: VmPoolView) -> Refuse | Done:
    """What the strategy ``automatic`` does: nothing if Batch renews the pool, else a refusal."""
    pool = seen.pool
    if pool.is_marked:
        return Refuse(
            'strategy="automatic" writes nothing, and the pool has the marker of an unfinished rollout',
            f"Finish the rollout with its own strategy, or put the pool back with `batch-os restore "
            f"{pool.base.ref.url}`",
            property="strategy",
        )
    if pool.automatic:
        return Done()
    return Refuse(
        "automatic OS upgrade is off (upgradePolicy.automaticOSUpgradePolicy.enableAutomaticOSUpgrade), so Batch "
        "renews no node by itself",
        "Turn it on where the pool is declared, which Batch accepts only while the pool has no nodes; or declare "
        'another strategy, such as strategy="empty"',
        property="strategy",
    )


def refuse_other_strategy(pool: VmPool, target: Target, policy: ImagePolicy) -> Refuse | None:
    """The refusal to renew a pool that Batch renews; None if it does not, or while a rollout is unfinished."""
    if not pool.automatic or pool.is_marked:
        return None
    without = ""
    if isinstance(target, AllocatedSince):
        without = " and remove nodes_since, since such nodes keep their allocation time"
    return Refuse(
        "automatic OS upgrade is on: Batch renews the nodes in place, region by region over weeks, so "
        f'strategy="{policy.strategy}" would work against it or wait in vain',
        f'Declare strategy="automatic"{without}: then a preview shows a policy that was turned off or changed, and '
        "`up` writes nothing. Or turn automatic OS upgrade off where the pool is declared (upgradePolicy)",
        property="strategy",
    )


def interrupts_tasks(pool: VmPool) -> bool:
    """Whether Batch upgrades nodes while their tasks run."""
    return pool.automatic and "osRollingUpgradeDeferral=true" not in pool.upgrade_policy.split()


def report(seen: VmPoolView, target: Target) -> str:
    """How the nodes stand, in words: how many are older than the floor, as far as they show a version."""
    nodes = len(seen.judged) + len(seen.spot)
    text = f"automatic OS upgrade is on, {counted(nodes, 'node')}" if nodes else "automatic OS upgrade is on, no nodes"
    if not isinstance(target, ImageVersion) or not target.numbers or not nodes:
        return text
    behind = len(seen.behind(target, spot=True))
    silent = sum(not target.reads(node) for node in (*seen.judged, *seen.spot))
    text += f", {behind} behind {target}"
    return f"{text}, {silent} {plural(silent, 'shows', 'show')} no version number" if silent else text
