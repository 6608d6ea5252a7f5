"""What doctor makes of the native provider, of the host for YAML, and of the config of stacks."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from batch_os_provider import __version__
from batch_os_provider.cli.doctor.check import Check
from batch_os_provider.cli.doctor.native_checks import judge_host, judge_plugin, native
from batch_os_provider.cli.doctor.native_plugin import COMMAND, HOST, Found, ask, find, yaml_host
from batch_os_provider.cli.doctor.plugin_process import PluginError

ON_PATH, INSTALLED = Found("/bin/x", on_path=True), Found("/plugins/x", on_path=False, version="1.2.0")


def broken(path: str) -> str:
    raise PluginError(f"{path} does not start: No module named 'batch_os_provider'")


def says(version: str) -> Check:
    return judge_plugin(ON_PATH, "1.2.0", needed=False, ask=lambda _: version)


@pytest.mark.parametrize(
    ("found", "answers", "status", "seen"),
    [
        (ON_PATH, "1.2.0", "ok", "1.2.0 on PATH; starts and answers"),
        (INSTALLED, "1.2.0", "ok", "1.2.0 installed; starts and answers"),
        (replace(ON_PATH, hidden="1.1.0"), "1.2.0", "ok", "it hides the installed 1.1.0"),
        (replace(ON_PATH, hidden="1.2.0"), "1.2.0", "ok", "starts and answers"),
        (ON_PATH, "1.1.0", "warn", "1.1.0 on PATH (/bin/x), and this package is 1.2.0"),
        (INSTALLED, "1.1.0", "warn", "1.1.0 installed (/plugins/x), and this package is 1.2.0"),
        (replace(INSTALLED, version="1.3.0"), "1.2.0", "warn", "installed as 1.3.0, and /plugins/x is 1.2.0"),
        (replace(INSTALLED, path=""), "", "ok", "1.2.0 installed, as a source plugin that only Pulumi can start"),
    ],
)
def test_what_pulumi_would_start(found: Found, answers: str, status: str, seen: str) -> None:
    check = judge_plugin(found, "1.2.0", needed=True, ask=lambda _: answers)
    assert check.status == status
    assert seen in check.seen
    assert bool(check.fix) == (status != "ok")


def test_what_a_python_program_does_not_need_is_no_failure() -> None:
    missing = [judge_plugin(None, "1.2.0", needed=needed, ask=broken) for needed in (False, True)]
    assert [each.status for each in missing] == ["skip", "fail"]
    assert all("pulumi plugin install resource batchos 1.2.0 --file" in each.fix for each in missing)
    places = {
        platform: judge_plugin(None, "1.2.0", needed=True, ask=broken, platform=platform).fix.partition("--file ")[2]
        for platform in ("linux", "win32")
    }
    assert places == {
        "linux": '"$(command -v pulumi-resource-batchos)"`',
        "win32": "(Get-Command pulumi-resource-batchos).Source`",
    }
    assert [judge_plugin(ON_PATH, "1.2.0", needed=each, ask=broken).status for each in (False, True)] == [
        "warn",
        "fail",
    ]
    assert [judge_host("", needed=each).status for each in (False, True)] == ["skip", "fail"]
    assert judge_host("on PATH", needed=True).status == "ok"


def executable(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (f"{name}.EXE" if sys.platform == "win32" else name)
    file.touch(0o755)
    return file


def test_pulumi_takes_the_one_on_path_and_else_the_newest_that_is_whole(tmp_path: Path) -> None:
    plugins = tmp_path / ".pulumi" / "plugins"
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    assert find(environ) is None
    executable(plugins / "resource-batchos-v0.9.0", COMMAND)
    newest = executable(plugins / "resource-batchos-v0.10.0", COMMAND)
    executable(plugins / "resource-batchos-v0.11.0", COMMAND)
    (plugins / "resource-batchos-v0.11.0.partial").touch()
    executable(plugins / "resource-other-v9.0.0", COMMAND)
    assert find(environ) == Found(str(newest), on_path=False, version="0.10.0")
    assert find({"PATH": "", "PULUMI_HOME": str(tmp_path / ".pulumi")}) == find(environ)
    newest.unlink()
    assert find(environ) == Found("", on_path=False, version="0.10.0"), "a source plugin"
    ambient = executable(tmp_path / "bin", COMMAND)
    assert find(environ) == Found(str(ambient), on_path=True, hidden="0.10.0")
    assert find({**environ, "PULUMI_IGNORE_AMBIENT_PLUGINS": "true"}) == Found("", on_path=False, version="0.10.0")


def test_the_host_comes_with_the_cli_or_from_path(tmp_path: Path) -> None:
    cli = executable(tmp_path / "pulumi", "pulumi")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / cli.name).symlink_to(cli)
    environ = {"PATH": str(tmp_path / "bin")}
    assert not yaml_host(environ)
    executable(tmp_path / "pulumi", HOST)
    assert yaml_host(environ) == "beside the Pulumi CLI"
    executable(tmp_path / "other", HOST)
    assert yaml_host({"PATH": str(tmp_path / "other")}) == "on PATH"


def test_the_real_provider_says_its_version() -> None:
    own = shutil.which(COMMAND, path=str(Path(sys.executable).parent))
    assert own is not None
    assert ask(own) == __version__


@pytest.mark.parametrize(
    ("config", "status", "seen"),
    [
        ("other:key: 1", [], ""),
        ("batchos:accountEndpoint: https://a.x.batch.azure.com", ["ok"], "stack dev: accountEndpoint"),
        ("batchos:accountEndpoint: ftp://a", ["fail"], "stack dev: batchos:accountEndpoint: "),
        ("batchos:accountEndpoint: {secure: AAA}", ["ok"], "accountEndpoint"),
        ("batchos:acountKey: x", ["fail"], "did you mean accountKey"),
        ("batchos:accountKey: {secure: AAA}", ["fail"], "it is set without accountEndpoint"),
        ("batchos:useOidc: 'perhaps'", ["fail"], "allowed: true or false"),
        ("batchos:previewLook: false", ["ok"], "previewLook"),
        (
            "batchos:clientSecret: plain\n  batchos:tenantId: t\n  batchos:clientId: c",
            ["warn"],
            "stack dev: batchos:clientSecret is not encrypted",
        ),
        ("[1, 2]", [], ""),
    ],
)
def test_the_config_of_a_stack(tmp_path: Path, config: str, status: list[str], seen: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: farm\nruntime: yaml\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(f"config:\n  {config}\n", encoding="utf-8")
    found = [each for each in native({"PATH": ""}, tmp_path) if each.name == "batchos config"]
    assert [each.status for each in found] == status
    assert all(seen in each.seen for each in found)
    assert all(bool(each.fix) == (each.status != "ok") for each in found)
    assert not any("plain" in each.seen + each.fix for each in found), "a secret is not printed"


def test_a_folder_without_a_program_and_one_with_a_broken_file(tmp_path: Path) -> None:
    assert [each.status for each in native({"PATH": ""}, tmp_path)] == ["skip", "skip"]
    (tmp_path / "Pulumi.yaml").write_text("name: farm\nruntime: {name: nodejs}\n", encoding="utf-8")
    assert [each.status for each in native({"PATH": ""}, tmp_path)] == ["fail", "skip"]
    (tmp_path / "Pulumi.yaml").write_text("name: [\n", encoding="utf-8")
    broken_file = native({"PATH": ""}, tmp_path)[-1]
    assert (broken_file.name, broken_file.status) == ("batchos config", "fail")
    assert "Pulumi.yaml, line 2: it is not YAML" in broken_file.seen
    assert broken_file.fix == "Correct the file"
