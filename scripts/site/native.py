"""The page of the native provider: its configuration, its functions and the types that they return."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from batch_os_provider.plugin.resources import PACKAGE
from scripts.plugin_schema import FILE
from scripts.site.properties import property_, schema_type

NAME = "The provider batchos"


def page() -> str:
    """The page."""
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    provider = schema["provider"]
    parts = [
        f"# {NAME}",
        schema["description"] + " Guide: [YAML and other languages](../other-languages.md).",
        "## Configuration",
        provider["description"],
        _properties(provider["inputProperties"], (), schema),
        "## Functions",
    ]
    for token, function in schema["functions"].items():
        inputs, outputs = function["inputs"], function["outputs"]
        parts += [
            f"### {token.replace(':index:', ':')}",
            function["description"],
            "**Inputs**",
            _properties(inputs["properties"], inputs.get("required", ()), schema),
            "**Outputs**",
            _properties(outputs["properties"], (), schema),
        ]
    parts.append("## Types")
    for token, each in schema["types"].items():
        if each["type"] == "object":
            name = token.removeprefix(f"{PACKAGE}:index:")
            parts += [f"### {name}", each["description"], _properties(each["properties"], (), schema)]
    return "\n\n".join([*parts, ""])


def _properties(properties: Mapping[str, Any], required: Any, schema: Mapping[str, Any]) -> str:
    return "\n\n".join(
        property_(
            name,
            schema_type(each, schema),
            each["description"],
            required=name in required,
            mark="secret" if each.get("secret") else "",
        )
        for name, each in properties.items()
    )
