"""The generated SDKs, once for all workers."""

from __future__ import annotations

import pytest

from tests.support.typescript import Workspace, workspace


@pytest.fixture(scope="session")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The SDKs and the compiled programs."""
    return workspace(tmp_path_factory)
