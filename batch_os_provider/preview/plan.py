"""What an `up` would do to a pool, in one line for the reviewer of a preview.

Pulumi's word "update" says nothing about the cost. The line comes from the tables that the rollouts follow, so a
preview cannot promise what an `up` would not do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.pool import Node, Pool
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.guest_os import version
from batch_os_provider.guest_os.version import is_rollback
from batch_os_provider.preview.empty_cost import empty_cost, stopped_nodes
from batch_os_provider.preview.message_tail import MessageTail, What
from batch_os_provider.preview.surge_cost import surge_cost
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal import automatic, steps, surge_view
from batch_os_provider.rollout.image_renewal.decide import another_product, deallocated, decide_image, resize_errors
from batch_os_provider.rollout.image_renewal.empty_view import is_reached
from batch_os_provider.rollout.image_renewal.move import change_text, moves
from batch_os_provider.rollout.image_renewal.spot import old_spot_note
from batch_os_provider.rollout.image_renewal.target_words import words_of
from batch_os_provider.rollout.os_upgrade import decide as os_table
from batch_os_provider.rollout.os_upgrade.health import Failed, Passed, age_of, judge
from batch_os_provider.rollout.progress import NodeCounts, name_nodes
from batch_os_provider.schema.declared import NO_GATE, Gate, ImagePolicy, Policy
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import counted, plural

__all__ = ["Plan", "plan_image", "plan_os"]

ADOPTS = "no change needed"


@dataclass(frozen=True)
class Plan(MessageTail):
    """One line for people; the fields of ``MessageTail`` say the same to programs.

    ``detail`` is what an `up` takes, ``change`` from what to what. The news comes first and the short versions last, as
    in every line of a rollout (``rollout/progress``).
    """

    detail: str = ""
    change: str = ""

    @property
    def text(self) -> str:
        """The line."""
        head = "ROLLBACK: " if "rollback" in self.warnings else ""
        head = "ANOTHER IMAGE: " if "another image" in self.warnings else head
        return head + "; ".join(filter(None, (self.detail, self.change)))

    def noting(self, code: str, text: str) -> Plan:
        """The same plan with one more warning after its detail."""
        return replace(self, detail=f"{self.detail}; {text}", warnings=(*self.warnings, code))


def plan_os(  # noqa: PLR0913 - a pool as read, what is declared, and when
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
        pool: the pool as read.
        nodes: its nodes; None if they were not listed.
        target: the declared version.
        policy: what is declared about other actors.
        timeout: seconds that an `up` waits at most.
        gate: the declared conditions for nodes at the target.
        at: when the nodes were listed; None if unknown.
    """
    action = os_table.decide(pool, target, policy, os_table.History(), 0.0)
    if isinstance(action, Refuse):
        return action
    runs = pool.current_os_version or ""
    count = len(nodes) if nodes is not None else pool.node_count
    plan = Plan(pool.ref.url, "os", "adopt", runs, target, nodes=count, detail=ADOPTS)
    plan = replace(plan, change=f"the pool runs {version.short(target)}")
    if isinstance(action, Done):
        return _judged(plan, nodes, gate, timeout, at) if gate.is_declared and count else plan
    # After a conflicting upgrade, the next upgrade starts from the version of that one.
    after = pool.target_os_version if isinstance(action, Wait) and action.phase == "conflict" else None
    came_from = after or runs
    back = is_rollback(came_from, target)
    plan = replace(plan, warnings=("rollback",) if back else ())
    # A pool in an unknown state may already show the target.
    plan = replace(plan, change=version.change(came_from or "an unknown version", target))
    if isinstance(action, Wait) and action.phase == "joined":
        seen = NodeCounts(nodes, pool.changed_at) if nodes is not None else None
        return replace(
            plan,
            what="join",
            detail=f"{seen or counted(count, 'node')}, this up joins the upgrade in flight",
            back=seen.back if seen is not None and pool.changed_at is not None else None,
        )
    cost, tasks = _cost(nodes, count)
    if isinstance(action, Wait):
        plan = replace(plan, what="wait", detail=f"{cost}; {action.why}", tasks=tasks)
        code = {"resizing": "resize", "conflict": "conflict"}.get(action.phase, "unknown state")
        return plan.noting(code, f"this up waits for it, at most {duration(timeout)}, and then upgrades")
    return replace(plan, what="rollback" if back else "upgrade", detail=cost, tasks=tasks)


def _judged(plan: Plan, nodes: tuple[Node, ...] | None, gate: Gate, timeout: float, at: datetime | None) -> Plan:
    """The plan for a pool at its target, if the program declares conditions for its nodes."""
    if nodes is None:
        return replace(plan, detail=f"{plan.detail}; this up checks its nodes, which the preview could not list")
    verdict = judge(nodes, gate, age_of(nodes, at))
    if isinstance(verdict, Passed):
        return replace(plan, detail=f"{plan.detail}; {verdict.why}")
    if isinstance(verdict, Failed):
        fails = f"{verdict.why}: {name_nodes(verdict.nodes)}; this up fails unless this changes"
        return replace(plan, detail=fails, warnings=("unhealthy",))
    waits = f"this up waits for it, at most {duration(timeout)}, and writes nothing"
    return replace(plan, what="wait", detail=f"{verdict.why}; {waits}")


def _cost(nodes: tuple[Node, ...] | None, count: int) -> tuple[str, int | None]:
    """What an upgrade costs, in words, and how many tasks it interrupts; None if that is unknown."""
    if count == 0:
        return "no nodes", 0
    if nodes is None:
        return f"{counted(count, 'node')}, running tasks go back to the queue", None
    tasks = sum(node.running_tasks for node in nodes)
    goes = f"{counted(tasks, 'running task')} {plural(tasks, 'goes', 'go')} back to the queue"
    return f"{counted(count, 'node')}, {goes if tasks else 'no task runs'}", tasks


def plan_image(  # noqa: PLR0913 - a pool as read, what is declared, and when
    seen: VmPoolView,
    target: Target,
    policy: ImagePolicy,
    timeout: float,
    drain_timeout: float = 3600.0,
    *,
    now: datetime | None = None,
) -> Plan | Refuse:
    """The plan for a VM pool, or the refusal that `up` would end in.

    Args:
        seen: the pool and its nodes as read.
        target: the declared version or moment.
        policy: strategy and surge, as declared.
        timeout: seconds that an `up` waits at most.
        drain_timeout: seconds that the tasks of a leaving node have at most.
        now: the time, for an answer of Batch without one; None if unknown.
    """
    history = steps.ImageHistory(found=frozenset(node.node_id for node in seen.nodes))
    action = decide_image(seen, target, policy, history, now)
    if isinstance(action, Refuse):
        return action
    if policy.strategy == "automatic":
        return _plan_automatic(seen, target)
    stopped = deallocated(seen, target) if seen.deallocated else ""
    if policy.strategy == "empty" or seen.pool.emptying is not None:
        stopped = stopped_nodes(seen) if stopped and not isinstance(action, Done) else stopped
        plan = _plan_empty(seen, target, policy, action, (timeout, drain_timeout))
    else:
        plan = _plan_image(seen, target, policy, timeout, action)
    product = another_product(seen, target)
    notes = (
        ("another product", product),
        ("pinned", _stays_pinned(seen, target, plan)),
        ("resize errors", resize_errors(seen) if seen.past_errors else ""),
        ("deallocated", stopped),
        ("spot nodes", old_spot_note(seen, target, policy)),
    )
    for code, text in notes:
        plan = plan.noting(code, text) if text else plan
    return _becoming_pinned(plan, seen, target, policy)


def _plan_automatic(seen: VmPoolView, target: Target) -> Plan:
    """The plan of the strategy ``automatic``, which never writes: how the nodes stand that Batch renews."""
    oldest = seen.oldest(target)
    shown = target.shown(oldest) if oldest is not None else ""
    behind = len(seen.behind(target, spot=True))
    plan = Plan(seen.pool.base.ref.url, "image", "adopt", nodes=len(seen.nodes), behind=behind)
    plan = replace(plan.between(target, shown), detail=ADOPTS, change=automatic.report(seen, target))
    return plan.noting("interrupts tasks", automatic.INTERRUPTS) if automatic.interrupts_tasks(seen.pool) else plan


def _plan_empty(
    seen: VmPoolView, target: Target, policy: ImagePolicy, action: steps.ImageAction, times: tuple[float, float]
) -> Plan:
    """The plan of the strategy ``empty``, or of its marker under another strategy; the pin is what it starts from."""
    pool, count = seen.pool, len(seen.nodes)
    pinned, oldest = isinstance(target, ImageVersion), seen.oldest(target)
    shown = target.shown(oldest) if oldest is not None else ""
    runs = (pool.emptying.way_back if pool.emptying is not None else pool.pin_text) if pinned else shown
    changes = pinned or not target.is_met_by(pool)
    behind = count if changes and not is_reached(seen, target) else len(seen.behind(target))
    plan = Plan(pool.base.ref.url, "image", "adopt", nodes=count, behind=behind).between(target, runs)
    if isinstance(action, Done):
        has = f"the pool is {pool.pinned}, {counted(count, 'node')}"
        return replace(plan, detail=ADOPTS, change=has if pinned else words_of(target).holds(count))
    if isinstance(action, steps.Repin) and pool.emptying is None:
        return _repinned(plan, seen, action, target)
    cost = empty_cost(seen, policy, action, *times)
    plan = replace(plan, what="renew", detail=cost.detail, change=words_of(target).change(runs), tasks=cost.tasks)
    plan = replace(plan, warnings=("empties",)) if cost.empties else plan
    return _moved(plan, seen, target, policy.canary) or _rolled_back(plan, runs, target)


def _repinned(plan: Plan, seen: VmPoolView, action: steps.Repin, target: Target) -> Plan:
    """The plan for an empty pool whose image changes at once."""
    runs = seen.pool.pin_text
    empty = (
        "the pool is empty: this up pins it" if seen.pool.is_latest else "the pinned pool is empty: this up re-pins it"
    )
    empty = "the pool is empty: this up changes its image" if action.onto is not None else empty
    plan = replace(plan, what="repin", detail=empty, came_from=runs, change=version.change(runs, action.version))
    return _moved(plan, seen, target, 0) or _rolled_back(plan, runs, target)


def _moved(plan: Plan, seen: VmPoolView, target: Target, canary: int) -> Plan | None:
    """The same plan, which names the move to another image and its way back; None if the pool keeps its image.

    ``canary`` nodes prove the new image; 0 if the pool is empty already.
    """
    pool, mark = seen.pool, seen.pool.emptying
    if moves(pool, target):
        before, goal = pool.made_from if mark is None else mark.before, target.goal(pool)
    elif mark is not None and mark.moves and target.image is not None:
        before, goal = mark.before, mark.goal
    else:
        return None
    text = f"node agent {before.agent} -> {goal.agent or 'the one that Batch lists'}"
    if before.agent.casefold() == goal.agent.casefold():
        text = f"node agent {goal.agent} as before"
    if canary:
        text += f"; canary of {counted(canary, 'new node')}: if it fails, the old image and node agent come back"
    plan = replace(plan, change=change_text(before, goal), from_image=before.name, to_image=goal.name)
    return plan.noting("another image", text)


def _rolled_back(plan: Plan, runs: str, target: Target) -> Plan:
    """The same plan, marked if the pool goes back to an older pin."""
    pin = parse_image_version(runs)
    if not isinstance(target, ImageVersion) or pin is None or not target.numbers or pin <= target.numbers:
        return plan
    what: What = "rollback" if plan.what == "renew" else plan.what
    return replace(plan, what=what, warnings=("rollback", *plan.warnings))


def _becoming_pinned(plan: Plan, seen: VmPoolView, target: Target, policy: ImagePolicy) -> Plan:
    """The same plan; it says that the id of a gallery image gets a version."""
    pool = seen.pool
    if policy.strategy == "surge" or plan.what == "adopt" or not isinstance(target, ImageVersion):
        return plan
    if not target.numbers or "another image" in plan.warnings:
        return plan
    if not (pool.gallery and pool.is_latest) or pool.is_marked:
        return plan
    return replace(plan, detail=f"{plan.detail}; the image id gets the version, so new nodes no longer get the newest")


def _stays_pinned(seen: VmPoolView, target: Target, plan: Plan) -> str:
    """The warning that new nodes of a pinned pool get its pin, if only their age is declared; empty otherwise."""
    pinned = seen.pool.pin is not None and isinstance(target, AllocatedSince) and target.is_met_by(seen.pool)
    return f"the pool stays pinned to {seen.pool.pin_text}" if pinned and plan.what != "adopt" else ""


def _plan_image(  # noqa: PLR0911 - a table
    seen: VmPoolView, target: Target, policy: ImagePolicy, timeout: float, action: steps.ImageAction
) -> Plan:
    """The plan for an action of the table, without the warnings about the pool."""
    mark, words, takes_spot = seen.pool.marker, words_of(target), surge_view.takes_spot(seen, policy)
    nodes = len(seen.judged) + len(seen.spot) if takes_spot else len(seen.compared)
    behind = surge_view.behind(seen, target, policy)
    oldest = seen.oldest(target)
    came_from = target.shown(oldest) if oldest is not None else ""
    url, nodes_in_all = seen.pool.base.ref.url, len(seen.nodes if takes_spot else seen.dedicated or seen.nodes)
    plan = Plan(url, "image", "adopt", nodes=nodes_in_all, behind=len(behind)).between(target, came_from)
    if isinstance(action, Done):
        what = words.holds(nodes)
        what = what if nodes else "all its nodes are deallocated" if seen.deallocated else "it has no nodes"
        return replace(plan, detail=ADOPTS, change=what)
    if isinstance(action, steps.Repin):
        return _repinned(plan, seen, action, target)
    plan = replace(plan, what="wait", change=words.change(came_from))
    if isinstance(action, Wait) and action.phase == "until empty":
        waits = f"this up waits until it is empty, at most {duration(timeout)}"
        change = words.change(seen.pool.pin_text)
        pool = "pool on latest" if seen.pool.is_latest else "pinned pool"
        pool = "pool" if moves(seen.pool, target) else pool
        holds = f"the {pool} holds {counted(len(seen.nodes), 'node')}: {waits}"
        plan = replace(plan, detail=holds, change=change)
        return _moved(plan, seen, target, 0) or _rolled_back(plan, seen.pool.pin_text, target)
    text = steps.tally(seen, target, spot=takes_spot)
    if isinstance(action, Wait) and action.phase == "until renewed":
        return replace(plan, detail=f"{text}; this up waits, at most {duration(timeout)}, and writes nothing")
    if isinstance(action, Wait) and action.phase not in ("proving", "allocating"):
        return replace(plan, detail=f"{text}; {action.why}; this up waits, at most {duration(timeout)}")
    if isinstance(action, steps.Undo):
        return replace(
            plan, what="undo", detail=f"{text}; this up undoes an earlier rollout, because {action.failure.reason}"
        )
    if not behind:
        return replace(plan, what="renew", detail=f"{text}; this up cleans up after an earlier rollout")
    text += "" if mark is None else ", this up continues an unfinished renewal"
    cost = surge_cost(seen, behind, policy, timeout)
    text += f", {counted(cost.tasks, 'running task')}, none will be stopped; {cost.detail}"
    plan = replace(plan, what="renew", detail=text, tasks=cost.tasks)
    return plan.noting("timeout", cost.too_long) if cost.too_long else plan
