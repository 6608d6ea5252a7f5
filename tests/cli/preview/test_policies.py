"""The policy pack on the real CLI, and every block of its page.

The published pack is started as `runtime: python`, which takes the official CLI's language host. Here a copy runs as
`runtime: pypolicy`. Up to CLI 3.259 no such language exists, so the engine starts the launcher of that name instead,
with the same two arguments and in the same folder. Newer engines ask the language host in `tests/cli/policy_host`,
which takes longer to start.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scripts.pulumi_cli import version_of
from tests.support.simulator import BEHIND, IMAGES, Simulator, paas_pool, vm_pool
from tests.support.stack import Result, Stack

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
LAST_WITH_LAUNCHER = (3, 259, 0)
LAUNCHER = '#!/bin/sh\nexec python -u -m pulumi.policy "$1" "$2"\n'
DISABLED, OLDER, NEWEST = "WA-GUEST-OS-7.55_202508-01", "WA-GUEST-OS-7.57_202510-01", "WA-GUEST-OS-7.58_202511-01"
AS_OF = "2026-01-31"
POLICIES = ("production-pinned", "version-floor", "timeout-set", "target-supported", "image-supported")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


PREVIEW, CONFIGURED, TAG = (text.split() for text in blocks("sh"))
(CONFIG,) = blocks("json")
(SHOWN,) = blocks("text")


def family_7(pool_id: str, version: str) -> dict[str, Any]:
    configuration = {"osFamily": "7", "targetOSVersion": version, "currentOSVersion": version}
    return paas_pool(pool_id, cloudServiceConfiguration=configuration)


@pytest.fixture
def stack(new_stack: Callable[..., Stack], sim: Simulator, tmp_path: Path) -> Stack:
    """A stack with the pack in its program's folder, and a pool of each kind."""
    sim.pools(family_7("render", NEWEST), family_7("old", DISABLED), vm_pool("vm"))
    made = new_stack()
    pack = made.program_folder / "policies"
    shutil.copytree(ROOT / "policies", pack, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = pack / "PulumiPolicy.yaml"
    published = manifest.read_text(encoding="utf-8")
    assert published.count("runtime: python\n") == 1
    manifest.write_text(published.replace("runtime: python\n", "runtime: pypolicy\n"), encoding="utf-8")
    made.environment["PATH"] = f"{starter(tmp_path)}{os.pathsep}{made.environment['PATH']}"
    return made


@cache
def has_launcher(cli: str) -> bool:
    """Whether the engine starts a pack by a launcher."""
    return version_of(f"{cli}/pulumi") <= LAST_WITH_LAUNCHER


def starter(tmp_path: Path) -> Path:
    """The folder with the program that starts the pack."""
    if not has_launcher(os.environ["BATCH_OS_TEST_PULUMI"]):
        return ROOT / "tests" / "cli" / "policy_host"
    launcher = tmp_path / "launchers" / "pulumi-analyzer-policy-pypolicy"
    launcher.parent.mkdir()
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)
    return launcher.parent


def preview(stack: Stack, config: object = None) -> Result:
    """The page's own commands."""
    if config is None:
        return pulumi(stack, PREVIEW)
    text = config if isinstance(config, str) else json.dumps(config)
    (stack.program_folder / "policy.json").write_text(text, encoding="utf-8")
    return pulumi(stack, CONFIGURED)


def pulumi(stack: Stack, command: list[str]) -> Result:
    assert command[0] == "pulumi"
    return stack.run(*command[1:])


def violations(result: Result) -> set[tuple[str, str, str]]:
    """Level, policy and resource of each violation."""
    return set(
        re.findall(
            r"- \[(\w+)\] +([\w-]+) +\((?:pulumi-python:dynamic/batch|batchos:index):\w+: ([\w-]+)\)", result.text
        )
    )


def declare(stack: Stack, sim: Simulator, os_target: str, image_target: str, **inputs: Any) -> None:
    """Declare a pool with each resource."""
    common = f'account_endpoint="{sim.endpoint}", **{inputs!r}'
    stack.program(
        f"""
        PoolOsVersion("render", pool_id="render", target_os_version="{os_target}", {common})
        PoolImageVersion("vm", pool_id="vm", target_image_version="{image_target}", strategy="surge", {common})
        """
    )


def test_what_the_page_configures_passes_a_stack_in_order_and_a_pool_that_is_only_read(sim: Simulator, stack: Stack):
    config = json.loads(CONFIG)
    assert set(config) == set(POLICIES)
    config["version-floor"]["floors"] = [OLDER, BEHIND]
    config["target-supported"]["as_of"] = AS_OF
    assert config["image-supported"]["days"] == 60
    declare(stack, sim, NEWEST, BEHIND, timeout="3h")
    # The pool that is only read runs a disabled version below the floor.
    main = stack.program_folder / "__main__.py"
    main.write_text(f'{main.read_text()}PoolOsVersion.get("read", "{sim.endpoint}/pools/old")\n', encoding="utf-8")
    done = preview(stack, config).ok()
    assert violations(done) == set()
    assert "batch-os@v0.1.0" in done.text


def test_what_the_page_configures_stops_both_resources(sim: Simulator, stack: Stack):
    declare(stack, sim, DISABLED, BEHIND)
    failed = preview(stack, CONFIG).failed()
    assert violations(failed) == {
        ("mandatory", "version-floor", "render"),
        ("mandatory", "version-floor", "vm"),
        ("mandatory", "timeout-set", "render"),
        ("mandatory", "timeout-set", "vm"),
        ("mandatory", "target-supported", "render"),
    }
    assert f"vm: target_image_version is '{BEHIND}', which is below the floor of images 20348.*." in failed.flat


def test_advisory_violations_of_both_resources_and_both_providers_warn_and_pass(sim: Simulator, stack: Stack):
    declare(stack, sim, DISABLED, BEHIND)
    native = {"accountEndpoint": sim.endpoint, "poolId": "old", "targetOsVersion": DISABLED}
    main = stack.program_folder / "__main__.py"
    added = f'pulumi.CustomResource("batchos:index:PoolOsVersion", "native", {native!r})\n'
    main.write_text(main.read_text() + added, encoding="utf-8")
    floors = {"floors": [OLDER, "20348.2461.240510"]}
    config = {"all": "advisory", "version-floor": floors, "target-supported": {"as_of": AS_OF}}
    # Pulumi drops a level for a policy that does not exist.
    done = preview(stack, {**config, "timeout-sett": "mandatory"}).ok()
    assert violations(done) == {
        ("advisory", "version-floor", "render"),
        ("advisory", "version-floor", "vm"),
        ("advisory", "timeout-set", "render"),
        ("advisory", "timeout-set", "vm"),
        ("advisory", "target-supported", "render"),
        ("advisory", "version-floor", "native"),
        ("advisory", "timeout-set", "native"),
        ("advisory", "target-supported", "native"),
    }
    assert f"native: targetOsVersion is '{DISABLED}', which is below the floor of OS family 7." in done.flat
    assert f"render: target_os_version is '{DISABLED}', which is below the floor of OS family 7." in done.flat


def test_the_end_of_an_image_is_judged_with_what_batch_shows(sim: Simulator, stack: Stack):
    """One pool's image ends soon, one's stays; then the list is refused, which Pulumi says and continues."""
    soon = datetime.now(UTC) + timedelta(days=50)
    ends = {**IMAGES["windows-2019"].row, "batchSupportEndOfLife": f"{soon.date()}T00:00:00Z"}
    old, new = (vm_pool(name, image=IMAGES[name]) for name in ("windows-2019", "windows-2022"))
    sim.seed(old, new, images=[ends, IMAGES["windows-2022"].row])
    targets = {name: {"target_image_version": IMAGES[name].target} for name in ("windows-2019", "windows-2022")}
    stack.declare_images(sim, "", **targets)
    failed = preview(
        stack, {"all": "disabled", "image-supported": {"enforcementLevel": "mandatory", "days": 60}}
    ).failed()
    assert violations(failed) == {("mandatory", "image-supported", "windows-2019")}
    assert f"of pool windows-2019 ends on {soon.date()}, in " in failed.flat
    assert "does not end within 60 days." in failed.flat
    sim.fault("Account_ListSupportedImages", {"kind": "status", "status": 403, "code": "Forbidden"})
    done = preview(stack, {"all": "disabled", "image-supported": "mandatory"}).ok()
    assert violations(done) == {("advisory", "image-supported", name) for name in targets}, "a warning for each pool"
    said = (
        f"windows-2019: could not check when the support of its image ends: account {sim.endpoint}: listing supported"
    )
    assert "can't run policy 'image-supported' from policy pack 'batch-os@" in done.flat
    assert f" during preview: {said}" in done.flat


def test_without_config_disabled_targets_and_missing_timeouts_are_warnings_also_in_a_fleet(
    sim: Simulator, stack: Stack
):
    stack.program(
        f"""
        where = dict(account_endpoint={sim.endpoint!r})
        PoolFleet("farm", pools=["render", "old"], target_os_version={DISABLED!r}, **where)
        PoolImageVersion("vm", pool_id="vm", target_image_version={BEHIND!r}, strategy="surge", **where)
        PoolOsVersion("star", pool_id="star", target_os_version="*", timeout="3h", **where)
        """
    )
    assert violations(preview(stack).ok()) == {
        ("advisory", "timeout-set", "vm"),
        *(
            ("advisory", policy, f"farm-{p}")
            for policy in ("timeout-set", "target-supported")
            for p in ("render", "old")
        ),
    }


def test_a_newer_catalogue_in_a_file_is_used(sim: Simulator, stack: Stack, tmp_path: Path):
    """The package's own does not know that the version was disabled in February 2026."""
    row = {"version": OLDER, "released": "2025-11-06", "disabled": "2026-02-12"}
    latest = {"version": "WA-GUEST-OS-7.59_202601-01", "released": "2026-02-12", "disabled": None}
    family = {"family": 7, "windows_server": "Windows Server 2022", "announced": None, "end_of_life": None}
    file = tmp_path / "catalogue.json"
    document = {"format": "batch-os guest os catalogue", "version": 1, "families": [family], "releases": [row, latest]}
    file.write_text(json.dumps(document), encoding="utf-8")
    stack.environment["BATCH_OS_CATALOGUE"] = str(file)
    declare(stack, sim, OLDER, BEHIND, timeout="3h")
    done = preview(stack, {"all": "advisory", "target-supported": {"as_of": "2026-02-28"}}).ok()
    assert violations(done) == {("advisory", "target-supported", "render")}
    assert f"{OLDER} is disabled since 2026-02-12" in done.flat


def test_star_is_stopped_once_the_stack_is_tagged_production_and_up_before_the_pool_is_touched(
    sim: Simulator, stack: Stack
):
    declare(stack, sim, "*", BEHIND, timeout="3h")
    pulumi(stack, TAG).ok()
    failed = preview(stack).failed()
    assert violations(failed) == {("mandatory", "production-pinned", "render")}
    assert SHOWN in failed.text, "the page shows another text"
    stack.declare(sim, "*", timeout="3h")
    assert violations(stack.up("--policy-pack", "policies").failed()) == {("mandatory", "production-pinned", "render")}
    assert stack.resources() == []
    assert [request for request in sim.requests() if request["method"] != "GET"] == []


def test_star_is_stopped_in_a_stack_whose_name_is_configured_and_a_disabled_policy_says_nothing(
    sim: Simulator, stack: Stack
):
    declare(stack, sim, "*", BEHIND)
    pinned = {"enforcementLevel": "mandatory", "stacks": ["d?v"]}
    failed = preview(stack, {"all": "disabled", "production-pinned": pinned}).failed()
    assert violations(failed) == {("mandatory", "production-pinned", "render")}
    assert "stack 'dev' (its name matches 'd?v') is production." in failed.flat


def test_a_target_that_is_not_known_yet_is_told_in_preview_and_judged_in_up(sim: Simulator, stack: Stack):
    stack.program(
        f"""
        first = PoolOsVersion(
            "render", account_endpoint="{sim.endpoint}", pool_id="render", target_os_version="{NEWEST}", timeout="3h"
        )
        PoolOsVersion(
            "old",
            account_endpoint="{sim.endpoint}",
            pool_id="old",
            target_os_version=first.os_family.apply(lambda family: f"WA-GUEST-OS-{{family}}.55_202508-01"),
            timeout=first.pool_state.apply(lambda _: "3h"),
        )
        """
    )
    config = {"version-floor": {"floors": [OLDER]}, "target-supported": "disabled"}
    done = preview(stack, config).ok()
    assert violations(done) == {("advisory", "version-floor", "old")}
    assert (
        "old: string value at .target_os_version can't be known during preview; `pulumi up` checks it again"
        in done.flat
    )
    failed = stack.up(*CONFIGURED[2:]).failed()
    assert violations(failed) == {("mandatory", "version-floor", "old")}
    assert list(stack.all_outputs()) == ["render"], "what came before it was known is done"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"version-floor": {"flors": [OLDER]}},
            "version-floor: 'flors' is not a property of this policy; allowed: enforcementLev",
        ),
        ({"version-floor": {"floors": OLDER}}, "version-floor: floors: Invalid type. Expected: array, given: string"),
    ],
)
def test_a_config_that_cannot_be_meant_fails_the_preview(sim: Simulator, stack: Stack, config: object, said: str):
    declare(stack, sim, NEWEST, BEHIND, timeout="3h")
    done = preview(stack, config)
    # Not `failed()`: the policy SDK prints a traceback before whatever a policy raises.
    assert done.code != 0
    assert said in done.flat


def test_json_tells_of_a_mandatory_violation_only_that_the_preview_failed(sim: Simulator, stack: Stack):
    declare(stack, sim, NEWEST, BEHIND)
    (stack.program_folder / "policy.json").write_text('{"timeout-set": "mandatory"}', encoding="utf-8")
    failed = stack.run(*CONFIGURED[1:], "--json").failed()
    assert "preview failed" in failed.text
    assert "timeout-set" not in failed.text
