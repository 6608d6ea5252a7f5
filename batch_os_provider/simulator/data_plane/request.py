"""A checked request, as a handler receives it.

All operations share the same steps after the bytes (:class:`.wire.Incoming`): the version is known, the query is
decoded, the body is read by a schema, the conditional header is checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.protocol import request_schemas
from batch_os_provider.simulator.world.clock import TICKS
from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.simulator.protocol.operations import Operation
    from batch_os_provider.simulator.protocol.wire import Incoming
    from batch_os_provider.simulator.world.model import Job, Pool, Task
    from batch_os_provider.simulator.world.world import World

_CONDITIONS: Final = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def _reject_constant(text: str) -> None:
    """Refuse NaN and Infinity: Python reads them, but they are not JSON."""
    raise ValueError(f"{text} is not JSON")


@dataclass(slots=True)
class Request:
    """A request whose path, version, authentication and query are valid. ``query`` has lower-case names."""

    world: World
    operation: Operation
    names: list[str]
    incoming: Incoming
    query: Mapping[str, str]
    version: str

    @property
    def base(self) -> str:
        """The account URL that the client used."""
        return self.incoming.base

    @property
    def url(self) -> str:
        """The URL of the request, without its query."""
        return self.incoming.base + self.incoming.path

    def json(self, schema: tuple[request_schemas.Prop, ...]) -> dict[str, Any]:
        """The body, checked."""
        try:
            body = json.loads(self.incoming.body, parse_constant=_reject_constant)
        except (ValueError, RecursionError) as error:
            raise BatchError("InvalidRequestBody", ("Reason", str(error))) from None
        return request_schemas.check(body, schema, self.version)

    def check_condition(self, resource: Pool | Job | Task) -> None:
        """Check the conditional header, if the request has one.

        Raises:
            BatchError: ConditionNotMet (412 for a write, 304 for a read), MultipleConditionHeadersNotSupported,
                InvalidHeaderValue.
        """
        given = [name for name in _CONDITIONS if name in self.incoming.headers]
        if not given:
            return
        if len(given) > 1:
            raise BatchError("MultipleConditionHeadersNotSupported")
        name, value = given[0], self.incoming.headers[given[0]]
        if name.endswith("-match"):
            tags = [tag.strip().removeprefix("W/").strip('"') for tag in value.split(",")]
            met = ("*" in tags or resource.etag in tags) is (name == "if-match")
        else:
            try:
                since = parsedate_to_datetime(value).timestamp()
            except (ValueError, TypeError):
                raise BatchError("InvalidHeaderValue", ("HeaderName", name), ("HeaderValue", value)) from None
            met = (resource.modified // TICKS > since) is (name == "if-modified-since")
        if not met:
            raise BatchError("ConditionNotMet", status=412 if self.operation.writes else 304)
