"""Many pools, kept by the peer as it is: the SDK's server runs four calls at a time."""

import os

from naive import OsVersion, OsVersionProvider

for number in range(int(os.environ["BENCH_POOLS"])):
    OsVersion(
        f"p{number}",
        OsVersionProvider(),
        account_endpoint=os.environ["BENCH_ENDPOINT"],
        pool_id=f"p{number}",
        target_os_version=os.environ["BENCH_TARGET"],
    )
