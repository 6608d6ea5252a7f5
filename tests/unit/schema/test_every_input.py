"""An input is in many places: this names each place that lacks one. CONTRIBUTING.md has the recipe, "Add an input"."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from batch_os_provider import PoolFleet, PoolImageVersion, PoolOsVersion
from batch_os_provider.schema import inputs
from batch_os_provider.schema.outputs import IMAGE_OUTPUTS, OUTPUTS

ROOT = Path(inputs.__file__).parents[2]
RESOURCES: dict[Any, tuple[inputs.Spec, tuple[str, ...]]] = {
    PoolOsVersion: (inputs.OS, OUTPUTS),
    PoolImageVersion: (inputs.IMAGE, IMAGE_OUTPUTS),
}
TABLES: dict[Any, list[tuple[str, str]]] = {
    PoolOsVersion: [("docs/cloud-services.md", "## Inputs"), ("docs/cloud-services.md", "## Outputs")],
    PoolImageVersion: [("docs/vm-pools.md", "## Inputs")],
}
"""Where the tables of inputs and of outputs are: a page and a heading."""
FIXED_BY_THE_FLEET = {"pool_id"}
"""What each pool of a fleet gets from ``pools``."""
RENAMED_BY_THE_FLEET = {"canary": "canary_nodes"}
"""A fleet has a canary of its own: its first pools."""


def arguments_of(kind: Any) -> list[str]:
    parameters = inspect.signature(kind.__init__).parameters
    return [name for name in parameters if name not in ("self", "resource_name", "opts")]


def documented_arguments(kind: Any) -> list[str]:
    """The names under ``Args:`` of a class, as they are indented one step deeper."""
    text = inspect.getdoc(kind) or ""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    return [
        name for name in re.findall(r"^ {4}(\w+):", section[1], re.MULTILINE) if name not in ("resource_name", "opts")
    ]


def documented_attributes(kind: Any) -> list[str]:
    """The attributes that have a docstring of their own."""
    return re.findall(r'^    (\w+): Output\[.*\]\n    """', inspect.getsource(kind), re.MULTILINE)


def tables(page: str, heading: str) -> list[list[str]]:
    """The names in the first columns of the tables under a heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"\n{heading}\n" in text, f"{page} has no {heading!r}"
    section = re.split(r"^## ", text.split(f"\n{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [re.findall(r"^\| `(\w+)` \|", each, re.MULTILINE) for each in found]


@pytest.mark.parametrize("kind", RESOURCES)
def test_an_input_is_an_argument_that_is_documented(kind: Any) -> None:
    spec = RESOURCES[kind][0]
    assert arguments_of(kind) == list(spec.names), f"the constructor of {kind.__name__} (resource.py)"
    assert documented_arguments(kind) == list(spec.names), f"Args in the docstring of {kind.__name__} (resource.py)"


@pytest.mark.parametrize("kind", RESOURCES)
def test_inputs_and_outputs_are_attributes_that_are_documented(kind: Any) -> None:
    spec, outputs = RESOURCES[kind]
    attributes = [*spec.names, *outputs]
    assert documented_attributes(kind) == attributes, f"the Output attributes of {kind.__name__} (resource.py)"
    assert set(attributes) <= {name for base in kind.__mro__ for name in vars(base).get("__annotations__", {})}


@pytest.mark.parametrize("kind", RESOURCES)
def test_an_input_reaches_the_engine(kind: Any) -> None:
    source = inspect.getsource(kind.__init__)
    assert re.findall(r'^ {12}"(\w+)": \1,$', source, re.MULTILINE) == list(RESOURCES[kind][0].names), "declared"


@pytest.mark.parametrize("kind", RESOURCES)
def test_inputs_and_outputs_are_in_the_tables_of_their_page(kind: Any) -> None:
    spec, outputs = RESOURCES[kind]
    found = [each for place in TABLES[kind] for each in tables(*place)]
    assert found == [list(spec.names), list(outputs)], TABLES[kind]


def test_an_input_is_checked_and_has_words_for_what_is_allowed() -> None:
    for name in {*inputs.OS.names, *inputs.IMAGE.names}:
        assert inputs.wrong(name, object()), f"_CHECKS[{name!r}] (input_values.py)"
        assert inputs.allowed(name), f"_FORMS or CHOICES[{name!r}] (input_values.py)"


def test_a_fleet_takes_every_input_of_its_pools() -> None:
    names = ({*inputs.OS.names} | {*inputs.IMAGE.names}) - FIXED_BY_THE_FLEET
    wanted = {RENAMED_BY_THE_FLEET.get(name, name) for name in names}
    for place, names in {
        "the constructor of PoolFleet (fleet.py)": arguments_of(PoolFleet),
        "Args in the docstring of PoolFleet (fleet.py)": documented_arguments(PoolFleet),
        "bag in PoolFleet.__init__ (fleet.py)": re.findall(
            r'^ {12}"(?:\w+)": (\w+),$', inspect.getsource(PoolFleet.__init__), re.MULTILINE
        ),
    }.items():
        assert wanted <= set(names), f"{place} lacks {sorted(wanted - set(names))}"
    own = {"pools", "canary", "waves", "aliases"}
    assert set(arguments_of(PoolFleet)) == wanted | own
    assert arguments_of(PoolFleet) == documented_arguments(PoolFleet)
