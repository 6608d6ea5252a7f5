"""Texts in YAML: what Pulumi reads in a plain one, and texts that come back as they were written."""

from __future__ import annotations

import pytest
import yaml

from batch_os_provider.cli.adopt.yaml_values import Unknown, evaluate
from batch_os_provider.cli.yaml_scalars import literal, reads_as, written

ODD = (
    *("yes", "no", "on", "y", "true", "null", "~", "", "1.0", "1_000", "1e3", "0o14", "010", "0x1F", "0b1", ".5", "-1"),
    *(
        "2026-11-24",
        "12:30:45",
        "=",
        "*",
        "&a",
        "!t",
        "#x",
        "a #b",
        "a: b",
        "a:",
        "- a",
        "?",
        "|",
        "> x",
        "%",
        "@",
        "`",
    ),
    *("[a]", "{a}", "a, b", "it's", 'say "x"', "back\\slash", "two\nlines", "tab\t", " blank ", "Größe", "日本", "😀"),
    *(
        "\u2028",
        "\x00",
        "\u0085",
        "${x}",
        "$${x}",
        "$",
        "$$",
        "a$",
        "${",
        "x" * 2000,
        "a b " * 100,
        ".inf",
        ".NaN",
    ),
    *("WA-GUEST-OS-7.58_202511-01", "20348.2461.260810", "https://farm.westeurope.batch.azure.com", "render", "a-B_9"),
)


def unasked(_name: str, path: str) -> Unknown:
    return Unknown(path)


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    """By PyYAML, and as a value by what this package knows of Pulumi's reader; the CLI test asks Pulumi itself."""
    line = written(text)
    assert yaml.safe_load(line) == text
    assert yaml.safe_load(f"- {line}\n- {line}\n") == [text, text]
    assert evaluate(yaml.compose(literal(text)), unasked) == text


@pytest.mark.parametrize("key", [each for each in ODD if len(each) <= 64], ids=ascii)
def test_a_key_too(key: str) -> None:
    assert yaml.safe_load(f"{written(key)}: 1") == {key: 1}


@pytest.mark.parametrize("text", ["render", "WA-GUEST-OS-7.58_202511-01", "https://farm.westeurope.batch.azure.com"])
def test_what_needs_no_quotes_has_none(text: str) -> None:
    assert literal(text) == text


@pytest.mark.parametrize(
    ("plain", "kind"),
    [
        *((each, "") for each in ("yes", "No", "on", "y", "2026-11-24", "12:30", "1.2.3", "0x", "1e", "e3", "0o9")),
        *((each, "a number") for each in ("1", "-1", "+1", "1.10", "1e3", "0o14", "010", "0x1f", "1_000", ".5")),
        *((each, "a boolean") for each in ("true", "False", "TRUE")),
        *((each, "null") for each in ("", "~", "null", "NULL")),
    ],
)
def test_what_pulumi_reads_in_a_plain_scalar(plain: str, kind: str) -> None:
    assert reads_as(plain) == kind


@pytest.mark.parametrize(
    ("plain", "value"),
    [("7", 7), ("-7", -7), ("0x10", 16), ("0o14", 12), ("010", 8), ("0b11", 3), ("1.10", 1.1), ("1e3", 1000.0)],
)
def test_a_number_has_the_value_that_go_reads(plain: str, value: float) -> None:
    assert evaluate(yaml.compose(plain), unasked) == value
