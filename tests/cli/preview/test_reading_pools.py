"""`get`: what a program reads is what is there, or the `up` and the preview fail and say why."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.support.simulator import BEHIND, OLD, Simulator, paas_pool, vm_pool
from tests.support.stack import Result, Stack


def reads(sim: Simulator, **pools: str) -> str:
    """A program that reads pools: resource names by what is read, such as ``PoolOsVersion.get`` of an id."""
    lines = [f'{name} = {kind}.get("{name}", "{sim.endpoint}/pools/{name}")' for name, kind in pools.items()]
    return "\n".join([*lines, *(f'pulumi.export("{name}", {name}.pool_state)' for name in pools)]) + "\n"


def errors(result: Result) -> dict[str, str]:
    """What stands under Diagnostics, by resource."""
    found = {}
    for block in result.failed().text.partition("Diagnostics:")[2].split("\n\n"):
        head, _, body = block.strip().partition("\n")
        found[head.partition("(")[2].partition(")")[0]] = " ".join(body.split())
    return found


def test_what_cannot_be_read_is_an_error_in_preview_and_in_up(sim: Simulator, stack: Stack) -> None:
    sim.seed(paas_pool("cloud"), vm_pool("frames"))
    stack.program(
        reads(sim, gone="PoolOsVersion", frames="PoolOsVersion", cloud="PoolImageVersion", lost="PoolImageVersion")
    )
    # In an `up` the first failure keeps back what has not begun; each of them is in the preview.
    previewed, applied = errors(stack.run("preview")), errors(stack.up())
    for name in ("gone", "lost"):
        assert (
            f"pool {sim.endpoint}/pools/{name}: Batch says that it does not exist (404 PoolNotFound)" in previewed[name]
        )
        assert "Check the id that the program gives to `get`" in previewed[name]
    assert "it is a VM pool, so it has no OS version. Next: Read it with PoolImageVersion.get." in previewed["frames"]
    assert (
        "it is not a VM pool, so its nodes have no image version. Next: Read it with PoolOsVersion.get."
        in previewed["cloud"]
    )
    assert set(applied) & set(previewed) - {"batch-os-test-dev"}
    for name in set(applied) - {"batch-os-test-dev"}:
        assert applied[name].removeprefix("error: ") == previewed[name].removeprefix("error: Preview failed: ")
    assert "outputs" not in stack.run("stack", "output", "--json").text
    assert not sim.writes()


def test_a_pool_that_is_being_deleted_is_told_and_a_refresh_drops_a_gone_one(sim: Simulator, stack: Stack) -> None:
    sim.seed(paas_pool("dying", state="deleting"), vm_pool("frames"), paas_pool("Render"))
    spelled = sim.endpoint.replace("http://", "HTTP://") + "/pools/Render/"
    stack.program(
        reads(sim, dying="PoolOsVersion", frames="PoolImageVersion")
        + f'r = PoolOsVersion.get("r", pulumi.Output.from_input(" {spelled} "))\npulumi.export("id", r.id)\n'
        + 'pulumi.export("oldest", frames.oldest_node_version)\npulumi.export("current", r.current_os_version)\n'
        + 'pulumi.export("pin", frames.pool_image_version)\n'
    )
    assert f"pool {sim.endpoint}/pools/dying is being deleted" in stack.up().ok().flat
    outputs = json.loads(stack.run("stack", "output", "--json").ok().text)
    assert outputs == {
        "dying": "deleting",
        "frames": "active",
        "id": f"{sim.endpoint}/pools/Render",
        "oldest": BEHIND,
        "pin": "latest",
        "current": OLD,
    }
    # The same ids again are no replacement.
    assert "read-replac" not in stack.up().ok().text
    sim.seed(vm_pool("frames"), paas_pool("Render"))
    refreshed = stack.refresh().ok()
    assert "- pulumi-python:dynamic/batch:PoolOsVersion: (delete)" in refreshed.text
    assert f"[id={sim.endpoint}/pools/dying]" in refreshed.text
    assert "1 deleted" in refreshed.flat
    assert "Batch says that it does not exist" in stack.run("preview").failed().flat


def test_without_a_credential_and_with_a_wrong_id_a_get_fails_in_words(
    sim: Simulator, new_stack: Callable[..., Stack]
) -> None:
    stack = new_stack("unsigned", AZURE_BATCH_ACCESS_KEY="", AZURE_BATCH_ACCOUNT="")
    stack.program(reads(sim, render="PoolOsVersion"))
    assert f"{sim.endpoint}" in errors(stack.run("preview"))["render"]
    stack.program(f'PoolOsVersion.get("secret", pulumi.Output.secret("{sim.endpoint}/pools/render"))\n')
    said = stack.run("preview").failed().flat
    assert "PoolOsVersion.get secret: id: [secret] is not allowed, since Pulumi keeps ids as plain text" in said
    assert f"{sim.endpoint}/pools" not in said
