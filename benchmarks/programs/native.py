"""Many pools through the native provider, from Python: what a generated SDK does, without one.

A class of a generated SDK is a ``CustomResource`` with the token, and passes its arguments on. So does this one.
"""

from __future__ import annotations

import os

import pulumi


class PoolOsVersion(pulumi.CustomResource):
    """A pool of the native provider."""

    def __init__(self, name: str, **inputs: str) -> None:
        super().__init__("batchos:index:PoolOsVersion", name, dict(inputs))


for number in range(int(os.environ["BENCH_POOLS"])):
    PoolOsVersion(
        f"p{number}",
        accountEndpoint=os.environ["BENCH_ENDPOINT"],
        poolId=f"p{number}",
        targetOsVersion=os.environ["BENCH_TARGET"],
    )
