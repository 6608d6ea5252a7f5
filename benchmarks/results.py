"""The raw results in `results.json`, from which the page is written; the page can be written again without a run.

Readers must be able to check the numbers, and a run takes an hour.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parent / "results.json"


def load(path: Path = PATH) -> dict[str, Any]:
    """The results so far; none without a file."""
    if not path.exists():
        return {}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def save(results: Mapping[str, Any], path: Path = PATH) -> None:
    """Write them so that a new run is a small difference."""
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class Ups:
    """The runs of `pulumi up` among the results: a list for each program and number of pools."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self._ups = results.get("ups", {})

    def of(self, program: str, pools: int) -> list[dict[str, Any]]:
        """The repeats; none where it was not run."""
        runs: list[dict[str, Any]] = self._ups.get(program, {}).get(str(pools), [])
        return runs

    def sizes(self, program: str) -> list[int]:
        """The numbers of pools that a program was run with, the smallest first."""
        return sorted(map(int, self._ups.get(program, {})))
