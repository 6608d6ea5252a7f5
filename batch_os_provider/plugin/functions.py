"""The functions of the native provider: which pools an account has, and what one pool runs.

A program uses them to declare pools by what Batch shows, such as one resource for each pool of an account. They only
read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from batch_os_provider.batch.address import PoolRef, parse_endpoint
from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.pool import Kind, Pool
from batch_os_provider.engine import seams
from batch_os_provider.plugin.resources import IMAGE, OS, PACKAGE, Resource, without_secrets
from batch_os_provider.runtime.backoff import retry
from batch_os_provider.runtime.cancellation import RealWaiter
from batch_os_provider.schema import inputs
from batch_os_provider.schema import outputs as out
from batch_os_provider.schema.inputs import Failure
from batch_os_provider.schema.spelling import camel, in_core, in_program, strange

if TYPE_CHECKING:
    from batch_os_provider.batch.client import BatchClient

__all__ = ["FUNCTIONS", "KIND", "NODES", "POOL", "URL", "Function"]

T = TypeVar("T")

KIND, URL, NODES = "resource", "url", "nodes"
POOL: Mapping[str, tuple[str, str]] = {
    camel(inputs.POOL_ID_NAME): ("string", "The pool's id."),
    URL: ("string", "The pool's URL, which is the id of its resource, for an import or a `get`."),
    KIND: (
        "string",
        "The resource that fits the pool: `PoolOsVersion` or `PoolImageVersion`. Not set if the kind is not known.",
    ),
    camel(out.STATE): ("string", "The pool's `state`, such as `active`."),
    NODES: ("integer", "How many nodes the pool has, spot nodes included."),
    camel(out.CURRENT): ("string", "The OS version of a Cloud Services pool."),
    camel(out.FAMILY): ("string", "The OS family of a Cloud Services pool."),
    camel(out.IMAGE): ("string", "The image of a VM pool: publisher, offer, SKU and version, or an id."),
}
"""What both functions show of a pool: type and description. Properties that do not fit its kind are not set."""
_TRIES = 3
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True)
class Function:
    """One function. ``required`` are its arguments beside the account, and ``run`` gets them with the core's names."""

    name: str
    description: str
    required: tuple[str, ...]
    run: Callable[[BatchClient, Mapping[str, Any]], dict[str, Any]]

    @property
    def token(self) -> str:
        """The token in a program."""
        return f"{PACKAGE}:index:{self.name}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the arguments, of the core."""
        return (inputs.ACCOUNT_ENDPOINT, *self.required)

    def call(
        self, given: Mapping[str, Any], endpoint: str, secrets: Collection[str] = ()
    ) -> tuple[dict[str, Any], list[Failure]]:
        """Check the arguments and run the function. ``endpoint`` is the account of the provider, if it has one.

        ``secrets`` are the names of the arguments whose values no text may show.

        Returns:
            The result with the names of the program, and the failures; the result is empty if there are failures.

        Raises:
            BatchOsError: Batch could not be read.
        """
        known = {camel(name) for name in self.arguments}
        failures = [strange(name, self.arguments, f"an argument of {self.name}") for name in given if name not in known]
        bag = in_core({name: value for name, value in given.items() if name in known and value is not None})
        if endpoint:
            bag.setdefault(inputs.ACCOUNT_ENDPOINT, endpoint)
        wrong = []
        for name in self.arguments:
            missing = f"it is missing; required: {inputs.allowed(name)}"
            reason = inputs.wrong(name, bag[name]) if name in bag else missing
            wrong += [Failure(name, reason)] if reason else []
        failures += [Failure(camel(each.property), each.reason) for each in without_secrets(wrong, bag, secrets)]
        if failures:
            return {}, failures
        return self.run(shared_client(parse_endpoint(bag[inputs.ACCOUNT_ENDPOINT])), bag), []


def _list_pools(client: BatchClient, _bag: Mapping[str, Any]) -> dict[str, Any]:
    pools = sorted(_ask(client.list_pools), key=lambda pool: pool.ref.pool_id.lower())
    return {"pools": [_shown(pool) for pool in pools]}


def _get_pool(client: BatchClient, bag: Mapping[str, Any]) -> dict[str, Any]:
    ref = PoolRef(parse_endpoint(bag[inputs.ACCOUNT_ENDPOINT]), bag[inputs.POOL_ID_NAME])
    return _shown(_ask(lambda: client.get_pool(ref)))


def _shown(pool: Pool) -> dict[str, Any]:
    fitting: dict[Kind, Resource] = {Kind.CLOUD_SERVICES: OS, Kind.VM: IMAGE}
    resource = fitting.get(pool.kind)
    shown = {
        inputs.POOL_ID_NAME: pool.ref.pool_id,
        URL: pool.ref.url,
        KIND: resource.name if resource else None,
        out.STATE: pool.state_text,
        NODES: pool.node_count,
        out.CURRENT: pool.current_os_version,
        out.FAMILY: pool.os_family,
        out.IMAGE: pool.image or None,
    }
    return in_program(shown)


def _ask(call: Callable[[], T]) -> T:
    waiter = RealWaiter(seams.stop)
    return retry(
        lambda: waiter.call(call),
        tries=_TRIES,
        sleep=waiter.sleep,
        affords=lambda seconds: seconds <= _LONGEST_PAUSE,
    )


FUNCTIONS: Mapping[str, Function] = {
    each.token: each
    for each in (
        Function(
            "listPools",
            "Lists the pools of a Batch account, with what each runs and the resource that fits it.",
            (),
            _list_pools,
        ),
        Function(
            "getPool",
            "Reads one pool of a Batch account. It fails if the pool does not exist.",
            (inputs.POOL_ID_NAME,),
            _get_pool,
        ),
    )
}
"""The functions by their tokens."""
