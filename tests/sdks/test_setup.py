"""`scripts/sdks.py` where something is missing or old: a sentence says what to install. Official hosts come first."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import pulumi_cli, sdks


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is the whole PATH, with an empty user cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for module in (sdks, pulumi_cli):
        monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    return folder


def put(folder: Path, name: str, script: str) -> None:
    """A program in a folder."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("programs", "words"),
    [
        ({}, "node is not on PATH, or does not run; npm is not on PATH."),
        ({"node": "echo v18.20.4", "npm": "exit 0"}, "node is 18.20.4."),
        ({"node": "exit 127", "npm": "exit 0"}, "node is not on PATH, or does not run."),
        ({"node": "echo v22.11.0"}, "node is 22.11.0; npm is not on PATH."),
    ],
    ids=["none", "old", "broken", "without npm"],
)
def test_a_missing_node_is_named(path: Path, programs: dict[str, str], words: str) -> None:
    for name, script in programs.items():
        put(path, name, script)
    with pytest.raises(sdks.SetupError) as caught:
        sdks.node_packages()
    first, *rest = str(caught.value).splitlines()
    assert first == f"no TypeScript: Node.js 20 or newer with npm is needed, and {words}"
    assert "https://nodejs.org/en/download" in " ".join(rest)


def test_a_failed_npm_leaves_nothing_and_shows_its_words(path: Path) -> None:
    put(path, "node", "echo v20.1.0")
    put(path, "npm", "echo 'npm error code E404'; exit 1")
    with pytest.raises(sdks.SetupError, match=r"(?s)npm ci failed \(1\):.*npm error code E404"):
        sdks.node_packages()
    assert [each.name for each in sdks.CACHE.iterdir()] == ["lock"]


def test_packages_are_installed_once(path: Path, tmp_path: Path) -> None:
    put(path, "node", "echo v20.1.0")
    put(path, "npm", f'echo "$*" >>{tmp_path}/calls')
    first = sdks.node_packages()
    assert sdks.node_packages() == first
    assert (tmp_path / "calls").read_text() == "ci --ignore-scripts --no-audit --no-fund --no-update-notifier\n"
    assert {each.name for each in first.iterdir()} == {"package.json", "package-lock.json"}


def test_without_hosts_and_without_go_a_sentence_says_what_to_install(path: Path) -> None:
    assert not sdks.own_hosts(path)
    with pytest.raises(sdks.SetupError) as caught:
        sdks.generators()
    text = str(caught.value)
    assert text.startswith("no generator of SDKs: this Pulumi CLI comes without the hosts of all languages")
    assert "Go is not installed" in text
    assert "https://www.pulumi.com/docs/install/" in text


def test_the_hosts_of_an_official_cli_generate(path: Path, tmp_path: Path) -> None:
    for program in {*pulumi_cli.PROGRAMS, *sdks.HOSTS}:
        put(path, program, "exit 0")
    put(path, "pulumi", f'[ "$1" = version ] && echo v3.300.0 || echo "$*" >>{tmp_path}/calls')
    sdks.generate(tmp_path / "out")
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"package gen-sdk {sdks.SCHEMA} --language {language} --out {tmp_path / 'out'}" for language in sdks.LANGUAGES
    ]


def test_a_wrong_schema_is_an_error(tmp_path: Path) -> None:
    wrong = tmp_path / "schema.json"
    wrong.write_text(sdks.SCHEMA.read_text(encoding="utf-8").replace('"type": "string"', '"type": "text"', 1))
    with pytest.raises(sdks.SetupError, match="accountEndpoint"):
        sdks.generate(tmp_path / "out", wrong)
