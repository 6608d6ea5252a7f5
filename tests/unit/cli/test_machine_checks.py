"""What doctor makes of versions and paths, and how it says it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from batch_os_provider.cli.doctor import machine_checks, native_checks, native_plugin, plugin_check
from batch_os_provider.cli.doctor.check import Check
from batch_os_provider.cli.doctor.command import as_json, lines
from batch_os_provider.cli.doctor.machine_checks import judge_version
from batch_os_provider.cli.doctor.native_plugin import Found
from batch_os_provider.cli.doctor.plugin_process import PluginError
from batch_os_provider.engine.pulumi_process import not_shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("v3.259.9", "fail"),
        ("v3.260.0", "ok"),
        ("3.999.1-alpha.2", "ok"),
        ("4.0.0", "warn"),
        ("dev", "warn"),
        ("2", "fail"),
    ],
)
def test_versions(text: str, status: str) -> None:
    found = judge_version("Pulumi SDK", text, *machine_checks.SDK, fix="do this")
    assert found.status == status
    assert "tested with 3.260.0 to 3.272.0" in found.seen
    assert found.fix == ("" if status == "ok" else "do this")


@pytest.mark.parametrize(
    ("path", "status"),
    [("", "ok"), ("there.log", "ok"), ("new.log", "ok"), (".", "fail"), ("no/folder/x.log", "fail")],
)
def test_the_debug_log(tmp_path: Path, path: str, status: str) -> None:
    (tmp_path / "there.log").touch()
    found = machine_checks._log(str(tmp_path / path) if path else "")
    assert found.status == status
    assert bool(found.fix) == (status == "fail")
    assert not (tmp_path / "new.log").exists(), "a check leaves nothing behind"


def test_each_missing_seam_is_a_warning_that_says_what_is_lost() -> None:
    def two_missing() -> Mapping[str, str]:
        return {"cancel": "gone", "one of the future": "gone too"}

    found = machine_checks._seams(two_missing, {})
    assert [each.status for each in found] == ["warn", "warn"]
    assert "notices ^C only after" in found[0].seen


def test_what_no_version_brings_on_this_system_is_no_warning() -> None:
    why = not_shown("win32")
    lacks = {"terminal": why, "tail": why}
    (found,) = machine_checks._seams(lambda: lacks, {}, why)
    assert (found.status, found.fix) == ("ok", "")
    assert found.seen == (
        "8 of 10 to Pulumi are there. Windows does not show a process the command line above it: node counts come "
        "every 30 s, also on a terminal; the tail for programs ends each message of a preview, also where a person "
        "reads it"
    )
    both = machine_checks._seams(lambda: {**lacks, "urn": "gone"}, {}, why)
    assert [(each.status, each.seen.split(" (")[0]) for each in both] == [("warn", "'urn' is missing")]


TESTED_ONES = "Use the versions that were tested: Pulumi CLI 3.259.0 and SDK 3.272.0"


@pytest.mark.parametrize(
    ("environ", "fix"),
    [
        ({}, TESTED_ONES),
        ({"HTTP_PROXY": "http://proxy:3128"}, TESTED_ONES),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "127.0.0.1,localhost"}, TESTED_ONES),
        ({"http_proxy": "http://proxy:3128"}, "Set no_proxy=127.0.0.1,localhost: .* through http_proxy"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": ".corp"}, "Set no_proxy=127.0.0.1,.* through https_proxy"),
        ({"grpc_proxy": "http://proxy:3128", "no_grpc_proxy": "127.0.0.1"}, TESTED_ONES),
    ],
)
def test_a_provider_that_does_not_start_is_a_failure(environ: dict[str, str], fix: str) -> None:
    def broken() -> Mapping[str, str]:
        raise PluginError("No module named 'pulumi'")

    (found,) = machine_checks._seams(broken, environ)
    assert found.status == "fail"
    assert "No module named 'pulumi'" in found.seen
    assert re.fullmatch(fix, found.fix)


def test_an_sdk_that_cannot_be_imported_is_a_failure_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    # Before 3.224 the import failed in every thread but the main one. pip refuses such an SDK, but not with --no-deps.
    monkeypatch.setitem(sys.modules, "pulumi.runtime.proto", None)
    (found,) = machine_checks._seams(plugin_check.missing_seams, {})
    assert found.status == "fail"
    assert found.seen.startswith("no provider could be started: the Pulumi SDK cannot be imported: ")
    provider = Found("pulumi-resource-batchos", on_path=True)
    native = native_checks.judge_plugin(provider, "1.2.3", needed=True, ask=native_plugin.ask)
    assert (native.status, native.seen.partition(":")[0]) == ("fail", "the Pulumi SDK cannot be imported")


def test_a_package_that_is_not_installed_is_a_failure_with_its_versions() -> None:
    found = machine_checks._installed("Pulumi SDK", "no-such-package", (3, 260), (4,))
    assert (found.status, found.seen) == ("fail", "it is not installed")
    assert found.fix == "Run `pip install 'no-such-package>=3.260,<4'`"


CHECKS = [
    Check("machine", "Python", "ok", "3.11"),
    Check("https://a.x", "address", "fail", "a.x does not resolve", "Check the spelling"),
    Check("https://a.x", "TLS", "skip", "not tried without address"),
]


def test_a_line_each_with_the_fix() -> None:
    assert lines(CHECKS) == [
        "machine",
        "  ok    Python   3.11",
        "https://a.x",
        "  fail  address  a.x does not resolve",
        "                 Next: Check the spelling.",
        "  skip  TLS      not tried without address",
    ]


def test_the_document() -> None:
    document = as_json(CHECKS)
    assert document["version"] == 1
    assert document["ok"] is False
    assert document["checks"][1] == {
        "about": "https://a.x",
        "check": "address",
        "status": "fail",
        "seen": "a.x does not resolve",
        "fix": "Check the spelling",
    }
    assert as_json([CHECKS[0]])["ok"] is True


def test_doctors_lines_are_whole_in_a_log_and_folded_between_words_on_a_terminal() -> None:
    found = [
        Check("machine", "Pulumi CLI", "fail", "`pulumi` is not on PATH", "Install the Pulumi CLI 3.251 or newer"),
        Check("https://farm.westeurope.batch.azure.com", "address", "ok", "fine"),
    ]
    assert lines(found) == [
        "machine",
        "  fail  Pulumi CLI  `pulumi` is not on PATH",
        "                    Next: Install the Pulumi CLI 3.251 or newer.",
        "https://farm.westeurope.batch.azure.com",
        "  ok    address     fine",
    ]
    narrow = lines(found, 30)
    assert [line for line in narrow if len(line) > 30] == ["https://farm.westeurope.batch.azure.com"]
    assert " ".join(" ".join(narrow).split()) == " ".join(" ".join(lines(found)).split())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", []),
        ("always", [("ok", "always")]),
        (" Never", [("ok", " Never")]),
        ("yes", [("warn", "'yes' is ignored")]),
    ],
)
def test_a_value_that_asks_for_no_tail_is_told(asked: str, expected: list[tuple[str, str]]) -> None:
    assert [(each.status, each.seen) for each in machine_checks._tail(asked)] == expected
