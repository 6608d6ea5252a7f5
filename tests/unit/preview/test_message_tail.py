"""Pins the machine-readable end of a preview's messages: what is written, and what is read in spite of everything."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.preview.message_tail import KINDS, WHATS, MessageTail, What, split
from tests.unit.rollout.stage import quick

POOL = "https://acct.westeurope.batch.azure.com/pools/render"
TEXT = st.text(max_size=40)
COUNT = st.none() | st.integers(0, 10**9)
TAILS = st.builds(
    MessageTail,
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
    image_ends=TEXT,
    oldest=TEXT,
    since=TEXT,
)
SHARDS = st.lists(
    st.sampled_from(
        [
            "[batch-os v1 ",
            "[batch-os v1 {",
            '{"pool":"x","kind":"os","what":"adopt"}]',
            '"why":"',
            "}]",
            "]",
            '"',
            "\\",
            "\n",
            "\u2028",
            " ",
            "word",
        ]
    ),
    max_size=12,
).map("".join)
"""Pieces of tails: what a message may hold that quotes another one, or was cut and joined."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    *("pool", "kind", "what", "from", "to", "nodes", "behind", "tasks", "back", "warnings", "why"),
    *("image_ends", "oldest", "since"),
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(KEYS, JSON),
        "pool": st.just(POOL) | JSON,
        "kind": st.sampled_from(KINDS) | JSON,
        "what": st.sampled_from(WHATS) | JSON,
        "later": JSON,
    },
)


def test_the_form_is_stable() -> None:
    tail = MessageTail(POOL, "os", "join", "A", "B", nodes=20, back=0, warnings=("rollback", "disabled"))
    assert str(tail) == (
        f'[batch-os v1 {{"pool":"{POOL}","kind":"os","what":"join","from":"A","to":"B","nodes":20,"back":0,'
        '"warnings":["rollback","disabled"]}]'
    )


def test_the_keys_stand_in_the_order_of_the_documentation() -> None:
    tail = MessageTail(POOL, "image", "renew", "A", "B", 4, 3, 2, 1, ("w",), "because", "2027-01-12", "C", "D")
    assert tuple(json.loads(str(tail).removeprefix("[batch-os v1 ").removesuffix("]"))) == KEYS


REASON = "the pool is of OS family 7 (WA-GUEST-OS-7.x)"


@pytest.mark.parametrize(
    ("what", "sentence", "kept"),
    [
        ("refused", f"an up would be refused: {REASON}. Declare another.", False),
        ("refused", f"pool {POOL}: an up would be refused: {REASON}. Run it again. [request id 1]", False),
        ("not looked at", f"could not check the pool: {REASON}", False),
        ("not looked at", f"not looked at: {REASON}", False),
        # The sentence is about something else, says it in other words, or says more than the reason.
        ("refused", "an up would be refused. Declare another.", True),
        ("refused", f"not looked at: {REASON}", True),
        ("not looked at", f"not looked at: {REASON}; and more", True),
        ("warning", f"not looked at: {REASON}", True),
    ],
)
def test_a_reason_is_said_once_and_read_in_any_case(what: What, sentence: str, kept: bool) -> None:
    tail = MessageTail(POOL, "os", what, why=REASON)
    message = tail.after(sentence)
    assert ('"why":' in message) is kept
    assert message.count(REASON) == (2 if kept and REASON in sentence else 1)
    assert split(message) == (sentence, tail)
    # As the CLI hands it on: with words of its own before the sentence.
    assert split(f"error: resource 'render': property has a problem: {message}\n")[1] == tail


def test_a_reason_with_two_sentences_is_kept_whole() -> None:
    tail = MessageTail(POOL, "os", "refused", why="one. two")
    message = tail.after("an up would be refused: one. two. Do this.")
    assert split(message)[1] == tail


def test_nothing_is_not_unknown() -> None:
    tail = MessageTail(POOL, "os", "upgrade", nodes=0, tasks=0)
    assert '"nodes":0,"tasks":0' in str(tail)
    assert split(str(tail)) == ("", tail)


@quick
@given(TAILS, SHARDS | st.text(max_size=60))
def test_what_is_written_is_read_again_and_is_one_ascii_line(tail: MessageTail, sentence: str) -> None:
    assert str(tail).isascii()
    assert "\n" not in str(tail)
    assert split(f"{sentence} {tail}\n") == (sentence.strip(), tail)


@quick
@given(TAILS, SHARDS)
def test_a_reason_may_hold_pieces_of_tails(tail: MessageTail, why: str) -> None:
    told = replace(tail, why=why)
    assert split(f"text {told}") == ("text", told)


@quick
@given(SHARDS | st.text(max_size=60))
def test_any_text_is_read_and_what_is_no_tail_is_kept(text: str) -> None:
    sentence, tail = split(text)
    if tail is None:
        assert sentence == text.strip()
    else:
        assert text.strip().startswith(sentence)
        assert split(f"{sentence} {tail}") == (sentence, tail)


@quick
@given(BODIES)
def test_any_json_is_read_or_passed_over_and_what_was_read_can_be_written(body: dict[str, Any]) -> None:
    tail = MessageTail.of(json.loads(json.dumps(body)))
    if tail is not None:
        assert split(str(tail)) == ("", tail)
        assert (tail.pool, tail.kind, tail.what) == (body["pool"], body["kind"], body["what"])
        assert tail.nodes == (body["nodes"] if type(body.get("nodes")) is int and body["nodes"] >= 0 else None)


@pytest.mark.parametrize("body", [None, [], "text", 1, {}, [{"pool": POOL, "kind": "os", "what": "adopt"}]])
def test_json_that_is_no_object_of_ours_is_no_tail(body: object) -> None:
    assert MessageTail.of(body) is None


def test_of_two_tails_the_last_one_speaks() -> None:
    first, last = MessageTail(POOL, "os", "adopt"), MessageTail(POOL, "image", "wait")
    assert split(f"one {first} two {last}") == (f"one {first} two", last)


def test_a_tail_over_several_lines_is_read_as_one() -> None:
    """Whoever wraps a message at blanks breaks the JSON only where blanks are allowed."""
    assert split('text [batch-os v1 {"pool":"x",\n  "kind":"os", "what":"adopt"}]') == (
        "text",
        MessageTail("x", "os", "adopt"),
    )


@pytest.mark.parametrize(
    "message",
    [
        "[batch-os v1 {" * 20_000 + "}]",
        '[batch-os v1 {"' * 20_000 + "}]",
        "[batch-os v1 " + "[" * 900_000 + "}]",
        'text [batch-os v1 {"pool":"x","kind":"os","what":"adopt","nodes":' + "9" * 5_000 + "}]",
        "x" * 900_000,
        " " * 900_000 + "x",
    ],
    ids=["starts", "strings", "nested", "digits", "letters", "blanks"],
)
def test_a_huge_message_is_text_and_takes_no_time(message: str) -> None:
    began = time.monotonic()
    assert split(message) == (message.strip(), None)
    assert time.monotonic() - began < 5, "it takes a fifth of a second"


def test_a_huge_tail_is_a_tail() -> None:
    tail = MessageTail(POOL, "os", "refused", why="}] [batch-os v1 {" * 50_000)
    assert split(f"text {tail}") == ("text", tail)


def test_a_sentence_that_quotes_the_start_of_a_tail_does_not_hide_the_real_one() -> None:
    tail = MessageTail(POOL, "os", "adopt")
    assert split(f"Batch said [batch-os v1 {{x}}]. {tail}") == ("Batch said [batch-os v1 {x}].", tail)


def test_brackets_and_braces_in_a_reason_do_not_end_it() -> None:
    tail = MessageTail(POOL, "image", "refused", why='it said "}]" and [batch-os v1 {}]')
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
        'text [batch-os v1 {"pool":"","kind":"os","what":"adopt"}]',
        f'text [batch-os v1 {{"pool":"{POOL}","kind":["os"],"what":"adopt"}}]',
        f'text [batch-os v1 {{"pool":"{POOL}","kind":"os","what":{{}}}}]',
        f'text [batch-os v1 {{"pool":"{POOL}","kind":"os","what":"adopt"}} ]',
        f'text [batch-os v1 {{"pool":"{POOL}","kind":"os","what":"adopt"}}]]',
        f'text [batch-os v1 {{"pool":"{POOL}","kind":"os","what":"adopt"}}}}]',
        f'text [batch-os v10 {{"pool":"{POOL}","kind":"os","what":"adopt"}}]',
        f'text [BATCH-OS V1 {{"pool":"{POOL}","kind":"os","what":"adopt"}}]',
        "text [batch-os v1 {}]",
        "",
        "text [batch-os v1 {not json}]",
        "text [batch-os v1 " + "{" * 5000 + "}" * 5000 + "]",
    ],
)
def test_what_is_no_tail_of_this_version_stays_text(damage: str) -> None:
    assert split(damage) == (damage, None)


@pytest.mark.parametrize(
    "odd",
    [
        {"later": {"deep": [1]}},
        {"nodes": "many"},
        {"nodes": -1},
        {"nodes": 1.0},
        {"nodes": float("nan")},
        {"tasks": True},
        {"warnings": "x"},
        {"warnings": [1, None]},
        {"from": 1},
        {"why": None},
    ],
)
def test_keys_and_values_that_nobody_knows_are_passed_over(odd: dict[str, Any]) -> None:
    body = {"pool": POOL, "kind": "os", "what": "adopt", **odd}
    assert split(f"text [batch-os v1 {json.dumps(body)}]") == ("text", MessageTail(POOL, "os", "adopt"))
