"""Marks for tests on the real CLI: which of the two doors they go through. Without a mark it is the dynamic one."""

from __future__ import annotations

import pytest

from tests.support.doors import DOORS, NATIVE

both_doors = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
"""For a test of what the engine's calls decide, which differ between the doors."""
native_door = pytest.mark.parametrize("door", [NATIVE], ids=lambda door: door.name)
"""For a test of the shared core on the real CLI, through the door that costs less."""
