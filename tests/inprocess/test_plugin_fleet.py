"""PoolFleet of the native provider: what it registers, in which order, and what it says; over gRPC on both sides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from pulumi.runtime.proto import alias_pb2, provider_pb2

from tests.support import plugin as plugins
from tests.support.plugin import FLEET, IMAGE, OS, UNKNOWN, FailedCallError, Monitor, Plugin, read, secret
from tests.support.simulator import OLD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AT, NORTH = "https://ours.westeurope.batch.azure.com", "https://ours.northeurope.batch.azure.com"
ACCOUNT = "urn:pulumi:dev::p::pulumi:providers:batchos::account"
FAIR: dict[str, Any] = {"pools": ["a", "b"], "accountEndpoint": AT, "targetOsVersion": OLD, "maxUnhealthy": 0}
VM: dict[str, Any] = {"pools": ["a"], "accountEndpoint": AT, "targetImageVersion": "8.7.2", "strategy": "empty"}
OTHER_URN = "urn:pulumi:dev::p::random:index:Pet::pet"
SEEN = {"currentOsVersion": OLD, "osFamily": "4", "poolState": "active", "unhealthyNodes": 0}
Dependencies = provider_pb2.ConstructRequest.PropertyDependencies


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    with plugins.running(monkeypatch) as plugin:
        plugin.call("Configure", args={}, urn=ACCOUNT, id="3d05e58f")
        yield plugin


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with plugins.monitoring() as monitor:
        yield monitor


def construct(plugin: Plugin, monitor: Monitor, inputs: Mapping[str, Any], name: str = "farm", **more: Any) -> Any:
    needs = {key: Dependencies(urns=urns) for key, urns in more.pop("needs", {}).items()}
    fields = {"type": FLEET, "name": name, "parent": "urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev"}
    request = {**fields, "monitorEndpoint": monitor.address, "dryRun": monitor.preview, "inputs": inputs, **more}
    return plugin.call("Construct", inputDependencies=needs, **request)


def urn(name: str, kind: str = OS) -> str:
    return f"urn:pulumi:dev::p::{FLEET}${kind}::{name}"


def test_a_wave_is_registered_when_the_engine_is_done_with_the_wave_before(plugin: Plugin, monitor: Monitor) -> None:
    monitor.answers = dict.fromkeys(("farm-a", "farm-b"), SEEN)
    monitor.held = {"farm-b"}
    url = f"{NORTH}/pools/D"
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(
            construct, plugin, monitor, {**FAIR, "pools": ["b", "a", "c", url], "waves": [2.0]}, retainOnDelete=True
        )
        plugins.until(lambda: "farm-b" in monitor.names)
        assert monitor.names == ["farm", "farm-b"]
        monitor.release.set()
        answer = running.result(20)
    north = "farm-ours.northeurope-d"
    assert monitor.names[:2] == ["farm", "farm-b"]
    assert [sorted(monitor.names[2:4]), monitor.names[4]] == [["farm-a", "farm-c"], north]
    assert answer.urn == f"urn:pulumi:dev::p::{FLEET}::farm"
    outputs = read(answer.state)
    assert outputs["waves"] == [["b"], ["a", "c"], [url]]
    assert outputs["pools"]["a"] == {"url": f"{AT}/pools/a", **SEEN}
    assert list(answer.stateDependencies["pools"].urns) == [urn(name) for name in ("farm-b", "farm-a", "farm-c", north)]
    assert monitor.outputs == {answer.urn: outputs}
    depends = {each.name: sorted(each.dependencies) for each in monitor.registered}
    assert depends["farm-b"] == []
    assert depends["farm-a"] == depends["farm-c"] == [urn("farm-b")]
    assert depends[north] == [urn("farm-a"), urn("farm-c")]
    fleet, child = monitor.one("farm"), monitor.one(north)
    assert (fleet.type, fleet.custom, fleet.retainOnDelete, fleet.aliasSpecs) == (FLEET, False, True, True)
    assert read(fleet.object) == {}
    assert (child.type, child.custom, child.retainOnDelete) == (OS, True, True)
    assert not child.HasField("protect")
    assert (child.parent, child.provider) == (answer.urn, f"{ACCOUNT}::3d05e58f")
    assert read(child.object) == {
        "accountEndpoint": NORTH,
        "poolId": "D",
        "targetOsVersion": OLD,
        "maxUnhealthy": 0,
    }
    assert sorted(child.propertyDependencies) == sorted(read(child.object))
    assert not any(each.urns for each in child.propertyDependencies.values())


def test_options_and_former_resources_are_passed_on(plugin: Plugin, monitor: Monitor) -> None:
    was = alias_pb2.Alias(spec=alias_pb2.Alias.Spec(type="batch:index:PoolFleet"))
    given = {
        **VM,
        "pools": ["a", "b", "c"],
        "canary": [],
        "canaryNodes": 2,
        "aliases": {"A": "render-pool", "b": urn("x")},
    }
    options = {"providers": {"batchos": "other::id"}, "protect": True, "deletedWith": OTHER_URN}
    construct(plugin, monitor, given, aliases=[was], dependencies=[OTHER_URN], **options)
    fleet = monitor.one("farm")
    assert (list(fleet.aliases), list(fleet.dependencies), fleet.deletedWith) == ([was], [OTHER_URN], OTHER_URN)
    dynamic = "pulumi-python:dynamic/batch:PoolImageVersion"
    found = {
        each.name: [old.urn or (old.spec.name, old.spec.type, old.spec.noParent) for old in each.aliases]
        for each in monitor.registered[1:]
    }
    assert found == {
        "farm-a": [("render-pool", "", True), ("render-pool", dynamic, True), ("", dynamic, False)],
        "farm-b": [urn("x"), ("", dynamic, False)],
        "farm-c": [("", dynamic, False)],
    }
    for child in monitor.registered[1:]:
        # The account that the fleet takes from its provider is for the children too.
        provider = f"{ACCOUNT}::3d05e58f"
        assert (child.type, child.provider, child.protect, child.deletedWith) == (IMAGE, provider, True, OTHER_URN)
        assert read(child.object)["canary"] == 2


def test_shared_inputs_may_be_secret_or_not_known_yet_or_outputs(plugin: Plugin) -> None:
    whole = {**FAIR, "canary": [], "timeout": "1h", "onTimeout": "fail", "ifResizing": "wait", "onConflict": "wait"}
    whole |= {"stallAfter": "5m", "soak": 60}
    vm = {**VM, "canary": [], "surge": 2, "strategy": "surge", "maxUnavailable": 1, "drainTimeout": "1h"}
    emptied = {**VM, "canary": [], "canaryNodes": 2, "autoscale": "hold"}
    emptied |= {"targetImage": "canonical:ubuntu:22", "nodeAgentSku": "batch.node.ubuntu 22.04"}
    for given in (whole, vm, emptied):
        for name in given.keys() - {"pools", "canary"}:
            of_child = "canary" if name == "canaryNodes" else name
            for value in (secret(given[name]), UNKNOWN, secret(UNKNOWN)):
                with plugins.monitoring(preview=True) as monitor:
                    answer = construct(plugin, monitor, {**given, name: value}, needs={name: [OTHER_URN]})
                child = monitor.one("farm-a")
                assert read(child.object)[of_child] == value, "the mark of a secret stays"
                assert list(child.propertyDependencies[of_child].urns) == [OTHER_URN]
                assert list(child.dependencies) == [OTHER_URN]
                pools = read(answer.state)["pools"]
                assert (
                    plugins.SECRET.items() <= pools.items() if name == "accountEndpoint" and value != UNKNOWN else pools
                )


def test_a_late_account_that_no_check_has_seen_gives_no_url(plugin: Plugin, monitor: Monitor) -> None:
    answer = construct(plugin, monitor, {**FAIR, "pools": ["a"], "accountEndpoint": secret("nonsense")})
    assert read(answer.state)["pools"] == secret({"a": {}})


def test_what_decides_the_shape_of_a_fleet_is_known_and_plain(plugin: Plugin, monitor: Monitor) -> None:
    for name in ("pools", "canary", "waves", "aliases"):
        for value in (UNKNOWN, [UNKNOWN], {"a": UNKNOWN}):
            with pytest.raises(
                FailedCallError, match=rf"^{name}: it is or contains a value that is not known yet; allowed"
            ):
                construct(plugin, monitor, {**FAIR, name: value})
        for value in (secret(["a"]), [secret("a")], {"a": secret("b")}):
            with pytest.raises(FailedCallError, match=rf"^{name}: it is or contains a secret; allowed: plain values"):
                construct(plugin, monitor, {**FAIR, name: value})
    assert monitor.names == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"polls": ["a"]},
            "polls: it is not an input of PoolFleet; allowed: pools, canary, waves, aliases, accountEndpoint",
        ),
        ({"max_unhealthy": 0}, "did you mean maxUnhealthy?"),
        ({"pools": "a"}, "pools: 'a' is not a list; allowed: a list of pool ids"),
        ({"pools": []}, "pools: it is empty"),
        ({"pools": None}, "pools: None is not a list"),
        ({"pools": ["a", {"b": 1}]}, "pools[1]: {'b': 1} is not a string"),
        ({"canary": {"a": True}}, "canary: {'a': True} is not a list"),
        ({"waves": [True]}, "waves[0]: True is not a wave"),
        ({"waves": "50%"}, "waves: '50%' is not a list"),
        ({"aliases": ["a"]}, "allowed: a pool of the fleet, and the name of a resource without a parent, or a URN"),
        ({"aliases": {"a": ""}}, "aliases['a']: '' is not a former resource"),
        ({"maxUnhealthy": ["x"]}, "maxUnhealthy: ['x'] is neither a number of nodes nor a percentage"),
        ({"timeout": {"h": 1}}, "timeout: {'h': 1} is not a duration"),
        ({"targetOsVersion": 7}, "targetOsVersion: 7 is not"),
        ({"targetImageVersion": "1.2.3"}, "targetOsVersion, targetImageVersion: 2 are given; allowed: exactly one"),
        ({"surge": secret(2)}, "surge: an output is not allowed with targetOsVersion"),
        ({"onTimeout": "defer"}, "allowed: fail, or a single wave (canary: [], and no waves)"),
        ({"onTimeout": secret("fail")}, "onTimeout: it is an output; allowed for a fleet of several waves"),
        ({"accountEndpoint": None}, "accountEndpoint: it is missing, and pools contains the pool id 'a'"),
    ],
)
def test_an_error_comes_before_anything_is_registered(
    plugin: Plugin, monitor: Monitor, inputs: dict[str, Any], words: str
) -> None:
    with pytest.raises(FailedCallError) as refused:
        construct(plugin, monitor, {**FAIR, **inputs})
    assert words in str(refused.value)
    assert str(refused.value).endswith("Next: Correct the program and run `pulumi preview`.")
    assert monitor.names == []


def test_a_component_that_the_package_does_not_have_is_refused(plugin: Plugin, monitor: Monitor) -> None:
    with pytest.raises(FailedCallError, match="has no component batchos:index:Fleet; it has batchos:index:PoolFleet"):
        construct(plugin, monitor, FAIR, type="batchos:index:Fleet")


def test_the_account_of_the_provider_is_the_default(plugin: Plugin, monitor: Monitor) -> None:
    plugin.call("Configure", args={"accountEndpoint": AT})
    construct(plugin, monitor, {**FAIR, "accountEndpoint": None, "pools": [f"{AT}/pools/a"]})
    child = monitor.one("farm-a")
    # An old engine does not say the provider.
    assert (read(child.object)["accountEndpoint"], child.provider) == (AT, "")
    construct(plugin, monitor, {**FAIR, "pools": ["n"]}, providers={"batchos": "other::id"})
    assert monitor.one("farm-n").provider == "other::id"


def test_a_preview_warns_about_waves_without_a_gate(plugin: Plugin) -> None:
    given = {name: value for name, value in FAIR.items() if name != "maxUnhealthy"}
    with plugins.monitoring(preview=True) as monitor:
        monitor.answers = {"farm-a": {"poolState": UNKNOWN}}
        answer = construct(plugin, monitor, given)
        construct(plugin, monitor, {**given, "canary": []}, name="flat")
        construct(plugin, monitor, VM, name="images")
    assert read(answer.state)["pools"]["a"] == {"url": f"{AT}/pools/a", "poolState": UNKNOWN}
    (warning,) = plugin.engine.lines
    assert warning[0] == "farm"
    assert warning[1].startswith("fleet farm: maxUnhealthy is not declared, so a wave passes")
    assert "declare maxUnhealthy: 0, or" in warning[1]


def test_a_preview_warns_about_custom_timeouts_of_a_fleet(plugin: Plugin) -> None:
    limit = provider_pb2.ConstructRequest.CustomTimeouts
    with plugins.monitoring(preview=True) as monitor:
        construct(plugin, monitor, FAIR, "without", customTimeouts=limit())
        construct(plugin, monitor, FAIR, "with", customTimeouts=limit(create="2h"))
    assert plugin.said("without") == []
    (warning,) = plugin.said("with")
    assert warning == "customTimeouts of a fleet has no effect; declare timeout, which is that of each pool"


def test_a_preview_names_the_parallel_that_its_widest_wave_needs(plugin: Plugin) -> None:
    given = {**FAIR, "pools": ["a", "b", "c", "d"], "waves": [2]}
    with plugins.monitoring(preview=True) as monitor:
        construct(plugin, monitor, given, parallel=1)
        assert plugin.engine.lines == [], "a pool that does not change shows all its outputs"
        monitor.answers = {f"farm-{name}": {"osFamily": UNKNOWN} for name in "abcd"}
        construct(plugin, monitor, given, parallel=2)
        construct(plugin, monitor, given, parallel=1)
    hint = "4 pools change, up to 2 at once, but the engine runs 1 step at once; pass --parallel 2"
    assert plugin.engine.lines == [("farm", hint)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (1, "farm-a failed; 1 later wave does not start."),
        (2, "farm-a was skipped; 1 later wave does not start."),
        (grpc.StatusCode.INVALID_ARGUMENT, "farm-a failed: the engine's text; 1 later wave does not start."),
        (grpc.StatusCode.UNAVAILABLE, "Pulumi ended this run before the fleet was done."),
    ],
)
def test_no_wave_follows_a_wave_that_failed(plugin: Plugin, monitor: Monitor, answer: Any, words: str) -> None:
    monitor.answers = {"farm-a": answer}
    with pytest.raises(FailedCallError) as failed:
        construct(plugin, monitor, {**FAIR, "pools": ["a", "b", "c"], "canary": ["a", "b"]})
    assert str(failed.value).startswith(f"{words}\nNext: ")
    assert sorted(monitor.names) == ["farm", "farm-a", "farm-b"]


@pytest.mark.parametrize("name", ["farm", "odd::farm"])
def test_a_run_that_fails_ends_each_fleet_with_its_own_reason(plugin: Plugin, monitor: Monitor, name: str) -> None:
    # The engine answers no fleet of a run that fails: it calls Cancel, and then it closes the connection.
    children = [f"{name}-{pool}" for pool in "abc"] + ["other-d"]
    monitor.held = set(children)
    wrong = {"poolId": "a", "accountEndpoint": AT, "targetOsVersion": "latest"}
    with ThreadPoolExecutor(2) as threads:
        given = {**FAIR, "pools": ["a", "b", "c", "last"], "canary": ["a", "b", "c"]}
        failed = threads.submit(construct, plugin, monitor, given, name)
        other = threads.submit(construct, plugin, monitor, {**FAIR, "pools": ["d"]}, "other")
        plugins.until(lambda: set(children) < set(monitor.names))
        assert plugin.call("Check", urn=urn(f"{name}-c"), news=wrong).failures
        assert plugin.call("Check", urn=urn(f"{name}-b"), news={**wrong, "poolId": "b"}).failures
        plugin.call("Cancel")
        with pytest.raises(
            FailedCallError, match=rf"^{name}-b failed, {name}-c failed; 1 later wave does not start\.\nNext: "
        ):
            failed.result(20)
        with pytest.raises(FailedCallError, match=r"^Pulumi ended this run before the fleet was done\.\nNext: "):
            other.result(20)
    assert f"{name}-last" not in monitor.names


def test_an_engine_that_refuses_the_fleet_itself_is_quoted(plugin: Plugin, monitor: Monitor) -> None:
    monitor.answers = {"farm": grpc.StatusCode.INVALID_ARGUMENT}
    with pytest.raises(FailedCallError, match=r"^the registration of the fleet failed: the engine's text\.\nNext: "):
        construct(plugin, monitor, FAIR)
    assert monitor.names == ["farm"]


def test_many_fleets_at_once_do_not_mix(plugin: Plugin) -> None:
    fleets = [f"fleet{number}" for number in range(24)]

    def run(name: str) -> tuple[list[str], dict[str, Any]]:
        # A monitor for each: what another fleet sends would be seen here.
        with plugins.monitoring() as monitor:
            pools = [f"{name}-{each}" for each in "abcd"]
            answer = construct(
                plugin, monitor, {**FAIR, "pools": pools, "waves": [2], "soak": secret(name[5:] + "1m")}, name
            )
            assert all(read(each.object)["soak"] == secret(name[5:] + "1m") for each in monitor.registered[1:])
            return monitor.names, read(answer.state)

    with ThreadPoolExecutor(len(fleets)) as threads:
        for name, (registered, state) in zip(fleets, threads.map(run, fleets), strict=True):
            assert registered[:2] == [name, f"{name}-{name}-a"]
            assert sorted(registered[2:4]) == [f"{name}-{name}-b", f"{name}-{name}-c"]
            assert registered[4:] == [f"{name}-{name}-d"]
            assert sorted(state["pools"]) == [f"{name}-{each}" for each in "abcd"]
