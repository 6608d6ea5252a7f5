"""The YAML program that `batch-os adopt` writes, on the real CLI: it is used as it is, and Batch gets no write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider import __version__
from batch_os_provider.cli.yaml_scalars import literal
from tests.cli.commands.test_command import batch_os, everything, tails
from tests.cli.plugin.test_yaml import COMMAND
from tests.support import simulator as simulators
from tests.support.simulator import Simulator, paas_pool
from tests.unit.cli.test_yaml_scalars import ODD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stack import Stack

NAMES = ("yes", "null", "1_0", "1e3", "0o14", "010", "pulumi", "x" * 64)


@pytest.fixture
def other() -> Iterator[Simulator]:
    """A second account."""
    yield from simulators.running()


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """A stack that has the provider installed, and credentials in its environment."""
    stack = new_stack()
    stack.run("plugin", "install", "resource", "batchos", __version__, "--file", COMMAND).ok()
    return stack


def test_the_yaml_program_adopts_two_accounts_and_writes_nothing(
    sim: Simulator, other: Simulator, stack: Stack
) -> None:
    everything(sim, other, *map(paas_pool, NAMES))
    program = stack.program_folder / "Pulumi.yaml"
    before = len(other.writes())
    said = batch_os(sim, "adopt", sim.endpoint, other.endpoint, "--output", program, "--force")
    assert said.code == 0, said.err
    assert f"{9 + len(NAMES)} of {10 + len(NAMES)} pools declared" in said.err
    text = program.read_text(encoding="utf-8").replace("name: program", "name: batch-os-test")
    # Texts that no pool can have as its id, to see that Pulumi reads what was written.
    odd = [each for each in ODD if "\x00" not in each]
    texts = "".join(f"    - {literal(each)}\n" for each in odd)
    program.write_text(f"{text}outputs:\n  odd:\n{texts}", encoding="utf-8")

    previewed = json.loads(stack.run("preview", "--json").ok().text)
    declared = {
        *(f"{sim.endpoint}/pools/{each}" for each in ("encode", "gallery", "mixed", "pinned", "render", *NAMES)),
        *(f"{other.endpoint}/pools/{each}" for each in ("auto", "empty", "empty-pinned", "Render")),
    }
    assert tails(previewed) == dict.fromkeys(declared, "adopt")
    assert {step["op"] for step in previewed["steps"]} == {"create"}
    stack.up().ok()
    resources: list[dict[str, Any]] = stack.deployment()["resources"]
    assert {each["id"] for each in resources if each["type"].startswith("batchos:")} == declared
    assert resources[0]["outputs"]["odd"] == odd
    # Pulumi takes the provider on PATH before the installed one, and warns, unless it is told not to.
    assert "from $PATH" in json.dumps(previewed["diagnostics"])
    stack.environment["PULUMI_IGNORE_AMBIENT_PLUGINS"] = "true"
    assert "from $PATH" not in stack.run("preview", "--expect-no-changes", "--refresh").ok().text
    assert not sim.writes()
    assert len(other.writes()) == before, "but for the upgrade that this test has started"

    # `--check` reads the same program without Pulumi.
    checked = batch_os(sim, "adopt", sim.endpoint, other.endpoint, "--check", stack.program_folder, "--json")
    assert checked.code == 3, checked.err
    document = checked.document
    assert [each["url"] for each in document["undeclared"]] == [f"{other.endpoint}/pools/busy"]
    assert not any(document[key] for key in ("missing", "refused", "not_known_yet", "errors"))
