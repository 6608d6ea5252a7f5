"""Every resource, function, property and choice of the schema is in the SDK of each language, in its spelling."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from batch_os_provider import __version__
from tests.support.typescript import SCHEMA, Workspace

JAVA = "src/main/java/com/pulumi/batchos"


def same(name: str) -> str:
    """`poolId`, in TypeScript and Java."""
    return name


def upper(name: str) -> str:
    """`PoolId`, in Go and C#."""
    return name[0].upper() + name[1:]


def snake(name: str) -> str:
    """`pool_id`, in Python."""
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


@dataclass(frozen=True)
class Place:
    """Where an SDK has names: a file, a block in it, and the form of a line, with the name in a group.

    In the file and in the block, ``{lower}`` and ``{upper}`` are the name of the resource or function.
    """

    file: str
    block: str
    line: str


@dataclass(frozen=True)
class Language:
    """How an SDK spells a name, and where it has which."""

    spell: Callable[[str], str]
    inputs: Place
    outputs: Place
    arguments: Place
    results: Place
    types: Place
    choices: Place
    choice: Callable[[str], str] = upper


_ARGUMENT = r"@pulumi\.getter.*\n    def (\w+)\(self\) -> pulumi\.Input\["
LANGUAGES = {
    "nodejs": Language(
        same,
        Place("{lower}.ts", r"interface {upper}Args \{{", r"^    (\w+)\??: pulumi\.Input<"),
        Place("{lower}.ts", r"class {upper} ", r"^    declare public (?:/\*out\*/ )?readonly (\w+): pulumi\.Output<"),
        Place("{lower}.ts", r"interface {upper}Args \{{", r"^    (\w+)\??: "),
        Place("{lower}.ts", r"interface {upper}Result \{{", r"^    readonly (\w+)\??: "),
        Place("types/output.ts", r"interface {upper} \{{", r"^    (\w+)\??: "),
        Place("types/enums/index.ts", r"const {upper} = \{{", r'^    (\w+): "(\w+)",$'),
    ),
    "python": Language(
        snake,
        Place("pulumi_batchos/{snake}.py", r"class {upper}Args:", _ARGUMENT),
        Place("pulumi_batchos/{snake}.py", r"class {upper}\(", r"def (\w+)\(self\) -> pulumi\.Output\["),
        Place("pulumi_batchos/{snake}.py", r"def {snake}\(", r"__args__\['\w+'\] = (\w+)"),
        Place("pulumi_batchos/{snake}.py", r"class {upper}Result:", r"    def (\w+)\(self\) -> "),
        Place("pulumi_batchos/outputs.py", r"class {upper}\(", r"@pulumi\.getter.*\n    def (\w+)\(self\) -> "),
        Place("pulumi_batchos/_enums.py", r"class {upper}\(", r'^    (\w+) = "(\w+)"$'),
        lambda name: snake(name).upper(),
    ),
    "go": Language(
        upper,
        Place("batchos/{lower}.go", r"type {upper}Args struct \{{", r"^\t([A-Z]\w*) +\S+$"),
        Place("batchos/{lower}.go", r"type {upper} struct \{{", r'^\t([A-Z]\w*) +\S+Output +`pulumi:"\w+"`$'),
        Place("batchos/{lower}.go", r"type {upper}Args struct \{{", r'^\t([A-Z]\w*) +\S+ +`pulumi:"\w+"`$'),
        Place("batchos/{lower}.go", r"type {upper}Result struct \{{", r'^\t([A-Z]\w*) +\S+ +`pulumi:"\w+"`$'),
        Place("batchos/pulumiTypes.go", r"type {upper} struct \{{", r'^\t([A-Z]\w*) +\S+ +`pulumi:"\w+"`$'),
        Place("batchos/pulumiEnums.go", r"const \(\n(?=\t{upper}\w+ += {upper}\()", r'^\t(\w+) += \w+\("(\w+)"\)$'),
    ),
    "dotnet": Language(
        upper,
        Place("{upper}.cs", r"class {upper}Args ", r"public Input(?:Union|Map|List)?<[^;\n]*>\?? (\w+)\n? "),
        Place("{upper}.cs", r"class {upper} ", r"public Output<.*> (\w+) \{ get; private set; \}"),
        Place("{upper}.cs", r"class {upper}Args ", r"public string\?? (\w+) \{ get; set; \}"),
        Place("{upper}.cs", r"class {upper}Result\n", r"public readonly \S+ (\w+);"),
        Place("Outputs/{upper}.cs", r"class {upper}\n", r"public readonly \S+ (\w+);"),
        Place("Enums.cs", r"struct {upper} ", r'static \w+ (\w+) \{ get; \} = new \w+\("(\w+)"\);'),
    ),
    "java": Language(
        same,
        Place(f"{JAVA}/{{upper}}Args.java", r"class {upper}Args ", r"public (?:Optional<)?Output<.*> (\w+)\(\) \{"),
        Place(f"{JAVA}/{{upper}}.java", r"class {upper} ", r"public Output<.*> (\w+)\(\) \{"),
        Place(
            f"{JAVA}/inputs/{{upper}}PlainArgs.java", r"class \w+", r"^    public (?:Optional<)?String>? (\w+)\(\) \{"
        ),
        Place(
            f"{JAVA}/outputs/{{upper}}Result.java",
            r"class \w+",
            r"^    public (?:(?:Optional|List)<)?\w+>? (\w+)\(\) \{",
        ),
        Place(f"{JAVA}/outputs/{{upper}}.java", r"class \w+", r"^    public (?:Optional<)?\w+>? (\w+)\(\) \{"),
        Place(f"{JAVA}/enums/{{upper}}.java", r"enum {upper} ", r'^ +(\w+)\("(\w+)"\)[,;]$'),
    ),
}
EACH = pytest.mark.parametrize("language", LANGUAGES)


def names(sdks: Workspace, language: str, place: Place, token: str) -> list[Any]:
    """What the lines of a block have in their groups. A block ends where its indent does."""
    name = token.rpartition(":")[2]
    spelled = {"lower": name[0].lower() + name[1:], "upper": upper(name), "snake": snake(name)}
    text = (sdks.sdk(language) / place.file.format(**spelled)).read_text(encoding="utf-8")
    found = re.search(rf"^( *\t*)(?:\w+ )*{place.block.format(**spelled)}", text, re.MULTILINE)
    assert found, f"{language}: {place.file} has no {place.block} for {name}"
    rest = text[text.index("\n", found.end() - 1) :]
    closing = {"python": rf"^{found[1]}(?=\S)"}.get(language, rf"^{found[1]}[}})]")
    return re.findall(place.line, re.split(closing, rest, maxsplit=1, flags=re.MULTILINE)[0], re.MULTILINE)


def properties(schema: dict[str, Any], spell: Callable[[str], str]) -> list[str]:
    """The names of the schema as a language spells them."""
    return sorted(map(spell, schema))


@EACH
def test_every_input_and_output_of_a_resource_is_there(sdks: Workspace, language: str) -> None:
    each = LANGUAGES[language]
    for token, found in SCHEMA["resources"].items():
        inputs, outputs = (names(sdks, language, place, token) for place in (each.inputs, each.outputs))
        assert sorted(inputs) == properties(found["inputProperties"], each.spell)
        assert sorted(outputs) == properties(found["properties"], each.spell)


@EACH
def test_every_option_of_the_provider_is_there(sdks: Workspace, language: str) -> None:
    each = LANGUAGES[language]
    found = names(sdks, language, each.inputs, "provider")
    assert sorted(found) == properties(SCHEMA["provider"]["inputProperties"], each.spell)


@EACH
def test_every_argument_and_result_of_a_function_is_there(sdks: Workspace, language: str) -> None:
    each = LANGUAGES[language]
    for token, found in SCHEMA["functions"].items():
        arguments, results = (names(sdks, language, place, token) for place in (each.arguments, each.results))
        assert sorted(arguments) == properties(found["inputs"]["properties"], each.spell)
        assert sorted(results) == properties(found["outputs"]["properties"], each.spell)


@EACH
def test_every_property_of_a_type_is_there(sdks: Workspace, language: str) -> None:
    each = LANGUAGES[language]
    for token, found in SCHEMA["types"].items():
        if "properties" in found:
            assert sorted(names(sdks, language, each.types, token)) == properties(found["properties"], each.spell)


@EACH
def test_every_choice_is_there_with_its_value(sdks: Workspace, language: str) -> None:
    each = LANGUAGES[language]
    for token, found in SCHEMA["types"].items():
        if "enum" in found:
            prefix = token.rpartition(":")[2] if language == "go" else ""
            wanted = [(prefix + each.choice(choice["name"]), choice["value"]) for choice in found["enum"]]
            assert names(sdks, language, each.choices, token) == wanted


def test_the_generators_warn_of_nothing_but_secret_config(sdks: Workspace) -> None:
    """Java's generator has no secret config variable: a program reads such a value as a plain string there."""
    known = {
        f"WARN: secret property {name} (property of config) does not have an Output type"
        for name, each in SCHEMA["config"]["variables"].items()
        if each.get("secret")
    }
    assert {line for line in sdks.said.splitlines() if "warn" in line.lower()} <= known, sdks.said


@pytest.mark.parametrize(
    ("language", "file"),
    [
        ("nodejs", "package.json"),
        ("python", "pyproject.toml"),
        ("python", "pulumi_batchos/pulumi-plugin.json"),
        ("go", "batchos/pulumi-plugin.json"),
        ("dotnet", "version.txt"),
        ("dotnet", "pulumi-plugin.json"),
    ],
)
def test_an_sdk_has_the_version_of_its_provider(sdks: Workspace, language: str, file: str) -> None:
    text = (sdks.sdk(language) / file).read_text(encoding="utf-8")
    assert {*re.findall(r'(?:^|version"?(?: =|:) ")(\d+\.\d+\.\d+)', text)} == {__version__}
