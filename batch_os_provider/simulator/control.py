"""``/_simulator``: the control endpoints, which Batch does not have.

Tests in any language use them to set the state, move the clock, add faults and read the audit. The format is stable:
PUT accepts what GET returns. A refusal is a 400 with one sentence. Control calls need no key, since the server listens
on loopback, and are not in the audit.
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
    """An error as JSON."""
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
        """The whole account at the current virtual time."""
        with self._world.lock:
            self._world.advance()
            return _answer(dump(self._world, account_url(request)))

    async def put_state(self, request: Request) -> Response:
        """Replace the account; an invalid state changes nothing."""
        data = await _json(request)
        with self._world.lock:
            self._world.advance()
            load(self._world, data)
            self._on_change()
            return _answer(dump(self._world, account_url(request)))

    async def reset(self, request: Request) -> Response:
        """Reset everything: initial state, default switches, no faults, no actors, empty audit."""
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
        """The virtual time and the speed."""
        with self._world.lock:
            return self._clock()

    async def post_clock(self, request: Request) -> Response:
        """``{"advance": seconds}``, ``{"speed": x}`` or both: first the advance, then the speed."""
        data = await _json(request)
        if not isinstance(data, dict) or not data or not set(data) <= {"advance", "speed"}:
            raise RefusedError('The clock takes {"advance": seconds}, {"speed": x} or both.')
        for name, value in data.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_SECONDS:
                raise RefusedError(f"{name} is a number from 0 to {_MAX_SECONDS}; virtual time never runs backwards.")
        with self._world.lock:
            self._world.clock.advance(data.get("advance", 0))
            self._world.advance()
            if "speed" in data:
                self._world.clock.set_speed(data["speed"])
            self._on_change()
            return self._clock()

    async def get_audit(self, request: Request) -> Response:
        """All entries, or those after ``?since=seq``."""
        since = request.query_params.get("since", "0")
        if not _SEQ.fullmatch(since):
            raise RefusedError("since is the seq of an audit entry.")
        with self._world.lock:
            self._world.advance()
            entries = [entry.to_json() for entry in self._world.audit.entries if entry.seq > int(since)]
        return _answer({"entries": entries})

    async def get_faults(self, _request: Request) -> Response:
        """The active rules, and how often each has fired."""
        return _answer([rule.to_json() for rule in self._faults.rules])

    async def get_fault(self, request: Request) -> Response:
        """One rule."""
        name = request.path_params["id"]
        for rule in self._faults.rules:
            if rule.id == name:
                return _answer(rule.to_json())
        raise HTTPException(404, f"Fault {name!r} does not exist.")

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
            raise HTTPException(404, f"Fault {name!r} does not exist.") from None
        return await self.get_faults(request)

    async def get_actors(self, _request: Request) -> Response:
        """The active actors, how often each has acted, and why Batch refused the last action."""
        with self._world.lock:
            self._world.advance()
            return _answer([actor.to_json() for actor in self._world.actors.values()])

    async def get_actor(self, request: Request) -> Response:
        """One actor."""
        with self._world.lock:
            self._world.advance()
            return _answer(self._actor(request).to_json())

    async def post_actors(self, request: Request) -> Response:
        """Add one actor (an object) or several (a list)."""
        data = await _json(request)
        with self._world.lock:
            self._world.advance()
            if isinstance(data, list):
                return _answer([actors.add(self._world, given).to_json() for given in data])
            return _answer(actors.add(self._world, data).to_json())

    async def delete_actors(self, _request: Request) -> Response:
        """Remove all actors."""
        with self._world.lock:
            self._world.actors.clear()
        return _answer([])

    async def delete_actor(self, request: Request) -> Response:
        """Remove one actor."""
        with self._world.lock:
            del self._world.actors[self._actor(request).id]
        return await self.get_actors(request)

    def _actor(self, request: Request) -> Actor:
        name = request.path_params["id"]
        found = self._world.actors.get(name)
        if found is None:
            raise HTTPException(404, f"Actor {name!r} does not exist.")
        return found

    async def get_unknowns(self, _request: Request) -> Response:
        """The switches."""
        return _answer(self._world.unknowns.to_json())

    async def put_unknowns(self, request: Request) -> Response:
        """Set switches by ``{name: {"value": ...}}`` or ``{name: value}``; the others keep their values."""
        data = await _json(request)
        if not isinstance(data, dict):
            raise RefusedError('Unknowns are set by {name: {"value": value}}.')
        self._world.unknowns.set(data)
        return _answer(self._world.unknowns.to_json())


_SEQ = re.compile(r"[0-9]{1,18}")
_MAX_SECONDS = 1_000_000_000
"""About 30 years: a limit that only catches mistakes."""
