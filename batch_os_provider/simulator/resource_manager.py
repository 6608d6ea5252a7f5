"""``/subscriptions``: the part of Azure Resource Manager that lists image versions.

It is another service than Batch, with tokens of its own audience: a token for Batch is refused here, and one from here
is refused by the data plane. A principal may read image versions in its ``subscriptions`` and nowhere else. A
subscription exists if a principal has it, and belongs to the tenant of that principal. The images are those of the
state. Like ``/_simulator``, these requests are not in the audit, and no fault applies to them.

Sources: the pages that ``batch_os_provider/batch/image_list.py`` names. Codes and sentences of refusals are those that
users report: InvalidAuthenticationTokenTenant (Azure/LogicAppsUX#9068), InvalidAuthenticationTokenAudience
(hashicorp/go-azure-helpers#51), AuthorizationFailed (Azure/azure-sdk-for-net#1157). How many versions a page of a
gallery has is not documented; here it has few, so that a client must follow ``nextLink``.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse
from starlette.routing import Route

from batch_os_provider.simulator.identity import principals
from batch_os_provider.simulator.identity.endpoints import MANAGERS
from batch_os_provider.simulator.world.clock import iso, wall_now
from batch_os_provider.simulator.world.vm_images import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from batch_os_provider.simulator.world.world import World

REGION: Final = "local"
"""The only region, and the name that the provider gives to this machine."""
PAGE: Final = 5
"""Versions on a page of a gallery."""

_COMPUTE: Final = r"/subscriptions/(?P<subscription>[^/]+)/providers/Microsoft\.Compute/locations/(?P<location>[^/]+)"
_MARKETPLACE: Final = re.compile(
    _COMPUTE
    + r"/publishers/(?P<publisher>[^/]+)/artifacttypes/vmimage/offers/(?P<offer>[^/]+)/skus/(?P<sku>[^/]+)/versions",
    re.IGNORECASE,
)
_PRIVATE: Final = re.compile(
    r"(?P<image>/subscriptions/(?P<subscription>[^/]+)/resourceGroups/[^/]+/providers/Microsoft\.Compute"
    r"/galleries/[^/]+/images/[^/]+)/versions",
    re.IGNORECASE,
)
_OTHER: Final = re.compile(
    _COMPUTE + r"(?P<image>/(?P<kind>sharedGalleries|communityGalleries)/[^/]+/images/[^/]+)/versions", re.IGNORECASE
)
_VERSIONS: Final = {
    _MARKETPLACE: ("2023-09-01", "2024-03-01", "2024-07-01", "2024-11-01", "2025-04-01"),
    _PRIVATE: ("2022-08-03", "2023-07-03", "2024-03-03"),
    _OTHER: ("2022-08-03", "2023-07-03", "2024-03-03"),
}
_ALWAYS: Final = "2024-01-01T00:00:00Z"
"""When a version without ``since`` was published."""


class ArmError(Exception):
    """A refusal: status, code, and sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class ResourceManager:
    """The endpoints over one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """The routes below ``/subscriptions``."""
        return [Route("/{rest:path}", self.list_versions, methods=["GET"])]

    async def list_versions(self, request: Request) -> JSONResponse:
        """The versions of an image."""
        ids = {"x-ms-request-id": str(uuid.uuid4()), "x-ms-correlation-request-id": str(uuid.uuid4())}
        with self._world.lock:
            self._world.advance()
            try:
                return JSONResponse(self._answer(request), headers=ids)
            except ArmError as error:
                refusal = {"error": {"code": error.code, "message": str(error)}}
                return JSONResponse(refusal, error.status, headers=ids)

    def _answer(self, request: Request) -> object:
        path = request.url.path
        principal = self._authenticate(request.headers.get("authorization"))
        form, match = next(
            ((form, match) for form in _VERSIONS if (match := form.fullmatch(path)) is not None), (None, None)
        )
        if form is None or match is None:
            raise ArmError(404, "InvalidResourceType", f"The simulator does not have {path}.")
        self._authorize(principal, match["subscription"], path)
        _check_version(request.query_params.get("api-version"), _VERSIONS[form])
        location = match.groupdict().get("location")
        if location is not None and location.casefold() != REGION:
            raise ArmError(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for location '{location}' and API version "
                f"'{request.query_params['api-version']}' for type 'locations'.",
            )
        return self._versions(form, match, request)

    def _versions(self, form: re.Pattern[str], match: re.Match[str], request: Request) -> object:
        if form is _MARKETPLACE:
            rows = self._listed({name: match[name] for name in ("publisher", "offer", "sku")})
            if rows is None:
                raise ArmError(404, "NotFound", "Artifact: VMImage was not found.")
            return [
                {"location": REGION, "name": name, "id": f"{request.url.path}/{name}"}
                for name in sorted(row["version"] for row in rows)
            ]
        kinds = {"sharedgalleries": "sharedGalleryImageId", "communitygalleries": "communityGalleryImageId"}
        kind = kinds[match["kind"].casefold()] if form is _OTHER else "virtualMachineImageId"
        rows = self._listed({kind: match["image"]})
        if rows is None:
            raise ArmError(
                404,
                "ParentResourceNotFound",
                "Failed to perform 'read' on resource(s) of type 'galleries/images/versions', because the parent "
                f"resource '{match['image']}' could not be found.",
            )
        token = request.query_params.get("$skiptoken", "0")
        skip = int(token) if re.fullmatch(r"[0-9]{1,9}", token) else 0
        page = rows[skip : skip + PAGE]
        answer: dict[str, Any] = {"value": [_gallery_row(row, private=form is _PRIVATE) for row in page]}
        if skip + PAGE < len(rows):
            answer["nextLink"] = str(request.url.include_query_params(**{"$skiptoken": skip + PAGE}))
        return answer

    def _listed(self, reference: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        return listed(self._world.images, reference, self._world.now)

    def _authenticate(self, header: str | None) -> Mapping[str, Any]:
        """The principal of a token for this service.

        Raises:
            ArmError: 401.
        """
        if not header:
            raise ArmError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        token = header.partition(" ")[2].strip()
        issued = self._world.issued.tokens.get(token)
        if principals.by_token(self._world.principals, token.encode("latin-1")) or (issued and not issued.audience):
            allowed = ",".join(f"'{each}/','{each}'" for each in MANAGERS[:2])
            raise ArmError(
                401,
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for wrong audience or resource 'https://batch.core.windows.net/'. "
                f"It should exactly match with one of the allowed audiences {allowed}.",
            )
        holder = issued and principals.by_secret(self._world.principals, issued.holder.encode())
        if issued is None or not holder:
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")
        wall = wall_now()
        if issued.end <= wall:
            raise ArmError(
                401,
                "ExpiredAuthenticationToken",
                f"The access token expiry UTC time '{iso(issued.end)}' is earlier than current UTC time '{iso(wall)}'.",
            )
        return holder

    def _authorize(self, principal: Mapping[str, Any], subscription: str, path: str) -> None:
        """Refuse a principal that may not read here.

        Raises:
            ArmError: 401, 403 or 404.
        """
        owners = [each for each in self._world.principals if _has(each, subscription)]
        if not owners:
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        if _has(principal, subscription):
            return
        tenants = {each["tenant"] for each in owners if "tenant" in each}
        if "tenant" in principal and tenants and principal["tenant"] not in tenants:
            mine, theirs = (f"https://sts.windows.net/{each}/" for each in (principal["tenant"], min(tenants)))
            raise ArmError(
                401,
                "InvalidAuthenticationTokenTenant",
                f"The access token is from the wrong issuer '{mine}'. It must match the tenant '{theirs}' associated "
                "with this subscription.",
            )
        name = principal.get("name", "unnamed")
        raise ArmError(
            403,
            "AuthorizationFailed",
            f"The client '{name}' with object id '{name}' does not have authorization to perform action "
            f"'{_action(path)}' over scope '{path.rpartition('/versions')[0]}' or the scope is invalid. If access was "
            "recently granted, please refresh your credentials.",
        )


def _has(principal: Mapping[str, Any], subscription: str) -> bool:
    return subscription.casefold() in {each.casefold() for each in principal.get("subscriptions", ())}


def _check_version(given: str | None, known: tuple[str, ...]) -> None:
    if not given:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if given not in known:
        raise ArmError(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{given}'. The supported api-versions are "
            f"'{', '.join(known)}'.",
        )


def _action(path: str) -> str:
    """The Azure action of a list: each second segment after the provider names a kind."""
    kinds = re.split(r"/providers/", path, maxsplit=1, flags=re.IGNORECASE)[1].split("/")
    return "/".join([kinds[0], *kinds[1::2]]) + "/read"


def _gallery_row(row: Mapping[str, Any], *, private: bool) -> dict[str, Any]:
    said = {"publishedDate": row.get("since") or _ALWAYS, "excludeFromLatest": bool(row.get("excludeFromLatest"))}
    profile = {**said, "targetRegions": [{"name": REGION.title(), "regionalReplicaCount": 1}]}
    return {
        "name": row["version"],
        "location": REGION,
        "properties": {"publishingProfile": profile, "provisioningState": "Succeeded"} if private else said,
    }
