"""Move one pinned pool to another image version: its tasks finish, it gets the new pin, and it is filled again."""

import pulumi

from batch_os_provider import PoolImageVersion

config = pulumi.Config()

solve = PoolImageVersion(
    "solve",
    account_endpoint=config.require("accountEndpoint"),
    pool_id=config.require("poolId"),
    target_image_version=config.require("targetImageVersion"),
    strategy="empty",
    # The pool scales by a formula: it is off while the pool is empty, and comes back as it was.
    autoscale="hold",
)

pulumi.export("pool_image_version", solve.pool_image_version)
