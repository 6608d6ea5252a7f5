"""Renders each message with a number of the engine, the inputs, the fleet, the catalogue and the policies.

A new message with a number joins ``MESSAGES``.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.engine import parallel_hint
from batch_os_provider.errors import BatchOsError, ServiceAnswer, TransientError
from batch_os_provider.guest_os import catalogue_file
from batch_os_provider.guest_os.catalogue import Catalogue, CatalogueError, Family, Release
from batch_os_provider.guest_os.version import GuestOsVersion
from batch_os_provider.plugin.fleet import not_started
from batch_os_provider.schema import inputs
from batch_os_provider.schema.units import _LONGEST_SHOWN, shown
from batch_os_provider.schema.waves import WavesError, arrange, members
from policies import batch_rules as rules
from tests.unit.plurals import wrong_plurals

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST, TODAY = "WA-GUEST-OS-7.1_202501-01", date(2026, 2, 1)
NUMBERS = (0, 1, 2, 3, 11, 21)


def catalogue(behind: int) -> Catalogue:
    """A catalogue in which ``OLDEST`` is so many releases behind, and disabled."""
    last = TODAY - timedelta(days=30)
    releases = [
        Release(GuestOsVersion(7, minor, 1, f"2025{minor:02d}"), "Windows Server 2022", last, TODAY)
        for minor in range(1, behind + 2)
    ]
    return Catalogue(tuple(releases), (Family(7, "Windows Server 2022"),))


def verdicts(number: int) -> str:
    known = catalogue(min(number, 11))
    return "; ".join(each.text for each in known.judge(OLDEST, TODAY)) + str(known.outdated(date(2027, 1, 1)))


def policy(number: int) -> str:
    resource = rules.Resource(
        "pulumi-python:dynamic/batch:PoolOsVersion",
        "render",
        "urn:pulumi:dev::demo::pulumi-python:dynamic/batch:PoolOsVersion::render",
        {"account_endpoint": "https://a.b", "pool_id": "render", "target_os_version": OLDEST},
    )
    config = {"refuse": list(rules.CODES)}
    found: str = rules.target_supported(resource, config, catalogue(min(number, 11)), TODAY)
    return found + str(rules.timeout_set(resource, {}))


def refused(spec: inputs.Spec, name: str) -> Callable[[int], str]:
    """The failure of an input for a wrong value with this number in it."""
    return lambda number: "; ".join(
        inputs.wrong(name, value) for value in (-number, f"{number}x", number * 1000, [number]) if name in spec.names
    )


def fleet(canary: Any, waves: Callable[[int], Any]) -> Callable[[int], str]:
    def text(number: int) -> str:
        pools = members([f"pool-{index}" for index in range(max(1, number))])
        try:
            arrange(pools, canary, waves(number))
        except WavesError as error:
            return str(error)
        return ""

    return text


def too_long(number: int) -> str:
    try:
        catalogue_file.parse(" " * (catalogue_file.MOST + number + 1))
    except CatalogueError as error:
        return str(error)
    return ""


def throttled(number: int) -> str:
    answer = ServiceAnswer(429, "TooManyRequests", f"try again in {number} s", "id", float(number))
    return f"{TransientError(answer, pool='https://a.b/pools/p', doing='reading the pool')} {BatchOsError('no')}"


MESSAGES: dict[str, Callable[[int], str]] = {
    "parallel hint": lambda number: parallel_hint.hint(number + 1, number),
    "later waves of a fleet": not_started,
    "parallel hint of waves": lambda number: parallel_hint.hint(number + 5, number, number + 1),
    "parallel hint of one pool": lambda number: parallel_hint.hint(1, number, 2),
    "catalogue": verdicts,
    "catalogue file": too_long,
    "policies": policy,
    "long value": lambda number: shown("x" * (_LONGEST_SHOWN + number)),
    "wave of a number": fleet(None, lambda number: [-number]),
    "wave of a share": fleet(None, lambda number: [f"{number}%", f"{number}%"]),
    "wave of names": fleet(None, lambda number: [[f"pool-{number}"]]),
    "canary": fleet(["pool-0", "pool-0"], lambda _: None),
    "service answer": throttled,
    **{f"{spec.targets[0]} {name}": refused(spec, name) for spec in (inputs.OS, inputs.IMAGE) for name in spec.names},
}


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("number", NUMBERS)
def test_each_number_fits_its_noun(message: str, number: int) -> None:
    assert wrong_plurals(MESSAGES[message](number)) == []


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_is_rendered(message: str) -> None:
    assert any(MESSAGES[message](number) for number in NUMBERS)
