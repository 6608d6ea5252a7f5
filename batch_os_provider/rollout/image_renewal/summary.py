"""The last line of a renewal, and the warnings that come with it.

A success must also say what it did not change: spot nodes, deallocated nodes, failed nodes.
"""

from __future__ import annotations

from collections.abc import Iterator

from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.image_renewal import automatic
from batch_os_provider.rollout.image_renewal.decide import deallocated, resize_errors
from batch_os_provider.rollout.image_renewal.spot import old_spot_note
from batch_os_provider.rollout.image_renewal.target_words import TargetWords
from batch_os_provider.rollout.progress import name_some
from batch_os_provider.schema.declared import DeclaredImage
from batch_os_provider.wording import counted, plural

__all__ = ["reached", "warnings"]


def reached(seen: VmPoolView, declared: DeclaredImage, words: TargetWords) -> str:
    """What a finished renewal found, or brought about: nodes, target, and what was left alone."""
    policy = declared.policy
    if policy.strategy in ("empty", "restore"):
        has = counted(len(seen.nodes), "node") if seen.nodes else "no nodes"
        what = f"{has}, {seen.pool.pinned}" if isinstance(declared.target, ImageVersion) else f"{has}, none older"
        return what + (", scaled by its formula" if seen.pool.base.autoscale else "")
    count, stopped, spot = len(seen.judged), len(seen.deallocated), len(seen.nodes) - len(seen.dedicated)
    counts_spot = policy.renews_spot or policy.strategy == "when_empty"
    count, spot = (count + spot, 0) if counts_spot or not count + stopped else (count, spot)
    what = words.reached(count) if count or stopped else words.empty(seen)
    what += f", {stopped} deallocated" if stopped else ""
    what += ", scaled by its formula" if seen.pool.base.autoscale and policy.autoscale == "hold" else ""
    return what + (f", {counted(spot, 'spot node')} not renewed" if spot else "")


def warnings(seen: VmPoolView, declared: DeclaredImage) -> Iterator[tuple[str, str]]:
    """Code and text of each warning of a success."""
    strategy = declared.policy.strategy
    if strategy == "automatic":
        if automatic.interrupts_tasks(seen.pool):
            yield "interrupts tasks", automatic.INTERRUPTS
        return
    if strategy in ("empty", "restore"):
        failed = [node.node_id for node in seen.nodes if node.has_failed]
        if failed:
            are = plural(len(failed), "node has", "nodes have")
            yield "failed nodes", f"{len(failed)} {are} failed: {name_some(failed)}"
        return
    if seen.past_errors:
        yield "resize errors", resize_errors(seen)
    old_spot = old_spot_note(seen, declared.target, declared.policy)
    if old_spot:
        yield "spot nodes", old_spot
    if seen.deallocated:
        yield "deallocated", deallocated(seen, declared.target)
