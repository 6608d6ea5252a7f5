"""The native provider over gRPC, against the simulator: each call of the engine, its answer, and its errors."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from batch_os_provider import __version__
from tests.support import plugin as plugins
from tests.support import simulator as simulators
from tests.support.plugin import IMAGE, OS, UNKNOWN, FailedCallError, Plugin, read, secret, wait_for
from tests.support.simulator import IMAGES, NEW, OLD, OTHER, SHORT_NEW, SHORT_OLD, Simulator, paas_pool, vm_pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

UBUNTU = IMAGES["ubuntu"]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    for simulator in simulators.running():
        simulator.pools(*map(paas_pool, ("render", "other", "third")))
        yield simulator


@pytest.fixture
def plugin(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """A provider that is configured for the simulator, without credentials in the environment."""
    for name in ("AZURE_BATCH_ACCOUNT", "AZURE_BATCH_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with plugins.running(monkeypatch) as plugin:
        plugin.call("Configure", args=account(sim))
        yield plugin


def account(sim: Simulator) -> dict[str, Any]:
    return {"accountEndpoint": sim.endpoint, "accountName": sim.account, "accountKey": secret(sim.key)}


def at(sim: Simulator, pool: str = "render", target: str = OLD, **more: Any) -> dict[str, Any]:
    return {"accountEndpoint": sim.endpoint, "poolId": pool, "targetOsVersion": target, **more}


def create(plugin: Plugin, inputs: Mapping[str, Any], name: str = "render", **more: Any) -> dict[str, Any]:
    return read(plugin.call("Create", urn=name, properties=inputs, **more).properties)


def test_what_the_engine_asks_first(plugin: Plugin, sim: Simulator) -> None:
    assert plugin.call("Handshake", engine_address="127.0.0.1:1").accept_secrets
    assert plugin.call("GetPluginInfo").version == __version__
    assert json.loads(plugin.call("GetSchema").schema)["name"] == "batchos"
    with pytest.raises(FailedCallError, match=r"version 3 of the schema's format.*\nNext: Install a newer version"):
        plugin.call("GetSchema", version=3)
    answer = plugin.call("Configure", args=account(sim))
    assert (answer.acceptSecrets, answer.supportsPreview) == (True, True)
    assert not sim.requests(), "an end before the first Create leaves nothing behind"
    with pytest.raises(FailedCallError) as caught:
        plugin.call("Call")
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


def test_the_configuration_is_checked_and_never_replaces(plugin: Plugin, sim: Simulator) -> None:
    plain = {"accountEndpoint": sim.endpoint, "accountName": sim.account, "accountKey": sim.key}
    checked = plugin.call("CheckConfig", urn="account", news=plain)
    assert not checked.failures
    assert read(checked.inputs) == account(sim), "a key comes back as a secret, also if it was sent as a plain value"
    found = plugin.call("DiffConfig", urn="account", olds=account(sim), news={**account(sim), "accountEndpoint": "x"})
    assert (list(found.replaces), list(found.diffs)) == ([], ["accountEndpoint"])
    assert plugin.call("DiffConfig", urn="account", olds=account(sim), news=account(sim)).changes == 1


def test_inputs_are_checked_and_secrets_come_back_marked(plugin: Plugin, sim: Simulator) -> None:
    news = {"poolId": secret("render"), "targetOsVersion": UNKNOWN, "timeout": 5400}
    checked = plugin.call("Check", urn="render", news=news)
    assert not checked.failures
    assert read(checked.inputs) == {**news, "accountEndpoint": sim.endpoint}, "the account is that of the provider"
    wrong = {"poolId": "render", "target_os_version": OLD, "onTimeout": "perhaps"}
    failures = {f.property: f.reason for f in plugin.call("Check", urn="render", news=wrong).failures}
    assert list(failures) == ["target_os_version", "targetOsVersion", "onTimeout"]
    assert failures["target_os_version"].endswith("did you mean targetOsVersion?")


def test_a_pool_that_is_declared_twice_is_refused(plugin: Plugin, sim: Simulator) -> None:
    assert not plugin.call("Check", urn="one", news=at(sim)).failures
    (failure,) = plugin.call("Check", urn="two", news=at(sim, "RENDER")).failures
    assert failure.property == "poolId"
    assert "is declared twice" in failure.reason


def test_a_preview_looks_and_writes_nothing(plugin: Plugin, sim: Simulator) -> None:
    inputs = at(sim, target=NEW, soak="1m")
    seen = create(plugin, inputs, preview=True)
    assert seen == {
        **inputs,
        "currentOsVersion": NEW,
        "poolState": "active",
        "osFamily": UNKNOWN,
        "unhealthyNodes": UNKNOWN,
    }
    assert any(f"{SHORT_OLD} -> {SHORT_NEW}" in text for text in plugin.said("render"))
    with pytest.raises(FailedCallError) as caught:
        create(plugin, at(sim, target="WA-GUEST-OS-7.60_202601-01"), preview=True)
    assert "an up would be refused: targetOsVersion WA-GUEST-OS-7.60_202601-01 is of OS family 7" in str(caught.value)
    assert "batch-os adopt" not in str(caught.value), "that command does not read YAML programs"
    # A pool whose id is not known yet cannot be read.
    before = len(sim.requests())
    assert create(plugin, at(sim, UNKNOWN), preview=True)["poolId"] == UNKNOWN
    assert len(sim.requests()) == before
    assert not sim.writes()


def test_every_input_may_be_secret_or_not_known_yet(plugin: Plugin, sim: Simulator) -> None:
    whole = at(sim, timeout="1h", onTimeout="fail", ifResizing="wait", onConflict="wait", stallAfter="5m")
    whole |= {"maxUnhealthy": "10%", "soak": 60}
    hidden = {name: secret(value) for name, value in whole.items()}
    checked = read(plugin.call("Check", urn="render", news=hidden).inputs)
    assert checked == hidden
    state = create(plugin, checked)
    assert {name: state[name] for name in whole} == hidden
    assert state["currentOsVersion"] == OLD
    assert plugin.call("Diff", urn="render", olds=state, old_inputs=hidden, news=hidden).changes == 1
    url = f"{sim.endpoint}/pools/render"
    again = plugin.call("Read", id=url, urn="render", properties=state, inputs=hidden)
    assert read(again.inputs) == hidden

    before = len(sim.requests())
    for name in whole:
        for unknown in (UNKNOWN, secret(UNKNOWN)):
            news = {**whole, name: unknown}
            assert read(plugin.call("Check", urn="render", news=news).inputs) == news
            found = plugin.call("Diff", urn="render", olds=state, old_inputs=hidden, news=news)
            assert name in found.detailedDiff
            assert not found.replaces
            assert create(plugin, news, preview=True)[name] == unknown
            seen = plugin.call("Update", urn="render", olds=state, old_inputs=hidden, news=news, preview=True)
            assert read(seen.properties)[name] == unknown
    assert len(sim.requests()) == before, "a pool with an unknown input is not read"


def test_the_main_road(plugin: Plugin, sim: Simulator) -> None:
    sim.speed(120)
    inputs = at(sim, target=NEW, timeout=secret("1h"))
    state = create(plugin, inputs)
    outputs = {"currentOsVersion": NEW, "osFamily": "4", "poolState": "active", "unhealthyNodes": 0}
    assert state == {**inputs, **outputs}
    assert re.search(r"done, 3 of 3 nodes back, \w+; ", plugin.said("render")[-1])
    assert plugin.call("Diff", urn="render", olds=state, old_inputs=inputs, news=inputs).changes == 1

    changed = {**inputs, "targetOsVersion": OTHER, "onTimeout": "defer"}
    found = plugin.call("Diff", urn="render", olds=state, old_inputs=inputs, news=changed)
    drawn = {name: (each.kind, each.inputDiff) for name, each in found.detailedDiff.items()}
    assert drawn == {"targetOsVersion": (4, True), "onTimeout": (0, True)}
    assert not found.replaces
    moved = plugin.call("Diff", urn="render", olds=state, old_inputs=inputs, news={**inputs, "poolId": "other"})
    assert (list(moved.replaces), moved.detailedDiff["poolId"].kind) == (["poolId"], 5)
    updated = plugin.call("Update", id="x", urn="render", olds=state, old_inputs=inputs, news=changed)
    assert read(updated.properties)["currentOsVersion"] == OTHER
    assert len(sim.upgrades()) == 2
    before = len(sim.requests())
    plugin.call("Delete", id="x", urn="render", properties=state)
    assert len(sim.requests()) == before


def test_a_refresh_shows_drift_and_an_import_needs_an_id_only(plugin: Plugin, sim: Simulator) -> None:
    inputs, url = at(sim), f"{sim.endpoint}/pools/render"
    state = create(plugin, inputs)
    sim.move_to(OTHER)
    seen = plugin.call("Read", id=url, urn="render", properties=state, inputs=inputs)
    assert read(seen.inputs) == {**inputs, "targetOsVersion": OTHER}
    assert read(seen.properties)["currentOsVersion"] == OTHER
    found = plugin.call("Diff", urn="render", olds=read(seen.properties), old_inputs=read(seen.inputs), news=inputs)
    assert {name: each.inputDiff for name, each in found.detailedDiff.items()} == {"targetOsVersion": True}

    imported = plugin.call("Read", id=f"{sim.endpoint}/pools/other", urn="other")
    assert read(imported.inputs) == at(sim, "other")
    assert not plugin.call("Check", urn="other", news=read(imported.inputs)).failures
    gone = plugin.call("Read", id=f"{sim.endpoint}/pools/gone", urn="gone", properties=at(sim, "gone"), inputs=at(sim))
    assert gone.id == ""
    for wrong, why in (("render", "is not the URL of a pool"), (f"{sim.endpoint}/pools/gone", "it does not exist")):
        with pytest.raises(FailedCallError, match=why):
            plugin.call("Read", id=wrong, urn="render")


def test_a_failed_create_is_kept_and_a_refused_one_is_not(plugin: Plugin, sim: Simulator) -> None:
    inputs = at(sim, target=NEW, soak=secret("1h"))
    with pytest.raises(FailedCallError) as caught:
        create(plugin, inputs, timeout=1.0)
    kept = caught.value.kept
    assert kept.id == f"{sim.endpoint}/pools/render"
    assert read(kept.inputs) == inputs
    state = read(kept.properties)
    assert (state["targetOsVersion"], state["poolState"]) == (OLD, "upgrading"), "the state shows what the pool shows"
    assert state["soak"] == secret("1h")
    assert list(kept.reasons) == [str(caught.value)]
    assert "this timeout is the customTimeouts of the resource" in kept.reasons[0]
    assert 'onTimeout: "defer"' in kept.reasons[0]
    found = plugin.call("Diff", urn="render", olds=state, old_inputs=inputs, news=inputs)
    assert {name: each.inputDiff for name, each in found.detailedDiff.items()} == {"targetOsVersion": False}
    # An update that fails keeps the resource in the same way, and the next one joins the upgrade.
    with pytest.raises(FailedCallError) as caught:
        plugin.call("Update", id="x", urn="render", olds=state, old_inputs=inputs, news=inputs, timeout=1.0)
    assert caught.value.kept is not None
    for target, pool in ((NEW, "gone"), ("WA-GUEST-OS-7.60_202601-01", "other")):
        with pytest.raises(FailedCallError) as caught:
            create(plugin, at(sim, pool, target))
        assert caught.value.kept is None
    assert len(sim.upgrades()) == 1


def test_a_gate_that_was_not_met_stays_open_after_a_refresh(plugin: Plugin, sim: Simulator) -> None:
    """Pulumi keeps the new inputs of a failed update, and a good refresh takes the error from the state."""
    before, url = at(sim), f"{sim.endpoint}/pools/render"
    state, inputs = create(plugin, before), at(sim, maxUnhealthy=0, timeout=1)
    sim.speed(0.001)
    sim.change_node("tvm-001", state="starting")
    with pytest.raises(FailedCallError) as caught:
        plugin.call("Update", id=url, urn="render", olds=state, old_inputs=before, news=inputs)
    state = read(caught.value.kept.properties)
    seen = plugin.call("Read", id=url, urn="render", properties=state, inputs=inputs)
    assert state["poolState"] == read(seen.properties)["poolState"] == "unproven"
    found = plugin.call("Diff", urn="render", olds=read(seen.properties), old_inputs=inputs, news=inputs)
    assert list(found.diffs) == ["poolState"]


def test_custom_timeouts_are_no_input(plugin: Plugin, sim: Simulator) -> None:
    assert "timeout" not in create(plugin, at(sim), timeout=7200.0)
    with pytest.raises(FailedCallError, match="within the timeout of 1s") as caught:
        create(plugin, at(sim, "other", NEW, timeout="1s"), "other", timeout=7200.0)
    assert "customTimeouts" not in str(caught.value), "the declared timeout has ended it"


def test_a_deferred_upgrade_is_a_visible_change(plugin: Plugin, sim: Simulator) -> None:
    inputs = at(sim, target=NEW, timeout=1, onTimeout="defer")
    state = create(plugin, inputs)
    assert (state["targetOsVersion"], state["currentOsVersion"]) == (OLD, OLD)
    found = plugin.call("Diff", urn="render", olds=state, old_inputs=inputs, news=inputs)
    assert {name: (each.kind, each.inputDiff) for name, each in found.detailedDiff.items()} == {
        "targetOsVersion": (4, False)
    }
    seen = plugin.call("Update", urn="render", olds=state, old_inputs=inputs, news=inputs, preview=True)
    assert read(seen.properties)["targetOsVersion"] == NEW
    assert f"upgrade to {SHORT_NEW} was deferred" in plugin.said("render")[-1] or "joins" in plugin.said("render")[-1]


def test_cancel_ends_every_rollout(plugin: Plugin, sim: Simulator) -> None:
    names = ("render", "other", "third")
    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(create, plugin, at(sim, name, NEW), name) for name in names]
        for name in names:
            wait_for(plugin, name, "upgrad")
        plugin.call("Cancel")
        plugin.call("Cancel")
        for each in running:
            with pytest.raises(FailedCallError, match=r"interrupted by \^C") as caught:
                each.result(60)
            assert caught.value.kept is not None, "the upgrade goes on in Batch"


def test_a_state_of_the_dynamic_provider_moves_without_a_change(plugin: Plugin, sim: Simulator) -> None:
    olds = {"account_endpoint": sim.endpoint, "pool_id": "render", "target_os_version": OLD, "timeout": "2h"}
    seen = {"current_os_version": OLD, "os_family": "4", "pool_state": "active", "__provider": "gASV"}
    news = at(sim, timeout="120m")
    assert (
        plugin.call(
            "Diff", urn="render", olds={**olds, **seen}, old_inputs={**olds, "__provider": "x"}, news=news
        ).changes
        == 1
    )
    url = f"{sim.endpoint}/pools/render"
    read_again = plugin.call("Read", id=url, urn="render", properties={**olds, **seen}, inputs=olds)
    assert read(read_again.inputs) == at(sim, timeout="2h")
    olds |= {"timeout": secret("2h")}
    read_again = plugin.call("Read", id=url, urn="render", properties={**olds, **seen}, inputs=olds)
    assert read(read_again.inputs)["timeout"] == read(read_again.properties)["timeout"] == secret("2h")
    assert not sim.writes()


def test_no_text_has_a_key_or_a_stack_trace(plugin: Plugin, sim: Simulator) -> None:
    wrong = "d3Jvbmcga2V5"
    plugin.call("Configure", args={**account(sim), "accountKey": secret(wrong)})
    with pytest.raises(FailedCallError) as refused:
        create(plugin, at(sim))
    plugin.call("Configure", args={**account(sim), "accountKey": secret("not base64")})
    texts = [str(refused.value), *(text for _, text in plugin.engine.lines)]
    for text in texts:
        assert wrong not in text
        assert "Traceback" not in text
    assert "accountKey" in str(refused.value), "not the variable, which is not set"


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("Check", {"news": {}}),
        ("Create", {"properties": {}}),
        ("Diff", {"olds": {}, "news": {}}),
        ("Read", {"id": "x"}),
    ],
)
def test_a_type_that_is_not_there_is_refused(plugin: Plugin, call: str, fields: dict[str, Any]) -> None:
    with pytest.raises(
        FailedCallError, match="the package batchos has no resource batchos:index:Pool; it has batchos:index:"
    ):
        plugin.call(call, urn="x", kind="batchos:index:Pool", **fields)


def test_a_bug_names_its_place_and_shows_no_trace(plugin: Plugin) -> None:
    with pytest.raises(
        FailedCallError, match=r"^a bug in batchos: \w+ at \S+\.py:\d+\nNext: Set BATCH_OS_LOG to a file"
    ) as bug:
        plugin.call("Create", urn="x", properties={"poolId": "no check came before"})
    assert bug.value.code is grpc.StatusCode.INTERNAL


def test_vm_pools(plugin: Plugin, sim: Simulator) -> None:
    pinned = {"version": UBUNTU.behind, "image": UBUNTU}
    sim.seed(
        vm_pool("jobs", **pinned),
        vm_pool("floats", image=UBUNTU),
        vm_pool("unnumbered", exact="latest", image=UBUNTU),
        vm_pool("bare", nodes=0, image=UBUNTU),
        images=[UBUNTU.row],
    )
    sim.speed(600)
    here = {"accountEndpoint": sim.endpoint, "poolId": "jobs", "strategy": "empty"}
    inputs = {**here, "targetImageVersion": UBUNTU.target, "drainTimeout": "5m"}
    assert not plugin.call("Check", urn="jobs", kind=IMAGE, news=inputs).failures
    seen = create(plugin, inputs, "jobs", kind=IMAGE, preview=True)
    assert (seen["nodesBehind"], seen["image"]) == (0, UNKNOWN)
    state = create(plugin, inputs, "jobs", kind=IMAGE)
    assert (state["poolImageVersion"], state["nodesBehind"]) == (UBUNTU.target, 0)
    assert plugin.call("Diff", urn="jobs", kind=IMAGE, olds=state, old_inputs=inputs, news=inputs).changes == 1

    # An import gets the target that the pool shows, and the strategy that touches no node.
    targets = {"jobs": "targetImageVersion", "floats": "targetImageVersion", "unnumbered": "nodesSince"}
    for pool, target in targets.items():
        imported = plugin.call("Read", id=f"{sim.endpoint}/pools/{pool}", urn=pool, kind=IMAGE)
        found = read(imported.inputs)
        assert set(found) == {"accountEndpoint", "poolId", "strategy", target}
        assert found["strategy"] == "when_empty"
        assert not plugin.call("Check", urn=pool, kind=IMAGE, news=found).failures
        same = plugin.call("Diff", urn=pool, kind=IMAGE, olds=read(imported.properties), old_inputs=found, news=found)
        assert same.changes == 1
    with pytest.raises(
        FailedCallError, match=r"so the target is not known.*\nNext: Declare it in the program with targetIma"
    ):
        plugin.call("Read", id=f"{sim.endpoint}/pools/bare", urn="bare", kind=IMAGE)
    # A `get` only shows the pool. The engine sends an empty bag of inputs for it, and none for an import.
    bare = plugin.call("Read", id=f"{sim.endpoint}/pools/bare", urn="bare", kind=IMAGE, inputs={}, properties={})
    assert not {"targetImageVersion", "nodesSince"} & read(bare.properties).keys()
    assert read(bare.properties)["poolState"] == "active"


GONE = (
    "Check the id that the program gives to `get`; create the pool first, or remove the `get`",
    "Check the id of the import, which is the URL of the pool; create the pool first, or import another one",
)


@pytest.mark.parametrize(
    ("pool", "kind", "of_get", "of_import"),
    [
        ("gone", OS, *GONE),
        ("gone-too", IMAGE, *GONE),
        ("frames", OS, "Read it with PoolImageVersion.get", "Import it as PoolImageVersion"),
        ("render", IMAGE, "Read it with PoolOsVersion.get", "Import it as PoolOsVersion"),
    ],
)
def test_what_cannot_be_read_has_the_next_step_of_who_asks(
    plugin: Plugin, sim: Simulator, pool: str, kind: str, of_get: str, of_import: str
) -> None:
    sim.seed(paas_pool("render"), vm_pool("frames"))
    id_ = f"{sim.endpoint}/pools/{pool}"
    for bags, step in (({"inputs": {}, "properties": {}}, of_get), ({"properties": {}}, of_import)):
        with pytest.raises(FailedCallError) as refused:
            plugin.call("Read", id=id_, urn="x", kind=kind, **bags)
        assert str(refused.value).startswith(f"pool {id_}: ")
        assert str(refused.value).endswith(f"\nNext: {step}.")


def test_functions_show_what_an_account_has(plugin: Plugin, sim: Simulator) -> None:
    sim.pools(paas_pool("b", nodes=4), vm_pool("A", nodes=0, image=UBUNTU))

    def ask(function: str, **arguments: Any) -> Any:
        answer = plugin.call("Invoke", tok=f"batchos:index:{function}", args=arguments)
        return {each.property: each.reason for each in answer.failures} or read(getattr(answer, "return"))

    vm, paas = ask("listPools")["pools"]
    assert vm == {
        "poolId": "A",
        "url": f"{sim.endpoint}/pools/A",
        "resource": "PoolImageVersion",
        "poolState": "active",
        "nodes": 0,
        "image": f"{UBUNTU.publisher} {UBUNTU.offer} {UBUNTU.sku} latest",
    }
    assert (paas["resource"], paas["currentOsVersion"], paas["osFamily"], paas["nodes"]) == (
        "PoolOsVersion",
        OLD,
        "4",
        4,
    )
    assert ask("getPool", poolId="b", accountEndpoint=sim.endpoint) == paas
    assert ask("getPool") == {"poolId": "it is missing; required: 1 to 64 letters, digits, hyphens and underscores"}
    assert ask("getPool", pool_id="b").keys() == {"pool_id", "poolId"}
    assert "did you mean poolId?" in ask("getPool", pool_id="b")["pool_id"]
    assert "is not an account endpoint" in ask("listPools", accountEndpoint="here")["accountEndpoint"]
    with pytest.raises(FailedCallError, match="PoolNotFound"):
        ask("getPool", poolId="gone")
    with pytest.raises(
        FailedCallError, match="has no function batchos:index:pools; it has batchos:index:listPools and"
    ):
        ask("pools")
    assert not sim.writes()
