"""The data of the world: pools, nodes, jobs, tasks, and the work in flight on them.

Lifecycles (:mod:`.pools`, :mod:`.nodes`, :mod:`.tasks`), JSON by version (:mod:`.shapes`) and
the state file (:mod:`.state`) all speak of the same few records, so the records stand apart and hold no rules.

Whatever is still going to happen is a field (``due``), never a hidden timer: that is what lets a state be
written in the middle of an upgrade and read back to go on exactly where it was.
All times are virtual ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from batch_os_provider.simulator.world.clock import iso

READY = ("idle", "running")
"""Node states in which a node takes tasks; an upgraded node in one of them is back."""
WITHOUT_TASKS: Final = frozenset(
    {"preempted", "unusable", "unknown", "starttaskfailed", "deallocated", "deallocating", "creating", "rebooting"}
    | {"reimaging", "upgradingos", "starting", "waitingforstarttask", "leavingpool"}
)
"""Node states in which no task can be running."""
FATES: Final = ("starttaskfailed", "hangs", "unusable", "unknown")
"""How a new node may end instead of ready: its start task fails or never ends, or the node is no good."""


@dataclass(slots=True)
class Upgrade:
    """An OS upgrade under way: nodes still to be taken, nodes out now; ``until`` ends that of an empty pool.

    ``rollback``: the platform is taking it back, so that it leads to the version that the pool has.
    """

    pending: list[str]
    out: list[str]
    until: int | None = None
    rollback: bool = False


@dataclass(slots=True)
class Resize:
    """A resize under way: ``due`` is its next step, ``deadline`` its timeout.

    ``leaving`` are nodes that go when their tasks have ended; ``removal`` says that the nodes were named;
    ``earlier`` are the errors of the resize before it.
    """

    due: int
    deadline: int
    option: str = "requeue"
    leaving: list[str] = field(default_factory=list)
    removal: bool = False
    earlier_errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Node:
    """A compute node. ``due`` is when its present state ends by itself, if it does; ``fate`` is one of FATES.

    A node that is up keeps its fate for its next boot.
    """

    id: str
    dedicated: bool
    state: str
    state_time: int
    boot_time: int
    allocation_time: int
    due: int | None = None
    scheduling: str = "enabled"
    image: dict[str, Any] | None = None
    tasks_run: int = 0
    tasks_succeeded: int = 0
    start_task: dict[str, Any] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    fate: str | None = None
    running: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Pool:
    """A pool. ``props`` holds what was declared and only needs to be shown again (in the newest spelling).

    ``resolved`` is what ``latest`` meant when the first node was made, ``script`` what nodes to come are in for
    (:mod:`.resizes`), ``autoscaled`` the time of the last enableautoscale, ``previous`` the OS version before the last
    upgrade that ended.
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
        """Ids keep their case and are compared without it."""
        return self.id.lower()

    @property
    def autoscale_enabled(self) -> bool:
        """Whether a formula has the say over the targets."""
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
        """How many nodes of one kind are asked for."""
        return self.target_dedicated if dedicated else self.target_low_priority

    def adjust_target(self, change: int, *, dedicated: bool) -> None:
        """Move the target of one kind; it never falls below zero."""
        if dedicated:
            self.target_dedicated = max(0, self.target_dedicated + change)
        else:
            self.target_low_priority = max(0, self.target_low_priority + change)

    def count(self, *, dedicated: bool) -> int:
        """Nodes of one kind that the pool has now."""
        return sum(node.dedicated is dedicated for node in self.nodes.values())


@dataclass(slots=True)
class Task:
    """A task. ``queued`` orders the queue; ``due`` is when the present run ends."""

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
        """Ids keep their case and are compared without it."""
        return self.id.lower()


@dataclass(slots=True)
class Job:
    """A job bound to a pool by name; the pool need not exist (then its tasks wait)."""

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
        """Ids keep their case and are compared without it."""
        return self.id.lower()


@dataclass(slots=True)
class Actor:
    """One script. ``matched`` counts the requests that it waits for, ``fired`` how often it acted, refused or not.

    ``due`` is its virtual instant until then; ``refused`` says why its last deed was not done.
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
        """The script in the shape of ``/_simulator/actors``."""
        shown = {"id": self.id, "when": self.when, "pool": self.pool, "do": self.do, "fired": self.fired}
        due = {} if self.due is None else {"due": iso(self.due)}
        return {**shown, **due, "refused": self.refused}

    def matches(self, moment: str, operation: str, pool: str | None) -> bool:
        """Whether this request is the one it waits for; to ask is to count it."""
        if self.when.get("operation") != operation or self.when.get("moment", "after") != moment:
            return False
        wanted = self.when.get("pool")
        if wanted is not None and (pool is None or wanted.lower() != pool.lower()):
            return False
        self.matched += 1
        return self.when.get("nth") in (None, self.matched)
