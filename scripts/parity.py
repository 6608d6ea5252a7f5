#!/usr/bin/env python3
"""Update the matrix of docs/parity.md from a run of all its cells.

usage: .venv/bin/python scripts/parity.py

Official clients of two generations, and requests signed by hand, drive the simulator; see tests/conformance/ground.py.
A test of the same cells fails when the page is out of date.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("BATCH_OS_TEST_AZURE_BATCH_5", str(ROOT / ".venv-azure-batch-5" / "bin" / "python"))

from tests.conformance.ground import renewed, run  # noqa: E402 - found from the line above


def main() -> int:
    """Run all cells, write the page, and print what failed."""
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # it warns of the empty body of a 404 to HEAD
    results = run()
    page = ROOT / "docs" / "parity.md"
    page.write_text(renewed(page.read_text(encoding="utf-8"), results), encoding="utf-8")
    troubles = [f"{client}, {operation}:\n{text}" for (client, operation), text in results.items() if text]
    print("\n".join(troubles), file=sys.stderr, end="")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
