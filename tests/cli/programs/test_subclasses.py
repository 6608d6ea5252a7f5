"""Subclasses that preset arguments: the same resources, in new states and in those of earlier versions."""

from __future__ import annotations

import json

from tests.cli.commands.test_command import batch_os
from tests.cli.commands.test_comment import preview
from tests.support.simulator import NEW, OLD, Simulator, paas_pool
from tests.support.stack import TYPE, Stack

FORMER = "pulumi-python:dynamic:Resource"
NAMED = "pulumi-python:dynamic/farm:NamedPool"
CLASSES = """
from pulumi import dynamic

class Nothing(dynamic.ResourceProvider):
    def create(self, props):
        return dynamic.CreateResult("thing", dict(props))

class Thing(dynamic.Resource):
    '''Of somebody else, who gives it no type of its own either.'''
    def __init__(self, name):
        super().__init__(Nothing(), name, {{"size": 1}})

class OurPool(PoolOsVersion):
    def __init__(self, name, pool_id="", **more):
        given = {{"account_endpoint": "{endpoint}", "pool_id": pool_id or name, "target_os_version": "{target}"}}
        super().__init__(name, **given, **more)

class NamedPool(OurPool, module="farm", name="NamedPool"):
    pass

class Farm(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("my:farm:Farm", name)
        OurPool("inner", opts=ResourceOptions(parent=self))
"""


def program(sim: Simulator, stack: Stack, text: str, target: str = OLD) -> None:
    stack.program(CLASSES.format(endpoint=sim.endpoint, target=target) + text)


def age(stack: Stack) -> None:
    """Make the state what an earlier version has written: subclasses with the types that the SDK gives them."""
    file = stack.folder / "aged.json"
    stack.run("stack", "export", "--file", str(file)).ok()
    state = json.loads(file.read_text(encoding="utf-8"))
    for each in state["deployment"]["resources"]:
        if each["type"] == TYPE:
            former = NAMED if each["urn"].endswith("::encode") else FORMER
            each["urn"], each["type"] = each["urn"].replace(TYPE, former), former
    file.write_text(json.dumps(state), encoding="utf-8")
    stack.run("stack", "import", "--file", str(file)).ok()


def test_a_subclass_is_the_resource_also_where_its_state_has_a_former_type(sim: Simulator, stack: Stack) -> None:
    sim.seed(*(paas_pool(name) for name in ("render", "encode", "inner")))
    program(sim, stack, 'OurPool("render")\nNamedPool("encode", timeout="PT2H")\nFarm("farm")\nThing("thing")\n')
    stack.up().ok()
    assert sorted(each["urn"].rpartition("::")[2] for each in stack.resources()) == ["encode", "inner", "render"]
    age(stack)
    asked = len(sim.requests())
    # Renamed in the same change: what was called so before had the former type, too.
    renamed = """
OurPool("render")
NamedPool("second", "encode", timeout="2h", opts=ResourceOptions(aliases=[pulumi.Alias(name="encode")]))
Farm("farm")
Thing("thing")
"""
    program(sim, stack, renamed)
    assert "unchanged" in stack.preview("--expect-no-changes").ok().text
    stack.up("--expect-no-changes").ok()
    assert len(sim.requests()) == asked
    assert {each["urn"].rpartition("::")[2] for each in stack.resources()} == {"second", "inner", "render"}
    # The name of somebody else's resource leads to its state, which is not taken for a pool's.
    program(sim, stack, 'Thing("thing")\nOurPool("thing")\n')
    said = stack.run("preview").failed().flat
    assert "in the state, another dynamic resource has the name and the type" in said
    assert "give this resource another name" in said
    assert not sim.writes()


def test_a_rollback_by_a_subclass_is_seen_by_the_comment_and_its_gate(sim: Simulator, stack: Stack) -> None:
    sim.pools(paas_pool(current=NEW))
    program(sim, stack, 'OurPool("render")\n', target=NEW)
    stack.up().ok()
    age(stack)
    program(sim, stack, 'OurPool("render")\n')
    file = preview(stack)
    comment = batch_os(sim, "comment", f"dev={file}", "--fail-on", "rollback")
    assert comment.code == 3, comment
    assert "rollback: dev, render" in comment.err
    # As an earlier version of the package shows it.
    file.write_text(file.read_text(encoding="utf-8").replace(TYPE, FORMER), encoding="utf-8")
    assert batch_os(sim, "comment", f"dev={file}", "--fail-on", "rollback").code == 3
    state = stack.folder / "state.json"
    stack.run("stack", "export", "--file", str(state)).ok()
    assert FORMER in state.read_text(encoding="utf-8")
    for source in (stack.program_folder, state):
        checked = batch_os(sim, "adopt", sim.endpoint, "--check", source)
        assert "not declared: none of 1 pool" in checked.flat, checked
