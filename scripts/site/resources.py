"""A reference page for each resource, in the form of the Pulumi registry: usage, inputs, outputs, import, errors.

Python programs read the docstrings, and all others the schema of the native provider. Both come from the same
specifications, so that a page cannot say anything else than an editor shows.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from batch_os_provider import errors
from batch_os_provider.plugin.resources import PACKAGE
from batch_os_provider.schema import fleet_plan
from batch_os_provider.schema.input_names import IMAGE, MAX_UNHEALTHY, OS, STALL_AFTER, Spec
from scripts.docstrings import attribute_texts, attributes_of, classes_of, constructor, sections
from scripts.plugin_examples import EXAMPLES
from scripts.plugin_schema import FILE, FLEET_SOURCE, SOURCE
from scripts.site.pages import groups
from scripts.site.properties import fenced, file_of, property_, schema_type, tabs
from scripts.site.text import paragraphs

REPLACES = "a change replaces"
PYTHON, OTHERS = "Python", "YAML and TypeScript"
ACCOUNT = "accountEndpoint"


@dataclass(frozen=True)
class Page:
    """A resource and the page of docs/ that explains it; ``spec`` is None for the fleet."""

    name: str
    guide: str
    spec: Spec | None

    @property
    def file(self) -> str:
        """Its name on the site."""
        return f"reference/{file_of(self.name)}"


PAGES = (
    Page("PoolImageVersion", "vm-pools.md", IMAGE),
    Page("PoolOsVersion", "cloud-services.md", OS),
    Page("PoolFleet", "fleets.md", None),
)


def reference(page: Page, troubleshooting: str) -> str:
    """The page of a resource. ``troubleshooting`` is the page whose headings are the messages that people see."""
    source = {**classes_of(SOURCE), **classes_of(FLEET_SOURCE)}[page.name]
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    resource = schema["resources"][f"{PACKAGE}:index:{page.name}"]
    summary, _ = sections(ast.get_docstring(source) or "")
    return "\n\n".join(
        [
            f"# {page.name}",
            paragraphs(summary),
            f"Guide: [{_title(page)}](../{page.guide}). Identity: [credentials](../credentials.md).",
            "## Usage",
            _usage(page.name),
            "## Inputs",
            tabs({PYTHON: _python_inputs(page, source), OTHERS: _other_inputs(resource, schema)}),
            "## Outputs",
            tabs({PYTHON: _python_outputs(page, source), OTHERS: _other_outputs(resource, schema)}),
            "## Import",
            _import(page),
            "## Errors",
            _errors(page, source, troubleshooting),
            "",
        ]
    )


def _title(page: Page) -> str:
    return next(label for rows in groups().values() for label, file in rows if file == page.guide)


def _usage(name: str) -> str:
    parts = []
    for title, in_yaml, in_typescript in EXAMPLES[name]:
        programs = {
            PYTHON: fenced("python", python_of(in_yaml)),
            "YAML": fenced("yaml", in_yaml.strip()),
            "TypeScript": fenced("typescript", in_typescript.strip()),
        }
        parts.append(f"### {title}\n\n{tabs(programs)}")
    return "\n\n".join(parts)


def python_of(program: str) -> str:
    """The same program in Python. Credentials and the account of a provider are not resources there."""
    document = yaml.safe_load(program)
    declared: dict[str, Any] = document["resources"]
    providers = {
        name: each["properties"] for name, each in declared.items() if each["type"].startswith("pulumi:providers:")
    }
    classes, lines = set(), []
    for name, each in declared.items():
        if name in providers:
            continue
        kind = each["type"].partition(":")[2]
        classes.add(kind)
        given = dict(each["properties"])
        provider = str(each.get("options", {}).get("provider", "")).strip("${}")
        if provider:
            given = {ACCOUNT: providers[provider][ACCOUNT], **given}
        arguments = "".join(f"    {_snake(key)}={literal(value)},\n" for key, value in given.items())
        lines.append(f'{name} = {kind}(\n    "{name}",\n{arguments})')
    outputs = [f'pulumi.export("{name}", {_expression(value)})' for name, value in document.get("outputs", {}).items()]
    imports = ["import pulumi"] if outputs else []
    imports.append(f"from batch_os_provider import {', '.join(sorted(classes))}")
    return "\n".join(imports) + "\n\n" + "\n".join([*lines, *outputs])


def _snake(name: str) -> str:
    return re.sub("(?=[A-Z])", "_", name).lower()


def literal(value: Any) -> str:
    """A value of YAML in Python, with the quotes of our programs. Raises TypeError for a date, which has no literal."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(name)}: {literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}; write it as a string")


def _expression(value: str) -> str:
    """A reference of YAML, such as ``${farm.pools["render"].currentOsVersion}``, in Python."""
    inner = value.removeprefix("${").removesuffix("}")
    return re.sub(r"(?<=\.)\w+", lambda word: _snake(word[0]), inner)


def _python_inputs(page: Page, source: ast.ClassDef) -> str:
    _, arguments = sections(ast.get_docstring(source) or "")
    given = {each.arg: each.annotation for each in constructor(source).args.kwonlyargs if each.arg != "opts"}
    required = page.spec.required if page.spec else (fleet_plan.NAMES[0],)
    replaces = page.spec.place if page.spec else ()
    return "\n\n".join(
        property_(
            name,
            _python_type(annotation),
            arguments[name],
            required=name in required,
            mark=REPLACES if name in replaces else "",
        )
        for name, annotation in given.items()
    )


def _python_type(annotation: Any) -> str:
    """A type as people read it: without ``Input[...]``, which every input may be."""
    text = ast.unparse(annotation).removesuffix(" | None")
    found = re.fullmatch(r"(?:Input|Output)\[(.*)\]", text)
    words = (found[1] if found else text).removesuffix(" | None").replace("'", '"')
    words = re.sub(r"\bWave\b", "str | int | Sequence[str]", words)
    return re.sub(r"Literal\[(.*?)\]", lambda choice: choice[1].replace(", ", " | "), words)


def _other_inputs(resource: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    return "\n\n".join(
        property_(
            name,
            schema_type(each, schema),
            each["description"],
            required=name in resource["requiredInputs"],
            mark=REPLACES if each.get("replaceOnChanges") else "",
        )
        for name, each in resource["inputProperties"].items()
    )


def _python_outputs(page: Page, source: ast.ClassDef) -> str:
    texts, types = attribute_texts(source), attributes_of(source)
    inputs = page.spec.names if page.spec else ()
    shown = {name: text for name, text in texts.items() if name not in inputs}
    rows = [property_(name, _python_type(types[name].annotation), text) for name, text in shown.items()]
    return "\n\n".join([*([_ALL_INPUTS] if page.spec else []), *rows])


def _other_outputs(resource: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    is_fleet = resource.get("isComponent", False)
    rows = [
        property_(name, schema_type(each, schema), each["description"])
        for name, each in resource["properties"].items()
        if is_fleet or name not in resource["inputProperties"]
    ]
    return "\n\n".join([*([] if is_fleet else [_ALL_INPUTS]), *rows])


_ALL_INPUTS = "All inputs are outputs too, as declared. The others are:"


def _import(page: Page) -> str:
    if page.spec is None:
        return (
            "A fleet has no id, so it cannot be imported. Its pools need no import: the first `pulumi up` adopts them. "
            "`aliases` takes over pools that another declaration of the program managed before."
        )
    url = "https://myaccount.westeurope.batch.azure.com/pools/render"
    python = (
        "A Python program needs no import: creating the resource adopts the pool. `get` reads a pool that another "
        "stack keeps:\n\n"
        + fenced("python", f'from batch_os_provider import {page.name}\n\nrender = {page.name}.get("render", "{url}")')
    )
    others = "The first `pulumi up` adopts the pool. `pulumi import` also prints the program:\n\n" + fenced(
        "sh", f"pulumi import {PACKAGE}:index:{page.name} render {url}"
    )
    return f"The id of the resource is the pool's URL.\n\n{tabs({PYTHON: python, OTHERS: others})}"


_NEEDS = {errors.StalledError: STALL_AFTER, errors.UnhealthyError: MAX_UNHEALTHY, errors.ApiRetiredError: OS.targets[0]}
"""The errors that only programs with this input can see."""
_HIDDEN = (errors.BatchOsError, errors.ServiceError, errors.ConflictError)
"""Bases, and an error after which the provider always reads again."""


def kinds(base: type[errors.BatchOsError] = errors.BatchOsError) -> list[type[errors.BatchOsError]]:
    """The classes of errors, in the order of the tree; what other modules derive from them is their own affair."""
    children = (child for child in base.__subclasses__() if child.__module__ == errors.__name__)
    return [base, *(each for child in children for each in kinds(child))]


def _errors(page: Page, source: ast.ClassDef, troubleshooting: str) -> str:
    after = (ast.get_docstring(source) or "").partition("\nArgs:\n")[2].partition("\nRaises:")[0]
    own = "\n".join(line for line in re.split(r"\n(?=\S)", after)[1:])
    names = page.spec.names if page.spec else fleet_plan.NAMES
    rows = [
        f"| `{each.__name__}` | {_first_paragraph(each)} |"
        for each in kinds()
        if each not in _HIDDEN and _NEEDS.get(each, names[0]) in names
    ]
    intro = paragraphs(own) if own.strip() else "Each pool has its own row and its own errors."
    table = "\n".join(["| Kind | When |", "|---|---|", *rows])
    messages = _messages(page, troubleshooting)
    return f"{intro} The kinds are:\n\n{table}\n\nWhat people see, and what to do about it:\n\n{messages}"


def _first_paragraph(documented: type) -> str:
    return paragraphs(inspect.getdoc(documented) or "").partition("\n\n")[0]


def _messages(page: Page, troubleshooting: str) -> str:
    """The headings of the page of messages, without the sections that name another resource."""
    lines = []
    others = [each.name for each in PAGES if each is not page and page.spec]
    for section in re.split(r"^## ", troubleshooting, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        found = re.findall(r"^### (.+)$", section, re.MULTILINE)
        if not found or (any(name in title for name in others) and page.name not in title):
            continue
        links = ", ".join(f"[{each}](../troubleshooting.md#{anchor(each)})" for each in found)
        lines.append(f"- **{title}:** {links}")
    return "\n".join(lines)


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
