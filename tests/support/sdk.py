"""What the installed SDK of Pulumi does, where releases differ."""

from __future__ import annotations

from pathlib import Path

import pulumi.dynamic

__all__ = ["FORMATS_ERRORS"]

FORMATS_ERRORS = "traceback" in Path(pulumi.dynamic.__file__).with_name("__main__.py").read_text(encoding="utf-8")
"""Whether the dynamic server answers with tracebacks: since 3.260. Before, a seam has nothing to clean."""
