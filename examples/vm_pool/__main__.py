"""Keep the nodes of one Azure Batch VM pool at or above an image version."""

import pulumi

from batch_os_provider import PoolImageVersion

config = pulumi.Config()

render = PoolImageVersion(
    "render",
    account_endpoint=config.require("accountEndpoint"),
    pool_id=config.require("poolId"),
    target_image_version=config.require("targetImageVersion"),
    strategy="surge",
    surge=2,
)

pulumi.export("oldest_node_version", render.oldest_node_version)
