"""Pins what a program may declare: each input good, bad, unknown and missing, and what a failure tells."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import Declared, Gate, Policy
from batch_os_provider.schema.inputs import Failure
from batch_os_provider.schema.units import Share, parse_duration, parse_share, plain_duration, shown
from tests.unit.rollout.doubles import V25
from tests.unit.rollout.stage import quick

UNKNOWN = object()
GOOD: dict[str, Any] = {
    "account_endpoint": "https://acct.westeurope.batch.azure.com",
    "pool_id": "Render-A",
    "target_os_version": V25,
}
REQUIRED = tuple(GOOD)
OPTIONAL = ("timeout", "on_timeout", "if_resizing", "on_conflict", "stall_after", "max_unhealthy", "soak")


def check(**change: object) -> tuple[dict[str, Any], list[Failure]]:
    return inputs.check({**GOOD, **change}, lambda value: value is UNKNOWN)


def reason(name: str, value: object) -> str:
    """The reason of the one failure that a value brings."""
    _, failures = check(**{name: value})
    assert [failure.property for failure in failures] == [name], failures
    return failures[0].reason


def test_the_inputs_are_the_fixed_names() -> None:
    assert inputs.INPUTS == REQUIRED + OPTIONAL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account_endpoint", "acct.westeurope.batch.azure.com"),
        ("account_endpoint", "http://127.0.0.1:10000"),
        ("pool_id", "a"),
        ("pool_id", "A_b-9" * 12),
        ("target_os_version", "*"),
        ("timeout", "90s"),
        ("timeout", 7200.0),
        ("on_timeout", "fail"),
        ("on_timeout", "defer"),
        ("if_resizing", "wait"),
        ("if_resizing", "fail"),
        ("on_conflict", "fail"),
        ("on_conflict", "wait"),
        ("stall_after", "34m"),
        ("max_unhealthy", 0),
        ("max_unhealthy", 2.0),
        ("max_unhealthy", "2"),
        ("max_unhealthy", "10%"),
        ("soak", 3600.0),
    ],
)
def test_a_good_value_passes(name: str, value: object) -> None:
    kept, failures = check(**{name: value})
    assert failures == []
    if name != "account_endpoint":
        assert kept[name] == value, "kept as declared"


@pytest.mark.parametrize("name", [*REQUIRED, *OPTIONAL])
def test_an_unknown_value_passes_and_stays_unknown(name: str) -> None:
    kept, failures = check(**{name: UNKNOWN})
    assert failures == []
    assert kept[name] is UNKNOWN


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_required_input_is_named_with_its_form(name: str) -> None:
    bag = {key: value for key, value in GOOD.items() if key != name}
    for missing in (bag, {**bag, name: None}):
        _, failures = inputs.check(missing, lambda _: False)
        assert [failure.property for failure in failures] == [name]
        assert "missing" in failures[0].reason
        assert "required" in failures[0].reason


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_missing_optional_input_passes_and_no_default_is_written(name: str) -> None:
    kept, failures = check(**{name: None})
    assert failures == []
    assert kept.get(name) is None
    kept, failures = check()
    assert failures == []
    assert set(kept) == set(GOOD)


def test_only_the_endpoint_is_normalised_in_the_inputs_that_are_kept() -> None:
    kept, _ = check(account_endpoint="HTTPS://Acct.WestEurope.batch.azure.com:443/", timeout="2H", pool_id="Render-A")
    assert kept["account_endpoint"] == "https://acct.westeurope.batch.azure.com"
    assert (kept["timeout"], kept["pool_id"]) == ("2H", "Render-A")


def test_keys_that_are_not_ours_pass() -> None:
    kept, failures = check(__provider="pickle")
    assert failures == []
    assert kept["__provider"] == "pickle"


def test_all_that_is_wrong_is_said_at_once() -> None:
    _, failures = check(pool_id="a b", target_os_version="5", timeout="soon", on_timeout="explode")
    assert [failure.property for failure in failures] == ["pool_id", "target_os_version", "timeout", "on_timeout"]


@pytest.mark.parametrize(
    ("name", "value", "allowed", "nearest"),
    [
        (
            "account_endpoint",
            "https://acct.batch.azure.com/pools/a",
            "https://<account>",
            "https://acct.batch.azure.com?",
        ),
        ("account_endpoint", "https://acct.batch.azure.com/x/", "https://<account>", "https://acct.batch.azure.com?"),
        ("account_endpoint", "http://acct.batch.azure.com", "https://<account>", "https://acct.batch.azure.com?"),
        ("account_endpoint", "http//acct", "https://<account>", ""),
        ("account_endpoint", 7, "https://<account>", ""),
        ("account_endpoint", "myaccount", "https://<account>", "https://myaccount.<region>.batch.azure.com?"),
        ("account_endpoint", " MyAccount ", "https://<account>", "https://myaccount.<region>.batch.azure.com?"),
        ("account_endpoint", "https://my-host", "https://<account>", ""),
        ("account_endpoint", "https://myaccount:443/pools/a", "https://<account>", ""),
        ("pool_id", "render a", "1 to 64 letters", "render-a?"),
        ("pool_id", "https://acct.batch.azure.com/pools/render-a", "1 to 64 letters", "render-a?"),
        ("pool_id", "a" * 65, "1 to 64 letters", ""),
        ("pool_id", "", "1 to 64 letters", ""),
        ("pool_id", "a\n", "1 to 64 letters", "did you mean a?"),
        ("pool_id", 7.0, "1 to 64 letters", ""),
        ("target_os_version", "5.25_201811-01", "WA-GUEST-OS-<family>", V25),
        ("target_os_version", V25.lower(), "WA-GUEST-OS-<family>", V25),
        ("target_os_version", "latest", "or *", "did you mean *?"),
        ("target_os_version", " * ", "or *", "did you mean *?"),
        ("target_os_version", "5", "WA-GUEST-OS-<family>", ""),
        ("target_os_version", 5.0, "WA-GUEST-OS-<family>", ""),
        ("on_timeout", "Defer", "fail or defer", "did you mean defer?"),
        ("on_timeout", "deferred", "fail or defer", "did you mean defer?"),
        ("on_timeout", True, "fail or defer", ""),
        ("if_resizing", "waits", "wait or fail", "did you mean wait?"),
        ("if_resizing", ["wait"], "wait or fail", "did you mean wait?"),
        ("on_conflict", "fails", "fail or wait", "did you mean fail?"),
        ("timeout", "1h30", "90s, 45m, 1h30m", "did you mean 1h30m?"),
        ("timeout", "90 s", "90s, 45m, 1h30m", "did you mean 90s?"),
        ("timeout", "2 hours", "90s, 45m, 1h30m", "did you mean 2h?"),
        ("stall_after", "34 min", "90s, 45m, 1h30m", "did you mean 34m?"),
        ("soak", 0.0, "90s, 45m, 1h30m", ""),
        ("max_unhealthy", -1.0, 'from "0%" to "100%"', ""),
        ("max_unhealthy", 1.5, "a whole number of nodes", ""),
        ("max_unhealthy", 0.1, "a whole number of nodes", 'did you mean "10%"?'),
        ("max_unhealthy", "10 percent", "a whole number of nodes", 'did you mean "10%"?'),
        ("max_unhealthy", "10 %", "a whole number of nodes", 'did you mean "10%"?'),
        ("max_unhealthy", "101%", 'from "0%" to "100%"', ""),
        ("max_unhealthy", "none", "a whole number of nodes", ""),
        ("max_unhealthy", True, "a whole number of nodes", ""),
    ],
)
def test_a_failure_names_the_value_the_allowed_form_and_the_nearest_right_spelling(
    name: str, value: object, allowed: str, nearest: str
) -> None:
    text = reason(name, value)
    assert text.startswith(f"{int(value) if isinstance(value, float) and value.is_integer() else value!r} ")
    assert allowed in text
    assert nearest in text if nearest else "did you mean" not in text


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://acct:hunter2@acct.batch.azure.com",
        "acct:hunter2@acct.batch.azure.com",
        "https://acct:hunt@hunter2@acct.batch.azure.com",
        "https://acct:hunt hunter2@acct.batch.azure.com",
        "https://acct:hunt/hunter2@acct.batch.azure.com",
    ],
)
def test_a_password_in_an_endpoint_is_not_repeated(endpoint: str) -> None:
    assert "hunter2" not in reason("account_endpoint", endpoint)


@pytest.mark.parametrize(
    ("declared", "seconds"),
    [
        ("90s", 90),
        ("90S", 90),
        ("45m", 2700),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h30m15s", 5415),
        ("1h15s", 3615),
        (" 2h ", 7200),
        (7200, 7200),
        (7200.0, 7200),
        ("7200", 7200),
        ("7200.5", 7200.5),
        (0.5, 0.5),
        ("720h", 2592000),
        ("PT2H", 7200),
        ("pt1h30m", 5400),
        ("PT0.5S", 0.5),
        ("P1D", 86400),
        ("P1DT1M", 86460),
        ("P2W", 1209600),
        (timedelta(hours=2), 7200),
        (timedelta(seconds=1, milliseconds=500), 1.5),
    ],
    ids=repr,
)
def test_a_duration_is_read(declared: object, seconds: float) -> None:
    assert parse_duration(declared) == seconds


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (0, "not more than zero"),
        (0.0, "not more than zero"),
        ("0", "not more than zero"),
        ("0s", "not more than zero"),
        ("0h0m0s", "not more than zero"),
        (-5, "not more than zero"),
        ("-5", "not more than zero"),
        ("2 parsecs", "not a duration"),
        ("-5s", "not a duration"),
        ("1.5h", "not a duration"),
        ("30m1h", "not a duration"),
        ("1h30", "not a duration"),
        ("1h 30m", "not a duration"),
        ("", "not a duration"),
        (" ", "not a duration"),
        ("h", "not a duration"),
        ("P", "not a duration"),
        ("PT", "not a duration"),
        ("P1M", "not a duration"),
        ("P1Y", "not a duration"),
        ("PT1H30", "not a duration"),
        ("-PT2H", "not a duration"),
        ("PT0S", "not more than zero"),
        ("P31D", "longer than 720h"),
        (timedelta(), "not more than zero"),
        (timedelta(hours=-1), "not more than zero"),
        (timedelta(days=31), "longer than 720h"),
        (timedelta.max, "longer than 720h"),
        ("nan", "not a duration"),
        ("inf", "not a duration"),
        ("-inf", "not a duration"),
        (float("nan"), "not a duration"),
        (float("inf"), "not a duration"),
        (True, "not a duration"),
        (None, "not a duration"),
        ([90], "not a duration"),
        ({"s": 90}, "not a duration"),
        ("1e3", "not a duration"),
        ("7_200", "not a duration"),
        ("٣h", "not a duration"),
        (2592001, "longer than 720h"),
        ("721h", "longer than 720h"),
        (1e300, "longer than 720h"),
        ("9" * 400 + "h", "longer than 720h"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_no_duration_is_refused_with_the_reason(declared: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_duration(declared)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (timedelta(hours=2), "2h"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(hours=1, seconds=1), "1h1s"),
        (timedelta(days=30), "720h"),
        (timedelta(milliseconds=1500), 1.5),
        (timedelta(), 0.0),
        (timedelta(seconds=-90), -90.0),
    ],
    ids=repr,
)
def test_a_timedelta_becomes_what_pulumi_can_store_and_means_the_same(value: timedelta, plain: object) -> None:
    assert plain_duration(value) == plain
    if value > timedelta():
        assert parse_duration(plain_duration(value)) == value.total_seconds()


class Sulks:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_value_is_shown_as_it_was_written() -> None:
    endless: list[object] = []
    endless.append(endless)
    for value, text in [
        (-1.0, "-1"),
        (-0.0, "0"),
        (7.0, "7"),
        (0.5, "0.5"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (True, "True"),
        ([1.0, {"a": 2.0}, ("b",)], "[1, {'a': 2}, ('b')]"),
        ("me:hunter2@host", "'...@host'"),
        (["me:hunter2@host"], "['...@host']"),
        (Sulks(), "a value of type Sulks"),
        (10**5000, "a value of type int"),
        ({10**5000: 1.0}, "{a value of type int: 1}"),
        (endless, "[[[...]]]"),
        ("a" * 1000, "'" + "a" * 199 + "... (1002 characters)"),
    ]:
        assert shown(value) == text


@pytest.mark.parametrize(
    ("declared", "share", "of_19"),
    [
        (0, Share(0), 0),
        (2.0, Share(2), 2),
        (" 2 ", Share(2), 2),
        ("10%", Share(10, percent=True), 1),
        ("11%", Share(11, percent=True), 2),
        ("100%", Share(100, percent=True), 19),
        ("0%", Share(0), 0),
        ("000%", Share(0), 0),
    ],
    ids=repr,
)
def test_a_share_of_the_nodes_is_read_and_rounded_down(declared: object, share: Share, of_19: int) -> None:
    assert parse_share(declared) == share
    assert parse_share(declared).of(19) == of_19
    assert parse_share(declared).of(0) in (0, of_19)


@pytest.mark.parametrize(
    "declared",
    [-1, -0.5, 0.5, 1e9, "", "%", "-1%", "1.5%", "10%%", "1e1", "٣", "9" * 400, float("nan"), float("inf"), None, [1]],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_no_share_is_refused(declared: object) -> None:
    with pytest.raises(ValueError, match=r"is (neither|not)"):
        parse_share(declared)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("account_endpoint", "https://ACCT.batch.azure.com/", "acct.batch.azure.com", True),
        ("account_endpoint", "https://acct.batch.azure.com:443", "https://acct.batch.azure.com", True),
        ("account_endpoint", "https://acct.batch.azure.com", "https://acct2.batch.azure.com", False),
        ("account_endpoint", "https://127.0.0.1", "http://127.0.0.1", False),
        ("pool_id", "Render-A", "render-a", True),
        ("pool_id", "render-a", "render-b", False),
        ("target_os_version", V25, V25, True),
        ("target_os_version", V25, "*", False),
        ("timeout", "2h", 7200.0, True),
        ("timeout", "120m", "7200", True),
        ("timeout", "2h", "2h1s", False),
        ("timeout", "PT2H", "120m", True),
        # What an earlier version accepted, and this one does not.
        ("account_endpoint", "https://myaccount", "https://myaccount.westeurope.batch.azure.com", False),
        ("timeout", None, "2h", False),
        ("timeout", "2h", None, False),
        ("timeout", None, None, True),
        ("stall_after", "1h", 3600.0, True),
        ("soak", "1h", "2h", False),
        ("soak", None, "1h", False),
        ("max_unhealthy", 0.0, "0", True),
        ("max_unhealthy", 0, "0%", True),
        ("max_unhealthy", "10%", "010%", True),
        ("max_unhealthy", 10, "10%", False),
        ("on_timeout", "fail", "defer", False),
        ("on_timeout", "fail", "fail", True),
        ("on_timeout", None, "fail", False),
    ],
)
def test_two_spellings_of_one_meaning_are_the_same(name: str, old: object, new: object, expected: bool) -> None:
    assert inputs.same(name, old, new) is expected


def test_defaults_are_applied_at_use() -> None:
    assert Declared.of(GOOD) == Declared(
        PoolRef("https://acct.westeurope.batch.azure.com", "Render-A"),
        V25,
        Policy(),
        7200.0,
        defer=False,
        stall_after=None,
        gate=Gate(max_unhealthy=None, soak=0.0),
    )
    assert Policy() == Policy(if_resizing="wait", on_conflict="fail")


def test_declared_values_win_over_defaults_and_none_is_no_value() -> None:
    bag = {**GOOD, "timeout": 90.0, "on_timeout": "defer", "if_resizing": "fail", "on_conflict": "wait"}
    declared = Declared.of(bag)
    assert (declared.timeout, declared.defer) == (90.0, True)
    assert declared.policy == Policy(if_resizing="fail", on_conflict="wait")
    assert Declared.of({**GOOD, **dict.fromkeys(OPTIONAL)}) == Declared.of(GOOD)
    judged = Declared.of({**GOOD, "stall_after": "34m", "max_unhealthy": "10%", "soak": 90.0})
    assert (judged.stall_after, judged.gate) == (2040.0, Gate(Share(10, percent=True), 90.0))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2h", V25, "*", "fail", "10%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*REQUIRED, *OPTIONAL, "else"]), anything))
@example({**GOOD, "timeout": "9" * 400 + "h"})
@example({**GOOD, "timeout": 10**400})
@example({**GOOD, "account_endpoint": "https://["})
@quick
def test_check_never_raises_and_what_it_passes_can_be_used(bag: dict[str, Any]) -> None:
    kept, failures = inputs.check(bag, lambda _: False)
    assert {failure.property for failure in failures} <= set(inputs.INPUTS)
    if not failures:
        declared = Declared.of(kept)
        assert declared.timeout > 0
        assert inputs.check(kept, lambda _: False) == (kept, []), "checking again changes nothing"
        assert all(inputs.same(name, bag.get(name), kept.get(name)) for name in inputs.INPUTS)
