"""Is a pool at its target as healthy as the program declares? One table, first match wins.

Batch shows a pool as active and upgraded even if its nodes are broken. This module judges what the program declares
about the nodes (``max_unhealthy``, ``soak``). The rollout, the refresh and the preview all use it, so they agree.

==================================================  =======================================
Seen                                                Then
==================================================  =======================================
no gate is declared                                 Passed: nodes are reported only
more unhealthy nodes than ``max_unhealthy``         Failed
nodes not ready yet, and the gate depends on them   Settling
the newest boot is younger than ``soak``            Soaking
anything else, also a pool without nodes            Passed
==================================================  =======================================

A node is unhealthy if its state is ``unusable`` or ``starttaskfailed``, or if its start task has failed in any other
resting state. In API 2018-08-01.7.0 waitForSuccess is false by default, and a node with a failed start task is idle.
A gate must find a new OS that breaks the set-up of a node, so this failure counts.

A node is not ready yet in any other state, except the states in which a node rests or leaves. Unknown states count as
not ready. The gate depends on these nodes if they could raise the number of unhealthy nodes above the limit. With
``soak`` it always depends on them, because their boot may be the newest. A start task may run on an idle node without
end, so the gate does not wait for it.

Sources: swagger 2018-08-01.7.0 (``ComputeNodeState``, ``StartTask``, ``StartTaskInformation``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch_os_provider.schema.declared import Gate
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from batch_os_provider.batch.pool import Node

__all__ = ["Failed", "Passed", "Settling", "Soaking", "Verdict", "age_of", "judge", "newest_boot", "unhealthy"]

_FAILED = frozenset({"unusable", "starttaskfailed"})
_LEAVING = frozenset({"leavingpool", "preempted"})
_STAYING = frozenset({"idle", "running", "offline"})


@dataclass(frozen=True)
class Passed:
    """The nodes are as the program declares; ``why`` describes them."""

    why: str


@dataclass(frozen=True)
class Failed:
    """More nodes are unhealthy than the program allows: ``nodes``."""

    why: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Settling:
    """Some nodes are not ready yet, and the result depends on them."""

    why: str


@dataclass(frozen=True)
class Soaking:
    """The nodes are healthy, but ``soak`` has not passed; ``left`` is in seconds."""

    why: str
    left: float


Verdict = Passed | Failed | Settling | Soaking


def unhealthy(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The unhealthy nodes, nodes with an error first."""
    found = [node for node in nodes if node.state in _FAILED or (node.start_task_failed and node.state in _STAYING)]
    return tuple(sorted(found, key=lambda node: (not node.error, node.node_id)))


def newest_boot(nodes: Iterable[Node]) -> datetime | None:
    """The newest boot time of the nodes that stay; None if no node shows one."""
    boots = [node.last_boot_time for node in nodes if node.state not in _LEAVING]
    return max((boot for boot in boots if boot is not None), default=None)


def age_of(nodes: Iterable[Node], seen_at: datetime | None, since: datetime | None = None) -> float:
    """Seconds from the newest boot to ``seen_at``, both by the service's clock; 0 if either is unknown.

    A list may lag and show boots from before the upgrade. So a boot before ``since``, the start of the upgrade, counts
    as a boot at ``since``.
    """
    boot = newest_boot(nodes)
    if boot is None or seen_at is None:
        return 0.0
    return max(0.0, (seen_at - (boot if since is None else max(boot, since))).total_seconds())


def judge(nodes: Sequence[Node], gate: Gate, age: float) -> Verdict:
    """Judge the nodes of a pool that runs its target.

    Args:
        nodes: all nodes; this list began after a read that showed the pool at its target.
        gate: the declared health.
        age: seconds since the newest boot, at least.
    """
    bad = unhealthy(nodes)
    coming = [node for node in nodes if node not in bad and node.state not in _STAYING | _LEAVING]
    most = len(nodes) if gate.max_unhealthy is None else gate.max_unhealthy.of(len(nodes))
    why = _counted(len(bad), len(nodes), gate)
    if len(bad) > most:
        return Failed(why, bad)
    if coming and (gate.soak > 0 or len(bad) + len(coming) > most):
        return Settling(f"{why}, {len(coming)} not ready yet")
    if nodes and age < gate.soak:
        return Soaking(
            f"{why}; the newest boot was {duration(age)} ago, soak is {duration(gate.soak)}", gate.soak - age
        )
    return Passed(why)


def _counted(bad: int, nodes: int, gate: Gate) -> str:
    """``2 of 6 nodes are unhealthy, max_unhealthy 0``."""
    if not nodes:
        return "no nodes"
    text = f"{bad} of {nodes} nodes {plural(bad, 'is', 'are')} unhealthy"
    limit = gate.max_unhealthy
    if limit is None:
        return text
    return f"{text}, max_unhealthy {limit}" + (f" ({limit.of(nodes)})" if limit.percent else "")
