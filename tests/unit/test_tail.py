"""Pins the machine-readable end of a preview's messages: what is written, and what is read in spite of everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.tail import KINDS, WHATS, Tail, split

POOL = "https://acct.westeurope.batch.azure.com/pools/render"
TEXT = st.text(max_size=40)
COUNT = st.none() | st.integers(0, 10**9)
TAILS = st.builds(
    Tail,
    pool=st.text(min_size=1, max_size=40),
    kind=st.sampled_from(KINDS),
    what=st.sampled_from(WHATS),
    came_from=TEXT,
    target=TEXT,
    nodes=COUNT,
    behind=COUNT,
    tasks=COUNT,
    back=COUNT,
    warnings=st.lists(TEXT, max_size=3).map(tuple),
    why=TEXT,
)


def test_the_form_is_stable() -> None:
    tail = Tail(POOL, "os", "join", "A", "B", nodes=20, back=0, warnings=("rollback", "disabled"))
    assert str(tail) == (
        f'[batch-os v1 {{"pool":"{POOL}","kind":"os","what":"join","from":"A","to":"B","nodes":20,"back":0,'
        '"warnings":["rollback","disabled"]}]'
    )


@given(TAILS, st.text(max_size=60))
def test_what_is_written_is_read_again_and_is_one_ascii_line(tail: Tail, sentence: str) -> None:
    assert str(tail).isascii()
    assert "\n" not in str(tail)
    assert split(f"{sentence} {tail}\n") == (sentence.strip(), tail)


def test_a_sentence_that_quotes_the_start_of_a_tail_does_not_hide_the_real_one() -> None:
    tail = Tail(POOL, "os", "adopt")
    assert split(f"Batch said [batch-os v1 {{x}}]. {tail}") == ("Batch said [batch-os v1 {x}].", tail)


def test_brackets_and_braces_in_a_reason_do_not_end_it() -> None:
    tail = Tail(POOL, "image", "refused", why='it said "}]" and [batch-os v1 {}]')
    assert split(f"error: no. {tail}") == ("error: no.", tail)


@pytest.mark.parametrize(
    "damage",
    [
        "no tail at all",
        f'text [batch-os v2 {{"pool":"{POOL}","kind":"os","what":"adopt"}}]',
        f'text [batch-os v1 {{"pool":"{POOL}","kind":"os","what":"adopt"',
        f'text [batch-os v1 {{"pool":"{POOL}","kind":"os","what":"adopt"}}] and more',
        f'text [batch-os v1 {{"pool":"{POOL}","kind":"os","what":"explode"}}]',
        'text [batch-os v1 {"kind":"os","what":"adopt"}]',
        'text [batch-os v1 {"pool":1,"kind":"os","what":"adopt"}]',
        "text [batch-os v1 {not json}]",
        "text [batch-os v1 " + "{" * 5000 + "}" * 5000 + "]",
    ],
)
def test_what_is_no_tail_of_this_version_stays_text(damage: str) -> None:
    assert split(damage) == (damage, None)


@pytest.mark.parametrize("odd", [{"later": 1}, {"nodes": "many"}, {"nodes": -1}, {"tasks": True}, {"warnings": "x"}])
def test_keys_and_values_that_nobody_knows_are_passed_over(odd: dict[str, Any]) -> None:
    body = {"pool": POOL, "kind": "os", "what": "adopt", **odd}
    assert split(f"text [batch-os v1 {json.dumps(body)}]") == ("text", Tail(POOL, "os", "adopt"))
