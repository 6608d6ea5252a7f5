"""Many pools, kept by batch_os_provider."""

import os

from batch_os_provider import PoolOsVersion

for number in range(int(os.environ["BENCH_POOLS"])):
    PoolOsVersion(
        f"p{number}",
        account_endpoint=os.environ["BENCH_ENDPOINT"],
        pool_id=f"p{number}",
        target_os_version=os.environ["BENCH_TARGET"],
    )
