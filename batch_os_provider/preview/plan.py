"""What an `up` would do to a pool, in one line for the reviewer of a preview.

"update" says nothing about cost. The line comes from the same tables that the rollouts
follow, on a look at the pool, so a preview cannot promise what an `up` would not do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

from batch_os_provider.batch.pool import Node, Pool
from batch_os_provider.batch.vm_pool import ImageVersion, VmPoolView
from batch_os_provider.guest_os import version
from batch_os_provider.guest_os.version import is_rollback
from batch_os_provider.preview.message_tail import Kind, MessageTail, What
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal import steps
from batch_os_provider.rollout.image_renewal.decide import another_product, deallocated, decide_image, resize_errors
from batch_os_provider.rollout.os_upgrade import decide as os_table
from batch_os_provider.rollout.os_upgrade.health import Failed, Passed, age_of, judge
from batch_os_provider.rollout.progress import NodeCounts, name_nodes
from batch_os_provider.schema.declared import NO_GATE, Gate, ImagePolicy, Policy
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import counted

__all__ = ["Plan", "plan_image", "plan_os"]

ADOPTS = "adopts without a write"


@dataclass(frozen=True)
class Plan:
    """One line for people, and the same for programs: the other fields are those of ``message_tail.MessageTail``.

    ``detail`` is what an `up` takes, ``change`` from what to what: the news first and the short versions last, as in
    every line of a rollout (``report``).
    """

    what: What
    detail: str
    came_from: str = ""
    target: str = ""
    nodes: int | None = None
    behind: int | None = None
    tasks: int | None = None
    back: int | None = None
    warnings: tuple[str, ...] = ()
    change: str = ""

    @property
    def text(self) -> str:
        """The line."""
        head = "ROLLBACK: " if "rollback" in self.warnings else ""
        return head + "; ".join(filter(None, (self.detail, self.change)))

    def noting(self, code: str, text: str) -> Plan:
        """The same plan with a warning after what it takes."""
        return replace(self, detail=f"{self.detail}; {text}", warnings=(*self.warnings, code))

    def tail(self, pool: str, kind: Kind) -> MessageTail:
        """The plan for programs."""
        known = {name: value for name, value in vars(self).items() if name not in {"change", "detail"}}
        return MessageTail(pool=pool, kind=kind, **known)


def plan_os(  # noqa: PLR0913 - a look at a pool, what is declared, and when
    pool: Pool,
    nodes: tuple[Node, ...] | None,
    target: str,
    policy: Policy,
    timeout: float,
    *,
    gate: Gate = NO_GATE,
    at: datetime | None = None,
) -> Plan | Refuse:
    """The plan for a Cloud Services pool, or the refusal that `up` would end in.

    Args:
        pool: a look at the pool.
        nodes: its nodes; None where they were not or could not be listed.
        target: the declared version.
        policy: what was declared about other actors.
        timeout: seconds that an `up` waits at most.
        gate: what the nodes have to be like at the target.
        at: when the nodes were looked at; None where that is not known.
    """
    action = os_table.decide(pool, target, policy, os_table.History(), 0.0)
    if isinstance(action, Refuse):
        return action
    runs = pool.current_os_version or ""
    count = len(nodes) if nodes is not None else pool.node_count
    told = Plan("adopt", ADOPTS, runs, target, nodes=count, change=f"it runs {version.short(target)}")
    if isinstance(action, Done):
        return _judged(told, nodes, gate, timeout, at) if gate.is_declared and count else told
    # What comes after an upgrade to another version starts from that one.
    after = pool.target_os_version if isinstance(action, Wait) and action.phase == "conflict" else None
    came_from = after or runs
    back = is_rollback(came_from, target)
    told = replace(told, warnings=("rollback",) if back else ())
    # An unknown state may show the target.
    told = replace(told, change=version.change(came_from or "an unknown version", target))
    if isinstance(action, Wait) and action.phase == "joined":
        seen = NodeCounts(nodes, pool.changed_at) if nodes is not None else None
        return replace(
            told,
            what="join",
            detail=f"{seen or counted(count, 'node')}, this up joins the upgrade in flight",
            back=seen.back if seen is not None and pool.changed_at is not None else None,
        )
    cost, tasks = _cost(nodes, count)
    if isinstance(action, Wait):
        told = replace(told, what="wait", detail=f"{cost}; {action.why}", tasks=tasks)
        code = {"resizing": "resize", "conflict": "conflict"}.get(action.phase, "unknown state")
        return told.noting(code, f"this up waits for it, at most {duration(timeout)}, and upgrades then")
    return replace(told, what="rollback" if back else "upgrade", detail=cost, tasks=tasks)


def _judged(told: Plan, nodes: tuple[Node, ...] | None, gate: Gate, timeout: float, at: datetime | None) -> Plan:
    """The plan for a pool at its target, whose nodes have to be as the program asks."""
    if nodes is None:
        return replace(told, detail=f"{told.detail}; this up judges its nodes, which could not be looked at")
    verdict = judge(nodes, gate, age_of(nodes, at))
    if isinstance(verdict, Passed):
        return replace(told, detail=f"{told.detail}; {verdict.why}")
    if isinstance(verdict, Failed):
        fails = f"{verdict.why}: {name_nodes(verdict.nodes)}; this up fails while that is so"
        return replace(told, detail=fails, warnings=("unhealthy",))
    waits = f"this up waits for it, at most {duration(timeout)}, and writes nothing"
    return replace(told, what="wait", detail=f"{verdict.why}; {waits}")


def _cost(nodes: tuple[Node, ...] | None, count: int) -> tuple[str, int | None]:
    """What an upgrade takes, in words, and the tasks that it interrupts."""
    if count == 0:
        return "no nodes", 0
    if nodes is None:
        return f"{counted(count, 'node')}, whose running tasks go back to the queue", None
    tasks = sum(node.running_tasks for node in nodes)
    goes = f"{counted(tasks, 'running task')} {'goes' if tasks == 1 else 'go'} back to the queue"
    return f"{counted(count, 'node')}, {goes if tasks else 'no task runs'}", tasks


def plan_image(seen: VmPoolView, target: ImageVersion, policy: ImagePolicy, timeout: float) -> Plan | Refuse:
    """The plan for a VM pool, or the refusal that `up` would end in.

    Args:
        seen: a look at the pool.
        target: the declared version.
        policy: strategy and surge, as declared.
        timeout: seconds that an `up` waits at most.
    """
    history = steps.ImageHistory(found=frozenset(node.node_id for node in seen.nodes))
    action = decide_image(seen, target, policy, history)
    if isinstance(action, Refuse):
        return action
    told = _plan_image(seen, target, policy, timeout, action)
    product = another_product(seen, target)
    notes = (
        ("another product", product),
        ("resize errors", resize_errors(seen) if seen.past_errors else ""),
        ("deallocated", deallocated(seen, target) if seen.deallocated else ""),
    )
    for code, text in notes:
        told = told.noting(code, text) if text else told
    return told


def _plan_image(  # noqa: PLR0911 - a table
    seen: VmPoolView, target: ImageVersion, policy: ImagePolicy, timeout: float, action: steps.ImageAction
) -> Plan:
    """The plan for what the table says, without what is to be noted of the pool besides."""
    nodes, mark, behind = len(seen.judged), seen.pool.marker, seen.behind(target.numbers)
    oldest = seen.oldest()
    came_from, wanted = oldest.version_text if oldest else "", target.text
    told = Plan("adopt", "", came_from, wanted, nodes=len(seen.dedicated), behind=len(behind))
    if isinstance(action, Done):
        what = f"{'its 1 node is' if nodes == 1 else f'all {nodes} nodes are'} at {wanted} or above"
        what = what if nodes else "all its nodes are deallocated" if seen.deallocated else "it has no nodes"
        return replace(told, detail=ADOPTS, change=what)
    if isinstance(action, steps.Repin):
        return replace(
            told,
            what="repin",
            detail="pinned pool is empty: this up re-pins it",
            came_from=seen.pool.pin_text,
            change=version.change(seen.pool.pin_text, action.version),
        )
    told = replace(told, what="wait", change=version.change(came_from, wanted))
    if isinstance(action, Wait) and action.phase == "until empty":
        waits = f"waits until it is empty, at most {duration(timeout)}"
        change = version.change(seen.pool.pin_text, wanted)
        return replace(told, detail=f"pinned pool holds {counted(len(seen.nodes), 'node')}: {waits}", change=change)
    text = steps.tally(seen, target)
    if isinstance(action, Wait) and action.phase in ("automatic", "until renewed"):
        return replace(told, detail=f"{text}; waits, at most {duration(timeout)}, and writes nothing")
    if isinstance(action, Wait) and action.phase not in ("proving", "allocating"):
        return replace(told, detail=f"{text}; {action.why}; waits, at most {duration(timeout)}")
    if isinstance(action, steps.Undo):
        return replace(
            told, what="undo", detail=f"{text}; an earlier rollout is undone, because {action.failure.reason}"
        )
    if not behind:
        return replace(told, what="renew", detail=f"{text}; what an earlier rollout has left is put in order")
    surge = mark.surge if mark is not None else policy.surge
    text += "" if mark is None else ", an unfinished renewal goes on"
    more, tasks = min(surge, len(behind)), sum(node.running_tasks for node in behind)
    text += (
        f", {counted(tasks, 'task')} running, none will be stopped; "
        f"surge {surge}: {counted(ceil(len(behind) / surge), 'round')}, +{counted(more, 'node')} meanwhile"
    )
    return replace(told, what="renew", detail=text, tasks=tasks)
