"""What is refused before anything is touched, and what must pass because it is not known yet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.simulator import NEW, OLD, Simulator, paas_pool

if TYPE_CHECKING:
    from tests.support.stack import Stack

BAD = {
    "target_os_version": ("5.25_201811-01", "did you mean WA-GUEST-OS-5.25_201811-01?"),
    "pool_id": ("my pool", "did you mean my-pool?"),
    "account_endpoint": ("http://acct.westeurope.batch.azure.com", "http is for loopback only"),
    "timeout": ("2 parsecs", "is not a duration; allowed:"),
    "max_unhealthy": (-1, "is not a number of nodes; allowed:"),
    "soak": (7_776_000, "is longer than 720h"),
    "on_timeout": ("Defer", "did you mean defer?"),
    "if_resizing": ("stop", "allowed: wait or fail"),
    "on_conflict": ("abort", "allowed: fail or wait"),
}
"""All of these are wrong in one resource: one preview shows them all. tests/unit/schema has every bad value."""


def test_bad_inputs_are_check_failures(sim: Simulator, stack: Stack) -> None:
    words = ", ".join(f"{name}={value!r}" for name, (value, _) in BAD.items())
    stack.program(f"PoolOsVersion('render', {words})\n")
    failed = stack.run("preview").failed()
    for name, (value, expected) in BAD.items():
        assert f"property {name} value" in failed.flat, failed.text
        # Numbers reach a provider as floats, and are shown as they were written.
        assert f"has a problem: {value!r} " in failed.flat, failed.text
        assert expected in failed.flat, failed.text
    assert not sim.requests()


def test_one_pool_declared_twice_names_both(sim: Simulator, stack: Stack) -> None:
    stack.program(
        f"""
        PoolOsVersion("a", account_endpoint="{sim.endpoint}", pool_id="render", target_os_version="{OLD}")
        PoolOsVersion("b", account_endpoint="{sim.endpoint}/", pool_id="Render", target_os_version="{NEW}")
        """
    )
    failed = stack.run("preview").failed()
    assert "is declared twice" in failed.flat
    assert "PoolOsVersion::a" in failed.flat
    assert "PoolOsVersion::b" in failed.flat
    assert not sim.writes()


POOL_MODULE = '''
"""A pool that another provider owns; its id and endpoint are unknown until it is made."""
from pulumi import Input, Output, dynamic


class _Provider(dynamic.ResourceProvider):
    def create(self, props):
        return dynamic.CreateResult("pool-1", {**props, "name": props["wanted"], "url": props["endpoint"]})

    def diff(self, _id, olds, news):
        changed = olds["size"] != news["size"]
        return dynamic.DiffResult(changes=changed, replaces=["size"] if changed else [], delete_before_replace=True)


class Pool(dynamic.Resource):
    name: Output[str]
    url: Output[str]

    def __init__(self, resource_name, wanted: Input[str], endpoint: Input[str], size: Input[str]):
        super().__init__(
            _Provider(),
            resource_name,
            {"wanted": wanted, "endpoint": endpoint, "size": size, "name": None, "url": None},
        )
'''


def declare_with_owner(sim: Simulator, stack: Stack, size: str, target: str = OLD) -> None:
    (stack.program_folder / "owner.py").write_text(POOL_MODULE, encoding="utf-8")
    stack.program(
        f"""
        from owner import Pool
        for name in ("render", "stays"):
            pool = Pool("pool-" + name, wanted=name, endpoint="{sim.endpoint}", size="{size}")
            opts = ResourceOptions(replace_with=[pool]) if name == "render" else None
            PoolOsVersion(name, account_endpoint=pool.url, pool_id=pool.name, target_os_version="{target}", opts=opts)
        """
    )


def test_unknown_pool_and_endpoint_pass_and_plan_no_replace(sim: Simulator, stack: Stack) -> None:
    sim.pools(paas_pool(), paas_pool("stays"))
    declare_with_owner(sim, stack, "small")
    stack.preview().ok()
    assert not sim.requests()
    stack.up().ok()
    assert not sim.writes()
    # The owner replaces its pools: id and endpoint are unknown again. One resource of ours goes with its pool.
    declare_with_owner(sim, stack, "large")
    planned = {step["urn"].rpartition("::")[2]: step["op"] for step in stack.steps() if step["op"] != "same"}
    assert planned.pop("stays") == "update", "without replace_with it is an update and no replacement"
    assert set(planned) == {"render"}
    stack.up().ok()
    assert not sim.writes()
    assert set(stack.all_outputs()) == {"render", "stays"}


def test_removal_says_that_the_pool_stays(sim: Simulator, stack: Stack) -> None:
    sim.pools(paas_pool(), paas_pool("dropped"))
    where = f'account_endpoint="{sim.endpoint}", target_os_version="{OLD}"'
    stack.program(
        f"""
        PoolOsVersion("kept", pool_id="render", {where})
        PoolOsVersion("dropped", pool_id="dropped", {where}, opts=ResourceOptions(retain_on_delete=False))
        """
    )
    stack.up().ok()
    stack.program("")
    shown = stack.preview().ok().text
    assert set(re.findall(r"\((delete\S*)\)\s.*\s.*::(\w+)\]", shown)) == {
        ("delete[retain]", "kept"),
        ("delete", "dropped"),
    }
    stack.up().ok()
    assert {sim.pool(name)["state"] for name in ("render", "dropped")} == {"active"}
    assert not sim.writes()
