"""The native provider on the real CLI, in YAML programs. Each call of the CLI serves pools side by side."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from batch_os_provider import __version__
from batch_os_provider.cli.comment import preview_file
from batch_os_provider.cli.comment.digest import digest
from tests.support.plugin import IMAGE, OS
from tests.support.simulator import IMAGES, NEW, OLD, OTHER, Simulator, paas_pool, vm_pool
from tests.support.stack import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.stack import Stack


COMMAND = str(Path(sys.executable).parent / "pulumi-resource-batchos")


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """A stack that knows the provider by its installation only, without Python or credentials in its environment."""
    path = os.pathsep.join([os.environ["BATCH_OS_TEST_PULUMI"], os.defpath])
    stack = new_stack(PATH=path, AZURE_BATCH_ACCOUNT="", AZURE_BATCH_ACCESS_KEY="")
    stack.run("plugin", "install", "resource", "batchos", __version__, "--file", COMMAND).ok()
    return stack


def declare(stack: Stack, sim: Simulator, pools: Mapping[str, Mapping[str, Any]], **options: Mapping[str, Any]) -> None:
    """Write a program (JSON is YAML) with an explicit provider. Options are by the names of the resources."""
    account = {
        "accountEndpoint": sim.endpoint,
        "accountName": sim.account,
        "accountKey": {"fn::secret": sim.key},
    }
    resources: dict[str, Any] = {"account": {"type": "pulumi:providers:batchos", "properties": account}}
    for name, inputs in pools.items():
        resources[name] = {
            "type": "batchos:PoolOsVersion",
            "properties": {"poolId": name, **inputs},
            "options": {"provider": "${account}", "retainOnDelete": True, **options.get(name, {})},
        }
    outputs: dict[str, Any] = {name: f"${{{name}.currentOsVersion}}" for name in pools}
    asked = {"function": "batchos:listPools", "options": {"provider": "${account}"}, "return": "pools"}
    outputs["asked"] = {"fn::invoke": asked}
    program = {"name": PROJECT, "runtime": "yaml", "resources": resources, "outputs": outputs}
    (stack.program_folder / "Pulumi.yaml").write_text(json.dumps(program), encoding="utf-8")


def state(stack: Stack) -> dict[str, dict[str, Any]]:
    found = stack.deployment()["resources"]
    return {each["urn"].rpartition("::")[2]: each for each in found if each["type"] in (OS, IMAGE)}


def drawn(stack: Stack) -> tuple[dict[str, Any], dict[str, str]]:
    """What changes by `preview --json`: the detailed diff of each resource, and what `batch-os comment` reads there."""
    text = stack.run("preview", "--json").ok().text
    steps = json.loads(text[text.index("{") :])["steps"]
    rows = digest("dev", preview_file.read(text.encode())).rows
    return (
        {each["urn"].rpartition("::")[2]: each["detailedDiff"] for each in steps if each["op"] == "update"},
        {row.name: row.what for row in rows},
    )


def import_pools(stack: Stack, sim: Simulator, types: Mapping[str, str]) -> None:
    """Import pools by nothing but their ids, and copy what that prints into the program, letter by letter."""
    deployed = stack.deployment()["resources"]
    account = next(each["urn"] for each in deployed if each["type"] == "pulumi:providers:batchos")
    wanted = [
        {"type": type_, "name": f"the-{name}", "id": f"{sim.endpoint}/pools/{name}", "provider": "account"}
        for name, type_ in types.items()
    ]
    file = stack.folder / "wanted.json"
    file.write_text(json.dumps({"nameTable": {"account": account}, "resources": wanted}), encoding="utf-8")
    options = ("--yes", "--skip-preview", "--protect=false")
    printed = stack.run("import", "--file", str(file), *options).ok().text
    assert printed.count("\nresources:\n") == 1
    program = stack.program_folder / "Pulumi.yaml"
    given = yaml.safe_dump(json.loads(program.read_text(encoding="utf-8")), sort_keys=False)
    copied = f"\nresources:\n{printed.partition('resources:' + chr(10))[2]}"
    program.write_text(given.replace("\nresources:\n", copied), encoding="utf-8")


def test_from_the_first_preview_to_an_import(sim: Simulator, stack: Stack) -> None:
    names = ("calm", "deferred", "failed", "gated")
    # One pool shows its version as a pin, one on its nodes, and one shows none; a name may be a number.
    hpc, rhel = IMAGES["ubuntu-hpc"], IMAGES["rhel"]
    pins = {"0750": hpc.behind, "floats": rhel.behind, "bare": None}
    machines = (vm_pool("floats", image=rhel), vm_pool("bare", image=rhel, exact="latest"))
    sim.seed(*map(paas_pool, (*names, "found")), vm_pool("0750", image=hpc, version=hpc.behind), *machines)
    pools: dict[str, dict[str, Any]] = {
        "calm": {"targetOsVersion": OLD},
        "deferred": {"targetOsVersion": NEW, "timeout": 3, "onTimeout": "defer"},
        "failed": {"targetOsVersion": NEW, "timeout": "1h"},
        "gated": {"targetOsVersion": OLD, "maxUnhealthy": 0},
    }
    declare(stack, sim, pools, failed={"customTimeouts": {"create": "2s"}})
    shown = stack.preview().ok()
    assert "+ 6 to create" in shown.text
    assert f'failed : "{NEW}"' in shown.flat, "an output that is known before the up"
    assert "deferred: [unknown]" in shown.flat
    assert "accountKey : [secret]" in shown.flat
    assert shown.flat.count('resource : "PoolOsVersion"') == 5, "a function shows the account's pools"
    assert "from $PATH" not in shown.text
    assert not sim.writes()

    # Time stands still, so both deadlines pass. What failed stays in the state, and what was deferred is visible.
    failed = stack.up().failed()
    assert "was not reached within the timeout of 2s" in failed.flat
    assert 'declare a longer timeout, or onTimeout: "defer"' in failed.flat
    assert state(stack).keys() == {*names}
    assert "initErrors" in state(stack)["failed"]
    assert state(stack)["deferred"]["outputs"]["targetOsVersion"] == OLD
    assert state(stack)["deferred"]["inputs"]["targetOsVersion"] == NEW
    in_the_state = {"targetOsVersion": {"kind": "update", "inputDiff": False}}
    joined = {"deferred": "join", "failed": "join"}
    assert drawn(stack) == ({"deferred": in_the_state, "failed": in_the_state}, joined)

    # The next `up` joins both upgrades.
    sim.speed(60)
    stack.up().ok()
    assert {each["pool"] for each in sim.upgrades()} == {"deferred", "failed"}
    assert len(sim.upgrades()) == 2
    assert {each["outputs"]["targetOsVersion"] for each in state(stack).values()} == {OLD, NEW}
    assert "initErrors" not in state(stack)["failed"]

    # Drift: a refresh shows it, and the next preview draws the way back.
    sim.move_to(OTHER, "calm")
    sim.change_node("tvm-002", "gated", state="unusable", errors=[{"code": "AgentLost", "message": "It is silent"}])
    assert f'~ targetOsVersion: "{OLD}" => "{OTHER}"' in stack.refresh().ok().text
    changed = {"kind": "update", "inputDiff": True}
    rows = {"calm": "rollback", "gated": "adopt"}
    assert drawn(stack) == ({"calm": {"targetOsVersion": changed}, "gated": {"poolState": changed}}, rows)

    # An import prints a program that is right as it is.
    import_pools(stack, sim, {"found": OS, **dict.fromkeys(pins, IMAGE)})
    for name, pin in pins.items():
        inputs = state(stack)[f"the-{name}"]["inputs"]
        assert (inputs["poolId"], inputs["strategy"]) == (name, "when_empty")
        assert inputs.get("targetImageVersion") == pin
    shown = stack.preview().ok()
    assert re.search(r"~ 2 to update\s+8 unchanged", shown.text), shown.text
    assert f'~ targetOsVersion: "{OTHER}" => "{OLD}"' in shown.text
    assert "but the pool has not yet met maxUnhealthy and soak" in shown.flat
    assert "poolState" not in shown.text.partition("--outputs:--")[0], "it is no input, so it would be drawn as removed"

    # The key is encrypted in the state, and in no text.
    for text in (stack.state_file.read_text(encoding="utf-8"), *(text for _, text in stack.said())):
        assert sim.key not in text
