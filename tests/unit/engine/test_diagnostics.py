"""Pins that a line reaches the engine, which is on this machine, past a proxy of the environment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from batch_os_provider.cli.doctor.plugin_process import engine
from batch_os_provider.engine import diagnostics

if TYPE_CHECKING:
    import pytest

NOWHERE = "http://127.0.0.1:9"


def test_a_line_reaches_the_engine_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Any] = []
    server, address = engine(rows)
    monkeypatch.setattr(sys, "argv", ["plugin", address])
    monkeypatch.setattr(diagnostics, "_stub", None)
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", NOWHERE)
    diagnostics.ResourceLog("urn", "render").warn("words")
    server.stop(None)
    assert [(row.urn, row.message) for row in rows] == [("urn", "words")]
