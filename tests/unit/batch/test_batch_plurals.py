"""Renders the messages of ``batch/`` that contain a number; the numbers are what a call is about."""

from __future__ import annotations

import pytest

from batch_os_provider.batch.client import BatchClient
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.image_renewal.image_doubles import look, pool_of


@pytest.mark.parametrize("number", [0, 1, 2])
def test_writes_say_how_many_nodes_they_are_about(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def write(_client: BatchClient, _method: str, _action: str, _pool: object, doing: str, _body: object) -> None:
        said.append(doing)

    monkeypatch.setattr(BatchClient, "_write", write)
    client = object.__new__(BatchClient)  # what is sent is not the point, so no connection is made
    pool = look(pool_of(3)).pool
    client.resize(pool, number)
    client.remove_nodes(pool, tuple(f"n{n}" for n in range(number)), 60.0)
    assert len(said) == 2
    assert all(str(number) in text for text in said)
    assert [wrong_plurals(text) for text in said] == [[], []]
