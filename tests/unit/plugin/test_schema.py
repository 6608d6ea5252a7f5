"""The schema of the native provider: fresh, complete, and with examples that work."""

from __future__ import annotations

import json
import re
from inspect import signature
from typing import Any

import pytest
import yaml

from batch_os_provider import PoolFleet, __version__
from batch_os_provider.plugin import config, fleet, server
from batch_os_provider.plugin.bags import Bag
from batch_os_provider.plugin.functions import FUNCTIONS
from batch_os_provider.plugin.resources import RESOURCES, Resource
from batch_os_provider.schema import fleet_plan, resource_types
from batch_os_provider.schema.input_names import CHOICES
from batch_os_provider.schema.spelling import camel, in_core
from scripts import plugin_schema
from scripts.plugin_examples import EXAMPLES

SCHEMA: dict[str, Any] = json.loads(server.schema())
RESOURCE = pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda each: each.name)


def test_the_schema_is_that_of_the_specifications_and_docstrings() -> None:
    assert server.schema() == plugin_schema.text(), "run .venv/bin/python scripts/plugin_schema.py"


@RESOURCE
def test_every_input_and_output_is_described(resource: Resource) -> None:
    found = SCHEMA["resources"][resource.token]
    assert list(found["inputProperties"]) == [camel(name) for name in resource.spec.names]
    assert list(found["properties"]) == [camel(name) for name in (*resource.spec.names, *resource.shown)]
    for each in (*found["inputProperties"].values(), *found["properties"].values()):
        assert each["description"].endswith((".", ")")), each
        assert each["description"][0].isupper() or each["description"][0] == "`", each


@RESOURCE
def test_descriptions_have_no_word_of_python(resource: Resource) -> None:
    text = json.dumps(SCHEMA["resources"][resource.token], ensure_ascii=False)
    for word in ("timedelta", "None", "retain_on_delete", "Output[", 'strategy="'):
        assert word not in text
    assert not re.search("(?<!`)``(?!`)", text)
    spelled = [name for name in (*resource.spec.names, *resource.shown) if "_" in name]
    assert not [name for name in spelled if f"{name} " in text or f"`{name}`" in text]


@RESOURCE
def test_every_default_is_in_the_description_and_not_in_the_inputs(resource: Resource) -> None:
    found = SCHEMA["resources"][resource.token]["inputProperties"]
    for name, default in resource.spec.defaults.items():
        each = found[camel(name)]
        assert "default" not in each, "an SDK would write it into the state"
        assert default is None or f"`{default}`" in each["description"] or f"Default {default}" in each["description"]


@RESOURCE
def test_another_pool_is_another_resource_and_states_of_the_dynamic_provider_move(resource: Resource) -> None:
    found = SCHEMA["resources"][resource.token]
    place = [name for name, each in found["inputProperties"].items() if each.get("replaceOnChanges")]
    assert place == ["accountEndpoint", "poolId"]
    kind = {"PoolOsVersion": resource_types.OS_TYPE, "PoolImageVersion": resource_types.IMAGE_TYPE}[resource.name]
    assert found["aliases"] == [{"type": kind}]


def test_the_fleet_is_a_component_with_the_inputs_of_python_programs() -> None:
    found = SCHEMA["resources"][fleet.TOKEN]
    python = [
        name for name in signature(PoolFleet.__init__).parameters if name not in {"self", "resource_name", "opts"}
    ]
    assert sorted(found["inputProperties"]) == sorted(map(camel, python))
    assert sorted(python) == sorted(fleet_plan.NAMES)
    assert (found["isComponent"], found["requiredInputs"]) == (True, ["pools"])
    assert found["aliases"] == [{"type": resource_types.FLEET_TYPE}]
    shown = SCHEMA["types"]["batchos:index:FleetPool"]["properties"]
    assert set(shown) == {"url", *(camel(name) for each in RESOURCES.values() for name in each.shown)}
    for each in (*found["inputProperties"].values(), *found["properties"].values(), *shown.values()):
        assert each["description"].endswith((".", ")")), each
        assert each["description"][0].isupper() or each["description"][0] == "`", each
    text = json.dumps(found, ensure_ascii=False)
    assert not [word for word in ("timedelta", "None", "pulumi.Alias", "resource_name", "argument") if word in text]
    assert not [name for name in python if "_" in name and name in text]


def test_the_fleet_has_two_examples_in_two_languages_and_their_inputs_are_right() -> None:
    for title, program, typescript in EXAMPLES[fleet.NAME]:
        assert title in SCHEMA["resources"][fleet.TOKEN]["description"]
        (declared,) = [
            each for each in yaml.safe_load(program)["resources"].values() if each["type"] == "batchos:PoolFleet"
        ]
        planned = fleet.Fleet.of(Bag(declared["properties"]), {}, "https://a.b.batch.azure.com").plan
        assert planned.pools
        assert not planned.warning("farm")
        assert [name for name in declared["properties"] if f"{name}: " not in typescript] == []


def test_choices_are_enums() -> None:
    for name, allowed in CHOICES.items():
        found = SCHEMA["types"][f"batchos:index:{camel(f'_{name}')}"]
        assert [each["value"] for each in found["enum"]] == list(allowed)
        for resource in RESOURCES.values():
            if name in resource.spec.names:
                given = SCHEMA["resources"][resource.token]["inputProperties"][camel(name)]
                assert given["$ref"] == f"#/types/batchos:index:{camel(f'_{name}')}"


def test_functions_are_described_with_their_arguments() -> None:
    assert list(SCHEMA["functions"]) == list(FUNCTIONS)
    for token, found in SCHEMA["functions"].items():
        function = FUNCTIONS[token]
        assert list(found["inputs"]["properties"]) == [camel(name) for name in function.arguments]
        assert found["inputs"].get("required", []) == [camel(name) for name in function.required]
        for each in (found, *found["inputs"]["properties"].values(), *found["outputs"]["properties"].values()):
            assert each["description"].endswith(".")


def test_keys_are_secrets() -> None:
    for place in (SCHEMA["config"]["variables"], SCHEMA["provider"]["inputProperties"]):
        assert list(place) == list(config.OPTIONS)
        assert [name for name, each in place.items() if each.get("secret")] == list(config.SECRETS)


def test_every_replacement_of_the_generator_is_used() -> None:
    sources = (plugin_schema.SOURCE, plugin_schema.FLEET_SOURCE)
    flat = " ".join(" ".join(each.read_text(encoding="utf-8") for each in sources).split())
    assert not [python for python, _ in plugin_schema.OTHER_WORDS if python.strip() not in flat]


PAGE = (plugin_schema.ROOT / "docs" / "other-languages.md").read_text(encoding="utf-8")


def test_the_page_has_every_option_of_the_provider_as_the_schema_describes_it() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert dict(rows[: len(config.OPTIONS)]) == config.OPTIONS
    assert f"plugin install resource batchos {__version__} --file" in PAGE


def test_the_programs_of_the_page_are_right() -> None:
    program, of_fleet = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (farm,) = yaml.safe_load(of_fleet)["resources"].values()
    assert not fleet.Fleet.of(Bag(farm["properties"]), {}, "https://a.b.batch.azure.com").plan.warning("farm")
    account, *pools = yaml.safe_load(program)["resources"].values()
    assert config.check(account["properties"]) == []
    for each in pools:
        resource = RESOURCES[each["type"].replace("batchos:", "batchos:index:")]
        assert resource.check(each["properties"], account["properties"]["accountEndpoint"])[1] == []


@RESOURCE
def test_each_resource_has_two_examples_in_two_languages_and_their_inputs_are_right(resource: Resource) -> None:
    examples = EXAMPLES[resource.name]
    assert len(examples) == 2
    for title, program, typescript in examples:
        assert title in SCHEMA["resources"][resource.token]["description"]
        (declared,) = [
            each for each in yaml.safe_load(program)["resources"].values() if each["type"] == f"batchos:{resource.name}"
        ]
        kept, failures = resource.check(declared["properties"], "https://a.b.batch.azure.com")
        assert failures == []
        for name, value in declared["properties"].items():
            spelled = f'"{value}"' if isinstance(value, str) else str(value)
            assert f"{name}: {spelled}" in typescript
        assert in_core(declared["properties"]).items() <= kept.items()
