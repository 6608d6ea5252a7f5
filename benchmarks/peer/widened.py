"""Many pools, kept by the peer with as many workers as it has pools."""

import os

from naive import OsVersion
from wide import WideProvider

for number in range(int(os.environ["BENCH_POOLS"])):
    OsVersion(
        f"p{number}",
        WideProvider(),
        account_endpoint=os.environ["BENCH_ENDPOINT"],
        pool_id=f"p{number}",
        target_os_version=os.environ["BENCH_TARGET"],
    )
