"""``/_simulator/identity``: the endpoints that issue tokens to Entra identities.

With them the real azure-identity library signs in to a simulator, so a test of permissions runs the credential code of
a user, not a hand-made header. The data plane decides what a principal may do.

Each kind of sign-in is one route: it reads its own protocol, finds the principal, and answers with :func:`issue`.

- the managed identity endpoint of App Service (version 2019-08-01), as ``IDENTITY_ENDPOINT`` and ``IDENTITY_HEADER``
  announce it. Which of 400 and 401 the real endpoint answers is not documented;
- Entra's v2.0 token endpoint, for client secrets and client assertions, with the discovery document that msal reads
  first: ``AZURE_AUTHORITY_HOST`` is the URL of these routes. Codes and first sentences of refusals are Entra's own
  (Microsoft's list of AADSTS codes), as far as known;
- the endpoint of a CI system that issues assertions, like GitHub's ``ACTIONS_ID_TOKEN_REQUEST_URL``: the bearer is
  the secret of a principal with ``assertions``. Azure Pipelines has another form of it, ``oidctoken``.

``record`` lists all token requests, without secrets.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.routing import Route

from batch_os_provider.simulator.identity import principals
from batch_os_provider.simulator.world.clock import TICKS, iso, wall_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from batch_os_provider.simulator.world.world import World

LIFETIME: Final = 24 * 3600
"""Seconds that a token is valid for if its principal has no ``expires``."""
MAX_FORM: Final = 64 * 1024
"""Bytes of a token request."""
_API_VERSION: Final = "2019-08-01"
_EXCHANGE: Final = "api://AzureADTokenExchange"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_RESOURCES: Final = (
    "https://batch.core.windows.net",
    "https://batch.chinacloudapi.cn",
    "https://batch.core.usgovcloudapi.net",
)
"""The audiences of Batch in Azure's clouds; Batch would refuse a token for any other."""
MANAGERS: Final = (
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://management.chinacloudapi.cn",
    "https://management.core.usgovcloudapi.net",
)
"""The audiences of Azure Resource Manager. Source: its refusals of another audience, and azure-mgmt-core."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its expiry, in seconds since 1970."""

    text: str
    expires_on: int


def issue(world: World, principal: Mapping[str, Any], wall: int, resource: str = "") -> Token:
    """The token of a principal for a resource. ``wall`` is wall time in ticks.

    The token of a principal is for Batch, and an expired one keeps its true expiry. Azure Resource Manager gets a new
    token each time.
    """
    end, lifetime = principals.expiry(principal), principal.get("lifetime")
    if resource in MANAGERS:
        ends = wall + (lifetime or LIFETIME) * TICKS
        holder = principal.get("name", principal["token"])
        return Token(world.issued.token(holder, ends, resource), ends // TICKS)
    if lifetime is None:
        return Token(principal["token"], (wall // TICKS + LIFETIME) if end is None else end // TICKS)
    ends = wall + lifetime * TICKS
    ends = ends if end is None else min(ends, end)
    return Token(world.issued.token(principal["name"], ends), ends // TICKS)


class EntraError(Exception):
    """A refusal of Entra: the OAuth error, the AADSTS code, and a sentence."""

    def __init__(self, error: str, code: int, sentence: str, status: int = 400) -> None:
        self.error = error
        self.code = code
        self.status = status
        super().__init__(f"AADSTS{code}: {sentence}")


class Identity:
    """The endpoints over one world. Like all of ``/_simulator``, they need no key and are not in the audit."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """The routes below ``/_simulator/identity``."""
        return [
            Route("/token", self.managed_identity, methods=["GET"]),
            Route("/assertion", self.assertion, methods=["GET"]),
            Route("/oidctoken", self.pipelines_assertion, methods=["POST"]),
            Route("/record", self.record, methods=["GET"]),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self.discovery, methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/token", self.token, methods=["POST"]),
        ]

    async def record(self, _request: Request) -> JSONResponse:
        """Every request for a token or an assertion so far."""
        with self._world.lock:
            return JSONResponse({"entries": list(self._world.issued.record)})

    async def managed_identity(self, request: Request) -> JSONResponse:
        """The App Service endpoint: ``X-IDENTITY-HEADER`` is the name (or else the token) of a principal."""
        asked = request.query_params
        resource = asked.get("resource", "")
        header = request.headers.get("x-identity-header", "").encode("latin-1")
        with self._world.lock:
            principal = principals.by_secret(self._world.principals, header)
            refusal = _managed_identity_refusal(principal, asked)
            self._log("managedIdentity", principal, refusal[0] if refusal else 200, resource=resource)
            if principal is None or refusal is not None:
                status, message = refusal or (401, "")
                return JSONResponse({"statusCode": status, "message": message}, status)
            token = issue(self._world, principal, wall_now(), resource.rstrip("/"))
        return JSONResponse(
            {
                "access_token": token.text,
                # Documented as a string.
                "expires_on": str(token.expires_on),
                "resource": resource,
                "token_type": "Bearer",
            }
        )

    async def assertion(self, request: Request) -> JSONResponse:
        """The endpoint of a CI system, like GitHub's: a new assertion for the principal of the bearer."""
        text = self._assertion(request, request.query_params.get("audience", ""))
        if text is None:
            return JSONResponse({"message": "The bearer does not belong to a job that may request an assertion."}, 401)
        return JSONResponse({"value": text})

    async def pipelines_assertion(self, request: Request) -> JSONResponse:
        """The endpoint of Azure Pipelines (``SYSTEM_OIDCREQUESTURI``): the service connection is the principal.

        Source: azure-identity's ``AzurePipelinesCredential``, the only known client.
        """
        asked = request.query_params
        if not asked.get("api-version"):
            return JSONResponse({"message": "No api-version was supplied for the POST request."}, 400)
        text = self._assertion(request, _EXCHANGE, asked.get("serviceConnectionId", ""))
        if text is None:
            return JSONResponse({"message": "The job may not use this service connection."}, 401)
        return JSONResponse({"oidcToken": text})

    def _assertion(self, request: Request, audience: str, name: str | None = None) -> str | None:
        """A new assertion for the principal of the bearer (with this ``name``, if given); None without one."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        with self._world.lock:
            known = (
                each
                for each in self._world.principals
                if "assertions" in each
                and name in (None, each["name"])
                and principals.secrets_match(each.get("secret", each["token"]), bearer.encode("latin-1"))
            )
            principal = next(known, None) if scheme.lower() == "bearer" else None
            if principal is None:
                self._log("assertion", None, 401)
                return None
            wall = wall_now()
            end = wall + principal["assertions"]["lifetime"] * TICKS
            text = self._world.issued.assertion(principal["name"], end, audience)
            self._log("assertion", principal, 200, assertion=self._world.issued.assertions[text].number)
        return text

    async def discovery(self, request: Request) -> JSONResponse:
        """The discovery document: the endpoints of a tenant."""
        tenant = request.path_params["tenant"]
        here = f"{request.url.scheme}://{request.url.netloc}/_simulator/identity/{tenant}"
        with self._world.lock:
            try:
                self._check_tenant(tenant)
            except EntraError as error:
                return _entra_refused(error)
        return JSONResponse(
            {
                "token_endpoint": f"{here}/oauth2/v2.0/token",
                "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
                "issuer": f"{here}/v2.0",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            }
        )

    async def token(self, request: Request) -> JSONResponse:
        """Entra's token endpoint: the grant ``client_credentials``, by secret or by assertion."""
        form = await _form(request)
        way = "clientAssertion" if "client_assertion" in form else "clientSecret"
        wall = wall_now()
        with self._world.lock:
            noted: dict[str, Any] = {"scope": form.get("scope", "")}
            principal = principals.by_name(self._world.principals, form.get("client_id", ""))
            assertion = self._world.issued.assertions.get(form.get("client_assertion", ""))
            if assertion is not None:
                noted["assertion"] = assertion.number
            try:
                holder = self._authenticate(request.path_params["tenant"], form, wall)
            except EntraError as error:
                self._log(way, principal, error.status, code=f"AADSTS{error.code}", **noted)
                return _entra_refused(error)
            token = issue(self._world, holder, wall, _resource(form))
            self._log(way, holder, 200, **noted)
        left = max(0, token.expires_on - wall // TICKS)
        return JSONResponse(
            {"token_type": "Bearer", "expires_in": left, "ext_expires_in": left, "access_token": token.text}
        )

    def _authenticate(self, tenant: str, form: Mapping[str, str], wall: int) -> Mapping[str, Any]:
        """The principal of a token request.

        Raises:
            EntraError: the request is refused.
        """
        self._check_tenant(tenant)
        if form.get("grant_type") != "client_credentials":
            raise EntraError("unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        client = form.get("client_id", "")
        principal = principals.by_name(self._world.principals, client)
        if principal is None or principal.get("tenant", tenant) != tenant:
            raise EntraError(
                "unauthorized_client",
                700016,
                f"Application with identifier '{client}' was not found in the directory '{tenant}'.",
            )
        if "client_assertion" in form:
            self._check_assertion(principal, form, wall)
        elif "secret" not in principal or not principals.secrets_match(
            principal["secret"], form.get("client_secret", "").encode()
        ):
            raise EntraError("invalid_client", 7000215, "Invalid client secret provided.", 401)
        resource = _resource(form)
        if not form.get("scope", "").endswith("/.default"):
            raise EntraError("invalid_scope", 1002012, "The provided value for scope is not valid.")
        if resource not in (*_RESOURCES, *MANAGERS):
            raise EntraError(
                "invalid_resource",
                500011,
                f"The resource principal named {resource} was not found in the tenant named {tenant}.",
            )
        return principal

    def _check_assertion(self, principal: Mapping[str, Any], form: Mapping[str, str], wall: int) -> None:
        if form.get("client_assertion_type") != _ASSERTION:
            raise EntraError("invalid_request", 90014, "The required field 'client_assertion_type' is missing.")
        assertion = self._world.issued.assertions.get(form["client_assertion"])
        if assertion is None or assertion.holder != principal["name"] or "assertions" not in principal:
            raise EntraError(
                "invalid_client", 700213, "No matching federated identity record found for presented assertion.", 401
            )
        if assertion.end <= wall:
            raise EntraError(
                "invalid_client",
                700024,
                f"Client assertion is not within its valid time range. Current time: {iso(wall)}, "
                f"expiry time of assertion {iso(assertion.end)}.",
                401,
            )
        if assertion.used and principal["assertions"]["once"]:
            # Stricter than Entra, as far as known. A client that gets an assertion for each token passes.
            raise EntraError("invalid_client", 50013, "The assertion has been used before.", 401)
        assertion.used = True

    def _check_tenant(self, tenant: str) -> None:
        """Refuse a tenant if every principal belongs to another one.

        Raises:
            EntraError: the tenant does not exist.
        """
        if not any(each.get("tenant", tenant) == tenant for each in self._world.principals):
            raise EntraError("invalid_tenant", 90002, f"Tenant '{tenant}' not found.")

    def _log(self, way: str, principal: Mapping[str, Any] | None, status: int, **what: Any) -> None:
        name = None if principal is None else principal.get("name")
        self._world.issued.log(wall_now(), way, principal=name, status=status, **what)


def _managed_identity_refusal(principal: object, asked: Mapping[str, str]) -> tuple[int, str] | None:
    """Status and message if the App Service endpoint refuses a request."""
    resource = asked.get("resource", "")
    if principal is None:
        return 401, "X-IDENTITY-HEADER names no principal of this account."
    if asked.get("api-version") != _API_VERSION:
        return 400, f"The api-version is {_API_VERSION}."
    if resource.rstrip("/") not in (*_RESOURCES, *MANAGERS):
        return 400, f"{resource!r} is neither {_RESOURCES[0]}/ (Batch) nor {MANAGERS[0]} (Azure Resource Manager)."
    if not set(asked) <= {"api-version", "resource"}:
        return 400, "No User Assigned or Delegated Managed Identity found: the simulator has only principals."
    return None


def _resource(form: Mapping[str, str]) -> str:
    return form.get("scope", "").removesuffix("/.default").rstrip("/")


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; empty if the form is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: MAX_FORM + 1 - len(body)]
    if len(body) > MAX_FORM:
        return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=100)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _entra_refused(error: EntraError) -> JSONResponse:
    """A refusal in Entra's format; its description ends with ids that are different each time."""
    trace, correlation, now = str(uuid.uuid4()), str(uuid.uuid4()), iso(wall_now())
    return JSONResponse(
        {
            "error": error.error,
            "error_description": f"{error} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}",
            "error_codes": [error.code],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
        },
        error.status,
    )
