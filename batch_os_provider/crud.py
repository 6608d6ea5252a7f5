"""Create, update and read of both resources: the calls of the engine that need Batch.

Most calls of a plugin only check and compare, without Batch. So they do not import this module, which imports azure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.pool import Kind, Node, Pool, PoolState
from batch_os_provider.batch.shared_poller import SharedPoller
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.comparison.drift import has_other_policy, image_drift, other_image
from batch_os_provider.engine import diagnostics, seams
from batch_os_provider.errors import ApiRetiredError, InputError, PoolGoneError, ServiceAnswer
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal, read_view
from batch_os_provider.rollout.loop import read
from batch_os_provider.rollout.os_upgrade.health import Failed, Passed, age_of, judge, unhealthy
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import NODE_INTERVAL, NODE_INTERVAL_TERMINAL, Reporter
from batch_os_provider.runtime.cancellation import RealWaiter
from batch_os_provider.runtime.per_account import PerAccount
from batch_os_provider.schema import inputs
from batch_os_provider.schema import outputs as out
from batch_os_provider.schema.declared import Declared, DeclaredImage, gate_of, renews_spot, target_in

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GET", "IMPORT", "Asked", "read_image", "read_os", "renew_image", "upgrade_os"]

Bag = dict[str, Any]


class Asked(NamedTuple):
    """What asks for a pool that is not in the state, by the next steps of its refusals."""

    if_gone: str
    if_other_kind: str


GET = Asked(
    if_gone="Check the id that the program gives to `get`; create the pool first, or remove the `get`",
    if_other_kind="Read it with {}.get",
)
"""A program reads the pool."""
IMPORT = Asked(
    if_gone="Check the id of the import, which is the URL of the pool; create the pool first, or import another one",
    if_other_kind="Import it as {}",
)
"""`pulumi import`, or the resource option `import`."""

_shared_poller = PerAccount(lambda endpoint: SharedPoller(shared_client(endpoint)))
"""The poller that all rollouts of an account share. Raises CredentialError: no credential fits the endpoint."""


def _context(ref: PoolRef, reporter: Reporter) -> RolloutContext[SharedPoller]:
    """What a rollout of this pool gets from outside. Raises CredentialError as ``_shared_poller``."""
    poller = _shared_poller(ref.endpoint)
    return RolloutContext(poller, RealWaiter(seams.stop), reporter, polling=poller)


def upgrade_os(bag: Mapping[str, Any], olds: Mapping[str, Any]) -> Bag:
    """Bring one Cloud Services pool to its target; ``olds`` are the earlier outputs, empty for a new resource.

    Returns:
        The inputs and the outputs.
    """
    declared = Declared.of(bag)
    row = diagnostics.ResourceLog(diagnostics.current_urn(), declared.ref.pool_id)
    interval = NODE_INTERVAL_TERMINAL if diagnostics.is_terminal() else NODE_INTERVAL
    never_counted = olds.get(out.UNHEALTHY) is None or not same_version(olds.get(out.CURRENT), declared.target)
    rollout = OsUpgrade(declared, _context(declared.ref, Reporter(row, interval)), report=never_counted)
    pool = rollout.run().pool
    count = out.last_count(pool, olds) if rollout.unhealthy is None else rollout.unhealthy
    return {**out.known(inputs.INPUTS, bag), **out.of_pool(pool, count, proven=rollout.is_proven)}


def read_os(ref: PoolRef, props: Mapping[str, Any], asked: Asked = GET) -> tuple[Bag, Bag] | None:
    """Read a Cloud Services pool, for ``PoolOsVersionProvider.look``.

    Args:
        ref: the pool.
        props: the bag of an earlier call; without a pool id it is not in the state.
        asked: what asks for a pool that is not in the state.

    Returns:
        The outputs with the inputs, and the inputs; None if the pool does not exist.

    Raises:
        PoolGoneError, InputError, ApiRetiredError: the pool is not in the state, and does not exist or has no version.
    """
    bag = _addressed(ref, inputs.INPUTS, props)
    row = diagnostics.ResourceLog(diagnostics.current_urn(), ref.pool_id)
    try:
        client = shared_client(ref.endpoint)
        gate = gate_of(bag)

        def look() -> tuple[Pool, tuple[Node, ...] | None]:
            pool = client.get_pool(ref)
            at_rest = pool.kind is Kind.CLOUD_SERVICES and pool.state is PoolState.ACTIVE
            return pool, client.list_nodes(ref) if gate.is_declared and at_rest else None

        seen = read(ref, look, RealWaiter(seams.stop))
    except ApiRetiredError as error:
        if not _is_in_state(props):
            raise
        # The pool exists, and nothing contradicts the state: an error would block every refresh of the stack.
        row.warn(str(error))
        return {**bag, **out.known(out.OUTPUTS, props)}, dict(bag)
    if not _is_in_state(props):
        _check_new(ref, row, seen[0] if seen else None, Kind.CLOUD_SERVICES, asked)
    if seen is None:
        return None
    pool, nodes = seen
    if pool.kind is not Kind.CLOUD_SERVICES:
        row.warn(
            f"pool {ref.url} is not a Cloud Services pool, so its OS version cannot be compared. Use PoolImageVersion "
            "for a VM pool, or remove this resource"
        )
    if pool.current_os_version is not None:
        bag[inputs.TARGET] = pool.current_os_version
    if nodes is None:
        return {**bag, **out.of_pool(pool, out.last_count(pool, props))}, dict(bag)
    verdict = judge(nodes, gate, age_of(nodes, pool.seen_at))
    # An earlier `up` has waited for soaking and slow nodes, if the state shows that this version has passed.
    passed = props.get(out.STATE) == PoolState.ACTIVE.value and props.get(out.CURRENT) == pool.current_os_version
    proven = isinstance(verdict, Passed) or (passed and not isinstance(verdict, Failed))
    return {**bag, **out.of_pool(pool, len(unhealthy(nodes)), proven=proven)}, dict(bag)


def renew_image(bag: Mapping[str, Any]) -> Bag:
    """Bring one VM pool's nodes to the target. Returns the inputs and the outputs."""
    declared = DeclaredImage.of(bag)
    row = diagnostics.ResourceLog(diagnostics.current_urn(), declared.ref.pool_id)
    seen: VmPoolView = ImageRenewal(declared, _context(declared.ref, Reporter(row))).run().pool
    return {
        **out.known(inputs.IMAGE.names, bag),
        **out.of_vm_pool(seen, declared.target, declared.policy.strategy, renews_spot=declared.policy.renews_spot),
    }


def read_image(ref: PoolRef, props: Mapping[str, Any], asked: Asked = GET) -> tuple[Bag, Bag] | None:
    """Read a VM pool and its nodes, for ``PoolImageVersionProvider.look``; see ``read_os``."""
    bag = _addressed(ref, inputs.IMAGE.names, props)
    client = shared_client(ref.endpoint)
    seen = read(ref, lambda: read_view(client, ref), RealWaiter(seams.stop))
    row = diagnostics.ResourceLog(diagnostics.current_urn(), ref.pool_id)
    if not _is_in_state(props):
        _check_new(ref, row, seen.pool.base if seen else None, Kind.VM, asked)
    if seen is None:
        return None
    if not seen.pool.is_vm:
        row.warn(
            f"pool {ref.url} is not a VM pool, so its nodes cannot be compared. Use PoolOsVersion for a Cloud "
            "Services pool, or remove this resource"
        )
    strategy, target = bag.get(inputs.STRATEGY), target_in(bag)
    observed = out.of_vm_pool(seen, target, strategy, renews_spot=renews_spot(bag))
    if _is_in_state(props) and props.get(out.OLDEST_AGENT) is None:
        # A refresh of a state from an earlier release shows no change; the next `up` of the resource adds the output.
        observed.pop(out.OLDEST_AGENT, None)
    if strategy == inputs.AUTOMATIC and has_other_policy(props, observed):
        observed[out.STATE] = out.POLICY_CHANGED
    bag |= image_drift(observed, target, strategy)
    if target is not None and target.image is not None and seen.pool.is_vm:
        bag |= other_image(seen.pool.made_from, target.image)
    return {**bag, **observed}, dict(bag)


def _is_in_state(props: Mapping[str, Any]) -> bool:
    """Whether the read is a refresh. It has the bag of an earlier call, which has a pool id."""
    return props.get(inputs.POOL_ID_NAME) is not None


def _check_new(ref: PoolRef, row: diagnostics.ResourceLog, pool: Pool | None, kind: Kind, asked: Asked) -> None:
    """Refuse a pool that is not in the state and has no version to read; warn if the pool is being deleted.

    Raises:
        PoolGoneError, InputError: the pool does not exist, is of the other kind, or shows no version.
    """
    if pool is None:
        raise PoolGoneError(
            "Batch says that it does not exist (404 PoolNotFound), so it cannot be read",
            pool=ref.url,
            next_step=asked.if_gone,
            answer=ServiceAnswer(404, "PoolNotFound"),
        )
    if kind is Kind.VM and pool.kind is not Kind.VM:
        raise InputError(
            "it is not a VM pool, so its nodes have no image version",
            pool=ref.url,
            next_step=asked.if_other_kind.format("PoolOsVersion"),
        )
    if kind is Kind.CLOUD_SERVICES and pool.kind is Kind.VM:
        raise InputError(
            "it is a VM pool, so it has no OS version",
            pool=ref.url,
            next_step=asked.if_other_kind.format("PoolImageVersion"),
        )
    if kind is Kind.CLOUD_SERVICES and pool.current_os_version is None:
        raise InputError(
            "Batch does not show its OS version (currentOSVersion)",
            pool=ref.url,
            next_step="Check the pool with `az batch pool show`; run the command again once it shows a version",
        )
    if pool.state is PoolState.DELETING:
        row.warn(f"pool {ref.url} is being deleted; its outputs will soon be out of date")


def _addressed(ref: PoolRef, names: tuple[str, ...], props: Mapping[str, Any]) -> Bag:
    """The inputs in the state, with the address of the pool."""
    return {inputs.ACCOUNT_ENDPOINT: ref.endpoint, inputs.POOL_ID_NAME: ref.pool_id, **out.known(names, props)}
