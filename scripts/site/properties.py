"""Properties, types and tabs: the parts that the pages of resources, functions and the provider share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from scripts.site.text import indented, paragraphs, plain


def schema_type(each: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A type of the schema as people read it."""
    if "oneOf" in each:
        return " | ".join(schema_type(one, schema) for one in each["oneOf"])
    if "$ref" in each:
        found = schema["types"][each["$ref"].removeprefix("#/types/")]
        if "enum" in found:
            return " | ".join(json.dumps(value["value"]) for value in found["enum"])
        return str(each["$ref"].rpartition(":")[2])
    if each["type"] == "array":
        return f"list of {_element(each['items'], schema)}"
    if each["type"] == "object":
        return f"map of {_element(each['additionalProperties'], schema)}"
    return str(each["type"])


def _element(each: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    text = schema_type(each, schema)
    return f"({text})" if " | " in text else text


def property_(name: str, type_: str, text: str, *, required: bool = False, mark: str = "") -> str:
    """A property with its type, what a program must know at a glance, and its meaning."""
    marks = [
        *(['<span class="property-mark required">required</span>'] if required else []),
        *([f'<span class="property-mark">{mark}</span>'] if mark else []),
    ]
    head = " ".join([f"`{name}`{{ .property }}", f'<span class="property-type">{plain(type_)}</span>', *marks])
    whole = paragraphs(text)
    whole = re.sub(r"as for `(Pool\w+)`", _same_input, whole[:1].upper() + whole[1:], flags=re.IGNORECASE)
    return f"{head}\n:   {indented(whole).strip()}"


def _same_input(words: re.Match[str]) -> str:
    return f"[{words[0]}]({file_of(words[1])}#inputs)"


def file_of(resource: str) -> str:
    """The name of a resource's page in the folder of the reference."""
    return f"{re.sub('(?<!^)(?=[A-Z])', '-', resource).lower()}.md"


def fenced(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text}\n```"


def tabs(texts: Mapping[str, str]) -> str:
    """Texts by the titles of their tabs; tabs of the same title change together on all pages."""
    return "\n\n".join(f'=== "{title}"\n\n    {indented(text).strip()}' for title, text in texts.items())
