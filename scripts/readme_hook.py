"""Gives a package its long description: README.md, with absolute links as soon as the project has an address.

An index of packages shows the description without the repository, so relative links would lead nowhere there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import project


class ReadmeHook(MetadataHookInterface):
    """The hook that pyproject.toml names."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the description."""
        root = Path(self.root)
        text = (root / "README.md").read_text(encoding="utf-8")
        address = project.address(root)
        if address:
            text = project.absolute(text, address, metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
