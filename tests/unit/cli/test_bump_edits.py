"""Which version texts of a program and its config are replaced, byte for byte."""

from __future__ import annotations

import pytest

from batch_os_provider.cli.bump.edits import config_places, literals, replaced, yaml_literals

OLD, NEW = "22.04.202405140", "22.04.2026082801"
HEAD = (
    "from batch_os_provider import PoolImageVersion, PoolFleet as Fleet, PoolOsVersion\nimport batch_os_provider as b\n"
)


def bumped(text: str) -> str:
    source = text.encode()
    return replaced(source, {each: NEW for each in literals(source) if each.text == OLD}).decode()


CHANGED = {
    "double quotes": 'PoolImageVersion("a", target_image_version="OLD")',
    "single quotes, blanks": "PoolImageVersion('a', target_image_version =  'OLD' )",
    "raw": 'PoolImageVersion("a", target_image_version=r"OLD")',
    "triple": 'PoolImageVersion("a", target_image_version="""OLD""")',
    "in parentheses": 'PoolImageVersion("a", target_image_version=(\n    "OLD"  # chosen in May\n))',
    "alias of a fleet": 'Fleet("a", pools=["x"], target_image_version="OLD")',
    "through the module": 'b.PoolImageVersion("a", target_image_version="OLD")',
    "letters beyond ASCII before it": 'PoolImageVersion("Größe \N{SNOWMAN}", target_image_version="OLD")  # ü',
    "two on a line": 'PoolOsVersion("a", target_os_version="OLD"); PoolOsVersion("b", target_os_version="OLD")',
    "a day": 'PoolImageVersion("a", nodes_since="OLD")',
    "tabs": 'for x in "ab":\n\tPoolImageVersion(x,\n\t\ttarget_image_version="OLD",\t# tab\n\t)',
    "a line separator in a comment": '# one\x0ctwo \u2028 three\nPoolImageVersion("a", target_image_version="OLD")',
}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", CHANGED)
def test_a_literal_of_our_resources_changes_and_nothing_else(name: str, ending: str) -> None:
    text = (HEAD + "# OLD stays in a comment\n" + CHANGED[name] + "\n").replace("\n", ending)
    head, mark, tail = text.partition("stays")
    assert bumped(head.replace("OLD", OLD) + mark + tail.replace("OLD", OLD)) == (
        head.replace("OLD", OLD) + mark + tail.replace("OLD", NEW)
    )


KEPT = {
    "f-string": 'PoolImageVersion("a", target_image_version=f"{1}OLD")',
    "f-string without a field": 'PoolImageVersion("a", target_image_version=f"OLD")',
    "name": 'VERSION = "OLD"\nPoolImageVersion("a", target_image_version=VERSION)',
    "joined": 'PoolImageVersion("a", target_image_version="22.04." "202405140")',
    "escape": r'PoolImageVersion("a", target_image_version="\x3222.04.202405140"[1:])',
    "choice": 'PoolImageVersion("a", target_image_version="OLD" if x else "1.2.3")',
    "other argument": 'PoolImageVersion("OLD", pool_id="OLD")',
    "another's class": 'import other\nother.PoolImageVersion("a", target_image_version="OLD")',
    "a class of this file": 'class Mine:\n    pass\nMine("a", target_image_version="OLD")',
    "dictionary": 'PoolImageVersion("a", **{"target_image_version": "OLD"})',
    "not Python": 'PoolImageVersion("a", target_image_version="OLD"',
}


@pytest.mark.parametrize("name", KEPT)
def test_anything_else_stays(name: str) -> None:
    text = (HEAD + KEPT[name] + "\n").replace("OLD", OLD)
    assert bumped(text) == text


def test_a_byte_order_mark_and_another_encoding() -> None:
    with_mark = "\ufeff" + 'from batch_os_provider import PoolOsVersion; PoolOsVersion("a", target_os_version="' + OLD
    assert bumped(with_mark + '")\n') == with_mark.replace(OLD, NEW) + '")\n'
    latin = f'# -*- coding: latin-1 -*-\n# \xe9\n{HEAD}PoolOsVersion("a", target_os_version="{OLD}")\n'
    assert literals(latin.encode("latin-1")) == []


def config(text: str, new: str = NEW) -> str:
    source = text.encode()
    return replaced(source, {each: new for each in config_places(source) if each.text == OLD}).decode()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_a_config_value_changes_and_nothing_else(quote: str, ending: str) -> None:
    text = (
        f"# Größe {OLD}\nencryptionsalt: v1:{OLD}\nconfig:\n  farm:zebra: 'x'  # {OLD}\n"
        f"  farm:version:   {quote}OLD{quote}   # since May\n  farm:a:\n    secure: {OLD}\n  farm:list:\n  - {OLD}\n"
    ).replace("\n", ending)
    assert config(text.replace("OLD", OLD)) == text.replace("OLD", NEW)
    (place,) = [each for each in config_places(text.replace("OLD", OLD).encode()) if each.text == OLD]
    assert (place.key, place.line) == ("farm:version", 5)


def test_a_version_that_yaml_would_read_as_a_number_gets_quotes() -> None:
    assert config(f"config:\n  farm:v: {OLD}\n", "1.10") == 'config:\n  farm:v: "1.10"\n'


@pytest.mark.parametrize(("quote", "after"), [("", '"'), ('"', '"'), ("'", "'")])
def test_a_day_in_config_keeps_or_gets_quotes(quote: str, after: str) -> None:
    text = "config:\n  farm:since: {0}{1}{0}  # renewed in May\n"
    source = text.format(quote, "2026-05-01").encode()
    (place,) = config_places(source)
    assert replaced(source, {place: "2026-11-28"}).decode() == text.format(after, "2026-11-28")


@pytest.mark.parametrize(
    "text",
    [
        f"config:\n  farm:a: &v {OLD}\n  farm:b: *v\n",
        f"\ufeffconfig:\n  farm:a: {OLD}\n",
        f"config:\n  farm:a: >\n    {OLD}\n",
        f"config:\n  - {OLD}\n",
        f"config: {{farm:a: [{OLD}\n",
        "",
    ],
)
def test_an_alias_a_block_and_what_is_not_config_stay(text: str) -> None:
    assert config(text) == text


YAML = """# OLD in a comment
name: farm
config: {v: {default: OLD}}
variables: {v: OLD}
resources:
  a:  # Größe
    type: batchos:PoolImageVersion
    properties:
      poolId: OLD
      targetImageVersion:   NEXT   # since May
  other: {type: "azure-native:batch:Pool", properties: {targetImageVersion: OLD}}
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("value", ["OLD", "'OLD'", '"OLD"'])
@pytest.mark.parametrize("name", ["targetImageVersion", "targetOsVersion", "nodesSince"])
@pytest.mark.parametrize("kind", ["PoolImageVersion", "index:PoolImageVersion", "PoolFleet"])
def test_a_literal_of_a_yaml_program_changes_and_nothing_else(kind: str, name: str, value: str, ending: str) -> None:
    text = YAML.replace("PoolImageVersion", kind, 1).replace("targetImageVersion", name, 1).replace("\n", ending)
    source = text.replace("NEXT", value).replace("OLD", OLD).encode()
    wanted = text.replace("NEXT", value.replace("OLD", NEW)).replace("OLD", OLD).encode()
    assert replaced(source, dict.fromkeys(yaml_literals(source), NEW)) == wanted


@pytest.mark.parametrize(
    "value", ["${v}", "'20348.${v}'", '"22.04\\x2e1"', "1.10", "{a: b}", "[OLD]", "|\n        OLD"]
)
def test_what_is_no_literal_of_a_yaml_program_stays(value: str) -> None:
    assert yaml_literals(YAML.replace("NEXT", value).encode()) == [] or "$" in value
    assert all(each.text != OLD for each in yaml_literals(YAML.replace("NEXT", value).encode()))


def test_a_yaml_program_that_cannot_be_edited_in_place_has_no_literals() -> None:
    program = YAML.replace("NEXT", OLD)
    assert len(yaml_literals(program.encode())) == 1
    for raw in (program.encode("utf-16"), program.encode("utf-8-sig"), b"a: [", b"", b"a: &x 1\nb: *x\n"):
        assert yaml_literals(raw) == []


@pytest.mark.parametrize(("old", "new"), [("1.2.3", "1.10"), ("2026-05-01", "2026-11-28"), ("1.2.3", "1.2.4")])
def test_a_new_text_that_yaml_would_take_for_something_else_gets_quotes(old: str, new: str) -> None:
    source = YAML.replace("NEXT", old).encode()
    (place,) = yaml_literals(source)
    (after,) = yaml_literals(replaced(source, {place: new}))
    assert after.text == new
    assert after.is_plain == (new == "1.2.4")
