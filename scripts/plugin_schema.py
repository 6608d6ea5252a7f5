#!/usr/bin/env python3
"""Write the schema of the native provider: batch_os_provider/plugin/schema.json.

usage: .venv/bin/python scripts/plugin_schema.py

Every SDK and every editor takes names, types and descriptions from the schema. It comes from the specifications in
``schema/`` and from the docstrings and annotations of the Python classes, so that both doors document the same thing.
A test fails when the file is out of date.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from batch_os_provider.plugin import config, fleet  # noqa: E402 - found from the line above
from batch_os_provider.plugin.functions import FUNCTIONS, NODES, POOL, URL, Function  # noqa: E402
from batch_os_provider.plugin.resources import PACKAGE, RESOURCES, Resource  # noqa: E402
from batch_os_provider.schema import fleet_plan, inputs, resource_types  # noqa: E402
from batch_os_provider.schema.input_names import CHOICES  # noqa: E402
from batch_os_provider.schema.spelling import camel, spell  # noqa: E402
from scripts import project  # noqa: E402
from scripts.docstrings import attribute_texts, attributes_of, classes_of, constructor, sections  # noqa: E402
from scripts.plugin_examples import EXAMPLES  # noqa: E402

FILE = ROOT / "batch_os_provider" / "plugin" / "schema.json"
SOURCE = ROOT / "batch_os_provider" / "resource.py"
FLEET_SOURCE = ROOT / "batch_os_provider" / "fleet.py"
OTHER_WORDS = (
    ("a number of seconds, or a ``timedelta``;", "or a number of seconds;"),
    (". None if ", ". Not set if "),
    ("; None if ", "; not set if "),
    ("; None for ", "; not set for "),
    (". None before ", ". Not set before "),
    (". Else None.", ". Else not set."),
    ("With ``get``:", "After an import or a ``get``:"),
    (
        "; ``retain_on_delete`` is on by default, so the preview shows that",
        "; with the option ``retainOnDelete: true`` the preview shows that",
    ),
    (
        "Credentials come from the environment, never from inputs:",
        "Credentials come from the provider's configuration, or else from the environment:",
    ),
    ("after a refresh the observed one", "after a refresh or a deferred upgrade the observed one"),
    (
        "must be plain values, since they decide which resources the program registers. All other arguments",
        "must be known in a preview and not be secret, since they decide which resources exist. All other inputs",
    ),
    (", a URN, or a ``pulumi.Alias``.", " or a URN."),
    ("``{resource_name}-", "``{name of the fleet}-"),
)
"""What the docstrings say to Python programs, and the same for every language."""
OWN_VERSION = {"respectSchemaVersion": True}  # so an SDK has the version of its provider, and asks for no other
LANGUAGES: dict[str, Any] = {
    "csharp": OWN_VERSION,
    "go": OWN_VERSION,
    "nodejs": {"packageName": f"@{PACKAGE}/{PACKAGE}", **OWN_VERSION},
    "python": {"pyproject": {"enabled": True}, **OWN_VERSION},
}
"""What the generators of SDKs cannot know from the schema."""
POOL_TYPE = f"{PACKAGE}:index:Pool"
FLEET_POOL_TYPE = f"{PACKAGE}:index:FleetPool"
LIST: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
FLEET_TYPES: dict[str, dict[str, Any]] = {
    "pools": LIST,
    "canary": {"oneOf": [{"type": "string"}, LIST]},
    "waves": {"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "integer"}, LIST]}},
    "aliases": {"type": "object", "additionalProperties": {"type": "string"}},
}
"""The inputs of a fleet that take a list or a mapping; an annotation of Python does not say what is in it."""
ALIASES = {"PoolOsVersion": resource_types.OS_TYPE, "PoolImageVersion": resource_types.IMAGE_TYPE}
TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def schema() -> dict[str, Any]:
    """The whole schema."""
    classes = {**classes_of(SOURCE), **classes_of(FLEET_SOURCE)}
    options = {name: _option(name, text) for name, text in config.OPTIONS.items()}
    return {
        "name": PACKAGE,
        "displayName": "Azure Batch OS versions",
        "version": project.version(),
        "description": "Keeps the OS version of Azure Batch pools declared.",
        "keywords": ["azure", "batch", "guest-os", "category/infrastructure", "kind/native"],
        "license": "Apache-2.0",
        "publisher": "The batch_os_provider authors",
        "meta": {"moduleFormat": "(.*)"},
        "config": {"variables": options},
        "provider": {
            "description": "One Batch account and the credentials for it. What is not set comes from the environment: "
            "see the option.",
            "inputProperties": options,
        },
        "types": {
            **{f"{PACKAGE}:index:{_title(name)}": _enum(allowed) for name, allowed in CHOICES.items()},
            POOL_TYPE: {"type": "object", "description": "A pool as `listPools` shows it.", **_pool()},
            FLEET_POOL_TYPE: {
                "type": "object",
                "description": "A pool of a fleet: its URL and the outputs of its resource.",
                **_fleet_pool(classes),
            },
        },
        "functions": {token: _function(each, classes["PoolOsVersion"]) for token, each in FUNCTIONS.items()},
        "resources": {
            **{token: _resource(each, classes[each.name]) for token, each in RESOURCES.items()},
            fleet.TOKEN: _fleet(classes[fleet.NAME]),
        },
        **_address(project.address()),
    }


def _fleet(source: ast.ClassDef) -> dict[str, Any]:
    """The component. Its inputs are those of its pools, but for the few that arrange them."""
    summary, arguments = sections(ast.get_docstring(source) or "")
    types = {each.arg: each.annotation for each in constructor(source).args.kwonlyargs}
    given = {name: _fleet_input(name, types[name], arguments[name]) for name in fleet_plan.NAMES}
    shown = {
        fleet.WAVES: {
            "type": "array",
            "items": LIST,
            "description": _words(attribute_texts(source)["waves"].partition(". An")[0] + "."),
        },
        fleet.POOLS: {
            "type": "object",
            "additionalProperties": {"$ref": f"#/types/{FLEET_POOL_TYPE}"},
            "description": "What each pool shows. A key is a pool as the program spells it.",
        },
    }
    names = arguments["resource_name"].partition(". ")[2]
    return {
        "description": f"{_words(summary)}\n\n{_words(names)}\n\n{_examples(fleet.NAME)}",
        "isComponent": True,
        "inputProperties": {camel(name): each for name, each in given.items()},
        "requiredInputs": [fleet.POOLS],
        "properties": shown,
        "required": list(shown),
        "aliases": [{"type": resource_types.FLEET_TYPE}],
    }


def _fleet_input(name: str, annotation: Any, text: str) -> dict[str, Any]:
    words = _words(text)
    if name == inputs.ACCOUNT_ENDPOINT:
        words = f"{words.removesuffix('.')}. Default: `accountEndpoint` of the provider."
    type_ = FLEET_TYPES[name] if name in FLEET_TYPES else _input_type(name, annotation)
    return {**type_, "description": words}


def _fleet_pool(classes: dict[str, ast.ClassDef]) -> dict[str, Any]:
    """The outputs of both kinds of pools, and the URL."""
    properties: dict[str, Any] = {fleet.URL: {"type": "string", "description": POOL[URL][1]}}
    for resource in RESOURCES.values():
        outputs, annotated = attribute_texts(classes[resource.name]), attributes_of(classes[resource.name])
        for name in resource.shown:
            shown = {**_type(annotated[name].annotation), "description": _words(outputs[name])}
            properties.setdefault(camel(name), shown)
    return {"properties": properties, "required": [fleet.URL]}


def _address(address: str) -> dict[str, Any]:
    """What each language gets, and what follows from the project's address as soon as it has one."""
    if not address:
        return {"language": LANGUAGES}
    language = {
        **LANGUAGES,
        "go": {**OWN_VERSION, "importBasePath": f"{address.removeprefix('https://')}/sdk/go/{PACKAGE}"},
        "java": {"buildFiles": "gradle"},  # which Java's generator only writes with a repository
    }
    return {"homepage": address, "repository": address, "language": language}


def _pool() -> dict[str, Any]:
    """The properties of a pool that a function shows."""
    properties = {name: {"type": type_, "description": text} for name, (type_, text) in POOL.items()}
    return {"properties": properties, "required": ["poolId", URL, "poolState", NODES]}


def _function(function: Function, documented: ast.ClassDef) -> dict[str, Any]:
    arguments = sections(ast.get_docstring(documented) or "")[1]
    texts = {inputs.ACCOUNT_ENDPOINT: "The Batch account's URL. Default: `accountEndpoint` of the provider."}
    texts |= {name: _words(arguments[name].partition(". A change")[0] + ".") for name in function.required}
    pools = {"type": "array", "items": {"$ref": f"#/types/{POOL_TYPE}"}, "description": "The pools, by their ids."}
    result = {"properties": {"pools": pools}, "required": ["pools"]} if function.name == "listPools" else _pool()
    return {
        "description": function.description,
        "inputs": {
            "type": "object",
            "properties": {camel(name): {"type": "string", "description": text} for name, text in texts.items()},
            **({"required": [camel(name) for name in function.required]} if function.required else {}),
        },
        "outputs": {"type": "object", **result},
    }


def _option(name: str, text: str) -> dict[str, Any]:
    option: dict[str, Any] = {"type": "boolean" if name in config.SWITCHES else "string", "description": text}
    return option | {"secret": True} if name in config.SECRETS else option


def _title(name: str) -> str:
    return camel(f"_{name}")


def _enum(allowed: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": [{"name": camel(f"_{value}"), "value": value} for value in allowed]}


def _resource(resource: Resource, source: ast.ClassDef) -> dict[str, Any]:
    text = ast.get_docstring(source) or ""
    summary, arguments = sections(text)
    outputs, annotated = attribute_texts(source), attributes_of(source)
    types = {each.arg: each.annotation for each in constructor(source).args.kwonlyargs}
    given = {name: _input(name, types[name], arguments[name]) for name in resource.spec.names}
    shown = {
        name: {**_of_input(given[name]), "description": _words(outputs[name])}
        if name in given
        else {**_type(annotated[name].annotation), "description": _words(outputs[name])}
        for name in (*resource.spec.names, *resource.shown)
    }
    required = [name for name in resource.spec.required if name != inputs.ACCOUNT_ENDPOINT]
    return {
        "description": f"{_words(summary)}\n\n{_examples(resource.name)}",
        "inputProperties": {camel(name): each for name, each in given.items()},
        "requiredInputs": [camel(name) for name in required],
        "properties": {camel(name): each for name, each in shown.items()},
        "required": [camel(name) for name in resource.spec.required],
        "aliases": [{"type": ALIASES[resource.name]}],
    }


def _input(name: str, annotation: Any, text: str) -> dict[str, Any]:
    words = _words(text)
    if name == inputs.ACCOUNT_ENDPOINT:
        words += " Default: `accountEndpoint` of the provider."
    made = {**_input_type(name, annotation), "description": words}
    return made | {"replaceOnChanges": True} if name in (inputs.ACCOUNT_ENDPOINT, inputs.POOL_ID_NAME) else made


def _of_input(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key in ("type", "oneOf", "$ref", "replaceOnChanges")}


def _input_type(name: str, annotation: Any) -> dict[str, Any]:
    return {"$ref": f"#/types/{PACKAGE}:index:{_title(name)}"} if name in CHOICES else _type(annotation)


def _type(annotation: Any) -> dict[str, Any]:
    """The type of an annotation such as ``Input[str | int] | None``."""
    found = [TYPES[word] for word in re.findall(r"\w+", ast.unparse(annotation)) if word in TYPES]
    if "number" in found:
        found = [each for each in found if each != "integer"]  # a number may be whole
    return (
        {"type": found[0]} if len(found) == 1 else {"oneOf": [{"type": each} for each in sorted(found, reverse=True)]}
    )


def _words(text: str) -> str:
    text = "\n\n".join(" ".join(each.split()) for each in text.strip().split("\n\n"))
    for python, any_language in OTHER_WORDS:
        text = text.replace(python, any_language)
    whole = spell(text).replace("``", "`")
    return whole[:1].upper() + whole[1:]


def _examples(name: str) -> str:
    shown = [
        f"{{{{% example %}}}}\n### {title}\n\n```yaml\n{yaml.strip()}\n```\n```typescript\n{typescript.strip()}\n```\n"
        "{{% /example %}}"
        for title, yaml, typescript in EXAMPLES[name]
    ]
    return "{{% examples %}}\n## Example Usage\n" + "\n".join(shown) + "\n{{% /examples %}}"


def text() -> str:
    """The file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
