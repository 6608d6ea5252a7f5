"""Fixtures of the tests on the real Pulumi CLI."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support import fork_server, vault
from tests.support import simulator as simulators
from tests.support.doors import DYNAMIC, Door
from tests.support.stack import Stack, made_once, make_template

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

STARTED_AS_BY_USERS = {"interruptions", "main_road", "plugin", "releases", "test_terminal.py"}
"""Folders and modules of tests in which no process comes from a fork server."""
WITH_PASSPHRASE = {"main_road", "releases", "test_comment.py", "test_secrets.py"}
"""Folders and modules of tests whose stacks have a passphrase, as those of users have."""
STACKS = pytest.StashKey[list[Stack]]()
"""The stacks of a test."""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack that was never deployed, to be copied."""
    assert "BATCH_OS_TEST_PULUMI" in os.environ, "the Pulumi CLI is needed; run the tests with `make test`"
    return made_once(tmp_path_factory, "template", make_template)


@pytest.fixture(scope="session")
def template_with_vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack whose secrets have the stand-in for Vault."""
    return made_once(tmp_path_factory, "template-with-vault", partial(make_template, has_vault=True))


@pytest.fixture
def sim() -> Iterator[simulators.Simulator]:
    """A frozen simulator with one Cloud Services pool, `render`, of three idle nodes."""
    for simulator in simulators.running():
        simulator.pools(simulators.paas_pool())
        yield simulator


@pytest.fixture
def door() -> Door:
    """The door of a test that does not name one: see ``both_doors`` and ``native_door``."""
    return DYNAMIC


@pytest.fixture
def new_stack(
    tmp_path: Path, sim: simulators.Simulator, door: Door, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Stack]]:
    """Makes stacks that are signed in to the simulator."""
    made = request.node.stash.setdefault(STACKS, [])
    names = {request.path.parent.name, request.path.name}
    own: dict[str, str] = {}
    if not STARTED_AS_BY_USERS & names:
        own[fork_server.VARIABLE] = fork_server.address()
    has_vault = not WITH_PASSPHRASE & names
    if has_vault:
        own |= vault.environment()
    template: Path = request.getfixturevalue("template_with_vault" if has_vault else "template")

    def make(name: str = "stack", **environment: str) -> Stack:
        stack = Stack(tmp_path / name, template, {**sim.environment, **own, **environment}, door)
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.end()


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """A stack that is signed in to the simulator."""
    return new_stack()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what its commands said: a wait that ends shows only what did not happen."""
    report = yield
    if report.failed:
        report.sections += [said for stack in item.stash.get(STACKS, []) for said in stack.said()]
    return report
