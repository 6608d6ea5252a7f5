"""Declare the OS version of one Azure Batch pool."""

import pulumi

from batch_os_provider import PoolOsVersion

config = pulumi.Config()

render = PoolOsVersion(
    "render",
    account_endpoint=config.require("accountEndpoint"),
    pool_id=config.require("poolId"),
    target_os_version=config.require("targetOsVersion"),
)

pulumi.export("current_os_version", render.current_os_version)
