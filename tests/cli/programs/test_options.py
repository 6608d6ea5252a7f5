"""Resource options that are not refused: each does on a dynamic resource what it does on any other."""

from __future__ import annotations

import re

from tests.support.simulator import NEW, OLD, Simulator, paas_pool
from tests.support.stack import Stack

PROGRAM = """
def pool(name, /, pool_id=None, **opts):
    given = {{"account_endpoint": "{endpoint}", "pool_id": pool_id or name, "target_os_version": "{target}"}}
    return PoolOsVersion(name, **given, opts=ResourceOptions(**opts))

def longer(args):
    return pulumi.ResourceTransformResult(props={{**args.props, "timeout": "1h"}}, opts=args.opts)

own = pulumi.ProviderResource("pulumi-python", "own", {{}})
provided = pool("provided", provider=own)
pool("ignored", ignore_changes=["target_os_version"])
pool("secret", additional_secret_outputs=["current_os_version"], hide_diffs=["target_os_version"])
pool("protected", protect=True, deleted_with=provided)
pool("transformed", transforms=[longer])
pool("triggered", replacement_trigger="{target}")
pool("moved", "moved-{target}".replace(".", "-"), delete_before_replace=True)
"""


def test_what_is_not_refused_works(sim: Simulator, stack: Stack) -> None:
    moved = [f"moved-{each}".replace(".", "-") for each in (OLD, NEW)]
    names = ("provided", "ignored", "secret", "protected", "transformed", "triggered")
    sim.seed(*(paas_pool(name) for name in (*names, *moved)))
    sim.speed(120)
    stack.program(PROGRAM.format(endpoint=sim.endpoint, target=OLD))
    stack.up().ok()
    stack.program(PROGRAM.format(endpoint=sim.endpoint, target=NEW))
    shown = stack.preview().ok()
    assert "target_os_version (hidden)" in shown.flat
    replaced = set(re.findall(r"\(replace[^)]*\)\s+\[id=\S+\]\s+\[urn=\S+::(\w+)\]", shown.text))
    assert replaced == {"triggered", "moved"}
    stack.up().ok()
    state = {each["urn"].rpartition("::")[2]: each for each in stack.resources()}
    current = {name: each["outputs"]["current_os_version"] for name, each in state.items()}
    assert "ciphertext" in current.pop("secret")
    assert current["ignored"] == OLD
    assert {version for name, version in current.items() if name != "ignored"} == {NEW}
    assert "::own::" in state["provided"]["provider"]
    assert state["protected"]["protect"] is True
    assert state["transformed"]["outputs"]["timeout"] == "1h"
    assert state["moved"]["id"] == f"{sim.endpoint}/pools/{moved[1]}"
    assert "ignored" not in {each["pool"] for each in sim.writes()}
