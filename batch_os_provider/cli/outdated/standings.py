"""How all pools of some accounts stand, for ``outdated`` and ``bump``.

Both must judge a pool alike: what ``outdated`` shows as behind is what ``bump`` brings up to date.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date

from batch_os_provider.cli.common import fail
from batch_os_provider.cli.inventory import Account
from batch_os_provider.cli.outdated.listings import listings_of
from batch_os_provider.cli.outdated.newest import Standing, judge
from batch_os_provider.guest_os import catalogue_file

__all__ = ["standings_of"]


def standings_of(accounts: Sequence[Account], subscription: str, today: date) -> tuple[list[Standing], list[str]]:
    """Each pool beside the newest known version, in order, and what could not be asked, in sentences.

    A Guest OS catalogue that cannot be read ends the command.

    Args:
        accounts: the accounts with their pools.
        subscription: asks Azure Resource Manager; without one it is not asked.
        today: the day in UTC to judge for.
    """
    found = catalogue_file.find()
    if found.trouble:
        fail(found.trouble.partition("; ")[0])
    pools = [pool for account in accounts for pool in account.pools]
    listings, unasked = listings_of(accounts, subscription, os.environ)
    return judge(pools, found.catalogue, today, listings), unasked
