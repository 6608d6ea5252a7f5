"""Replace the nodes of one Azure Batch VM pool that are older than a day."""

import pulumi

from batch_os_provider import PoolImageVersion

config = pulumi.Config()

render = PoolImageVersion(
    "render",
    account_endpoint=config.require("accountEndpoint"),
    pool_id=config.require("poolId"),
    nodes_since=config.require("nodesSince"),
    strategy="surge",
    surge=2,
)

pulumi.export("nodes_behind", render.nodes_behind)
