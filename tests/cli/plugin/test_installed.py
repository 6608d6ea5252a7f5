"""The native provider on PATH and as the folder `plugin/`; the other tests install it with `pulumi plugin install`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.simulator import OLD, Simulator
from tests.support.stack import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack

ROOT = Path(__file__).parents[3]


def test_on_the_path_and_as_a_folder(sim: Simulator, new_stack: Callable[..., Stack], tmp_path: Path) -> None:
    commands, folder = tmp_path / "commands", tmp_path / "plugin"
    commands.mkdir()
    (commands / "pulumi-resource-batchos").symlink_to(Path(sys.executable).parent / "pulumi-resource-batchos")
    shutil.copytree(ROOT / "plugin", folder, ignore=shutil.ignore_patterns("venv", "__pycache__"))
    # The environment that Pulumi makes from requirements.txt, which takes a minute. Newer language hosts give its
    # Python the folder as the first argument; the host under test gives an empty one, also to the Python on PATH.
    for python in (folder / "venv" / "bin" / "python", tmp_path / "host" / "python3"):
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" "{folder}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)

    path = os.pathsep.join([os.environ["BATCH_OS_TEST_PULUMI"], os.defpath])
    both = (
        (new_stack("on-path", PATH=os.pathsep.join([str(commands), path])), {}),
        (
            new_stack("folder", PATH=os.pathsep.join([str(tmp_path / "host"), path])),
            {"packages": {"batchos": str(folder)}},
        ),
    )
    render = {"accountEndpoint": sim.endpoint, "poolId": "render", "targetOsVersion": OLD}
    resources = {"render": {"type": "batchos:PoolOsVersion", "properties": render}}
    for stack, packages in both:
        program = {"name": PROJECT, "runtime": "yaml", "resources": resources, **packages}
        (stack.program_folder / "Pulumi.yaml").write_text(json.dumps(program), encoding="utf-8")
    for running, warns in [(stack.start("preview"), not packages) for stack, packages in both]:
        shown = running.wait().ok().text
        assert "no change needed" in shown
        assert ("using pulumi-resource-batchos from $PATH" in shown) is warns
