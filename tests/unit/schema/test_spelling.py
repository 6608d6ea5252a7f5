"""Names at the border of the native provider: in bags, and in messages."""

from __future__ import annotations

import pytest

from batch_os_provider.schema import inputs, outputs
from batch_os_provider.schema.spelling import CoreNames, camel, in_core, in_program, near, spell

NAMES = tuple(dict.fromkeys((*inputs.OS.names, *inputs.IMAGE.names, *outputs.OUTPUTS, *outputs.IMAGE_OUTPUTS)))


def test_every_name_comes_back() -> None:
    bag = dict.fromkeys(NAMES, 1)
    assert in_core(in_program(bag)) == bag
    assert not [name for name in in_program(bag) if "_" in name]


def test_no_two_names_become_one() -> None:
    assert len({camel(name) for name in NAMES}) == len(NAMES)


def test_a_state_of_a_dynamic_provider_has_the_names_of_the_core_already() -> None:
    assert in_core({"pool_id": "a", "__provider": "b"}) == {"pool_id": "a", "__provider": "b"}


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ('or declare on_timeout="defer" to let', 'or declare onTimeout: "defer" to let'),
        ("max_unhealthy 0", "maxUnhealthy 0"),
        ("Check account_endpoint and pool_id, then", "Check accountEndpoint and poolId, then"),
        (
            'PoolImageVersion("a", pool_id="a", strategy="surge")',
            'PoolImageVersion("a", poolId: "a", strategy: "surge")',
        ),
        ("surge=0 needs max_unavailable", "surge: 0 needs maxUnavailable"),
        # A pool, a value and a longer word that look like a property stay.
        ("pool https://a.b/pools/pool_id: gone", "pool https://a.b/pools/pool_id: gone"),
        ("the id 'pool_id' is taken", "the id 'pool_id' is taken"),
        ("my_pool_id and pool_ids and soak-test", "my_pool_id and pool_ids and soak-test"),
        ("stack config batch:previewLook is", "stack config batchos:previewLook is"),
        # The tail is for programs: its words are fixed.
        ('pool_id [batch-os v1 {"why": "pool_id"}]', 'poolId [batch-os v1 {"why": "pool_id"}]'),
    ],
)
def test_messages_spell_properties_as_the_program_does(text: str, spelled: str) -> None:
    assert spell(text) == spelled


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_spelled_in_messages(name: str) -> None:
    assert spell(f"declare {name} again") == f"declare {camel(name)} again"
    assert spell(f'declare {name}="x"') == f'declare {camel(name)}: "x"'


def test_a_wrong_name_gets_the_nearest_one() -> None:
    assert near("pool_id", inputs.OS.names) == "poolId"
    assert near("targetOSVersion", inputs.OS.names) == "targetOsVersion"
    assert near("colour", inputs.OS.names) == ""


class Pending(dict[str, str]):
    """A bag in which a value cannot be read yet."""

    def __getitem__(self, name: str) -> str:
        raise LookupError(name)


def test_names_can_be_read_without_their_values() -> None:
    bag = CoreNames(Pending(poolId="a", colour="b"))
    assert list(bag) == ["pool_id", "colour"]
    assert len(bag) == 2
    with pytest.raises(LookupError, match="poolId"):
        bag["pool_id"]
    with pytest.raises(KeyError, match="soak"):
        bag["soak"]
    assert dict(CoreNames({"poolId": "a", "timeout": 1})) == {"pool_id": "a", "timeout": 1}
