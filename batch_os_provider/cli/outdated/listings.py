"""What Azure lists for the images of the pools, or why it could not be asked.

``outdated`` and ``bump`` also work without it. So a failure is a line in plain words beside the result, and never an
error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import click

from batch_os_provider.batch.clouds import manager_of, region_of
from batch_os_provider.batch.image_list import ImageList, list_of, read
from batch_os_provider.batch.resource_manager import ResourceManager
from batch_os_provider.cli.inventory import Account, PoolSeen, ask
from batch_os_provider.cli.outdated.newest import Listing
from batch_os_provider.errors import BatchOsError
from batch_os_provider.runtime.threads import side_by_side
from batch_os_provider.wording import counted

__all__ = ["NO_SUBSCRIPTION", "listings_of", "subscription_option"]

NO_SUBSCRIPTION = (
    "not asked: Azure Resource Manager, which lists image versions that no node runs yet; "
    "name a subscription with --subscription or AZURE_SUBSCRIPTION_ID"
)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_Call = tuple[str, ImageList]
"""The endpoint of an account, and a list in its Resource Manager."""


def _checked(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str:
    if given and not _GUID.fullmatch(given.strip()):
        raise click.BadParameter(f"{given!r} is not a subscription id; `az account show --query id` prints yours")
    return (given or "").strip().lower()


subscription_option = click.option(
    "--subscription",
    metavar="ID",
    envvar=["AZURE_SUBSCRIPTION_ID", "ARM_SUBSCRIPTION_ID"],
    callback=_checked,
    help="Ask Azure Resource Manager for the image versions that this subscription can use.",
)


def listings_of(
    accounts: Sequence[Account],
    subscription: str,
    environ: Mapping[str, str],
    pause: Callable[[float], None] = time.sleep,
) -> tuple[dict[str, Listing], list[str]]:
    """What Azure lists for each pool, by the pool's key, and what could not be asked, in sentences.

    One call for each image and region, side by side.

    Args:
        accounts: the accounts with their pools.
        subscription: the subscription that asks; without one nothing is asked.
        environ: the environment that holds the credentials.
        pause: waits so many seconds before a retry.
    """
    pools = [pool for account in accounts for pool in account.pools if pool.vm is not None]
    if not pools or not subscription:
        return {}, [NO_SUBSCRIPTION] * bool(pools)
    unasked = [
        f"not asked: the image versions for {account.endpoint}, whose name does not show a region"
        for account in accounts
        if not region_of(account.endpoint) and any(pool.vm is not None for pool in account.pools)
    ]
    wanted = {pool.pool.ref.key: call for pool in pools if (call := _call(pool, subscription)) is not None}
    calls = list({(manager_of(endpoint), each): (endpoint, each) for endpoint, each in wanted.values()}.values())
    answers = dict(zip(((manager_of(at), each) for at, each in calls), _ask_all(calls, environ, pause), strict=True))
    found, failures = {}, dict[tuple[int, str] | str, list[str]]()
    for key, (endpoint, each) in wanted.items():
        answer = answers[manager_of(endpoint), each]
        if not isinstance(answer, BatchOsError):
            region = region_of(endpoint)
            found[key] = Listing(f"Azure Resource Manager, {region}", read(answer, region))
    for answer in answers.values():
        if isinstance(answer, BatchOsError):
            kind = (answer.answer.status, answer.code) if answer.code and answer.answer else answer.reason
            failures.setdefault(kind, []).append(_why(answer))
    for whys in failures.values():
        lead = "; the first" if len(whys) > 1 else ""
        unasked.append(f"not known: {counted(len(whys), 'list')} of image versions{lead}: {whys[0]}")
    return found, unasked


def _call(seen: PoolSeen, subscription: str) -> _Call | None:
    endpoint = seen.pool.ref.endpoint
    reference = seen.vm.pool.configuration.get("imageReference") if seen.vm is not None else None
    region = region_of(endpoint)
    if not isinstance(reference, Mapping) or not region:
        return None
    found = list_of(reference, subscription, region)
    return None if found is None else (endpoint, found)


def _ask_all(
    calls: Sequence[_Call], environ: Mapping[str, str], pause: Callable[[float], None]
) -> list[list[object] | BatchOsError]:
    managers: dict[str, ResourceManager | BatchOsError] = {}
    for endpoint, _ in calls:
        if manager_of(endpoint) not in managers:
            managers[manager_of(endpoint)] = _connected(endpoint, environ)

    def one(call: _Call) -> list[object] | BatchOsError:
        endpoint, each = call
        manager = managers[manager_of(endpoint)]
        return manager if isinstance(manager, BatchOsError) else ask(partial(manager.items, each.path), pause)

    # One call first: the others then have its token, and a slow sign-in (`az`) happens once.
    leading = list({manager_of(endpoint): (endpoint, each) for endpoint, each in reversed(calls)}.values())
    following = [call for call in calls if call not in leading]
    answers = dict(zip([*leading, *following], side_by_side(one, leading) + side_by_side(one, following), strict=True))
    return [answers[call] for call in calls]


def _connected(endpoint: str, environ: Mapping[str, str]) -> ResourceManager | BatchOsError:
    try:
        return ResourceManager.of(endpoint, environ)
    except BatchOsError as error:
        return error


def _why(error: BatchOsError) -> str:
    """The reason on one line. Azure's own sentence names the missing right and the image."""
    return " ".join(error.reason.split())
