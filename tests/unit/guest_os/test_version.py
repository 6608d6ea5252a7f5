"""Pins the Guest OS version grammar, its order, and that a guess at a right spelling is always right."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_os_provider.guest_os import version
from batch_os_provider.guest_os.version import GuestOsVersion, VersionSyntaxError
from tests.unit.rollout.stage import quick

# A sample of the published release table, the oldest and newest of every family among them, and
# versions from recorded traffic.
REAL = [
    "WA-GUEST-OS-2.12_201208-02",
    "WA-GUEST-OS-2.28_201409-01",
    "WA-GUEST-OS-2.51_201605-01",
    "WA-GUEST-OS-2.78_201809-01",
    "WA-GUEST-OS-2.157_202411-01",
    "WA-GUEST-OS-3.65_201809-01",
    "WA-GUEST-OS-3.90_202010-02",
    "WA-GUEST-OS-3.147_202502-01",
    "WA-GUEST-OS-4.20_201505-01",
    "WA-GUEST-OS-4.27_201512-01",
    "WA-GUEST-OS-4.50_201801-01",
    "WA-GUEST-OS-4.58_201809-01",
    "WA-GUEST-OS-4.139_202502-01",
    "WA-GUEST-OS-5.15_201801-01",
    "WA-GUEST-OS-5.23_201809-01",
    "WA-GUEST-OS-5.24_201810-01",
    "WA-GUEST-OS-5.25_201811-01",
    "WA-GUEST-OS-5.112_202511-01",
    "WA-GUEST-OS-6.1_201811-01",
    "WA-GUEST-OS-6.88_202511-01",
    "WA-GUEST-OS-7.5_202111-01",
    "WA-GUEST-OS-7.16_202209-01",
    "WA-GUEST-OS-7.58_202511-01",
]

versions = st.builds(
    GuestOsVersion,
    family=st.integers(1, 999),
    minor=st.integers(0, 99999),
    release=st.integers(0, 99),
    month=st.builds("{:04d}{:02d}".format, st.integers(0, 9999), st.integers(1, 12)),
)


@pytest.mark.parametrize("text", REAL)
def test_a_published_version_is_read_and_written_as_published(text: str) -> None:
    assert str(GuestOsVersion.parse(text)) == text
    assert version.family_of(text) == text[len("WA-GUEST-OS-")]
    assert version.nearest(text) is None, "a right spelling needs no suggestion"


def test_the_published_order_is_by_family_then_minor_then_release() -> None:
    shuffled = REAL.copy()
    random.Random(7).shuffle(shuffled)
    assert sorted(shuffled, key=GuestOsVersion.parse) == REAL


@given(versions)
@quick
def test_every_version_survives_being_written_and_read(built: GuestOsVersion) -> None:
    again = GuestOsVersion.parse(str(built))
    assert (again, again.month) == (built, built.month)
    assert version.family_of(str(built)) == str(built.family)


@given(versions, versions)
@quick
def test_versions_sort_as_numbers_and_the_month_takes_no_part(one: GuestOsVersion, other: GuestOsVersion) -> None:
    numbers = [(v.family, v.minor, v.release) for v in (one, other)]
    assert (one < other) == (numbers[0] < numbers[1])


def test_minor_is_a_number_and_not_a_decimal() -> None:
    assert GuestOsVersion.parse("WA-GUEST-OS-2.10_201206-01") > GuestOsVersion.parse("WA-GUEST-OS-2.1_201001-01")
    assert GuestOsVersion.parse("WA-GUEST-OS-5.112_202511-01") > GuestOsVersion.parse("WA-GUEST-OS-5.25_201811-01")
    assert GuestOsVersion.parse("WA-GUEST-OS-5.25_201811-02") > GuestOsVersion.parse("WA-GUEST-OS-5.25_201811-01")


near_misses = st.builds(
    lambda text, at, what, drop: text[:at] + what + text[at + drop :],
    st.sampled_from([*REAL, "*", "latest"]),
    st.integers(0, 26),
    st.text(max_size=2),
    st.integers(0, 3),
)


@given(st.text() | near_misses)
@example("WA-GUEST-OS-5.25_201811-01\n")
@example("WA-GUEST-OS-\u0665.25_201811-01")
@example("5.25_201813-01")
@quick
def test_any_text_is_a_version_or_a_syntax_error_with_an_honest_guess(text: str) -> None:
    refusal = None
    try:
        assert str(GuestOsVersion.parse(text)) == text
    except VersionSyntaxError as error:
        refusal = error
    if refusal is None:
        return
    assert version.ALLOWED in str(refusal)
    assert repr(text) in str(refusal)
    guess = refusal.suggestion
    if guess is not None:
        assert guess != text
        assert guess == "*" or str(GuestOsVersion.parse(guess)) == guess
        assert guess in str(refusal)


@pytest.mark.parametrize(
    "text",
    [
        "WA-GUEST-OS-5.25_201813-01",
        "WA-GUEST-OS-5.25_201800-01",
        "WA-GUEST-OS-05.25_201811-01",
        "WA-GUEST-OS-5.025_201811-01",
        "WA-GUEST-OS-5.25_201811-1",
        "WA-GUEST-OS-0.25_201811-01",
        "wa-guest-os-5.25_201811-01",
        " WA-GUEST-OS-5.25_201811-01",
        "WA-GUEST-OS-5",
        "5",
        "",
        "*",
    ],
)
def test_what_is_not_exactly_a_version_is_refused(text: str) -> None:
    with pytest.raises(VersionSyntaxError):
        GuestOsVersion.parse(text)


@pytest.mark.parametrize(
    "typed",
    [
        "5.25_201811-01",
        "wa-guest-os-5.25_201811-01",
        "WA-GUEST-OS-5.25_201811-1",
        "WA-GUEST-OS-5.25-201811-01",
        "WA_GUEST_OS_5.25_201811_01",
        "GUEST-OS-5.25_201811-01",
        "WA-GUEST-OS-05.025_201811-01",
        "WA-GUEST-OS-5.25_201811",
        "WA-GUEST-OS-5.25_2018-11-01",
        " WA-GUEST-OS-5.25_201811-01 ",
        "'WA-GUEST-OS-5.25_201811-01'",
    ],
)
def test_a_near_miss_gets_the_right_spelling(typed: str) -> None:
    assert version.nearest(typed) == "WA-GUEST-OS-5.25_201811-01"


@pytest.mark.parametrize("typed", ["latest", "Latest", "any", "**", " * ", "'*'"])
def test_a_word_for_the_latest_gets_a_star(typed: str) -> None:
    assert version.nearest(typed) == "*"


@pytest.mark.parametrize("typed", ["", "5", "windows", "WA-GUEST-OS-5.25_201813-01", "WA-GUEST-OS-5.25"])
def test_there_is_no_guess_where_nothing_is_near(typed: str) -> None:
    assert version.nearest(typed) is None


def test_a_star_fits_every_family() -> None:
    assert version.family_of("*") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WA-GUEST-OS-7.57_202510-01", "7.57_202510-01"),
        ("wa-guest-os-7.57_202510-01", "7.57_202510-01"),
        ("*", "*"),
        ("", ""),
        ("an unknown version", "an unknown version"),
        ("22.04.202404090", "22.04.202404090"),
        ("8.7.2024042601", "8.7.2024042601"),
    ],
)
def test_a_row_shows_a_version_without_the_prefix_that_never_changes(text: str, expected: str) -> None:
    assert version.short(text) == expected


@pytest.mark.parametrize(
    ("came_from", "target", "expected"),
    [
        ("WA-GUEST-OS-7.57_202510-01", "WA-GUEST-OS-7.58_202511-01", "7.57_202510-01 -> 7.58_202511-01"),
        ("WA-GUEST-OS-7.57_202510-01", "*", "7.57_202510-01 -> *"),
        ("*", "WA-GUEST-OS-7.58_202511-01", "* -> 7.58_202511-01"),
        ("", "WA-GUEST-OS-7.58_202511-01", "7.58_202511-01"),
        ("wa-guest-os-7.58_202511-01", "WA-GUEST-OS-7.58_202511-01", "7.58_202511-01"),
        ("17763.3124.2111130129", "20348.2461.240510", "17763.3124.2111130129 -> 20348.2461.240510"),
    ],
)
def test_a_change_is_from_and_to_or_the_target_alone(came_from: str, target: str, expected: str) -> None:
    assert version.change(came_from, target) == expected
