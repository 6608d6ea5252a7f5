"""Golden traffic of 2020 to 2026: replayed in the recorded order, each answer compared with the recorded one.

Status, code, header names, key sets, types and values; ids, times and ETags by form only. The differences that are left
are rows of :mod:`.golden_table`, which must be exact.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.simulator.protocol.golden_replay import EXCHANGES, FILES, FOLDER, STEMS, is_old, play, set_up
from tests.simulator.protocol.golden_table import BODIES, KINDS, LEFT, OLD
from tests.simulator.raw_client import Client

KNOWN = {exchange: left.differences for left in LEFT for exchange in left.exchanges}
REPLAYED = [number for number, content in FILES.items() if "exchanges" in content]


def name_of(number: str, place: int) -> str:
    return f"{number}.{place}"


@pytest.mark.parametrize("number", REPLAYED, ids=lambda number: STEMS[number])
def test_the_simulator_answers_as_recorded(client: Client, number: str) -> None:
    set_up(client, number)
    seen, expected = {}, {}
    for place in range(1, 1 + len(FILES[number]["exchanges"])):
        name, exchange = name_of(number, place), FILES[number]["exchanges"][place - 1]
        if is_old(number, place):
            continue
        seen[name] = tuple(play(client, number, place))
        bodies = BODIES if exchange["status"] == 200 and exchange["body"] and exchange["headers"] else ()
        expected[name] = KNOWN.get(name, bodies)
    assert seen == expected


def test_every_row_names_exchanges_that_exist_and_a_reason() -> None:
    names = {name_of(number, place) for number, place in EXCHANGES}
    listed = [exchange for left in LEFT for exchange in left.exchanges]
    assert len(listed) == len(set(listed))
    assert set(listed) | set(OLD) <= names
    assert {name_of(number, place) for number, place in EXCHANGES if is_old(number, place)} == set(OLD)
    assert {left.kind for left in LEFT} <= set(KINDS)


def test_every_file_has_its_source_and_nothing_is_left_out() -> None:
    numbers = sorted(FILES)
    assert numbers == [f"{number:02d}" for number in range(29)] + ["90"]
    for path in FOLDER.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        sources = content.get("source", content.get("rows"))
        for source in sources if isinstance(sources, list) else [sources]:
            assert path.stem[:2] == "90" or {"repo", "path", "commit"} <= set(source), path


def test_since_november_2024_nodes_show_the_word_latest() -> None:
    """The survey behind the switch exactVersionOfLatest: numbers until a day, then only the word."""
    rows = sorted(FILES["00"]["rows"], key=lambda row: row["recorded"])
    words = [row["exactVersion"] == "latest" for row in rows]
    assert words == sorted(words)
    assert words.count(True) == 8
    assert all(re.fullmatch(r"\d+(\.\d+)+", row["exactVersion"]) for row in rows if row["exactVersion"] != "latest")


def test_an_etag_stays_while_a_resize_is_stopped(client: Client) -> None:
    """Files 03 and 26: stopresize answers with the ETag of the resize."""
    set_up(client, "26")
    before = client("POST", "/pools/p/resize", {"targetDedicatedNodes": 1})
    after = client("POST", "/pools/p/stopresize")
    assert (after["ETag"], after["Last-Modified"]) == (before["ETag"], before["Last-Modified"])


def test_a_reimage_keeps_the_allocation_time_and_moves_the_boot_time(client: Client) -> None:
    """File 28."""
    set_up(client, "28")
    shown = []
    for place in (1, 2, 3):
        play(client, "28", place)
        (node,) = client.nodes()
        shown.append((node["state"], node["allocationTime"], node["lastBootTime"]))
    assert [state for state, _, _ in shown] == ["reimaging", "starting", "idle"]
    assert len({allocated for _, allocated, _ in shown}) == 1
    assert shown[2][2] > shown[0][2]
