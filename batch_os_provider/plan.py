"""What an `up` would do to a VM pool, in one line for the reviewer of a preview.

Why it exists: "update" says nothing about cost. The line comes from the same table that the rollout
follows, on a look at the pool, so a preview cannot promise what an `up` would not do.
"""

from __future__ import annotations

from math import ceil

from batch_os_provider import decide_image as table
from batch_os_provider.decide import Done, Refuse, Wait
from batch_os_provider.report import duration
from batch_os_provider.vm import Version, VmSeen

__all__ = ["plan"]


def plan(seen: VmSeen, target: Version, policy: table.ImagePolicy, timeout: float) -> str | Refuse:  # noqa: PLR0911 - a table
    """The line, or the refusal that `up` would end in.

    Args:
        seen: a look at the pool.
        target: the declared version.
        policy: strategy and surge, as declared.
        timeout: seconds that an `up` waits at most.
    """
    history = table.ImageHistory(found=frozenset(node.node_id for node in seen.nodes))
    action = table.decide_image(seen, target, policy, history)
    if isinstance(action, Refuse):
        return action
    nodes, mark, behind = len(seen.dedicated), seen.pool.mark, seen.behind(target)
    if isinstance(action, Done):
        what = f"all {nodes} nodes are at {table.dotted(target)} or above" if nodes else "it has no nodes"
        return f"adopts without a write: {what}"
    if isinstance(action, table.Repin):
        return f"pinned pool is empty: this up re-pins it, {seen.pool.pin_text} -> {action.version}"
    if isinstance(action, Wait) and action.phase == "until empty":
        return f"pinned pool holds {len(seen.nodes)} nodes: waits until it is empty, at most {duration(timeout)}"
    oldest = seen.oldest()
    text = f"{oldest.version_text if oldest else '?'} -> {table.dotted(target)}: {len(behind)} of {nodes} nodes behind"
    if isinstance(action, Wait) and action.phase in ("automatic", "until renewed"):
        return f"{text}; waits, at most {duration(timeout)}, and writes nothing"
    if isinstance(action, Wait) and action.phase not in ("proving", "allocating"):
        return f"{text}; {action.why}; waits, at most {duration(timeout)}"
    if isinstance(action, table.Undone):
        return f"{text}; an earlier rollout is undone, because {action.failure.seen}"
    if not behind:
        return f"{text}; what an earlier rollout has left is put in order"
    surge = mark.surge if mark is not None else policy.surge
    text += "" if mark is None else ", an unfinished renewal goes on"
    more, tasks = min(surge, len(behind)), sum(node.running_tasks for node in behind)
    return (
        f"{text}, {tasks} tasks running, none will be stopped; "
        f"surge {surge}: {ceil(len(behind) / surge)} rounds, +{more} nodes meanwhile"
    )
