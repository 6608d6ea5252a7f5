"""``/_simulator``: the levers of the simulator, none of which Batch has.

A test must be able to put the account into a state, move the clock, break an answer and read
what happened, from any language. What it accepts and gives is fixed; PUT takes what GET gives. A refusal is a
400 with one sentence. Control calls need no key (it is loopback) and leave no trace in the audit.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from batch_os_provider.simulator.faults import actors
from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world.clock import iso
from batch_os_provider.simulator.world.model import Actor
from batch_os_provider.simulator.world.reader import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from batch_os_provider.simulator.faults.rules import Faults
    from batch_os_provider.simulator.world.world import World


def account_url(request: Request) -> str:
    """The account URL that the caller used."""
    return f"{request.url.scheme}://{request.url.netloc}"


def _answer(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The body is not JSON: {error}.") from None


async def refused(_request: Request, error: Exception) -> Response:
    """A refusal as JSON."""
    if isinstance(error, HTTPException):
        return _answer({"error": error.detail}, error.status_code)
    return _answer({"error": str(error)}, 400)


class Control:
    """The control endpoints over one world.

    ``initial`` is the state that a reset loads; ``on_change`` is called after every change.
    """

    def __init__(self, world: World, faults: Faults, initial: object, on_change: Callable[[], None]) -> None:
        self._world = world
        self._faults = faults
        self._initial = initial
        self._account = (world.account, world.key)
        self._on_change = on_change

    def routes(self) -> list[Route]:
        """The routes below ``/_simulator``."""
        return [
            Route("/state", self.get_state, methods=["GET"]),
            Route("/state", self.put_state, methods=["PUT"]),
            Route("/reset", self.reset, methods=["POST"]),
            Route("/clock", self.get_clock, methods=["GET"]),
            Route("/clock", self.post_clock, methods=["POST"]),
            Route("/audit", self.get_audit, methods=["GET"]),
            Route("/faults", self.get_faults, methods=["GET"]),
            Route("/faults", self.post_faults, methods=["POST"]),
            Route("/faults", self.delete_faults, methods=["DELETE"]),
            Route("/faults/{id}", self.get_fault, methods=["GET"]),
            Route("/faults/{id}", self.delete_fault, methods=["DELETE"]),
            Route("/actors", self.get_actors, methods=["GET"]),
            Route("/actors", self.post_actors, methods=["POST"]),
            Route("/actors", self.delete_actors, methods=["DELETE"]),
            Route("/actors/{id}", self.get_actor, methods=["GET"]),
            Route("/actors/{id}", self.delete_actor, methods=["DELETE"]),
            Route("/unknowns", self.get_unknowns, methods=["GET"]),
            Route("/unknowns", self.put_unknowns, methods=["PUT"]),
        ]

    async def get_state(self, request: Request) -> Response:
        """The whole account at the present virtual instant."""
        with self._world.lock:
            self._world.advance()
            return _answer(dump(self._world, account_url(request)))

    async def put_state(self, request: Request) -> Response:
        """Replace the account; an impossible state changes nothing."""
        data = await _json(request)
        with self._world.lock:
            self._world.advance()
            load(self._world, data)
            self._on_change()
            return _answer(dump(self._world, account_url(request)))

    async def reset(self, request: Request) -> Response:
        """Back to the beginning: first state, default switches, no faults, no actors, empty audit."""
        with self._world.lock:
            self._world.advance()
            self._world.unknowns.reset()
            self._faults.clear()
            self._world.actors.clear()
            self._world.account, self._world.key = self._account
            load(self._world, self._initial)
            self._world.audit.clear()
            self._world.issued.clear()
            self._on_change()
            return _answer(dump(self._world, account_url(request)))

    def _clock(self) -> Response:
        return _answer({"virtual": iso(self._world.advance()), "speed": self._world.clock.speed})

    async def get_clock(self, _request: Request) -> Response:
        """Virtual now and the speed."""
        with self._world.lock:
            return self._clock()

    async def post_clock(self, request: Request) -> Response:
        """``{"advance": seconds}``, ``{"speed": x}`` or both: first the advance, then the speed."""
        data = await _json(request)
        if not isinstance(data, dict) or not data or not set(data) <= {"advance", "speed"}:
            raise RefusedError('The clock takes {"advance": seconds}, {"speed": x} or both.')
        for name, value in data.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_SECONDS:
                raise RefusedError(f"{name} is a number from 0 to {_MAX_SECONDS}; time never runs back.")
        with self._world.lock:
            self._world.clock.advance(data.get("advance", 0))
            self._world.advance()
            if "speed" in data:
                self._world.clock.set_speed(data["speed"])
            self._on_change()
            return self._clock()

    async def get_audit(self, request: Request) -> Response:
        """Every entry, or those after ``?since=seq``."""
        since = request.query_params.get("since", "0")
        if not _SEQ.fullmatch(since):
            raise RefusedError("since is the seq of an entry.")
        with self._world.lock:
            self._world.advance()
            entries = [entry.to_json() for entry in self._world.audit.entries if entry.seq > int(since)]
        return _answer({"entries": entries})

    async def get_faults(self, _request: Request) -> Response:
        """The rules in force and how often each has fired."""
        return _answer([rule.to_json() for rule in self._faults.rules])

    async def get_fault(self, request: Request) -> Response:
        """One rule."""
        name = request.path_params["id"]
        for rule in self._faults.rules:
            if rule.id == name:
                return _answer(rule.to_json())
        raise HTTPException(404, f"There is no fault {name!r}.")

    async def post_faults(self, request: Request) -> Response:
        """Add one rule (an object) or several (a list)."""
        data = await _json(request)
        with self._world.lock:
            self._world.advance()
            if isinstance(data, list):
                return _answer([self._faults.add(given).to_json() for given in data])
            return _answer(self._faults.add(data).to_json())

    async def delete_faults(self, _request: Request) -> Response:
        """Remove all rules."""
        self._faults.clear()
        return _answer([])

    async def delete_fault(self, request: Request) -> Response:
        """Remove one rule."""
        name = request.path_params["id"]
        try:
            self._faults.remove(name)
        except KeyError:
            raise HTTPException(404, f"There is no fault {name!r}.") from None
        return await self.get_faults(request)

    async def get_actors(self, _request: Request) -> Response:
        """The scripts in force, what each has done, and why not."""
        with self._world.lock:
            self._world.advance()
            return _answer([actor.to_json() for actor in self._world.actors.values()])

    async def get_actor(self, request: Request) -> Response:
        """One script."""
        with self._world.lock:
            self._world.advance()
            return _answer(self._actor(request).to_json())

    async def post_actors(self, request: Request) -> Response:
        """Add one script (an object) or several (a list)."""
        data = await _json(request)
        with self._world.lock:
            self._world.advance()
            if isinstance(data, list):
                return _answer([actors.add(self._world, given).to_json() for given in data])
            return _answer(actors.add(self._world, data).to_json())

    async def delete_actors(self, _request: Request) -> Response:
        """End all scripts."""
        with self._world.lock:
            self._world.actors.clear()
        return _answer([])

    async def delete_actor(self, request: Request) -> Response:
        """End one script."""
        with self._world.lock:
            del self._world.actors[self._actor(request).id]
        return await self.get_actors(request)

    def _actor(self, request: Request) -> Actor:
        name = request.path_params["id"]
        found = self._world.actors.get(name)
        if found is None:
            raise HTTPException(404, f"There is no actor {name!r}.")
        return found

    async def get_unknowns(self, _request: Request) -> Response:
        """The switches."""
        return _answer(self._world.unknowns.to_json())

    async def put_unknowns(self, request: Request) -> Response:
        """Turn switches: ``{name: {"value": ...}}`` or ``{name: value}``; those not named stay."""
        data = await _json(request)
        if not isinstance(data, dict):
            raise RefusedError('Unknowns are set by {name: {"value": value}}.')
        self._world.unknowns.set(data)
        return _answer(self._world.unknowns.to_json())


_SEQ = re.compile(r"[0-9]{1,18}")
_MAX_SECONDS = 1_000_000_000
"""A bound that only catches mistakes (30 years of virtual seconds)."""
