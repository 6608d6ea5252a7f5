"""The data of the world: pools, nodes, jobs, tasks, and the work in flight on them.

Lifecycles (:mod:`.pools`, :mod:`.nodes`, :mod:`.tasks`), the JSON of each API version and the state file use the same
records, so the records have their own module, without rules.

The time of a future event is a field (``due``), never a hidden timer. So a state can be written in the middle of an
upgrade and continues at the same point when it is read. All times are virtual ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from batch_os_provider.simulator.world.clock import iso

READY = ("idle", "running")
"""Node states in which a node takes tasks; an upgrade is finished on a node in one of them."""
WITHOUT_TASKS: Final = frozenset(
    {"preempted", "unusable", "unknown", "starttaskfailed", "deallocated", "deallocating", "creating", "rebooting"}
    | {"reimaging", "upgradingos", "starting", "waitingforstarttask", "leavingpool"}
)
"""Node states in which no task can be running."""
FATES: Final = ("starttaskfailed", "hangs", "unusable", "unknown")
"""How a boot may end instead of ready: the start task fails, the start task hangs, or the node is broken."""


@dataclass(slots=True)
class Upgrade:
    """A running OS upgrade: ``pending`` nodes, ``out`` nodes (being upgraded); ``until`` ends that of an empty pool.

    ``rollback``: the platform is reverting the upgrade to the current version of the pool.
    """

    pending: list[str]
    out: list[str]
    until: int | None = None
    rollback: bool = False


@dataclass(slots=True)
class Resize:
    """A running resize: ``due`` is its next step, ``deadline`` its timeout.

    ``leaving`` nodes are removed when their tasks have ended; ``removal`` is true for removenodes;
    ``earlier_errors`` are the errors of the previous resize.
    """

    due: int
    deadline: int
    option: str = "requeue"
    leaving: list[str] = field(default_factory=list)
    removal: bool = False
    earlier_errors: list[dict[str, Any]] = field(default_factory=list)


NODE_AGENT: Final = "1.12.39"
"""The newest version of the node agent that was recorded (2026-02)."""


@dataclass(slots=True)
class Node:
    """A compute node. ``due`` is the end of a temporary state; ``fate`` is one of FATES.

    On a node that is up, ``fate`` applies to its next boot. ``boot_time`` is None until its first boot has ended.
    ``image`` has the real version as ``exactVersion``; ``shown_version`` is the exactVersion that a state sets instead
    of the switch ``exactVersionOfLatest``. ``agent`` is the version of the node agent.
    """

    id: str
    dedicated: bool
    state: str
    state_time: int
    boot_time: int | None
    allocation_time: int
    due: int | None = None
    scheduling: str = "enabled"
    image: dict[str, Any] | None = None
    shown_version: str | None = None
    agent: str = NODE_AGENT
    tasks_run: int = 0
    tasks_succeeded: int = 0
    start_task: dict[str, Any] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    fate: str | None = None
    running: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Pool:
    """A pool. ``props`` has the declared properties that are only returned (under their newest names).

    ``resolved_latest`` is the version of ``latest`` when the first node was created, ``script`` the allocation script
    (:mod:`.resizes`), ``autoscale_enabled_at`` the time of the last enableautoscale, ``previous_version`` the OS
    version before the last finished upgrade.
    """

    id: str
    props: dict[str, Any]
    created: int
    modified: int
    etag: str
    state: str
    state_time: int
    allocation: str
    allocation_time: int
    target_dedicated: int
    target_low_priority: int
    cloud_service: dict[str, str] | None = None
    virtual_machine: dict[str, Any] | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    resize_errors: list[dict[str, Any]] = field(default_factory=list)
    upgrade: Upgrade | None = None
    resize: Resize | None = None
    delete_due: int | None = None
    node_counter: int = 0
    resolved_latest: str | None = None
    script: dict[str, Any] | None = None
    autoscale_enabled_at: int | None = None
    previous_version: str | None = None

    @property
    def key(self) -> str:
        """The id in lower case: Batch compares ids without case."""
        return self.id.lower()

    @property
    def autoscale_enabled(self) -> bool:
        """Whether a formula sets the targets."""
        return bool(self.props.get("enableAutoScale"))

    @property
    def _automatic_upgrade(self) -> dict[str, Any]:
        policy: dict[str, Any] = self.props.get("upgradePolicy", {}).get("automaticOSUpgradePolicy") or {}
        return policy

    @property
    def has_automatic_upgrade(self) -> bool:
        """Whether the automatic OS upgrade is on."""
        return self.virtual_machine is not None and bool(self._automatic_upgrade.get("enableAutomaticOSUpgrade"))

    @property
    def defers_upgrade(self) -> bool:
        """Whether the automatic OS upgrade waits for a node's tasks."""
        return bool(self._automatic_upgrade.get("osRollingUpgradeDeferral"))

    @property
    def slots(self) -> int:
        """Tasks that one node runs at a time."""
        return int(self.props.get("taskSlotsPerNode", 1))

    @property
    def start_task(self) -> dict[str, Any] | None:
        """The declared start task, if any."""
        task: dict[str, Any] | None = self.props.get("startTask")
        return task

    def target(self, *, dedicated: bool) -> int:
        """The target number of nodes of one kind."""
        return self.target_dedicated if dedicated else self.target_low_priority

    def adjust_target(self, change: int, *, dedicated: bool) -> None:
        """Change the target of one kind; it never falls below zero."""
        if dedicated:
            self.target_dedicated = max(0, self.target_dedicated + change)
        else:
            self.target_low_priority = max(0, self.target_low_priority + change)

    def count(self, *, dedicated: bool) -> int:
        """Nodes of one kind that the pool has now."""
        return sum(node.dedicated is dedicated for node in self.nodes.values())


@dataclass(slots=True)
class Task:
    """A task. ``due`` is the end of the current run."""

    id: str
    props: dict[str, Any]
    created: int
    modified: int
    etag: str
    state: str
    state_time: int
    previous_state: str | None = None
    previous_state_time: int | None = None
    pool: str | None = None
    node: str | None = None
    started: int | None = None
    ended: int | None = None
    exit_code: int | None = None
    retries: int = 0
    requeues: int = 0
    requeued: int | None = None
    due: int | None = None

    @property
    def key(self) -> str:
        """The id in lower case: Batch compares ids without case."""
        return self.id.lower()


@dataclass(slots=True)
class Job:
    """A job bound to a pool by name; if the pool does not exist, its tasks wait."""

    id: str
    props: dict[str, Any]
    created: int
    modified: int
    etag: str
    state: str
    state_time: int
    pool_id: str
    tasks: dict[str, Task] = field(default_factory=dict)
    delete_due: int | None = None

    @property
    def key(self) -> str:
        """The id in lower case: Batch compares ids without case."""
        return self.id.lower()


@dataclass(slots=True)
class Actor:
    """One actor. ``matched`` counts the requests that it waits for, ``fired`` its actions, including refused ones.

    ``due`` is its virtual time, if it has one; ``refused`` says why its last action was refused.
    """

    id: str
    when: dict[str, Any]
    pool: str
    do: dict[str, Any]
    due: int | None = None
    fired: int = 0
    matched: int = 0
    refused: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The actor in the shape of ``/_simulator/actors``."""
        shown = {"id": self.id, "when": self.when, "pool": self.pool, "do": self.do, "fired": self.fired}
        due = {} if self.due is None else {"due": iso(self.due)}
        return {**shown, **due, "refused": self.refused}

    def matches(self, moment: str, operation: str, pool: str | None) -> bool:
        """Whether the actor waits for this request. Each call counts the request."""
        if self.when.get("operation") != operation or self.when.get("moment", "after") != moment:
            return False
        wanted = self.when.get("pool")
        if wanted is not None and (pool is None or wanted.lower() != pool.lower()):
            return False
        self.matched += 1
        return self.when.get("nth") in (None, self.matched)
