"""Other actors: one action on one pool at an exact moment.

The result of a change during a rollout depends on its moment. So an actor has one: a virtual time (an event of the
world), or just before or after a request. The actions are in :mod:`.actor_actions`.

Actors are not part of the account. A new state keeps them, with their times; a reset removes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.faults import actor_actions
from batch_os_provider.simulator.faults.effects import is_number
from batch_os_provider.simulator.protocol.operations import check_id
from batch_os_provider.simulator.world.clock import seconds
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.model import Actor
from batch_os_provider.simulator.world.reader import RefusedError
from batch_os_provider.simulator.world.world import event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.simulator.world.world import World

MOMENTS: Final = ("before", "after")
_MAX_SECONDS: Final = 1_000_000_000
_MAX_NODES: Final = 10_000
_NODES: Final = frozenset({"count", "ids"})
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "resize": frozenset({"targetDedicatedNodes", "targetLowPriorityNodes"}),
    "delete": frozenset(),
    "upgrade": frozenset({"targetOSVersion"}),
    "rollback": frozenset(),
    "addNodes": frozenset({"count"}),
    "removeNodes": _NODES,
    "preempt": _NODES,
    "stick": _NODES | {"state"},
    "failStartTask": _NODES,
    "recover": _NODES,
}


def add(world: World, given: object) -> Actor:
    """Add ``{"when": {...}, "pool": id, "do": {"kind": ...}}``.

    Raises:
        RefusedError: a field is invalid.
    """
    if not isinstance(given, dict) or not set(given) <= {"id", "when", "pool", "do"}:
        raise RefusedError("an actor is an object with when, pool, do and, optionally, id")
    when, do, pool = _when(given.get("when")), _do(given.get("do")), given.get("pool")
    if not isinstance(pool, str) or not pool:
        raise RefusedError("pool is the id of the pool that the action changes")
    number = 1
    while f"actor-{number}" in world.actors:
        number += 1
    name = str(given.get("id") or f"actor-{number}")
    if name in world.actors:
        raise RefusedError(f"the id {name!r} already belongs to another actor")
    actor = world.actors[name] = Actor(name, when, pool, do)
    if "after" in when:
        actor.due = world.schedule(world.now + seconds(when["after"]), "actor", name)
    return actor


def run_for_request(world: World, moment: str, operation: str, pool: str | None) -> None:
    """Run the actors that wait for this request; ``moment`` is before or after its operation."""
    for actor in list(world.actors.values()):
        if actor.matches(moment, operation, pool):
            _run(world, actor)


@event("actor")
def run_when_due(world: World, key: tuple[str, ...], due: int) -> None:
    """Run an actor at its time, if it was not removed."""
    actor = world.actors.get(key[0])
    if actor is not None and actor.due == due:
        actor.due = None
        _run(world, actor)


def _run(world: World, actor: Actor) -> None:
    actor.fired += 1
    actor.refused = None
    try:
        actor_actions.perform(world, actor.pool, actor.do)
    except BatchError as error:
        actor.refused = str(error)
    except RefusedError as error:
        actor.refused = f"{error}."
    world.record_change("actor", actor.id, None, actor.do["kind"], pool=actor.pool, refused=actor.refused)
    world.history.record(world)


def _when(when: object) -> dict[str, Any]:
    if not isinstance(when, dict) or ("after" in when) is ("operation" in when):
        raise RefusedError("when has either after (virtual seconds from now) or operation (of a request)")
    if "after" in when:
        if set(when) != {"after"} or not is_number(when["after"], 0, _MAX_SECONDS):
            raise RefusedError(f"when.after is the only field, a number of virtual seconds from 0 to {_MAX_SECONDS}")
        return when
    if not set(when) <= {"operation", "pool", "nth", "moment"}:
        raise RefusedError("with operation, when has only these fields: operation, pool, nth, moment")
    check_id(when["operation"])
    if when.get("pool") is not None and not isinstance(when["pool"], str):
        raise RefusedError("when.pool is a string: the pool of the request")
    nth = when.get("nth")
    if nth is not None and not (isinstance(nth, int) and is_number(nth, 1, _MAX_SECONDS)):
        raise RefusedError("when.nth is a whole number from 1: the nth such request since the actor was added")
    if when.get("moment", "after") not in MOMENTS:
        raise RefusedError(f"when.moment is {' or '.join(MOMENTS)}, not {when['moment']!r}")
    return when


def _do(do: object) -> dict[str, Any]:
    kind = do.get("kind") if isinstance(do, dict) else None
    if not isinstance(do, dict) or not isinstance(kind, str) or kind not in _FIELDS:
        raise RefusedError(f"unknown action {kind!r}; actions: {', '.join(_FIELDS)}")
    given = set(do) - {"kind"}
    if not given <= _FIELDS[kind]:
        raise RefusedError(f"{kind} has only these fields: {', '.join(sorted({'kind', *_FIELDS[kind]}))}")
    if kind == "resize" and not given:
        raise RefusedError("resize needs targetDedicatedNodes or targetLowPriorityNodes")
    for name, least in (("count", 1), ("targetDedicatedNodes", 0), ("targetLowPriorityNodes", 0)):
        if name in do and not (isinstance(do[name], int) and is_number(do[name], least, _MAX_NODES)):
            raise RefusedError(f"do.{name} is a whole number from {least} to {_MAX_NODES}")
    if "count" in _FIELDS[kind] and len(given & _NODES) != 1:
        raise RefusedError(f"{kind} needs {' or '.join(sorted(_FIELDS[kind] & _NODES))}")
    if "ids" in do and not _are_ids(do["ids"]):
        raise RefusedError("do.ids is a list of node ids: at least one, without duplicates")
    if kind == "upgrade" and not (isinstance(do.get("targetOSVersion"), str) and do["targetOSVersion"]):
        raise RefusedError("upgrade needs targetOSVersion, a string")
    if do.get("state") is not None and do["state"] not in actor_actions.STUCK_STATES:
        raise RefusedError(f"do.state is one of {', '.join(actor_actions.STUCK_STATES)}, not {do['state']!r}")
    return do


def _are_ids(ids: object) -> bool:
    if not isinstance(ids, list) or not ids or not all(isinstance(name, str) for name in ids):
        return False
    return len({name.lower() for name in ids}) == len(ids)
