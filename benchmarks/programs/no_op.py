"""Many dynamic resources that do nothing: what Pulumi itself costs. The inputs are those of a pool."""

from __future__ import annotations

import os
import sys
from typing import Any

from pulumi.dynamic import CreateResult, Resource, ResourceProvider

# The SDK's pickler wraps itself once more for each resource, and pickles the dictionaries of a provider that is written in
# the program: with Python's own limit this program ends at some 310 resources.
sys.setrecursionlimit(20_000)


class NoOpProvider(ResourceProvider):
    """Create returns at once; check, diff and the rest are the SDK's."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Nothing is done."""
        return CreateResult(props["pool_id"], props)


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
