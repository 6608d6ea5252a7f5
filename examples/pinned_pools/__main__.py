"""Keep VM pools of four images at pinned versions; a pool gets a new pin when it has no nodes."""

import pulumi

from batch_os_provider import PoolImageVersion

# To move a pool, change its version here. A pull request then shows the old and the new version.
VERSIONS = {
    "convert": "17763.3124.2111130129",  # Windows Server 2019
    "solve": "8.7.2024042601",  # almalinux-hpc
    "stress": "8.1.2021040910",  # RHEL
    "train": "22.04.2024102301",  # ubuntu-hpc
}

endpoint = pulumi.Config().require("accountEndpoint")

for pool_id, version in VERSIONS.items():
    PoolImageVersion(
        pool_id,
        account_endpoint=endpoint,
        pool_id=pool_id,
        target_image_version=version,
        strategy="when_empty",
        timeout="45m",
        on_timeout="defer",
    )
