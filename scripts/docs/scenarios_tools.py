"""Scenarios of the commands: a newcomer with `batch-os`, pull-request comments, the probe, the simulator itself."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from typing import Any

from batch_os_provider.batch import credentials
from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Pool
from batch_os_provider.cli.probe.questions import questions
from batch_os_provider.engine.seams import PROVEN_ON
from batch_os_provider.rollout.actions import GRACE, Refuse
from batch_os_provider.rollout.os_upgrade.decide import History, decide
from batch_os_provider.schema.declared import Policy
from scripts.docs.ground import NEW, Ground, batch_os, paas_pool
from scripts.docs.pages import ROOT, Outputs, ageless, diagnostics, fixed, last_line, program_of, shown, transcript
from tests.support import simulator as simulators
from tests.support.simulator import TARGET, Simulator, vm_pool
from tests.support.stack import PROJECT, Result


def newcomer(ground: Ground) -> Outputs:
    """README: the status, the adoption and a change of an account's pools; then the program on that page."""
    account = json.loads((ROOT / "examples" / "pinned_pools" / "account.json").read_text(encoding="utf-8"))
    pools = {pool["id"]: pool for pool in account["pools"]}
    # And one as most teams have it: on `latest`, whose nodes name no version.
    latest = json.loads(json.dumps(pools["convert"]).replace("17763.3124.2111130129", "latest"))
    simulator = ground.simulator()

    def begin(*pools: Mapping[str, Any]) -> None:
        simulator.put("state", {**account, "account": simulator.get("state")["account"], "pools": list(pools)})

    begin(latest, pools["solve"], pools["train"])
    old, new = "22.04.2024102301", "22.04.2026082801"
    stack = ground.stack(simulator, COLUMNS="110")

    def call(*arguments: str) -> str:
        said = batch_os(stack, stack.program_folder, *arguments)
        return re.sub(r"127_0_0_1_\d+", "127_0_0_1_8700", said)

    def rows(result: Result) -> str:
        said = diagnostics(result.text)
        return "".join(f"{name}: {said[name]}" for name in ("train", "solve") if name in said)

    out = {"readme-status": transcript("batch-os status $ENDPOINT", call("status", simulator.endpoint))}
    program = stack.program_folder / "__main__.py"
    call("adopt", simulator.endpoint, "--output", program.name)
    written = program.read_text(encoding="utf-8")
    out["readme-adopt"] = transcript(
        "batch-os adopt $ENDPOINT --output __main__.py; cat __main__.py",
        re.sub(r"127_0_0_1_\d+", "127_0_0_1_8700", written),
    )
    out["readme-adopted"] = transcript("pulumi preview", rows(stack.run("preview").ok()))
    stack.up().ok()
    program.write_text(written.replace(old, new), encoding="utf-8")
    out["readme-change"] = transcript("pulumi preview", rows(stack.run("preview").ok()))
    stack.up().ok()
    pin = simulator.pool("train")["virtualMachineConfiguration"]["imageReference"]["version"]
    if pin != new:
        raise AssertionError(f"the page says that `up` re-pins the pool to {new}; it has {pin}")
    begin(pools["train"], paas_pool(nodes=6))
    both = ground.stack(simulator, name="both")
    (both.program_folder / "__main__.py").write_text(program_of(ROOT / "README.md"), encoding="utf-8")
    both.run("config", "set", "accountEndpoint", simulator.endpoint).ok()
    said = diagnostics(both.run("preview").ok().text)
    if not all(" -> " in said[name] for name in ("train", "render")):
        raise AssertionError(f"the program of README.md plans something else: {said}")
    return out


def misread(ground: Ground) -> Outputs:
    """troubleshooting.md: what an import and an option that cannot work end with."""
    simulator = ground.simulator(paas_pool())
    stack = ground.stack(simulator)
    url = f"{simulator.endpoint}/pools/render"
    where = f'account_endpoint="{simulator.endpoint}", pool_id="render"'

    stack.program(
        f"""
        options = ResourceOptions(import_="{url}", custom_timeouts=pulumi.CustomTimeouts(update="4h"))
        PoolOsVersion("render", {where}, target_os_version="{NEW}", opts=options)
        """
    )
    # What the program itself ends with stands under the stack, before a line that says that it ended.
    said = diagnostics(stack.run("preview").failed().text)[f"{PROJECT}-dev"]
    out = {"option": shown(said.strip().splitlines()[0])}
    imported = stack.run("import", "pulumi-python:dynamic/batch:PoolOsVersion", "render", url, "--yes")
    out["import"] = shown(last_line(diagnostics(imported.text)["render"]))
    return out


def words(_ground: Ground) -> Outputs:
    """Messages that need half a minute, or a network, taken from the functions that make them."""
    ref = PoolRef("https://myaccount.westeurope.batch.azure.com", "render")
    other = {"AZURE_BATCH_ACCOUNT": "another", "AZURE_BATCH_ACCESS_KEY": "bm90IGEga2V5"}
    seen = Pool.from_json(ref, paas_pool())
    # Batch took the upgrade, and for longer than the grace the pool has been seen as it was.
    history = History().accepted(0.0).observed(seen, NEW, 1.0)
    moved = decide(seen, NEW, Policy(), history, 1.0 + GRACE)
    if not isinstance(moved, Refuse):
        raise TypeError(f"moved away is {moved}")
    return {
        "other-account": shown(credentials.find(ref.endpoint, other).passed_over),
        "moved-away": shown(f"{moved.reason}. {moved.next_step}."),
    }


def reviewed(ground: Ground) -> Outputs:
    """comment.md: the previews of three stacks as one comment, and a pool of its digest."""
    newest, older, disabled = "WA-GUEST-OS-7.58_202511-01", "WA-GUEST-OS-7.57_202510-01", "WA-GUEST-OS-7.55_202508-01"

    def pool(pool_id: str, nodes: int, current: str) -> dict[str, Any]:
        versions = {"osFamily": "7", "targetOSVersion": current, "currentOSVersion": current}
        return paas_pool(pool_id, nodes=nodes, cloudServiceConfiguration=versions)

    dev, stage, prod = (ground.simulator() for _ in range(3))
    tasks = [simulators.job("render", 7200, 7200, 7200), simulators.job("encode", 7200)]
    dev.seed(pool("render", 8, older), pool("thumbs", 2, newest), vm_pool("encode", nodes=4), jobs=tasks)
    dev.advance(60)  # the tasks begin
    stage.pools(pool("render", 4, newest), pool("thumbs", 2, newest), pool("old", 1, older))
    prod.pools(pool("render", 40, older))
    stack = ground.stack(dev)  # all accounts of simulators have the same name and key
    folder = stack.program_folder

    def declare(simulator: Simulator, **targets: str) -> None:
        lines = []
        for name, target in targets.items():
            of = f"{name!r}, account_endpoint={simulator.endpoint!r}, pool_id={name!r}"
            is_os = target.startswith("WA-")
            os_version, image = f"target_os_version={target!r}", f"target_image_version={target!r}"
            more = os_version if is_os else f'{image}, strategy="surge", surge=2'
            lines.append(f"{'PoolOsVersion' if is_os else 'PoolImageVersion'}({of}, {more})")
        stack.program("\n".join(lines))

    def preview(name: str) -> None:
        command = f"pulumi preview --refresh --json --non-interactive >{shlex.quote(str(folder / name))}.json 2>&1"
        subprocess.run(command, shell=True, cwd=stack.program_folder, env=stack.environment, check=False)  # noqa: S602 - as a user

    def comment(*options: str) -> subprocess.CompletedProcess[str]:
        program = "from batch_os_provider.cli.main import main; main(prog_name='batch-os')"
        command = [sys.executable, "-c", program, "comment", *options]
        return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)

    declare(dev, render=newest, thumbs=newest, encode=TARGET)
    preview("dev")
    declare(stage, render=newest, thumbs=newest, old=older)
    stack.up().ok()
    declare(stage, render=disabled, thumbs=newest)
    preview("stage")
    # Nothing is taken over from the stack before: a pool in another account is another pool.
    stack = ground.stack(prod, name="prod")
    declare(prod, render="WA-GUEST-OS-6.90_202512-01")
    preview("prod")
    files = [f"{name}={name}.json" for name in ("dev", "stage", "prod")]
    words = "rollback,failed,not-looked-at"
    done = comment(*files, "--fail-on", words)
    (row, *_) = json.loads(comment(files[0], "--json").stdout)["stacks"][0]["pools"]
    return {
        "comment": fixed(done.stdout),
        "comment-stopped": transcript(f"batch-os comment {' '.join(files)} --fail-on {words}", done.stderr),
        "comment-json": fixed(json.dumps(row, indent=2)) + "\n",
    }


def levers(ground: Ground) -> Outputs:
    """simulator.md: the control endpoints."""
    simulator = ground.simulator(paas_pool(nodes=2))

    def call(method: str, what: str, body: object = None) -> str:
        url = f"{simulator.control}/{what}"
        data = None if body is None else json.dumps(body)
        verb = [] if data is None and method == "GET" else ["-X", method]
        command = shlex.join(["curl", "-s", *verb, *([] if data is None else ["-d", data]), url])
        request = urllib.request.Request(  # noqa: S310 - loopback
            url, method=method, data=None if data is None else data.encode()
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - loopback
            return transcript(command, json.dumps(json.load(response)))

    hello = {name: getattr(simulator, name) for name in ("endpoint", "account", "key", "control")}
    fault = {"match": {"operation": "Pool_UpgradeOS", "nth": 1}, "effect": {"kind": "dropAfter"}}
    simulator.outside("POST", "/pools/render/upgradeos", {"targetOSVersion": NEW})
    # One line, as programs read it, however long.
    out = {"sim-hello": fixed(json.dumps(hello)) + "\n", "sim-audit": call("GET", "audit")}
    out["sim-clock"] = call("POST", "clock", {"advance": 60})
    out["sim-fault"] = call("POST", "faults", fault)
    return out


def probed(ground: Ground) -> Outputs:
    """probe.md: a few of the lines; the drain and what follows is skipped."""
    simulator = ground.simulator()
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts", "version": "22.4.1"}
    simulator.put("state", {**simulator.get("state"), "images": [image]})
    simulator.speed(100)
    asked = questions()
    until = next(number for number, each in enumerate(asked) if "reimage" in each.names) + 1
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from batch_os_provider.cli.main import main; main()",
            "probe",
            simulator.endpoint,
            "--poll=0.1",
        ],
        env={**os.environ, **simulator.environment},
        input="y\n" * (1 + until) + "n\n" * (len(asked) - until),  # the pool itself, then the first questions
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        check=True,
    )
    shown_ones = ("patchNonEmptyCode", "reimage", "removeNodesTimeoutCode")
    lines = [line for line in done.stdout.splitlines() if json.loads(line)["finding"] in shown_ones]
    return {"probe": shown("\n".join(lines))}


def commanded(ground: Ground) -> Outputs:
    """command.md: what `status`, `watch`, `adopt` and `doctor` print of an account, and of one with another key."""
    simulator, locked = ground.simulator(), ground.simulator()
    gallery = vm_pool("legacy")
    image = "/subscriptions/.../galleries/studio/images/farm"
    gallery["virtualMachineConfiguration"]["imageReference"] = {"virtualMachineImageId": image}
    busy = paas_pool("encode", nodes=4)
    simulator.seed(paas_pool(nodes=6), busy, vm_pool("simulate", nodes=8), gallery)
    simulator.outside("POST", "/pools/encode/upgradeos", {"targetOSVersion": NEW})
    account = {"name": locked.account, "key": "AAAA" + locked.key[4:]}
    locked.put("state", {**locked.get("state"), "account": account})
    # Another name of this machine, so that the two accounts differ on the page.
    other = locked.endpoint.replace("127.0.0.1", "localhost")
    stack = ground.stack(simulator, COLUMNS="112")
    program = stack.program_folder / "__main__.py"

    def call(*arguments: str) -> str:
        text = batch_os(stack, stack.folder, *arguments).replace(other, "http://localhost:8701")
        # A constant has the port in its name; and versions are those of the machine that writes the page.
        text = re.sub(r"127_0_0_1_\d+", "127_0_0_1_8700", re.sub(r"127\.0\.0\.1 port \d+", "127.0.0.1 port 8700", text))
        for name, version in {**PROVEN_ON, "Python": "3.11", "azure-batch": "15.1.0"}.items():
            text = re.sub(rf"({name} +)\S+;", rf"\g<1>{version};", text)
        shown_as = shlex.join(arguments).replace(other, "http://localhost:8701")
        return transcript(f"batch-os {shown_as}", text)

    out = {
        "command-status": call("status", simulator.endpoint, other),
        "command-watch": call("watch", simulator.endpoint, "--once"),
        "command-adopt": call("adopt", simulator.endpoint),
    }
    call("adopt", simulator.endpoint, "--output", str(program), "--force")
    out["command-check"] = call("adopt", simulator.endpoint, "--check", program.parent.name)
    out["command-doctor"] = ageless(call("doctor", simulator.endpoint, other))
    simulator.pools(vm_pool("simulate", nodes=8))
    out["command-status-json"] = call("status", "--json", simulator.endpoint)
    out["command-catalogue"] = ageless(call("catalogue"))
    stack.environment["BATCH_OS_CATALOGUE"] = "guestos-catalogue.json"
    (stack.folder / "guestos-catalogue.json").write_text("<!DOCTYPE html>\n", encoding="utf-8")
    text = call("catalogue")
    out["catalogue-broken"] = text[text.index("error: ") :]
    return out
