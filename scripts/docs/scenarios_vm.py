"""Scenarios of VM pools: renewals that end well, are refused, or fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.docs.ground import AFTER_UP, QUIET, Ground
from scripts.docs.pages import ROOT, Outputs, diagnostics, last_line, program_of, row, shown, transcript
from tests.support import simulator as simulators
from tests.support.simulator import ABOVE, BEHIND, TARGET, Image, Simulator, vm_pool
from tests.support.stack import PROJECT, wait_until

ENDED = Image(
    "microsoftwindowsserver",
    "windowsserver",
    "2012-r2-datacenter",
    "batch.node.windows amd64",
    "9600.21620.231024",
    "9600.22267.241107",
)
"""An image that Batch has supported until 2024-12-05 (Azure/Batch#179)."""


def renewed_pool(ground: Ground) -> Outputs:
    """vm-pools.md: the program on that page, previewed and deployed step by step, and what the next preview says."""
    simulator = ground.simulator()
    tasks = [{"id": f"frame-{number}", "commandLine": "sleep 400"} for number in range(1, 9)]
    film = {"id": "film", "poolInfo": {"poolId": "render"}, "tasks": tasks}
    simulator.unknown(exactVersionOfLatest="latest")
    simulator.seed(vm_pool(nodes=4, exact="latest"), jobs=[film])
    stack = ground.stack(simulator)
    (stack.program_folder / "__main__.py").write_text(program_of(ROOT / "docs" / "vm-pools.md"), encoding="utf-8")
    stack.run("config", "set", "accountEndpoint", simulator.endpoint).ok()
    out = {"vm-preview": shown(diagnostics(stack.run("preview").ok().text)["render"])}
    running = stack.start("up", *AFTER_UP, QUIET)
    # The clock moves only in these steps, so that each run sees the same. Pulumi does not repeat a line.
    for seen, seconds in (
        (lambda: "a resize is under way" in running.text, 60),
        (lambda: "2 of 2 new nodes" in running.text, 120),
        (lambda: "2 old nodes finish" in running.text, 260),
        (lambda: len(simulator.requests("Pool_Resize")) > 1, 60),
        (lambda: "2 of 4 new nodes" in running.text, 120),
        (lambda: len(simulator.requests("Pool_RemoveNodes")) > 1, 260),
    ):
        wait_until(seen, "the next step of the renewal")
        simulator.advance(seconds)
    out["vm-up"] = transcript("pulumi up", "\n".join(row(running.wait().ok())[1:]))  # the first repeats the preview
    assert_renewed(simulator)
    return out


def assert_renewed(simulator: Simulator) -> None:
    """The page says that nothing was lost: each task ran once, and the pool never had less than it began with."""
    simulator.advance(3600)
    simulator.assert_tasks_ran_once()
    least, _ = simulator.capacity(4)
    if least < 4:  # noqa: PLR2004 - the size it began with
        raise AssertionError(f"the pool was down to {least} nodes")


def refused_renewals(ground: Ground) -> Outputs:
    """What a preview of a VM pool refuses, because the pool shows that `up` would fail."""
    formula: dict[str, Any] = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes=4;"}
    simulator = ground.simulator()
    simulator.seed(
        vm_pool("pinned", nodes=12, version=BEHIND),
        vm_pool("empty", nodes=0, version=BEHIND),
        vm_pool("waits", nodes=12, version=BEHIND),
        vm_pool("adopts", nodes=2, exact=TARGET),
        vm_pool("words", nodes=2, exact="latest"),
        vm_pool("office", nodes=4, image=ENDED),
        vm_pool("empties", nodes=4, version=BEHIND),
        vm_pool("held", nodes=4, version=BEHIND, **formula),
        vm_pool("goes-back", nodes=2, version=ABOVE, exact=ABOVE),
        jobs=[simulators.job(name, *[400] * 31) for name in ("empties", "held")],
        images=[simulators.MOVED, {**ENDED.row, "batchSupportEndOfLife": "2024-12-05T00:00:00Z"}],
        supportedImages=None,
    )
    stack = ground.stack(simulator)

    def said(**pools: Mapping[str, object]) -> Outputs:
        """What a preview of these pools says under each."""
        lines = ["from batch_os_provider import PoolImageVersion"]
        for name, more in pools.items():
            declared = {"target_image_version": TARGET, "strategy": "surge", **more}
            words = ", ".join(f"{key}={value!r}" for key, value in declared.items())
            pool_id = name.replace("_", "-")
            where = f"{pool_id!r}, account_endpoint={simulator.endpoint!r}, pool_id={pool_id!r}"
            lines.append(f"PoolImageVersion({where}, {words})")
        stack.program("\n".join(lines))
        return diagnostics(stack.run("preview").text)

    plans = said(adopts={}, empty={}, waits={"strategy": "when_empty"})
    out = {"vm-plans": shown("".join(plans[name] for name in ("adopts", "empty", "waits")))}
    empty = {"strategy": "empty"}
    plans = said(empties=empty, held={**empty, "autoscale": "hold"}, goes_back=empty)
    out["vm-empty"] = shown("".join(plans[name] for name in ("empties", "held", "goes-back")))
    # One at a time: a preview ends at the first refusal.
    out["vm-ended"] = shown(said(office={"target_image_version": ENDED.target, "surge": 2})["office"])
    for name in ("pinned", "words"):
        out[f"vm-{name}"] = shown(said(**{name: {}})[name])
    return out


def failed_renewals(ground: Ground) -> Outputs:
    """How a renewal ends that Batch does not carry through, by one `up` of many pools."""
    simulator = ground.simulator()
    simulator.seed(
        vm_pool("quota", nodes=2, simulator={"allocation": {"fail": "AccountCoreQuotaReached"}}),
        vm_pool("canary", nodes=2, simulator={"allocation": {"version": BEHIND}}),
        vm_pool("until-renewed", nodes=3),
    )
    stack = ground.stack(simulator)
    stack.program(
        f"""
        from batch_os_provider import PoolImageVersion

        def pool(name, strategy="surge", **more):
            PoolImageVersion(name, account_endpoint="{simulator.endpoint}", pool_id=name,
                target_image_version="{TARGET}", strategy=strategy, **more)

        pool("quota")
        pool("canary")
        pool("until-renewed", strategy="when_empty", timeout="4s")
        """
    )
    simulator.speed(60)
    said = diagnostics(stack.up("--continue-on-error", "--parallel", "20").failed().text)
    return {f"vm-{name}": shown(last_line(text)) for name, text in said.items() if name != f"{PROJECT}-dev"}
