"""When the support of each pool's image ends: one call for each account with VM pools, and the words of `--fail-on`.

The list of images is an extra of `status`. If it cannot be read, the pools are shown without it, and only a gate on it
fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.service import ImageReader
from batch_os_provider.batch.supported_images import SupportedImage, judge
from batch_os_provider.cli.inventory import Account, PoolSeen, ask
from batch_os_provider.errors import BatchOsError
from batch_os_provider.runtime.threads import side_by_side

__all__ = ["WORDS", "line", "shown", "tripped", "with_ends"]

_STOPS = {"image-ending": ("ending", "ended"), "image-ended": ("ended",), "image-unlisted": ("unlisted",)}
"""The words of `--fail-on`, and the standings of an image at which they stop."""
WORDS = tuple(_STOPS)


def with_ends(
    accounts: Sequence[Account],
    now: datetime,
    connect: Callable[[str], ImageReader] = shared_client,
    pause: Callable[[float], None] = time.sleep,
) -> list[Account]:
    """The accounts with what Batch's list says about the images of their VM pools.

    Args:
        accounts: as read.
        now: the time to judge for.
        connect: returns the client of an account that was read.
        pause: waits so many seconds before a retry.
    """

    def read(account: Account) -> tuple[SupportedImage, ...] | BatchOsError:
        if not any(each.vm for each in account.pools):
            return ()
        return ask(connect(account.endpoint).list_supported_images, pause)

    answers = side_by_side(read, accounts)
    return [_with(account, answer, now) for account, answer in zip(accounts, answers, strict=True)]


def _with(account: Account, images: tuple[SupportedImage, ...] | BatchOsError, now: datetime) -> Account:
    if isinstance(images, BatchOsError):
        return replace(account, images_error=str(images))
    pools = (
        replace(each, support=judge(each.vm.pool.configuration, images, now)) if each.vm is not None else each
        for each in account.pools
    )
    return replace(account, pools=tuple(pools))


def shown(seen: PoolSeen) -> list[str]:
    """The day of the end and how the image stands, line by line; empty for an image that stays."""
    if seen.support is None:
        return []
    standing = [] if seen.support.standing == "listed" else [seen.support.standing]
    return [*([seen.support.ends_on] if seen.support.ends_on else []), *standing]


def line(seen: PoolSeen) -> str:
    """The same in one line, such as `image ends 2031-05-31` or `image unlisted`; empty for an image that stays."""
    if seen.support is None or not shown(seen):
        return ""
    standing = "ends" if seen.support.standing == "listed" else seen.support.standing
    return f"image {standing} {seen.support.ends_on}".rstrip()


def tripped(words: Iterable[str], accounts: Iterable[Account]) -> Iterator[str]:
    """The pools at which `--fail-on` stops, by word: the word and the pool's URL."""
    accounts = list(accounts)
    for word in dict.fromkeys(words):
        for pool in (each for account in accounts for each in account.pools):
            if pool.support is not None and pool.support.standing in _STOPS[word]:
                yield f"{word}: {pool.pool.ref.url}"
