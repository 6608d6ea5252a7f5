"""Bags of the engine: secrets come back marked, and what is not known is one value."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.runtime import rpc

from batch_os_provider.plugin.bags import UNKNOWN, is_unknown, pack, unpack


def sent(**values: Any) -> struct_pb2.Struct:
    return json_format.ParseDict(values, struct_pb2.Struct())


def secret(value: Any) -> dict[str, Any]:
    """A secret as the SDK marks it: the marks here are those of the protocol."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


def test_a_secret_comes_back_under_its_name() -> None:
    bag = unpack(sent(poolId=secret("render"), timeout=5, deep={"a": [secret("b")]}))
    assert bag.values == {"poolId": "render", "timeout": 5, "deep": {"a": ["b"]}}
    assert bag.secrets == {"poolId", "deep"}
    back = json_format.MessageToDict(pack({"poolId": "render", "deep": 1, "soak": "1h"}, bag.secrets))
    assert back == {"poolId": secret("render"), "deep": secret(1), "soak": "1h"}
    assert "render" not in repr(bag)


@pytest.mark.parametrize("value", [rpc.UNKNOWN, secret(rpc.UNKNOWN), [1, rpc.UNKNOWN], {"a": {"b": rpc.UNKNOWN}}])
def test_what_is_not_known_is_found_everywhere_and_goes_back(value: Any) -> None:
    bag = unpack(sent(a=value))
    assert is_unknown(bag.values["a"])
    assert rpc.UNKNOWN in str(pack(bag.values))


@pytest.mark.parametrize("value", ["text", 1.5, True, [], {}, ["a"], {"a": "b"}])
def test_what_is_known_stays_as_it_is(value: Any) -> None:
    assert unpack(sent(a=value)).values["a"] == value
    assert not is_unknown(unpack(sent(a=value)).values["a"])


def test_all_unknown_values_of_a_preview_are_the_same_value() -> None:
    assert unpack(sent(a=rpc.UNKNOWN)).values["a"] is UNKNOWN
