"""Is a pool that runs its target as healthy as the program asks? One table, first match wins.

Batch calls a pool active and upgraded whatever has become of its nodes. What the program declares
about them (``max_unhealthy``, ``soak``) is judged here, pure, by the rollout, the refresh and the preview alike, so
that none of them lets pass what another would not.

==================================================  =======================================
Seen                                                Then
==================================================  =======================================
no gate is declared                                 Passed: nodes are reported only
more unhealthy nodes than ``max_unhealthy``         Failed
nodes on their way, and the gate hangs on them      Settling
the newest boot is younger than ``soak``            Soaking
anything else, no nodes included                    Passed
==================================================  =======================================

A node is unhealthy when its state is ``unusable`` or ``starttaskfailed``, or when its start task has failed whatever
its state: in API 2018-08-01.7.0 waitForSuccess is false unless it was set, and such a node is idle. A new OS that
breaks a node's set-up is what a gate is there to see, and that nobody waits for a start task does not say that its
failure is fine.

A node is on its way in any state that is none of those and none in which a node rests, so also in states that nobody
has heard of. The gate hangs on such nodes where they could still bring the unhealthy ones above the limit, and for
``soak`` always, since their boot may be the newest. A start task that runs on an idle node may run for ever, and
holds up nothing.

Sources: swagger 2018-08-01.7.0 (``ComputeNodeState``, ``StartTask``, ``StartTaskInformation``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch_os_provider.schema.declared import Gate
from batch_os_provider.schema.units import duration

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
    """The nodes are as the program asks; ``why`` is how they are."""

    why: str


@dataclass(frozen=True)
class Failed:
    """There are more unhealthy nodes than allowed: ``nodes``."""

    why: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Settling:
    """Nodes are on their way, and nobody can say yet how they will be."""

    why: str


@dataclass(frozen=True)
class Soaking:
    """The nodes are well, and not long enough yet; ``left`` is in seconds."""

    why: str
    left: float


Verdict = Passed | Failed | Settling | Soaking


def unhealthy(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that are unhealthy, those with an error first."""
    found = [node for node in nodes if node.state in _FAILED or (node.start_task_failed and node.state in _STAYING)]
    return tuple(sorted(found, key=lambda node: (not node.error, node.node_id)))


def newest_boot(nodes: Iterable[Node]) -> datetime | None:
    """When the last of the nodes that stay booted; None where no node tells."""
    boots = [node.last_boot_time for node in nodes if node.state not in _LEAVING]
    return max((boot for boot in boots if boot is not None), default=None)


def age_of(nodes: Iterable[Node], seen_at: datetime | None, since: datetime | None = None) -> float:
    """Seconds from the newest boot to a look, both by the service's clock; 0 where either is not known.

    No boot is older than ``since``, the beginning of an upgrade: a list that lags behind may still show those before.
    """
    boot = newest_boot(nodes)
    if boot is None or seen_at is None:
        return 0.0
    return max(0.0, (seen_at - (boot if since is None else max(boot, since))).total_seconds())


def judge(nodes: Sequence[Node], gate: Gate, age: float) -> Verdict:
    """Whether the nodes of a pool that runs its target are as the program asks.

    Args:
        nodes: all of them, on a look begun after the pool was seen at its target.
        gate: what is asked.
        age: seconds for which the newest boot is known to be past.
    """
    bad = unhealthy(nodes)
    coming = [node for node in nodes if node not in bad and node.state not in _STAYING | _LEAVING]
    most = len(nodes) if gate.max_unhealthy is None else gate.max_unhealthy.of(len(nodes))
    why = _counted(len(bad), len(nodes), gate)
    if len(bad) > most:
        return Failed(why, bad)
    if coming and (gate.soak > 0 or len(bad) + len(coming) > most):
        return Settling(f"{why}, {len(coming)} on {'its' if len(coming) == 1 else 'their'} way")
    if nodes and age < gate.soak:
        return Soaking(f"{why}; the newest boot was {duration(age)} of {duration(gate.soak)} ago", gate.soak - age)
    return Passed(why)


def _counted(bad: int, nodes: int, gate: Gate) -> str:
    """``2 of 6 nodes are unhealthy, max_unhealthy 0``."""
    if not nodes:
        return "no nodes"
    text = f"{bad} of {nodes} nodes {'is' if bad == 1 else 'are'} unhealthy"
    limit = gate.max_unhealthy
    if limit is None:
        return text
    return f"{text}, max_unhealthy {limit}" + (f" ({limit.of(nodes)})" if limit.percent else "")
