"""TypeScript programs against the generated SDK: right ones compile, and each mistake is an error where it stands."""

from __future__ import annotations

import base64
import pickle
import re

from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.provider import PoolOsVersionProvider
from batch_os_provider.schema import resource_types
from tests.support.typescript import PAGE, SCHEMA, WRONG, Workspace, programs

MISTAKES = {
    '"later"': """Type '"later"' is not assignable to type 'Input<OnTimeout | undefined>'""",
    "maxUnhealth:": "'maxUnhealth' does not exist in type 'PoolOsVersionArgs'",
    "max_unhealthy:": "'max_unhealthy' does not exist in type 'PoolOsVersionArgs'",
    '"d"': "Property 'targetOsVersion' is missing in type",
    "targetOsVersion: 7": "Type 'number' is not assignable to type 'Input<string>'",
    '"rolling"': """Type '"rolling"' is not assignable to type 'Input<Strategy>'""",
    "canary:": "Type 'string' is not assignable to type 'Input<number | undefined>'",
    "accountKeys:": "'accountKeys' does not exist in type 'ProviderArgs'",
    "getPool": "Property 'poolId' is missing in type",
}
"""What is wrong in a line of ``WRONG``, and the compiler's words for it."""


def test_the_programs_of_the_page_and_of_the_schema_compile(sdks: Workspace) -> None:
    examples = {f"{token.rpartition(':')[2]}{number}" for token in SCHEMA["resources"] for number in (1, 2)}
    assert {*programs()} == {"native", "dynamic", "fleet", *examples}
    assert sdks.faults.keys() == {"wrong.ts"}
    for name in programs():
        assert sdks.program(name)


def test_each_mistake_is_an_error_in_its_line(sdks: Workspace) -> None:
    found = sdks.faults["wrong.ts"]
    lines = WRONG.splitlines()
    assert list(found) == list(range(4, len(lines) + 1))
    for (number, message), (mistake, words) in zip(found.items(), MISTAKES.items(), strict=True):
        assert mistake in lines[number - 1]
        assert words in message


def test_the_page_has_the_tokens_and_the_constants_of_the_python_resources() -> None:
    shown = dict(re.findall(r"^\| `(pulumi-python:\S+)` \| `(\S+)` \|$", PAGE, re.MULTILINE))
    # The oldest protocol that is a default, which each Python reads. Python 3.14 writes the next one.
    assert shown == {
        resource_types.OS_TYPE: base64.b64encode(pickle.dumps(PoolOsVersionProvider(), protocol=4)).decode(),
        resource_types.IMAGE_TYPE: base64.b64encode(pickle.dumps(PoolImageVersionProvider(), protocol=4)).decode(),
    }
    program = programs()["dynamic"]
    assert f'"{resource_types.OS_TYPE}"' in program
    assert f'__provider: "{shown[resource_types.OS_TYPE]}"' in program
