"""How many examples a random test tries: `make test` takes the same few in every run, `make soak` many new ones."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

settings.register_profile(
    "soak",
    max_examples=int(os.environ.get("BATCH_OS_SOAK_EXAMPLES", "300")),
    stateful_step_count=50,
    derandomize=False,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def is_soak() -> bool:
    """Whether `make soak` asks."""
    return bool(settings.get_current_profile_name() == "soak")


def examples(count: int, **more: Any) -> settings:
    """So many examples, the same in every run; or as many as `make soak` wants.

    Args:
        count: how many `make test` tries.
        more: other settings of Hypothesis for `make test`.

    """
    if is_soak():
        return settings()
    return settings(derandomize=True, database=None, deadline=None, max_examples=count, **more)
