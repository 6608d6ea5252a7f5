"""What a program can send to the native provider in every place: an answer or a sentence, and no text with a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.plugin import config
from batch_os_provider.plugin.functions import FUNCTIONS
from batch_os_provider.plugin.resources import RESOURCES
from batch_os_provider.schema.spelling import camel
from tests.support import plugin as plugins
from tests.support import simulator as simulators
from tests.support.plugin import IMAGE, OS, SECRET, UNKNOWN, FailedCallError, Plugin, read, secret
from tests.support.simulator import IMAGES, OLD, Simulator, paas_pool, vm_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = "https://myaccount.westeurope.batch.azure.com"
HIDDEN = "hunter2!"
GOOD: dict[str, dict[str, Any]] = {
    OS: {"accountEndpoint": HERE, "poolId": "a", "targetOsVersion": OLD},
    IMAGE: {"accountEndpoint": HERE, "poolId": "a", "targetImageVersion": "8.7.2024042601", "strategy": "surge"},
}
VALUES: tuple[Any, ...] = (
    True,
    -1,
    0.5,
    1e300,
    "",
    "x" * 3000,
    "\x00",
    [],
    [[1, UNKNOWN]],
    {"a": {"b": secret(UNKNOWN)}},
    UNKNOWN,
    secret(UNKNOWN),
    secret(HIDDEN),
    secret([HIDDEN]),
    [secret(HIDDEN)],
    {"a": secret(HIDDEN)},
    secret({"a": [secret(HIDDEN)]}),
)
"""Values of every type, known or not, secret as a whole or in a part."""


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """A provider that is not configured and reads no pool in a preview."""
    with plugins.running(monkeypatch) as plugin:
        plugin.call("Configure", args={"previewLook": "false"})
        yield plugin


def plain(value: Any) -> Any:
    """A value without marks."""
    if isinstance(value, dict):
        return plain(value["value"]) if SECRET.items() <= value.items() else {k: plain(v) for k, v in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def whole(value: Any) -> Any:
    """How a value comes back: a secret part of it makes all of it secret."""
    return value if plain(value) == value else secret(plain(value))


def reasons(failures: Iterable[Any], name: str, value: Any) -> list[str]:
    """The reasons of a refusal. The engine writes the value of a named property, so a secret one has no name."""
    found = [f"{each.property}: {each.reason}" if each.property else each.reason for each in failures]
    for each, text in zip(failures, found, strict=True):
        assert each.reason, (name, value)
        assert "object at 0x" not in text, (name, value)
        assert HIDDEN not in text, (name, value)
        if each.property == name:
            assert HIDDEN not in str(value), name
    return found


@pytest.mark.parametrize("token", GOOD)
def test_any_value_of_any_input_is_refused_with_a_sentence_or_goes_through_every_call(
    plugin: Plugin, token: str
) -> None:
    good = GOOD[token]
    passed = 0
    for name in map(camel, RESOURCES[token].spec.names):
        for value in VALUES:
            news = {**good, name: value}
            checked = plugin.call("Check", urn="a", kind=token, news=news)
            if reasons(checked.failures, name, value):
                continue
            passed += 1
            kept = read(checked.inputs)
            assert kept[name] == whole(value)
            state = {**good, "poolState": "active", "currentOsVersion": OLD, "poolImageVersion": "latest"}
            found = plugin.call("Diff", urn="a", kind=token, olds=state, old_inputs=good, news=kept)
            assert name in found.detailedDiff, (name, value)
            made = plugin.call("Create", urn="a", kind=token, properties=kept, preview=True)
            assert read(made.properties)[name] == whole(value)
            call = {"olds": state, "old_inputs": good, "news": kept, "preview": True}
            assert read(plugin.call("Update", urn="a", kind=token, **call).properties)[name] == whole(value)
    assert passed >= 2 * len(RESOURCES[token].spec.names), "what is not known yet passes"


def test_any_value_of_any_option_is_refused_with_a_sentence_or_can_be_used(plugin: Plugin) -> None:
    for name in config.OPTIONS:
        for value in VALUES:
            given = {"accountEndpoint": HERE, "tenantId": "contoso", "clientId": "deployer", name: value}
            checked = plugin.call("CheckConfig", urn="account", news=given)
            if reasons(checked.failures, name, value):
                plugin.call("Configure", args=given)
                with pytest.raises(FailedCallError, match=r"\nNext: Correct the options of the provider") as refused:
                    plugin.call("Check", urn="a", news={})
                assert HIDDEN not in str(refused.value)
            else:
                plugin.call("Configure", args=read(checked.inputs))
                assert not plugin.call("DiffConfig", urn="account", olds=given, news=given).detailedDiff


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"clientSecret": "s", "tenantId": "contoso"}, "clientSecret: it is set without clientId, so it has no use"),
    ({"clientSecret": "s"}, "set tenantId and clientId too, or ARM_TENANT_ID and ARM_CLIENT_ID in the environment"),
    ({"useOidc": True, "clientId": "deployer"}, "useOidc: it is set without tenantId"),
    ({"accountKey": "k"}, "accountKey: it is set without accountEndpoint"),
    ({"accountEndpoint": "ftp://x"}, "accountEndpoint: 'ftp://x' is not an account endpoint"),
]


def test_a_wrong_configuration_does_not_stop_a_destroy(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    # A destroy calls no CheckConfig. Its environment may lack what that of the `up` had, such as ARM_TENANT_ID.
    for variable in ("ARM_TENANT_ID", "ARM_CLIENT_ID"):
        monkeypatch.delenv(variable, raising=False)
    inputs = {"accountEndpoint": HERE, "poolId": "a", "targetOsVersion": OLD}
    state, id_ = {**inputs, "currentOsVersion": OLD, "poolState": "active"}, f"{HERE}/pools/a"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("Check", {"news": inputs}),
        ("Create", {"properties": inputs}),
        ("Create", {"properties": inputs, "preview": True}),
        ("Update", {"olds": state, "news": inputs}),
        ("Update", {"olds": state, "news": inputs, "preview": True}),
        ("Read", {"id": id_, "properties": state, "inputs": inputs}),
    ]
    for given, why in WRONG:
        plugin.call("Configure", args=given)
        assert plugin.call("Diff", urn="a", olds=state, old_inputs=inputs, news=inputs).changes == 1
        plugin.call("Delete", id=id_, urn="a", properties=state)
        refused = []
        for name, fields in calls:
            with pytest.raises(FailedCallError) as error:
                plugin.call(name, urn="a", **fields)
            refused.append(error.value)
        with pytest.raises(FailedCallError) as error:
            plugin.call("Invoke", tok="batchos:index:listPools", args={})
        for each in (*refused, error.value):
            assert why in str(each)
            assert str(each).endswith("\nNext: Correct the options of the provider batchos.")
            assert each.kept is None
    plugin.call("Configure", args={})
    assert not plugin.call("Check", urn="a", news=inputs).failures


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda each: each.name)
def test_any_value_of_any_argument_is_refused_with_a_sentence(plugin: Plugin, function: Any) -> None:
    for name in map(camel, function.arguments):
        for value in VALUES:
            answer = plugin.call("Invoke", tok=function.token, args={"poolId": "no pool", name: value})
            assert reasons(answer.failures, name, value), (name, value)


def test_a_key_is_never_named_to_the_engine_which_would_write_its_value(plugin: Plugin) -> None:
    """Seen with CLI 3.259: ``property accountKey value {&{{the key}}} has a problem``, though it is a secret."""
    (failure,) = plugin.call("CheckConfig", urn="account", news={"accountKey": "d3Jvbmcga2V5"}).failures
    assert failure.property == ""
    assert (
        failure.reason
        == "accountKey: it is set without accountEndpoint, so its account is not known; set accountEndpoint too"
    )
    (failure,) = plugin.call("CheckConfig", urn="account", news={"acountKey": "d3Jvbmcga2V5"}).failures
    assert failure.property == "", "a misspelled name may hold a key"
    assert failure.reason.startswith("acountKey: it is not an option of the provider batchos")
    news = {**GOOD[OS], "poolId": secret(HIDDEN)}
    (failure,) = plugin.call("Check", urn="a", news=news).failures
    assert failure.property == ""
    assert failure.reason.startswith("poolId: the secret value is not allowed; allowed: 1 to 64 letters, digits")
    (failure,) = plugin.call("Check", urn="a", news={**GOOD[OS], "poolId": HIDDEN}).failures
    assert (failure.property, failure.reason[:10]) == ("poolId", "'hunter2!'")


def test_without_an_account_the_sentence_names_both_places(plugin: Plugin) -> None:
    (failure,) = plugin.call("Check", urn="a", news={"poolId": "a", "targetOsVersion": OLD}).failures
    assert failure.property == "accountEndpoint"
    assert failure.reason.startswith("it is missing; required: https://<account>.<region>.batch.azure.com")
    assert failure.reason.endswith("; declare it here, or as accountEndpoint of the provider")


def test_latest_is_refused_with_the_newest_version_on_the_nodes(plugin: Plugin) -> None:
    alma = IMAGES["almalinux-hpc"]
    for sim in simulators.running():
        sim.seed(vm_pool("jobs", exact=alma.target, image=alma), paas_pool("cloud"), images=[alma.row])
        ask_for_latest(plugin, sim, alma.target)


def ask_for_latest(plugin: Plugin, sim: Simulator, newest: str) -> None:
    account = {"accountEndpoint": sim.endpoint, "accountName": sim.account, "accountKey": secret(sim.key)}

    def refused(pool: str, **more: Any) -> str:
        plugin.call("Configure", args={**account, **more})
        news = {"poolId": pool, "targetImageVersion": " Latest", "strategy": "empty"}
        (failure,) = plugin.call("Check", urn=pool, kind=IMAGE, news=news).failures
        assert failure.property == "targetImageVersion"
        return str(failure.reason)

    assert refused("jobs").endswith(f"; the newest on this pool's nodes is {newest}")
    assert "no node of this pool shows a version number: declare nodesSince" in refused("cloud")
    assert "could not read its nodes: " in refused("gone")
    before = len(sim.requests())
    assert "nodes" not in refused("jobs", previewLook="false").partition("changes over time")[2].partition(";")[0]
    assert len(sim.requests()) == before
