"""Bring many Azure Batch pools to one OS version: a canary, then up to half of them, then the rest."""

import pulumi

from batch_os_provider import PoolFleet

config = pulumi.Config()

farm = PoolFleet(
    "farm",
    pools=config.require_object("pools"),
    account_endpoint=config.require("accountEndpoint"),
    target_os_version=config.require("targetOsVersion"),
    waves=["50%"],
    max_unhealthy=0,
    soak="10m",
)

pulumi.export("waves", farm.waves)
