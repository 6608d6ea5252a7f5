"""The Guest OS catalogue: what it says of a target on a day."""

from __future__ import annotations

import csv
import io
import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_os_provider.guest_os import catalogue
from batch_os_provider.guest_os.catalogue import CatalogueError, Family, Release
from batch_os_provider.guest_os.version import GuestOsVersion, VersionSyntaxError
from tests.unit.rollout.stage import quick

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "batch_os_provider" / "guest_os"
GUEST_OS = catalogue.load()
FRESH = date(2026, 2, 1)
"""A day on which the table of January 2026 is fresh."""
DAY = timedelta(days=1)

V15, V23, V25 = "WA-GUEST-OS-5.15_201801-01", "WA-GUEST-OS-5.23_201809-01", "WA-GUEST-OS-5.25_201811-01"
V110, V111, V112 = "WA-GUEST-OS-5.110_202509-01", "WA-GUEST-OS-5.111_202510-01", "WA-GUEST-OS-5.112_202511-01"


def codes(text: str, as_of: date, family: str | None = None) -> list[str]:
    return [verdict.code for verdict in GUEST_OS.judge(text, as_of, family)]


def said(text: str, as_of: date, code: str, family: str | None = None) -> str:
    """The sentence of the one verdict with this code."""
    (verdict,) = [each for each in GUEST_OS.judge(text, as_of, family) if each.code == code]
    return verdict.text


# ── The tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_447_rows_load_sorted_and_spelled_as_published():
    rows = list(csv.DictReader(io.StringIO((PACKAGE / catalogue.RELEASES_FILE).read_text(encoding="utf-8"))))
    assert len(rows) == 447 == len(GUEST_OS.releases)
    assert [row["version"] for row in rows] == [release.text for release in GUEST_OS.releases]
    assert [release.version for release in GUEST_OS.releases] == sorted(each.version for each in GUEST_OS.releases)
    for row, release in zip(rows, GUEST_OS.releases, strict=True):
        version = release.version
        assert str(GuestOsVersion.parse(row["version"])) == row["version"]
        assert GUEST_OS.release(row["version"]) is release
        told = (row["family"], row["minor"], row["msrc_yyyymm"], row["release"])
        assert told == (str(version.family), str(version.minor), version.month, f"{version.release:02d}")
        assert row["windows_server"] == release.windows_server == GUEST_OS.families[version.family].windows_server
        assert row["release_date"] == str(release.released)
        assert row["disable_date"] == ("" if release.disabled is None else str(release.disabled))


def test_releases_come_out_and_are_disabled_in_order_of_age_as_the_rules_assume():
    for number in GUEST_OS.families:
        family = [release for release in GUEST_OS.releases if release.version.family == number]
        assert [release.released for release in family] == sorted(release.released for release in family)
        disabled = [release.disabled or date.max for release in family]
        assert disabled == sorted(disabled)
        assert all(release.released < (release.disabled or date.max) for release in family)


def test_families_have_the_published_dates_and_a_month_means_its_last_day():
    dates = {number: (family.announced, family.end_of_life) for number, family in GUEST_OS.families.items()}
    announced = date(2024, 7, 31)
    assert dates == {
        1: (date(2013, 6, 1), date(2014, 11, 3)),
        2: (announced, date(2024, 12, 31)),
        3: (announced, date(2025, 2, 28)),
        4: (announced, date(2025, 2, 28)),
        5: (None, None),
        6: (None, None),
        7: (None, None),
    }


def test_the_catalogue_knows_the_newest_of_a_family_on_a_day():
    assert GUEST_OS.covers_until == date(2026, 1, 14)
    newest = {number: release and release.text for number in (1, 4, 5) for release in [GUEST_OS.newest(number)]}
    assert newest == {1: None, 4: "WA-GUEST-OS-4.139_202502-01", 5: V112}
    released = date(2018, 12, 14)
    assert [GUEST_OS.newest(5, day).text for day in (released - DAY, released)] == [
        "WA-GUEST-OS-5.24_201810-01",
        V25,
    ]
    assert GUEST_OS.newest(5, date(2018, 10, 11)) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace(",2018-10-12,", ",12.10.2018,", 1), "line 2: .*12.10.2018"),
        (lambda text: text.replace("5.25_201811-01", "5.25_201811-1"), "not a Guest OS version"),
        (lambda text: text.replace("release_date", "released"), "no column 'release_date'"),
        (lambda text: text + "WA-GUEST-OS-7.59_202512-01,7\r\n", "line 449: .* cells"),
        (lambda text: text + text.splitlines()[-1] + "\r\n", "twice"),
        (lambda text: text + text.splitlines()[-1].replace("-7.", "-8.") + "\r\n", "family 8"),
        (lambda text: text.splitlines()[0] + "\r\n", "no releases"),
    ],
)
def test_a_damaged_table_is_refused_by_name(change: Callable[[str], str], why: str):
    releases = (PACKAGE / catalogue.RELEASES_FILE).read_bytes().decode()
    families = (PACKAGE / catalogue.FAMILIES_FILE).read_bytes().decode()
    with pytest.raises(CatalogueError, match=rf"guestos-releases.csv.*{why}"):
        catalogue.read(change(releases), families)


# ── Verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_newest_of_a_living_family_and_any_are_fine():
    assert codes(V112, FRESH) == []
    assert codes("*", FRESH) == codes("*", FRESH, "5") == []


def test_a_version_is_disabled_from_its_day_on():
    day = date(2019, 2, 5)
    assert "disabled" not in codes(V25, day - DAY)
    assert codes(V25, day) == ["disabled", "behind"]
    text = said(V25, day, "disabled")
    assert text.startswith(f"{V25} is disabled since 2019-02-05: Microsoft no longer offers it")
    assert "nodes that run it continue" in text


def test_without_a_published_day_a_version_is_not_called_disabled_or_expired_however_old():
    assert GUEST_OS.release(V110).disabled is None
    assert codes(V110, date(2036, 1, 1)) == ["behind"]
    assert "expired" not in codes(V25, date(2036, 1, 1)), "its family has no end of life yet"


@pytest.mark.parametrize(
    ("text", "count", "warns"), [(V111, "1 release", False), (V110, "2 releases", True), (V25, "83 releases", True)]
)
def test_behind_counts_releases_and_warns_from_the_second_on_since_two_are_supported(
    text: str, count: str, warns: bool
):
    verdict = GUEST_OS.judge(text, FRESH)[-1]
    assert (verdict.code, verdict.is_warning) == ("behind", warns)
    assert verdict.text.startswith(f"{text} is {count} behind: ")
    assert verdict.text.endswith(f"{V112} has those up to November 2025")


def test_behind_names_the_months_of_the_fixes():
    assert "security fixes up to November 2018," in said(V25, FRESH, "behind")


def test_behind_is_counted_against_what_was_out_on_the_day():
    out = date(2019, 1, 7)  # 5.26
    assert codes(V25, out - DAY) == []
    assert codes(V25, out) == ["behind"]
    assert "is at least" not in said(V25, out, "behind")


def test_an_old_catalogue_says_so_and_counts_at_least():
    last = GUEST_OS.covers_until + timedelta(days=60)
    assert GUEST_OS.outdated(last) is None
    assert "ends with the releases of 2026-01-14" in GUEST_OS.outdated(last + DAY)
    assert f"{V111} is 1 release behind" in said(V111, last, "behind")
    assert f"{V111} is at least 1 release behind" in said(V111, last + DAY, "behind")


@pytest.mark.parametrize(
    "text", ["WA-GUEST-OS-5.113_202512-01", "WA-GUEST-OS-5.112_202511-02", "WA-GUEST-OS-8.1_202601-01"]
)
def test_newer_than_the_catalogue_is_fine_and_said(text: str):
    (verdict,) = GUEST_OS.judge(text, FRESH)
    assert (verdict.code, verdict.is_warning) == ("newer", False)
    assert "newer than the Guest OS catalogue, which ends with the releases of 2026-01-14" in verdict.text


def test_a_release_that_is_still_to_come_on_the_day_is_newer():
    released = date(2018, 12, 14)
    (verdict,) = GUEST_OS.judge(V25, released - DAY)
    assert (verdict.code, verdict.is_warning) == ("newer", False)
    assert verdict.text.startswith(f"{V25} was released on 2018-12-14, after 2018-12-13")
    assert codes(V25, released) == []


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("WA-GUEST-OS-5.25_201812-01", V25),  # the number of one, the month of another
        ("WA-GUEST-OS-5.25_201811-02", V25),
        ("WA-GUEST-OS-5.52_201811-01", "WA-GUEST-OS-5.52_202102-01"),  # digits turned round
        ("WA-GUEST-OS-7.31_202309-01", "WA-GUEST-OS-7.32_202309-01"),  # a number that was left out
        ("WA-GUEST-OS-5.999_201811-01", V25),  # a later number with an old month is a slip, not news
        ("WA-GUEST-OS-5.112_202611-01", V112),
    ],
)
def test_what_the_table_would_have_is_unknown_with_what_was_most_likely_meant(text: str, meant: str):
    assert codes(text, FRESH) == ["unknown"]
    assert said(text, FRESH, "unknown").endswith(f"although the table covers its time; did you mean {meant}?")


def test_a_version_of_a_family_that_never_was_is_unknown():
    assert codes("WA-GUEST-OS-9.1_201811-01", FRESH) == ["unknown"]
    assert "family 9, which Microsoft's table" in said("WA-GUEST-OS-9.1_201811-01", FRESH, "unknown")


def test_a_version_older_than_the_table_is_unknown_and_disabled_before_the_oldest_in_it():
    assert codes(V15, FRESH) == ["disabled", "unknown", "behind"]
    assert said(V15, FRESH, "unknown").endswith(
        f"older than Microsoft's table of Guest OS releases, which begins with {V23}"
    )
    assert f"since before 2018-12-14, when Microsoft disabled the later {V23}" in said(V15, FRESH, "disabled")
    assert "at least 86 releases behind" in said(V15, FRESH, "behind")
    assert "disabled" not in codes(V15, date(2018, 12, 13)), "then the oldest listed was not disabled either"


def test_a_family_is_being_retired_from_its_announcement_and_retired_after_its_end_of_life():
    text, announced, end = "WA-GUEST-OS-4.139_202502-01", date(2024, 7, 31), date(2025, 2, 28)
    assert codes(text, end) == ["retired"]
    assert "is being retired: Microsoft announced it in July 2024, its end of life is in February 2025" in said(
        text, end, "retired"
    )
    assert codes(text, end + DAY) == ["expired", "retired", "disabled"]
    assert "(Windows Server 2012 R2) is retired: its end of life was in February 2025" in said(
        text, end + DAY, "retired"
    )
    assert "expired with its family in February 2025" in said(text, end + DAY, "expired")
    assert "at the latest since the end of its family" in said(text, end + DAY, "disabled")
    older = "WA-GUEST-OS-4.131_202405-01"
    assert "retired" not in codes(older, announced)
    assert "retired" in codes(older, announced + DAY)


def test_any_is_judged_by_the_family_of_the_pool_alone():
    assert codes("*", FRESH, "4") == ["retired"]
    assert codes("*", date(2025, 2, 1), "4") == ["retired"]
    assert codes("*", date(2024, 7, 1), "4") == []
    assert codes("*", FRESH, "42") == codes("*", FRESH, "no number") == []
    assert codes(V112, FRESH, "4") == [], "a version names its family itself"


def test_nothing_is_newer_than_the_last_of_a_retired_family():
    assert codes("WA-GUEST-OS-4.140_202503-01", FRESH) == ["expired", "retired", "disabled", "unknown"]


def test_family_1_is_retired_though_the_table_lists_no_version_of_it():
    assert codes("WA-GUEST-OS-1.29_201406-01", FRESH) == ["expired", "retired", "disabled", "unknown"]


def test_an_announcement_without_an_end_of_life_is_said_as_it_is():
    version = GuestOsVersion.parse(V112)
    family = Family(5, "Windows Server 2016", announced=date(2026, 1, 31))
    known = catalogue.Catalogue((Release(version, family.windows_server, date(2026, 1, 14)),), (family,))
    (verdict,) = known.judge("*", FRESH, "5")
    assert verdict.text.endswith(
        "is being retired: Microsoft announced it in January 2026; plan to move the work to a pool of another family"
    )


def test_what_is_no_version_is_refused():
    with pytest.raises(VersionSyntaxError):
        GUEST_OS.judge("5.25_201811-01", FRESH)


versions = st.builds(
    GuestOsVersion,
    family=st.integers(1, 9) | st.integers(1, 999),
    minor=st.integers(0, 170) | st.integers(0, 99999),
    release=st.integers(0, 3) | st.integers(0, 99),
    month=st.builds("{:04d}{:02d}".format, st.integers(2008, 2030) | st.integers(0, 9999), st.integers(1, 12)),
)


@quick
@example(GuestOsVersion.parse(V112), date.min, None)
@example(GuestOsVersion.parse(V112), date.max, None)
@given(
    version=versions | st.sampled_from([each.version for each in GUEST_OS.releases]),
    as_of=st.dates(date(2012, 1, 1), date(2030, 1, 1)) | st.dates(),
    family=st.none() | st.text(max_size=3),
)
def test_every_version_can_be_judged_on_every_day(version: GuestOsVersion, as_of: date, family: str | None):
    order = ["expired", "retired", "disabled", "unknown", "behind", "newer"]
    verdicts = GUEST_OS.judge(str(version), as_of, family)
    found = [verdict.code for verdict in verdicts]
    assert found == sorted(set(found), key=order.index), "each once, the worst first"
    assert not {"unknown", "newer"} <= set(found)
    assert not {"behind", "newer"} <= set(found)
    assert "expired" not in found or {"retired", "disabled"} <= set(found)
    assert all(verdict.is_warning or verdict.code in {"newer", "behind"} for verdict in verdicts)
    assert all(verdict.text == verdict.text.strip() and verdict.text.isascii() for verdict in verdicts)
    assert set(GUEST_OS.judge("*", as_of, family)) <= {
        v for each in (2, 3, 4, 1) for v in GUEST_OS.judge("*", as_of, str(each))
    }
    later = {verdict.code for verdict in GUEST_OS.judge(str(version), date.max)}
    assert set(found) - {"newer"} <= later, "what is once said stays true"


def test_the_page_shows_what_its_program_prints(capsys: pytest.CaptureFixture[str]):
    page = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```$.*?^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    program, shown = found.groups()
    exec(compile(program, "docs/catalogue.md", "exec"), {})  # noqa: S102 - our own page
    assert shown.split() == capsys.readouterr().out.split()
    for code in get_args(catalogue.Code):
        assert f"| `{code}` |" in page
