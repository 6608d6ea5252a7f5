"""Every argument of every resource with every kind of value: accepted, or one sentence; no traceback of the SDK's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import Output, ResourceOptions
from pulumi.output import UNKNOWN
from pulumi.runtime import rpc, settings

from batch_os_provider import PoolFleet, PoolImageVersion, PoolOsVersion
from batch_os_provider.engine import arguments
from batch_os_provider.schema import inputs
from batch_os_provider.schema.units import shown
from tests.unit.rollout.doubles import V25
from tests.unit.test_fleet import Engine, run

AT = "https://farm.westeurope.batch.azure.com"
URL = f"{AT}/pools/render"


class Mode(str, Enum):  # noqa: UP042 - StrEnum has another str(), and programs have both
    FAIL = "fail"


class Count(IntEnum):
    THREE = 3


class Colour(Enum):
    RED = "red"


class Sulks:
    def __repr__(self) -> str:
        raise RuntimeError("no")


VALUES: dict[str, Any] = {
    "true": True,
    "false": False,
    "zero": 0,
    "three": 3,
    "three as a float": 3.0,
    "half": 0.5,
    "minus one": -1,
    "nan": float("nan"),
    "inf": float("inf"),
    "minus inf": float("-inf"),
    "a float without digits": 1e300,
    "huge": 10**400,
    "longer than Python prints": 10**5000,
    "empty": "",
    "blank": " ",
    "text": "surprise",
    "fail": "fail",
    "wait": "wait",
    "two hours in ISO": "PT2H",
    "a tenth": "10%",
    "a version": V25,
    "an image version": "17763.3124.211113",
    "a day": "2026-11-24",
    "an image": "canonical:ubuntu-24_04-lts:server",
    "an image of a gallery": "/sharedGalleries/0a1b-STUDIO/images/cfd",
    "a node agent SKU": "batch.node.windows amd64",
    "a moment": "2026-11-24T06:30:00Z",
    "half a character": "\ud800",
    "control character": "a\x00b",
    "bytes": b"x",
    "bytearray": bytearray(b"x"),
    "list": ["render"],
    "nested": [[1.0, {"a": None}]],
    "empty list": [],
    "dict": {"a": 1},
    "dict of numbers": {1: 2},
    "tuple": ("render",),
    "set": {"render"},
    "frozenset": frozenset({1}),
    "range": range(3),
    "object": object(),
    "sulks": Sulks(),
    "function": len,
    "class": int,
    "complex": 1j,
    "datetime": datetime(2026, 1, 31, tzinfo=UTC),
    "date": date(2026, 1, 31),
    "two hours": timedelta(hours=2),
    "no time": timedelta(),
    "a month": timedelta(days=31),
    "Decimal": Decimal(2),
    "Fraction": Fraction(1, 2),
    "Path": Path("render"),
    "Enum of fail": Mode.FAIL,
    "Enum of 3": Count.THREE,
    "Enum of another": Colour.RED,
    "asset": pulumi.StringAsset("x"),
    "archive": pulumi.FileArchive("."),
}
_DURATION = {"three", "three as a float", "half", "Enum of 3", "two hours in ISO", "two hours"}
_POOL_ID = {"text", "a day", "fail", "wait", "two hours in ISO", "Enum of fail", "Enum of another"}
GOOD: dict[str, set[str]] = {
    "account_endpoint": {"an image version"},  # digits and dots may be the name of a host
    "pool_id": _POOL_ID,
    "target_os_version": {"a version"},
    "target_image_version": {"an image version"},
    "nodes_since": {"a day", "a moment"},
    **dict.fromkeys(inputs.DURATIONS, _DURATION),
    "drain_timeout": {"two hours in ISO", "two hours"},  # at least 5m
    "on_timeout": {"fail", "Enum of fail"},
    "if_resizing": {"fail", "wait", "Enum of fail"},
    "on_conflict": {"fail", "wait", "Enum of fail"},
    "max_unhealthy": {"zero", "three", "three as a float", "Enum of 3", "a tenth"},
    "target_image": {"an image", "an image of a gallery"},
    "node_agent_sku": {"a node agent SKU"},
    "surge": {"zero", "three", "three as a float", "Enum of 3", "a tenth"},
    "max_unavailable": {"zero", "three", "three as a float", "Enum of 3", "a tenth"},
    "canary": {"three", "three as a float", "Enum of 3"},
    "autoscale": set(),
    "strategy": set(),
}
"""The values that an input accepts; it refuses all others."""
SPECS: dict[type[PoolOsVersion | PoolImageVersion], tuple[inputs.Spec, dict[str, Any]]] = {
    PoolOsVersion: (inputs.OS, {"account_endpoint": AT, "pool_id": "render", "target_os_version": V25}),
    PoolImageVersion: (
        inputs.IMAGE,
        {"account_endpoint": AT, "pool_id": "render", "target_image_version": "8.7.2", "strategy": "empty"},
    ),
}


def around(bag: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The other inputs for a trial of ``name``: a program declares only one target, and a strategy that uses it."""
    targets = (*inputs.OS.targets, *inputs.IMAGE.targets)
    if name == "node_agent_sku":
        bag = {**bag, "target_image": VALUES["an image"]}
    kept = {key: value for key, value in bag.items() if name not in targets or key not in targets}
    return {**kept, "strategy": "surge"} if name == inputs.MAX_UNAVAILABLE else kept


CASES = [(kind, name) for kind, (spec, _) in SPECS.items() for name in spec.names]


def refused(program: Callable[[], Any]) -> str:
    """The sentence that ends a program; empty where it went through."""
    said: list[str] = []

    def attempt() -> None:
        try:
            program()
        except pulumi.RunError as error:
            said.append(str(error))

    run(attempt)
    return said[0] if said else ""


def settle(judge: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it, and forget its failed outputs, which the SDK keeps for the end of the program."""
    try:
        asyncio.run(judge())
    finally:
        settings.SETTINGS.outputs.clear()


def assert_sentence(text: str, who: str, name: str, value: object) -> None:
    assert text.startswith(f"{who}: {name}: {shown(value)} "), text
    assert "allowed: " in text
    assert text.endswith("Correct the program and run `pulumi preview`.")


def sent(bag: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as a provider gets them, through the SDK's own wire format."""

    async def through() -> Any:
        return rpc.deserialize_properties(await rpc.serialize_properties(dict(bag), {}))

    found: dict[str, Any] = asyncio.run(through())
    return found


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_a_value_is_accepted_or_refused_in_one_sentence(kind: Any, name: str) -> None:
    """At construction where Pulumi could not send it, in ``check`` where it can."""
    spec, good = SPECS[kind]
    who = f"{kind.__name__} r"
    accepted, not_sent = {}, {}
    for label, value in VALUES.items():
        bag = {**around(good, name), name: value}
        try:
            received = sent(arguments.sendable(who, bag))
        except pulumi.RunError as error:
            not_sent[label] = str(error)
            continue
        _, failures = inputs.check(received, lambda _: False, spec)
        if not failures:
            accepted[label] = bag
            continue
        (failure,) = failures
        assert failure.property == name
        assert failure.reason.startswith(f"{shown(received[name])} ")
        assert "allowed: " in failure.reason
    assert set(accepted) == GOOD[name]

    def program() -> None:
        for label, text in not_sent.items():
            assert_sentence(text, who, name, VALUES[label])
            with pytest.raises(pulumi.RunError, match=re.escape(text)):
                kind("r", **around(good, name) | {name: VALUES[label]})
        for label, bag in accepted.items():
            kind(label, **bag)

    assert {each.name for each in run(program).registered} == set(accepted)


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_an_output_is_judged_when_its_value_is_known_and_a_secret_is_not_shown(kind: Any, name: str) -> None:
    spec, _ = SPECS[kind]

    async def judge() -> None:
        # The SDK itself makes no output of a mapping whose keys are not strings.
        for label, value in ((label, value) for label, value in VALUES.items() if label != "dict of numbers"):
            output: Output[Any] = Output.from_input(value)
            (kept,) = arguments.sendable("P r", {name: output}).values()
            (hidden,) = arguments.sendable("P r", {name: Output.secret(value)}).values()
            try:
                found = await kept.future()
            except pulumi.RunError as error:
                assert_sentence(str(error), "P r", name, await output.future())
                refused_in_check = False
            else:
                _, failures = inputs.check({name: found}, lambda _: False, spec)
                refused_in_check = name in [failure.property for failure in failures]
                assert (not refused_in_check) == (label in GOOD[name])
            if label in GOOD[name]:
                assert await hidden.future() == found
                assert await hidden.is_secret()
            else:
                with pytest.raises(pulumi.RunError) as caught:
                    await hidden.future()
                assert str(caught.value).startswith(f"P r: {name}: [secret] is not allowed; allowed: ")
                assert inputs.allowed(name) in str(caught.value)

    settle(judge)


def test_what_is_not_known_yet_and_what_is_missing_passes() -> None:
    async def judge() -> None:
        unknown: Output[Any] = Output(set(), _value(None), _value(False))
        for name in (*inputs.OS.names, *inputs.IMAGE.names):
            (kept,) = arguments.sendable("P r", {name: unknown}).values()
            assert not await kept.is_known()
            assert (
                await Output.from_input(arguments.sendable("P r", {name: Output.secret(None)})[name]).future() is None
            )
        for value_of_the_sdk in (None, UNKNOWN):
            assert arguments.sendable("P r", {"soak": value_of_the_sdk}) == {"soak": value_of_the_sdk}

    async def value(what: Any) -> Any:
        return what

    def _value(what: Any) -> Any:
        return asyncio.ensure_future(value(what))

    settle(judge)


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = refused(lambda: PoolOsVersion("r", account_endpoint=AT, pool_id=b"x", target_os_version="5", soak={}))  # type: ignore[arg-type]
    for words in ("pool_id: b'x' is not", "target_os_version: '5' is not", "soak: {} is not"):
        assert words in said


FLEET = {"pools": ["a", "b"], "account_endpoint": AT, "target_os_version": V25}
FLEET_INPUTS = [
    *(name for name in inputs.OS.names if name != "pool_id"),
    "surge",
    "max_unavailable",
    "drain_timeout",
    "strategy",
    "nodes_since",
    "canary_nodes",
    "autoscale",
    "target_image",
    "node_agent_sku",
]
_IDS = {"list", "tuple", "text", "a day", "fail", "wait", "two hours in ISO", "Enum of fail"}
PLAIN = {
    "pools": _IDS,
    "canary": {"empty list"},
    "waves": {"empty list", "three", "three as a float", "Enum of 3", "a tenth"},
    "aliases": set[str](),
}
"""What each of them accepts, by itself or in a list."""


@pytest.mark.parametrize("name", FLEET_INPUTS)
def test_a_fleet_accepts_what_its_pools_accept(name: str) -> None:
    vm = {"pools": ["a", "b"], "account_endpoint": AT, "target_image_version": "8.7.2", "strategy": "empty"}
    bag = FLEET if name in inputs.OS.names else vm
    accepted: set[str] = set()

    def program() -> None:
        for label, value in VALUES.items():
            try:
                PoolFleet(label, **{**around(bag, name), name: value})  # type: ignore[arg-type]
                accepted.add(label)
            except pulumi.RunError as error:
                assert_sentence(str(error), f"PoolFleet {label}", name, value)

    run(program)
    assert accepted == GOOD[name.removesuffix("_nodes")] - ({"defer"} if name == "on_timeout" else set())


@pytest.mark.parametrize("name", PLAIN)
def test_what_decides_the_shape_of_a_fleet_is_refused_in_one_sentence(name: str) -> None:
    accepted: set[str] = set()
    told: list[tuple[str, str]] = []

    def program() -> None:
        for label, value in VALUES.items():
            for each in (value, [value]):
                try:
                    PoolFleet(label, **{**FLEET, name: each})  # type: ignore[arg-type]
                    accepted.add(label)
                except pulumi.RunError as error:
                    told.append((label, str(error)))

    run(program)
    for label, text in told:
        assert text.startswith(f"PoolFleet {label}: {name}")
        assert "allowed: " in text
    assert accepted == PLAIN[name]


@pytest.mark.parametrize("kind", [PoolOsVersion, PoolImageVersion])
def test_the_id_of_a_get_is_the_url_of_a_pool_in_any_spelling(kind: Any) -> None:
    def program() -> None:
        for label, value in {**VALUES, "none": None, "url of no pool": AT, "no dot": "https://x/pools/a"}.items():
            with pytest.raises(pulumi.RunError) as caught:
                kind.get(label, value)
            assert str(caught.value).startswith(f"{kind.__name__}.get {label}: id: {shown(value)} is not "), label
            assert "allowed: the URL of a pool" in str(caught.value)
        for number, spelled in enumerate((URL, f" {URL}/ ", URL.replace("farm", "FARM"), URL.replace("https://", ""))):
            assert arguments.pool_url("P", spelled) == URL
            kind.get(f"r{number}", spelled)

    engine = run(program)
    assert [each.resource_id for each in engine.registered] == [URL] * 4


def test_an_output_as_the_id_of_a_get_is_judged_too() -> None:
    async def judge() -> None:
        async def of(value: Any) -> Any:
            return await Output.from_input(arguments.pool_url("P.get r", value)).future()

        assert await of(Output.from_input(f"{URL}/")) == URL
        for value in (3, None, "render", ["x"]):
            with pytest.raises(pulumi.RunError) as caught:
                await of(Output.from_input(value))
            assert str(caught.value).startswith(f"P.get r: id: {shown(value)} is not ")
        with pytest.raises(pulumi.RunError) as caught:
            await of(Output.secret(URL))
        assert str(caught.value).startswith(
            "P.get r: id: [secret] is not allowed, since Pulumi keeps ids as plain text"
        )
        assert "farm" not in str(caught.value)
        assert "pulumi.Output.unsecret(...)" in str(caught.value)

    settle(judge)


MAKERS: dict[str, Callable[..., Any]] = {
    "PoolOsVersion": lambda name, **more: PoolOsVersion(name, **SPECS[PoolOsVersion][1], **more),
    "PoolImageVersion": lambda name, **more: PoolImageVersion(name, **SPECS[PoolImageVersion][1], **more),
    "PoolFleet": lambda name, **more: PoolFleet(name, **FLEET, **more),  # type: ignore[arg-type]
    "PoolOsVersion.get": lambda name, **more: PoolOsVersion.get(name, URL, **more),
}


@pytest.mark.parametrize("who", MAKERS)
def test_a_name_that_is_none_is_refused(who: str) -> None:
    for value in (None, "", 3, b"x", ["a"], Path("x")):
        said = refused(lambda value=value: MAKERS[who](value))
        assert said.startswith(f"{who}: resource_name: {shown(value)} is not a name; allowed: a non-empty string")


@pytest.mark.parametrize("who", MAKERS)
def test_options_that_are_none_are_refused(who: str) -> None:
    for value in ({"protect": True}, "x", 3):
        said = refused(lambda value=value: MAKERS[who]("r", opts=value))
        assert said.startswith(f"{who} r: opts: {shown(value)} is not allowed; allowed: pulumi.ResourceOptions")


class Elsewhere(pulumi.ProviderResource):
    def __init__(self, package: str) -> None:
        super().__init__(package, f"of-{package}", {})


WORKS = {
    "parent",
    "depends_on",
    "protect",
    "delete_before_replace",
    "ignore_changes",
    "aliases",
    "additional_secret_outputs",
    "transformations",
    "transforms",
    "hooks",
    "replacement_trigger",
    "retain_on_delete",
    "deleted_with",
    "replace_with",
    "hide_diffs",
    "state_migrations",
}
"""The options that the engine or the SDK acts on, with no help of the provider's."""
REFUSED = {
    "import_": (URL, "declaring the resource adopts the pool without a write; remove import_"),
    "custom_timeouts": (pulumi.CustomTimeouts(update="4h"), "declare the input timeout instead"),
    "replace_on_changes": (["*"], "remove replace_on_changes"),
    "id": (URL, "the pool's URL as its argument id"),
    "urn": ("urn:pulumi:a::b::c::d", "remove urn"),
    "version": ("1.0.0", "pin the package batch-os-provider instead"),
    "plugin_download_url": ("https://a.b", "install the package batch-os-provider instead"),
    "env_var_mappings": ({"A": "B"}, "credentials come from the environment of the process"),
}


def test_every_resource_option_is_known_to_work_or_refused() -> None:
    """An option that a new SDK adds has to be looked at."""
    options = set(vars(ResourceOptions())) - {"provider", "providers"}
    assert options <= WORKS | set(REFUSED), options - WORKS - set(REFUSED)


@pytest.mark.parametrize("who", MAKERS)
@pytest.mark.parametrize("option", REFUSED)
def test_an_option_that_could_have_no_effect_is_refused(who: str, option: str) -> None:
    value, words = REFUSED[option]
    said = refused(lambda: MAKERS[who]("r", opts=ResourceOptions(**{option: value})))
    assert said.startswith(f"{who} r: opts.{option}: ")
    assert words in said


@pytest.mark.parametrize("who", MAKERS)
def test_a_provider_of_another_package_is_refused_and_one_of_ours_is_not(who: str) -> None:
    def said(options: Callable[[], Mapping[str, Any]]) -> str:
        # A provider is a resource, so it is made while the program runs.
        return refused(lambda: MAKERS[who]("r", opts=ResourceOptions(**options())))

    azure = "opts.provider: a provider for azure-native has no effect"
    assert azure in said(lambda: {"provider": Elsewhere("azure-native")})
    assert azure in said(lambda: {"providers": [Elsewhere("azure-native")]})
    assert azure in said(lambda: {"providers": {"azure-native": Elsewhere("azure-native")}})
    assert "opts.provider: a provider for 'x' has no effect" in said(lambda: {"provider": "x"})
    assert said(lambda: {"provider": Elsewhere("pulumi-python")}) == ""


def test_names_that_no_property_has_are_warned_of() -> None:
    names = ("pool_id", "timeout")
    assert arguments.unknown_names(None, names) == []
    fine = ResourceOptions(ignore_changes=["timeout", "*", 'pool_id["x"]', "timeout[0]", "pool_id.x"])
    assert arguments.unknown_names(fine, names) == []
    for option in ("ignore_changes", "additional_secret_outputs", "hide_diffs"):
        (warning,) = arguments.unknown_names(ResourceOptions(**{option: ["poolId", "timeout"]}), names)
        assert warning.startswith(f"opts.{option}: 'poolId' has no effect")
        assert warning.endswith("its properties: pool_id, timeout")


# ── Subclasses ───────────────────────────────────────────────────────────────────────────────────────────────────────

FORMER = "pulumi-python:dynamic:Resource"


class OurPool(PoolOsVersion):
    def __init__(self, name: str, *, owner: str = "", **more: Any) -> None:
        super().__init__(name, **{"account_endpoint": AT, "pool_id": name + owner, "target_os_version": V25, **more})


class Mixed:
    colour = "red"


class NamedPool(Mixed, OurPool, module="farm", name="NamedPool"):
    """A second level, with a type of its own."""


class SameName(PoolImageVersion, module="batch", name="PoolImageVersion"):
    """The way around: the type that the resource has anyhow."""


def test_a_subclass_keeps_the_token_of_its_resource() -> None:
    def program() -> None:
        OurPool("a", owner="x")
        NamedPool("b", timeout=timedelta(minutes=90))
        farm = pulumi.ComponentResource("my:farm:Farm", "farm")
        NamedPool("c", opts=ResourceOptions(parent=farm))
        SameName("d", **SPECS[PoolImageVersion][1])
        OurPool.get("e", URL)

    engine = run(program)
    found = {
        each.name: (each.typ, each.inputs.get("pool_id"), each.inputs.get("timeout")) for each in engine.registered
    }
    os, image = (f"pulumi-python:dynamic/batch:{name}" for name in ("PoolOsVersion", "PoolImageVersion"))
    assert found == {
        "a": (os, "ax", None),
        "b": (os, "b", "1h30m"),
        "c": (os, "c", None),
        "d": (image, "render", None),
        "e": (os, None, None),
        "farm": ("my:farm:Farm", None, None),
    }


def test_a_subclass_is_looked_for_under_the_types_that_it_and_its_bases_had() -> None:
    def aliases(kind: Any, *given: Any) -> list[tuple[Any, Any]]:
        resource = kind.__new__(kind)
        return [(each.name, each.type_) for each in resource._former(ResourceOptions(aliases=list(given)))]

    named = "pulumi-python:dynamic/farm:NamedPool"
    assert aliases(PoolOsVersion, "old") == []
    assert aliases(SameName) == []
    assert aliases(OurPool) == [(..., FORMER)]
    assert aliases(NamedPool) == [(..., named), (..., FORMER)]
    # A former name may have been of a former type, too; what names a type, or is a URN, is as it is.
    assert aliases(OurPool, pulumi.Alias(name="old"), pulumi.Alias(name="x", type_="a:b:C"), "urn:pulumi:x") == [
        (..., FORMER),
        ("old", FORMER),
    ]


def test_a_fleet_of_a_subclass_is_a_fleet() -> None:
    class OurFleet(PoolFleet):
        def __init__(self, name: str, **more: Any) -> None:
            super().__init__(name, **{**FLEET, "max_unhealthy": 0, **more})

    engine: Engine = run(lambda: OurFleet("fleet", soak=timedelta(minutes=5)))
    assert [each.typ for each in engine.registered][:1] == ["batch:index:PoolFleet"]
    assert [each.inputs["soak"] for each in engine.registered[1:]] == ["5m", "5m"]
