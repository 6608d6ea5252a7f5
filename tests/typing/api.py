"""The public API, as a type checker sees it: checked, never run.

Each line here is a promise to people whose editors and checkers read our annotations.
"""

from __future__ import annotations

from datetime import timedelta

import pulumi

from batch_os_provider import PoolFleet, PoolImageVersion, PoolOsVersion

endpoint: pulumi.Output[str] = pulumi.Output.from_input("https://acct.westeurope.batch.azure.com")

# Plain values, outputs, and every input.
plain = PoolOsVersion("a", account_endpoint="https://x.y", pool_id="render", target_os_version="*")
full = PoolOsVersion(
    "b",
    account_endpoint=endpoint,
    pool_id=endpoint.apply(lambda text: text),
    target_os_version=pulumi.Config().require("version"),
    timeout="1h30m",
    on_timeout="defer",
    if_resizing="fail",
    on_conflict="wait",
    stall_after="34m",
    max_unhealthy="10%",
    soak=3600,
    opts=pulumi.ResourceOptions(protect=True),
)
seconds = PoolOsVersion("c", account_endpoint="https://x.y", pool_id="p", target_os_version="*", timeout=7200)
late: pulumi.Output[timedelta] = pulumi.Output.from_input(timedelta(hours=2))
spans = PoolOsVersion(
    "j", account_endpoint="https://x.y", pool_id="p", target_os_version="*", timeout=late, soak="PT1H"
)
counted = PoolOsVersion(
    "f", account_endpoint="https://x.y", pool_id="p", target_os_version="*", max_unhealthy=0, soak="1h"
)

# A value that is not allowed is an error of the checker.
PoolOsVersion("d", account_endpoint="https://x.y", pool_id="p", target_os_version="*", on_timeout="give up")  # type: ignore[arg-type]

# Outputs have types, and `get` returns the same class.
current: pulumi.Output[str | None] = full.current_os_version
family: pulumi.Output[str | None] = full.os_family
unhealthy: pulumi.Output[int | None] = full.unhealthy_nodes
target: pulumi.Output[str] = full.target_os_version
other: PoolOsVersion = PoolOsVersion.get("e", "https://x.y/pools/render")

# A fleet: the arguments that decide its shape are plain values, all others may be outputs.
fleet = PoolFleet(
    "g",
    pools=["render", "https://x.y/pools/encode"],
    account_endpoint=endpoint,
    target_os_version=endpoint.apply(lambda text: text),
    canary=["render"],
    waves=["25%", 10, ["encode"]],
    max_unhealthy=0,
    soak=timedelta(minutes=10),
    aliases={"render": "old", "https://x.y/pools/encode": pulumi.Alias(name="b")},
    opts=pulumi.ResourceOptions(protect=True),
)
share = PoolImageVersion(
    "n",
    account_endpoint="https://x.y",
    pool_id="p",
    nodes_since="2026-11-24",
    strategy="surge",
    surge="25%",
    max_unavailable=1,
)
images = PoolFleet("h", pools=["p"], account_endpoint="https://x.y", target_image_version="1.2.3", strategy="surge")
aged = PoolFleet("k", pools=["p"], account_endpoint="https://x.y", nodes_since="2026-11-24", strategy="surge")
since = PoolImageVersion("l", account_endpoint="https://x.y", pool_id="p", nodes_since="2026-11-24", strategy="surge")
allocated: pulumi.Output[str | None] = since.oldest_node_allocated
child: PoolOsVersion | PoolImageVersion = fleet.pools["render"]
PoolFleet("i", pools=endpoint, account_endpoint="https://x.y", target_os_version="*")  # type: ignore[arg-type]


class OurPool(PoolOsVersion):
    """A subclass that presets arguments; `get` returns the subclass too."""


ours: OurPool = OurPool.get("k", "https://x.y/pools/render")
