"""Promote one OS version: dev declares it, stage declares what dev runs, and prod declares what stage runs."""

import pulumi

from batch_os_provider import PoolOsVersion

config = pulumi.Config()

version: pulumi.Input[str] = config.require("targetOsVersion")
if source := config.require("promoteFrom"):
    stack = pulumi.StackReference(f"{pulumi.get_organization()}/{pulumi.get_project()}/{source}")
    version = stack.get_output("osVersion")

render = PoolOsVersion(
    "render",
    account_endpoint=config.require("accountEndpoint"),
    pool_id=config.require("poolId"),
    target_os_version=version,
)
pulumi.export("osVersion", render.current_os_version)
