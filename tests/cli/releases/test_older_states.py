"""States that earlier releases have written: with the current code they are what they were.

A file of ``states/`` is what ``pulumi stack export`` gave after the release of its name had made ``PROGRAM`` true, with
all optional inputs that it had. Taken out were only ``sourcePosition`` and ``stackTrace``, which tell of the machine.
The account's endpoint in it stands for that of the simulator. A release adds its file and changes none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.simulator import NEW, OTHER, TARGET, Simulator, paas_pool, vm_pool
from tests.support.stack import IMAGE_TYPE, TYPE

if TYPE_CHECKING:
    from tests.support.stack import Stack

FOLDER = Path(__file__).parents[1] / "states"
RELEASES = sorted(path.stem for path in FOLDER.glob("*.json"))
ENDPOINT = "http://127.0.0.1:8700"
PROGRAM = """
PoolOsVersion(
    "render",
    account_endpoint={endpoint!r},
    pool_id="render",
    target_os_version={target!r},
    timeout="90m",
    on_timeout="defer",
    if_resizing="fail",
    on_conflict="wait",
)
PoolImageVersion(
    "frames",
    account_endpoint={endpoint!r},
    pool_id="frames",
    target_image_version={image!r},
    strategy="surge",
    surge=2,
    drain_timeout="30m",
    timeout="3h",
    on_timeout="defer",
)
"""


@pytest.mark.parametrize("release", RELEASES)
def test_a_state_is_what_it_was_until_the_program_changes(sim: Simulator, stack: Stack, release: str) -> None:
    """Preview and `up` without a call, a refresh without a change, the next target, and the end."""
    sim.seed(paas_pool(current=NEW), vm_pool("frames", exact=TARGET))
    stack.program(PROGRAM.format(endpoint=sim.endpoint, target=NEW, image=TARGET))
    state = stack.folder / "state.json"
    state.write_text((FOLDER / f"{release}.json").read_text().replace(ENDPOINT, sim.endpoint))
    stack.run("stack", "import", "--file", str(state)).ok()
    stack.preview("--expect-no-changes").ok()
    stack.up("--expect-no-changes").ok()
    assert not sim.requests()

    stack.refresh("--expect-no-changes").ok()
    assert {each["pool"] for each in sim.requests("Pool_Get")} == {"render", "frames"}
    stack.preview("--expect-no-changes").ok()
    assert not sim.writes()

    # A state that no refresh has touched: the next target is reached from it.
    stack.run("stack", "import", "--file", str(state)).ok()
    stack.program(PROGRAM.format(endpoint=sim.endpoint, target=OTHER, image=TARGET))
    sim.speed(120)
    assert f'~ target_os_version: "{NEW}" => "{OTHER}"' in stack.preview().ok().text
    stack.up().ok()
    (post,) = sim.upgrades()
    assert post["status"] == 202
    assert stack.all_outputs()["render"]["current_os_version"] == OTHER

    # A destroy leaves the pools alone.
    stack.run("stack", "import", "--file", str(state)).ok()
    before = len(sim.requests())
    stack.run("destroy", "--yes", "--skip-preview").ok()
    assert stack.resources() == []
    assert len(sim.requests()) == before


def test_each_state_has_both_resources_and_nothing_that_is_secret_or_of_a_machine() -> None:
    assert "0.1.0" in RELEASES
    for release in RELEASES:
        text = (FOLDER / f"{release}.json").read_text()
        assert {TYPE, IMAGE_TYPE} <= {each["type"] for each in json.loads(text)["deployment"]["resources"]}
        for word in ("sourcePosition", "stackTrace", "ciphertext", "4dabf18193072939515e22adb298388d"):
            assert word not in text, f"{release}: {word}"
