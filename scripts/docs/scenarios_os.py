"""Scenarios of Cloud Services pools: a change, a drift, a fleet, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Mapping

from scripts.docs.ground import (
    AFTER_UP,
    FAMILY_5,
    NEW,
    OLD,
    QUIET,
    Ground,
    let_it_end,
    message_for_programs,
    paas_pool,
    roll,
)
from scripts.docs.pages import ROOT, Outputs, diagnostics, last_line, program_of, row, shown, transcript, under_row
from tests.support import simulator as simulators
from tests.support.stack import PROJECT, STACK, Result, wait_until


def main_road(ground: Ground) -> Outputs:
    """cloud-services.md: the program on that page, previewed and deployed, and a drift."""
    simulator = ground.simulator(paas_pool(nodes=6))
    stack = ground.stack(simulator)
    program = program_of(ROOT / "docs" / "cloud-services.md")
    (stack.program_folder / "__main__.py").write_text(program, encoding="utf-8")
    stack.run("config", "set", "accountEndpoint", simulator.endpoint).ok()
    out = {"preview": transcript("pulumi preview --diff", stack.preview().ok())}
    out["up"] = transcript("pulumi up", "\n".join(row(roll(simulator, stack))))
    simulator.move_to(OLD)
    stack.run("refresh", *AFTER_UP).ok()
    out["drift"] = transcript("pulumi preview --diff", stack.preview().ok())
    return out


def previewed(ground: Ground) -> Outputs:
    """preview.md: the rows of pools of every kind, a refusal, the hint, and a tail for programs."""
    joined = paas_pool("joined", nodes=20, state="upgrading", stateTransitionTime="2018-11-20T00:00:00Z")
    joined["cloudServiceConfiguration"]["targetOSVersion"] = NEW
    pools = (
        joined,
        paas_pool("adopted", current=NEW),
        paas_pool(nodes=6),
        paas_pool("newer", current=NEW),
    )
    simulator = ground.simulator()
    simulator.seed(*pools, jobs=[simulators.job("render", 7200, 7200)])
    simulator.advance(60)
    stack = ground.stack(simulator)
    targets = {"adopted": NEW, "render": NEW, "newer": OLD, "joined": NEW}

    def declare(wanted: Mapping[str, str]) -> None:
        where = f"account_endpoint={simulator.endpoint!r}"
        lines = (
            f"PoolOsVersion({pool!r}, pool_id={pool!r}, {where}, target_os_version={to!r})\n"
            for pool, to in wanted.items()
        )
        stack.program("".join(lines))

    declare(targets)
    result = stack.run("preview", "--parallel", "3").ok()
    said = diagnostics(result.text)
    hint = next(line for line in said["batch-os-test-dev"].splitlines() if "--parallel" in line)
    out = {
        "preview-rows": shown("".join(f"{name}: {said[name]}" for name in targets)),
        "preview-parallel": shown(hint),
        "preview-tail": shown(message_for_programs(stack, "render")),
    }
    declare({"render": FAMILY_5})
    out["preview-refused"] = shown(diagnostics(stack.run("preview").failed().text)["render"])
    declare({"render": NEW})
    simulator.fault("Pool_List", {"kind": "status", "status": 403, "code": "InsufficientAccountPermissions"})
    out["preview-unseen"] = shown(diagnostics(stack.run("preview").ok().text)["render"])
    return out


def fleet(ground: Ground) -> Outputs:
    """fleets.md: the example, previewed wave by wave, and a canary that fails."""
    ids = ("render", "encode", "shade", "composite")
    simulator = ground.simulator(*(paas_pool(pool) for pool in ids))
    stack = ground.stack(simulator)
    example = (ROOT / "examples" / "fleet" / "__main__.py").read_text(encoding="utf-8")
    (stack.program_folder / "__main__.py").write_text(example, encoding="utf-8")
    config = {"accountEndpoint": simulator.endpoint, "targetOsVersion": NEW, "pools": json.dumps(ids)}
    values = [word for name, value in config.items() for word in ("--plaintext", f"{name}={value}")]
    stack.run("config", "set-all", *values).ok()

    def rows(result: Result) -> str:
        # Within a wave the engine keeps no order, and below the last row it prints the stack's outputs.
        said = diagnostics(result.text.partition("\nOutputs:\n")[0])
        return "".join(f"farm-{pool}: {said[f'farm-{pool}']}" for pool in ids if f"farm-{pool}" in said)

    out = {"fleet-preview": transcript("pulumi preview", rows(stack.run("preview").ok()))}
    failure = {"code": "AgentLost", "message": "The agent does not answer"}
    simulator.change_node("tvm-002", state="unusable", errors=[failure])
    simulator.move_to(NEW)
    out["fleet-failed"] = transcript("pulumi up", rows(stack.run("up", *AFTER_UP, QUIET).failed()))
    return out


def unhealthy(ground: Ground) -> Outputs:
    """health.md: a failed gate."""
    simulator = ground.simulator(paas_pool(nodes=6, current=NEW))
    failure = {"code": "FailureExitCode", "message": "The task exited with an exit code representing a failure"}
    simulator.change_node("tvm-002", state="starttaskfailed")
    simulator.change_node("tvm-005", state="unusable", errors=[failure])
    stack = ground.stack(simulator)
    stack.declare(simulator, NEW, max_unhealthy=0)
    return {"unhealthy": under_row("pulumi up", stack.up().failed())}


def deferred(ground: Ground) -> Outputs:
    """A deadline that defers, the next preview, and the way back while the upgrade still runs."""
    simulator = ground.simulator(paas_pool())
    stack = ground.stack(simulator)
    stack.declare(simulator, NEW, timeout="4s", on_timeout="defer")
    out = {"deferred": shown(diagnostics(stack.up().ok().text)["render"])}
    out["deferred-preview"] = shown(diagnostics(stack.run("preview").ok().text)["render"])
    stack.declare(simulator, OLD)
    out["undo-refused"] = under_row("pulumi up", stack.up().failed())
    let_it_end(simulator)
    out["undo-done"] = under_row("pulumi up --refresh", roll(simulator, stack, "--refresh"))
    return out


def interrupted(ground: Ground) -> Outputs:
    """^C, and what a revert finds then."""
    simulator = ground.simulator(paas_pool())
    stack = ground.stack(simulator)
    stack.declare(simulator, OLD)
    stack.up().ok()
    stack.declare(simulator, NEW)
    running = stack.start_up()
    wait_until(lambda: running.waits, "it waits")
    running.interrupt()
    out = {"interrupted": shown(diagnostics(running.wait().failed().text)["render"])}
    stack.declare(simulator, OLD)
    out["undo-unseen"] = transcript("pulumi up --yes --skip-preview", stack.run("up", *AFTER_UP, QUIET).ok())
    out["undo-refreshed"] = under_row("pulumi up --refresh", stack.up("--refresh").failed())
    stack.declare(simulator, OLD, on_conflict="wait")
    running = stack.start("up", *AFTER_UP, QUIET)
    wait_until(lambda: "comes after it" in running.text, "it waits for the other upgrade")
    simulator.speed(60)
    out["undo-waited"] = under_row("pulumi up", running.wait().ok())
    return out


def killed(ground: Ground) -> Outputs:
    """A CLI that was killed, the lock it leaves, and the way on."""
    simulator = ground.simulator(paas_pool())
    stack = ground.stack(simulator)
    stack.declare(simulator, NEW)
    running = stack.start_up()
    wait_until(lambda: running.waits, "it waits")
    running.kill()
    locked = stack.up()
    text = next(line for line in locked.text.splitlines() if "currently locked" in line)
    out = {"locked": shown(text)}
    wait_until(lambda: stack.plugins() == [], "the plugin ends")
    # What a kill leaves at another moment: the state is renamed when it is whole, and this file beside it is not.
    attributes = stack.state_file.with_suffix(".json.attrs")
    attributes.write_bytes(b"")
    out["no-attributes"] = shown(stack.run("cancel", "--yes").failed().text.strip())
    attributes.unlink()
    stack.run("cancel", "--yes").ok()
    out["resumed"] = shown(diagnostics(roll(simulator, stack).text)["render"])
    return out


def proxied(ground: Ground) -> Outputs:
    """A proxy that gets the calls of Pulumi's SDK to its own engine, and how to keep them from it."""
    simulator = ground.simulator(paas_pool())
    stack = ground.stack(simulator, http_proxy="http://127.0.0.1:9", no_proxy="", NO_PROXY="")
    stack.declare(simulator, OLD)
    said = stack.run("preview").text
    out = {"proxied": shown(next(line[line.index("details =") :] for line in said.splitlines() if "details =" in line))}
    stack.environment["no_proxy"] = "127.0.0.1,localhost"
    stack.run("preview").ok()
    return out


def removed(ground: Ground) -> Outputs:
    """The resource and the package dropped in one change; and a program that the language host interrupts."""
    simulator = ground.simulator(paas_pool())
    stack = ground.stack(simulator)
    stack.declare(simulator, OLD)
    stack.up().ok()
    program = stack.program_folder / "__main__.py"
    program.write_text("import pulumi\n", encoding="utf-8")
    stack.environment["PYTHONPATH"] = str(ROOT / "tests" / "cli" / "without_package")
    out = {"uninstalled": shown(last_line(diagnostics(stack.run("preview", "--refresh").text)["render"]))}
    host = ROOT / "tests" / "cli" / "newer_host"
    stack.environment["PATH"] = os.pathsep.join([str(host), stack.environment["PATH"]])
    stack.environment["BATCH_OS_TEST_PULUMI"] = os.environ["BATCH_OS_TEST_PULUMI"]
    # The program asks for the interrupt once it runs: before, it would hit the start of Python.
    program.write_text(
        "import asyncio, pathlib, pulumi\n\n"
        "def program():\n"
        "    pathlib.Path('interrupt-the-program').touch()\n"
        "    return asyncio.sleep(20)\n\n"
        "pulumi.run(program)\n",
        encoding="utf-8",
    )
    lines = diagnostics(stack.up().text)[f"{PROJECT}-{STACK}"].splitlines()
    begin, end = lines.index("Traceback (most recent call last):"), lines.index("KeyboardInterrupt")
    # The middle is of Python's version, the number of the host's.
    where = re.sub(r'"[^"]*/(?=pulumi)', '"/usr/bin/', re.sub(r"line \d+", "line 232", lines[begin + 1]))
    out["keyboard-interrupt"] = shown("\n".join((lines[begin], f"  {where}", "  ...", lines[end])))
    return out


def refused(ground: Ground) -> Outputs:
    """Messages of troubleshooting.md, by one `up` of many pools in six accounts."""
    simulator = ground.simulator()
    retired, other_key = ground.simulator(paas_pool()), ground.simulator(paas_pool())
    retired.unknown(retiredApiVersions="before-2025-06-01")
    changed = {"name": other_key.account, "key": "AAAA" + other_key.key[4:]}
    other_key.put("state", {**other_key.get("state"), "account": changed})
    entra_only, no_network = ground.simulator(paas_pool()), ground.simulator(paas_pool())
    for each, setting in (
        (entra_only, {"allowedAuthenticationModes": ["AAD"]}),
        (no_network, {"publicNetworkAccess": "Disabled"}),
    ):
        state = each.get("state")
        each.put("state", {**state, "account": {**state["account"], **setting}})
    stack = ground.stack(simulator)
    # What the preview refuses ends an `up` at its first pool; here each has its own end.
    stack.run("config", "set", "batch:previewLook", "false").ok()
    stack.program(
        f"""
        def pool(name, endpoint="{simulator.endpoint}", pool_id="render"):
            PoolOsVersion(name, account_endpoint=endpoint, pool_id=pool_id, target_os_version="{NEW}")

        pool("not-found", pool_id="not-found")
        pool("retired", endpoint="{retired.endpoint}")
        pool("wrong-key", endpoint="{other_key.endpoint}")
        pool("entra-only", endpoint="{entra_only.endpoint}")
        pool("no-network", endpoint="{no_network.endpoint}")
        pool("unreachable", endpoint="{ground.nowhere()}")
        """
    )
    said = diagnostics(stack.up("--continue-on-error", "--parallel", "20").failed().text)
    return {name: shown(text) for name, text in said.items() if name != f"{PROJECT}-dev"}


def unchecked(ground: Ground) -> Outputs:
    """What a preview refuses before anything is asked."""
    simulator = ground.simulator(paas_pool())
    stack = ground.stack(simulator)
    where = f'account_endpoint="{simulator.endpoint}", pool_id="render"'
    stack.program(
        f"""
        render = PoolOsVersion("render", {where}, target_os_version="{OLD}")
        # Without an order of their own Pulumi checks either first.
        options = ResourceOptions(depends_on=[render])
        PoolOsVersion("again", {where}, target_os_version="{NEW}", opts=options)
        """
    )
    said = diagnostics(stack.run("preview").failed().text)
    (twice,) = [shown(text) for text in said.values() if "declared twice" in text]
    return {"twice": twice}


def federated(ground: Ground) -> Outputs:
    """troubleshooting.md: an assertion too late, one that Entra does not know, no role for a write, and no identity."""
    simulator = ground.simulator(paas_pool(), tls=True)
    job = simulator.by_oidc("deployer", assertions={"lifetime": 1})
    request = urllib.request.Request(  # noqa: S310 - loopback
        job["ARM_OIDC_REQUEST_URL"], headers={"Authorization": f"Bearer {job['ARM_OIDC_REQUEST_TOKEN']}"}
    )
    with urllib.request.urlopen(request, timeout=30, context=simulator.trusted()) as response:  # noqa: S310 - loopback
        late = json.load(response)["value"]
    out = {}
    for name, assertion in (("oidc-late", late), ("oidc-unknown", "eyJ.of.another")):
        # The shared key, which would be used first, is taken away.
        environment = {**job, "ARM_OIDC_TOKEN": assertion, "AZURE_BATCH_ACCOUNT": "", "AZURE_BATCH_ACCESS_KEY": ""}
        stack = ground.stack(simulator, name=name, **environment)
        stack.declare(simulator, NEW)
        said = diagnostics(stack.run("up", *AFTER_UP, QUIET).failed().text)["render"]
        out[name] = shown(last_line(said))
    reader = simulator.by_secret("reader", readOnly=True)
    # Only what a developer signs in with, in a separate home: a machine in Azure has an identity.
    no_identity = {
        "REQUESTS_CA_BUNDLE": reader["REQUESTS_CA_BUNDLE"],
        "AZURE_TOKEN_CREDENTIALS": "dev",
    }
    for name, environment in (("no-role", reader), ("no-identity", no_identity)):
        stack = ground.stack(simulator, name=name, **environment, AZURE_BATCH_ACCOUNT="", AZURE_BATCH_ACCESS_KEY="")
        stack.declare(simulator, NEW)
        out[name] = shown(last_line(diagnostics(stack.run("up", *AFTER_UP, QUIET).failed().text)["render"]))
    return out
