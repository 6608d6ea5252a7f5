"""``/_simulator/identity``: where an Entra identity gets its token.

Why it exists: with it the real azure-identity library signs in to a simulator, so a test of who may do what runs
the user's own credential code and not a header made by hand. What a principal may do is not decided here.

Each way to sign in is one route: it reads its own protocol, finds the principal, and answers with :func:`issue`.
So far there is the managed identity endpoint of App Service (version 2019-08-01), as ``IDENTITY_ENDPOINT`` and
``IDENTITY_HEADER`` announce it. Refusals have the shape that its clients read; which of 400 and 401 the real
endpoint answers is not documented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse
from starlette.routing import Route

from . import principals
from .clock import TICKS, wall_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from .world import World

LIFETIME: Final = 24 * 3600
"""Seconds that a token of a principal without ``expires`` is good for."""
_API_VERSION: Final = "2019-08-01"
_RESOURCES: Final = (
    "https://batch.core.windows.net",
    "https://batch.chinacloudapi.cn",
    "https://batch.core.usgovcloudapi.net",
)
"""The audiences of Batch in Azure's clouds; a token for anything else would be refused by Batch."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and the end of its life, in seconds since 1970."""

    text: str
    expires_on: int


def issue(principal: Mapping[str, Any], wall: int) -> Token:
    """The token of a principal. ``wall`` is wall time in ticks; one that has expired is told with its true end."""
    end = principals.expiry(principal)
    return Token(principal["token"], (wall // TICKS + LIFETIME) if end is None else end // TICKS)


class Identity:
    """The endpoints over one world. They need no key and leave no trace in the audit, like all of ``/_simulator``."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """The routes below ``/_simulator/identity``."""
        return [Route("/token", self.managed_identity, methods=["GET"])]

    async def managed_identity(self, request: Request) -> JSONResponse:
        """The App Service endpoint: ``X-IDENTITY-HEADER`` is the name (or else the token) of a principal."""
        asked = request.query_params
        resource = asked.get("resource", "")
        with self._world.lock:
            principal = principals.by_secret(
                self._world.principals, request.headers.get("x-identity-header", "").encode("latin-1")
            )
        if principal is None:
            return _refused(401, "X-IDENTITY-HEADER names no principal of this account.")
        if asked.get("api-version") != _API_VERSION:
            return _refused(400, f"The api-version is {_API_VERSION}.")
        if resource.rstrip("/") not in _RESOURCES:
            return _refused(400, f"{resource!r} is not the resource of Batch, {_RESOURCES[0]}/.")
        if not set(asked) <= {"api-version", "resource"}:
            return _refused(
                400, "No User Assigned or Delegated Managed Identity found: there are only principals here."
            )
        token = issue(principal, wall_now())
        return JSONResponse(
            {
                "access_token": token.text,
                # Documented as a text.
                "expires_on": str(token.expires_on),
                "resource": resource,
                "token_type": "Bearer",
            }
        )


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"statusCode": status, "message": message}, status)
