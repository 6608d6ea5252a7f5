"""`batch-os comment` on files that the real CLI wrote: previews that succeeded, were refused, failed, or died."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.simulator import BEHIND, NEW, OLD, OTHER, TARGET, Simulator, job, paas_pool, vm_pool
from tests.support.stack import COMMAND_TIMEOUT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

FAMILY_5 = "WA-GUEST-OS-5.25_201811-01"
PROGRAM = "from batch_os_provider.cli.main import main; main(prog_name='batch-os')"


@dataclass(frozen=True)
class Said:
    """What the command said."""

    code: int
    stdout: str
    stderr: str


def preview(stack: Stack, *options: str, **environment: str) -> Path:
    """The file of `pulumi preview --json >FILE 2>&1`."""
    file = stack.folder / "preview.json"
    with file.open("wb") as output:
        subprocess.run(  # noqa: S603 - the Pulumi CLI
            ["pulumi", "preview", "--json", "--non-interactive", *options],  # noqa: S607 - on the PATH we made
            cwd=stack.program_folder,
            env={**stack.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
    return file


def batch_os(*arguments: str) -> Said:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-W", "error", "-c", PROGRAM, "comment", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def read(file: Path) -> dict[str, Any]:
    done = batch_os(f"dev={file}", "--json")
    assert done.code == 0, done.stderr
    (stack,) = json.loads(done.stdout)["stacks"]
    return stack


def pools(stack: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in ("poolId", "what", "from", "to", *names)) for row in stack["pools"]]


def declared(simulator: Simulator, **targets: str) -> str:
    """A program's lines for these pools: Cloud Services pools by their Guest OS version, VM pools by an image's."""
    lines = []
    for name, target in targets.items():
        of = f"{name!r}, account_endpoint={simulator.endpoint!r}, pool_id={name!r}"
        lines.append(
            f"PoolOsVersion({of}, target_os_version={target!r})\n"
            if target.startswith("WA-")
            else f"PoolImageVersion({of}, target_image_version={target!r}, strategy='surge')\n"
        )
    return "".join(lines)


def test_new_pools_of_both_kinds(sim: Simulator, stack: Stack) -> None:
    sim.seed(paas_pool(), paas_pool("done", current=NEW), vm_pool("encode"), jobs=[job("render", 3600, 3600)])
    sim.advance(60)
    other = (
        "class P(pulumi.dynamic.ResourceProvider):\n    pass\n"
        "class R(pulumi.dynamic.Resource):\n    def __init__(self):\n        super().__init__(P(), 'other', {})\n"
        "R()\n"
    )
    stack.program(declared(sim, render=NEW, done=NEW, encode=TARGET, nobody=NEW) + other)
    file = preview(stack)
    seen = read(file)
    assert pools(seen, "nodes", "behind", "tasks", "looked") == [
        ("done", "adopt", NEW, NEW, 3, None, None, True),
        ("encode", "renew", BEHIND, TARGET, 2, 2, 0, True),
        ("nobody", "not looked at", "", NEW, None, None, None, False),
        ("render", "upgrade", OLD, NEW, 3, None, 2, True),
    ]
    assert {"expired", "retired", "disabled"} <= set(seen["pools"][3]["warnings"])
    assert (seen["failed"], seen["unchanged"], seen["otherChanges"]) == (False, 0, {"create": 1})
    # The command needs neither pulumi nor azure.
    watch = f"import sys; sys.argv = ['batch-os', 'comment', 'dev={file}']\ntry:\n    exec({PROGRAM!r})\nfinally:\n    "
    watch += "print([n for n in ('pulumi', 'azure', 'grpc', 'rich') if n in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=True)  # noqa: S603 - as above
    assert done.stdout.startswith("<!-- batch-os comment v1 -->\n### Batch pools: ")
    assert "1 x upgrade" in done.stdout
    assert done.stderr == "[]\n"


def test_pools_that_were_not_looked_at_stop_the_gate_and_say_why(sim: Simulator, stack: Stack) -> None:
    sim.seed(paas_pool(), vm_pool("encode"))
    elsewhere = "https://farm.westeurope.batch.azure.com"
    program = declared(sim, render=NEW, rendre=NEW) + "".join(
        declared(sim, **{name: NEW}).replace(sim.endpoint, elsewhere) for name in ("cut", "mix")
    )
    stack.program(program)
    file = preview(stack, AZURE_TOKEN_CREDENTIALS="AzureCliCredential")
    rows = {row["poolId"]: row for row in read(file)["pools"]}
    assert rows["render"]["looked"]
    assert {name for name, row in rows.items() if not row["looked"]} == {"rendre", "cut", "mix"}
    assert rows["rendre"]["unseen"].startswith("the account has no such pool")
    assert rows["cut"]["unseen"] == rows["mix"]["unseen"]
    assert "Azure CLI not found on path" in rows["cut"]["unseen"]
    shown = batch_os(f"dev={file}", "--fail-on", "not-looked-at")
    assert shown.code == 3
    assert shown.stderr.splitlines() == [f"--fail-on not-looked-at: dev, {name}" for name in ("cut", "mix", "rendre")]
    cells = {
        line.split(" | ")[1]: line.split(" | ")[-1] for line in shown.stdout.splitlines() if line.startswith("| dev")
    }
    assert cells["<code>rendre</code>"].startswith("**the account has no such pool; ")
    for name in ("cut", "mix"):
        assert re.match(r"\*\*account https.+Azure CLI not found on path.*\*\*, expired", cells[f"<code>{name}</code>"])
    assert not cells["<code>render</code>"].startswith("**")


def test_a_preview_without_json_is_no_preview_for_the_command(stack: Stack) -> None:
    stack.program("import pulumi")
    done = stack.run("preview").ok()
    file = stack.folder / "preview.txt"
    file.write_text(done.text, encoding="utf-8")
    said = batch_os(f"dev={file}")
    assert (said.code, said.stdout) == (1, "")
    assert "is not JSON; was --json given?" in said.stderr
    streamed = batch_os(f"dev={preview(stack, PULUMI_ENABLE_STREAMING_JSON_PREVIEW='true')}")
    assert (streamed.code, streamed.stdout) == (1, "")
    assert "unset PULUMI_ENABLE_STREAMING_JSON_PREVIEW" in streamed.stderr


def test_a_refresh_shows_drift_and_who_is_left(sim: Simulator, stack: Stack) -> None:
    sim.pools(paas_pool(), paas_pool("same"), paas_pool("left"), paas_pool("renamed"), paas_pool("moved"))
    stack.program(declared(sim, render=OLD, same=OLD, left=OLD, renamed=OLD, moved=OLD))
    stack.up().ok()
    sim.move_to(OTHER)
    still = declared(sim, render=OLD, same=OLD, renamed=OLD).replace("'renamed', account", "'other', account")
    elsewhere = declared(sim, moved=OLD).replace("pool_id='moved'", "pool_id='left'")
    stack.program(still + elsewhere)
    seen = read(preview(stack, "--refresh"))
    assert pools(seen, "nodes") == [
        ("left", "adopt", OLD, OLD, 3),
        ("moved", "delete", OLD, "", None),
        ("renamed", "adopt", OLD, OLD, 3),
        ("render", "rollback", OTHER, OLD, 3),
    ]
    assert seen["unchanged"] == 1
    # Where looks are off, a change is told by the state.
    stack.run("config", "set", "batch:previewLook", "false").ok()
    stack.program(declared(sim, render=NEW, same=OLD, left=OLD, renamed=OLD, moved=OLD))
    before = len(sim.requests())
    file = preview(stack)
    assert len(sim.requests()) == before
    assert pools(read(file), "nodes", "looked") == [("render", "upgrade", OLD, NEW, None, False)]
    assert batch_os(f"dev={file}", "--fail-on", "not-looked-at").code == 3


def test_refused_pools_failed_reads_and_unexpected_changes_fail_the_stack(sim: Simulator, stack: Stack) -> None:
    stack.program(declared(sim, render=OLD))
    stack.up().ok()
    stack.program(declared(sim, render=NEW))
    seen = read(preview(stack, "--expect-no-changes"))
    assert seen["error"] == "no changes were expected for preview but changes were proposed"
    assert pools(seen) == [("render", "upgrade", OLD, NEW)]
    stack.program(declared(sim, render=FAMILY_5))
    seen = read(preview(stack))
    assert pools(seen) == [("render", "refused", OLD, FAMILY_5)]
    assert seen["error"].startswith(f"render: target_os_version {FAMILY_5} is of OS family 5")
    # On create it is a check failure.
    sim.pools(paas_pool(), vm_pool("encode"))
    stack.program(declared(sim, render=OLD, encode=OLD.replace("4.58", "4.57").replace("09-01", "08-01")))
    assert [row[:2] for row in pools(read(preview(stack)))] == [("encode", "refused")]
    stack.program(declared(sim, render=OLD))
    seen = read(preview(stack, "--refresh", AZURE_BATCH_ACCESS_KEY="AAAA" + sim.key[4:]))
    assert pools(seen) == [("render", "failed", "", "")]
    assert "AuthenticationFailed" in seen["error"]
    assert seen["unchanged"] is None


def test_previews_that_die_are_told_too(sim: Simulator, stack: Stack) -> None:
    stack.program("raise ValueError('no <b>config</b>')")
    file = preview(stack)
    assert read(file)["error"] == "ValueError: no <b>config</b>"
    done = batch_os(f"dev={file}")
    assert "<b>" not in done.stdout
    seen = read(preview(stack, PULUMI_CONFIG_PASSPHRASE="another", PULUMI_STACK="dev"))
    assert (seen["failed"], seen["pools"]) == (True, [])
    seen = read(preview(stack, PULUMI_BACKEND_URL="file:///no/such/folder"))
    assert seen["error"].startswith("unable to open state directory")


def test_an_interrupted_preview_is_told_too(stack: Stack) -> None:
    stack.program("import time\nprint('it runs', flush=True)\nopen('runs', 'w').close()\ntime.sleep(60)")
    runs = stack.program_folder / "runs"
    running = stack.start("preview", "--json")
    wait_until(runs.exists, "the program runs")
    running.process.send_signal(signal.SIGINT)
    running.wait().failed()
    assert read(running.log)["error"] == "preview canceled"
    runs.unlink()
    running = stack.start("preview", "--json")
    wait_until(runs.exists, "the program runs")
    running.kill()
    assert read(running.log)["error"].startswith("the preview wrote nothing")
