"""How long the long tests look: `make test` takes the same few steps in every run, `make soak` new ones."""

from __future__ import annotations

import os

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
