"""Many dynamic resources that do nothing: what Pulumi itself costs. The inputs are those of a pool."""

from __future__ import annotations

import os
from typing import Any

from nothing import NoOpProvider
from pulumi.dynamic import Resource


class NoOp(Resource):
    """A resource that is its inputs."""

    def __init__(self, name: str, **props: Any) -> None:
        super().__init__(NoOpProvider(), name, props)


for number in range(int(os.environ["BENCH_POOLS"])):
    NoOp(
        f"p{number}",
        account_endpoint=os.environ["BENCH_ENDPOINT"],
        pool_id=f"p{number}",
        target_os_version=os.environ["BENCH_TARGET"],
    )
