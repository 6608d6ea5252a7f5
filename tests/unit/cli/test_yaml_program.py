"""Which pools a YAML program declares: what is known is exact, and what is not known has a reason."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from batch_os_provider.cli.adopt import command
from batch_os_provider.cli.adopt.declared_pools import read
from batch_os_provider.cli.inventory import Account
from batch_os_provider.cli.main import main
from batch_os_provider.errors import InputError
from tests.support.simulator import OLD, paas_pool
from tests.unit.cli.test_proposal import ENDPOINT, seen

if TYPE_CHECKING:
    from pathlib import Path

    from batch_os_provider.cli.adopt.declaration import DeclaredPool

LAB = "https://lab.westeurope.batch.azure.com"
HEAD = "name: farm\nruntime: yaml\n"


def project(folder: Path, text: str, *, head: str = HEAD, **files: str) -> Path:
    """A Pulumi project; files are named without `.yaml`."""
    (folder / "Pulumi.yaml").write_text(head + dedent(text), encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(dedent(content), encoding="utf-8")
    return folder


def shown(declared: list[DeclaredPool]) -> dict[str, str]:
    """The URL of each resource's pool, or why it is not known."""
    return {each.name: each.ref.url if each.ref else f"{each.pool_id}? {each.unknown}" for each in declared}


def refusal(source: Path, *stacks: str) -> str:
    with pytest.raises(InputError) as caught:
        read(source, stacks, {})
    return str(caught.value).replace(str(source), "X")


POOL = """
resources:
  render:
    type: batchos:PoolOsVersion
    properties: {{accountEndpoint: {endpoint}, poolId: {pool}, targetOsVersion: WA-GUEST-OS-7.58_202511-01}}
"""
"""A program with one pool."""


def test_each_place_where_an_account_can_stand(tmp_path: Path) -> None:
    project(
        tmp_path,
        f"""
        config:
          region: westeurope
        variables:
          where: https://lab.${{region}}.batch.azure.com
        resources:
          first: {{type: "pulumi:providers:batchos", properties: {{accountEndpoint: "{ENDPOINT}"}}}}
          usual:
            type: pulumi:providers:batchos
            defaultProvider: true
            properties: {{accountEndpoint: "${{where}}"}}
          azure: {{type: "pulumi:providers:azure-native", defaultProvider: true}}
          group:
            type: my:index:Group
            options: {{providers: ["${{azure}}", "${{first}}"]}}
          own:
            type: batchos:PoolOsVersion
            properties: {{accountEndpoint: "{LAB.upper()}/", poolId: own, targetOsVersion: "{OLD}"}}
          by-provider:
            type: batchos:index:PoolImageVersion
            name: another-name
            properties: {{poolId: named, nodesSince: 2026-11-24, strategy: surge, surge: 2}}
            options: {{provider: "${{first}}"}}
          by-parent:
            type: batchos:PoolOsVersion
            properties: {{poolId: inherited, targetOsVersion: "{OLD}"}}
            options: {{parent: "${{group}}"}}
          by-default:
            type: batchos:PoolOsVersion
            properties: {{poolId: "p-${{pulumi.stack}}-$${{x}}", targetOsVersion: "{OLD}"}}
          only-read: {{type: "batchos:PoolOsVersion", get: {{id: "{LAB}/pools/kept-elsewhere"}}}}
          another: {{type: "azure-native:batch:Pool", properties: {{poolId: x}}}}
        """.replace("-$${x}", ""),
    )
    declared = read(tmp_path, (), {})
    assert shown(declared) == {
        "own": f"{LAB}/pools/own",
        "another-name": f"{ENDPOINT}/pools/named",
        "by-parent": f"{ENDPOINT}/pools/inherited",
        "by-default": f"{LAB}/pools/p-dev",
    }
    (named,) = (each for each in declared if each.name == "another-name")
    assert named.inputs == {
        "account_endpoint": ENDPOINT,
        "pool_id": "named",
        "nodes_since": "2026-11-24",
        "strategy": "surge",
        "surge": 2,
    }
    assert read(tmp_path / "Pulumi.yaml", (), {}) == declared


def test_the_account_of_stack_config(tmp_path: Path) -> None:
    text = "resources:\n  a: {type: batchos:PoolOsVersion, properties: {poolId: a, targetOsVersion: x}}\n".replace(
        "batchos:PoolOsVersion", '"batchos:PoolOsVersion"'
    )
    project(tmp_path, text, **{"Pulumi.dev": f"config:\n  batchos:accountEndpoint: {ENDPOINT}\n"})
    assert shown(read(tmp_path, (), {})) == {"a": f"{ENDPOINT}/pools/a"}
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "config:\n  batchos:accountEndpoint:\n    secure: AAA\n", encoding="utf-8"
    )
    assert shown(read(tmp_path, (), {})) == {"a": "a? config batchos:accountEndpoint is secret"}
    (tmp_path / "Pulumi.dev.yaml").write_text("", encoding="utf-8")
    assert shown(read(tmp_path, (), {})) == {"a": "a? it declares no accountEndpoint, and neither does its provider"}


def test_config_of_each_stack_and_of_the_command_line(tmp_path: Path) -> None:
    config = "config:\n  endpoint: {type: string}\n  pools: {type: array, items: {type: string}, default: [one, two]}\n"
    text = config + POOL.format(endpoint='"${endpoint}"', pool='"${pools[1]}"')
    stacks = {f"Pulumi.{each}": f"config:\n  farm:endpoint: https://{each}.x.batch.azure.com\n" for each in ("a", "b")}
    project(tmp_path, text, **stacks)
    assert [each.ref.url for each in read(tmp_path, ("a", "b"), {}) if each.ref] == [
        "https://a.x.batch.azure.com/pools/two",
        "https://b.x.batch.azure.com/pools/two",
    ]
    assert "has config for several stacks: a, b" in refusal(tmp_path)
    given = {"farm:pools": '["x", "given"]', "endpoint": ENDPOINT}
    assert shown(read(tmp_path, ("a",), given)) == {"render": f"{ENDPOINT}/pools/given"}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("${farm.endpoint}", "${farm.endpoint} is an output, which only a deployment knows"),
        ("${secret}", "config farm:secret is secret"),
        ("${hidden}", "config farm:hidden is secret"),
        ("{fn::secret: x}", "it is a secret"),
        ("{fn::readFile: x.txt}", "it is a result of fn::readFile"),
        ("${asked}", "it is a result of fn::invoke"),
        ("a${pulumi.organization}", "${pulumi.organization} is known only in a run"),
        ("a${number}", "it joins a text and 7"),
    ],
)
def test_what_only_a_deployment_knows_is_said_and_never_guessed(tmp_path: Path, value: str, why: str) -> None:
    text = """
config:
  secret: {type: string, secret: true, default: x}
  number: {type: integer, default: 7}
variables:
  asked: {fn::invoke: {function: "some:index:thing"}}
resources:
  farm: {type: "azure-native:batch:BatchAccount"}
  render:
    type: batchos:PoolOsVersion
    properties:
      accountEndpoint: PLACE
      poolId: render
      targetOsVersion: WA-GUEST-OS-7.58_202511-01
"""
    quoted = value if value.startswith("{") else json.dumps(value)
    project(tmp_path, text.replace("PLACE", quoted), **{"Pulumi.dev": "config:\n  farm:hidden: {secure: AAA}\n"})
    (declared,) = read(tmp_path, (), {})
    assert declared.ref is None
    assert declared.unknown == why
    assert "account_endpoint" not in declared.inputs


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ('"${bag}"', f"{ENDPOINT}/pools/from-a-bag"),
        ('"${other.bag}"', "? its properties are not known: ${other.bag} is an output, which only a deployment knows"),
        ("text", "? its properties are not known: they are not a mapping"),
        ("{fn::invoke: {function: x}}", "? its properties are not known: it is a result of fn::invoke"),
        ("", "? it declares no accountEndpoint, and neither does its provider"),
    ],
)
def test_properties_may_be_an_expression(tmp_path: Path, properties: str, said: str) -> None:
    text = f"""
variables: {{bag: {{accountEndpoint: "{ENDPOINT}", poolId: from-a-bag, targetOsVersion: "{OLD}"}}}}
resources:
  other: {{type: "my:index:Thing"}}
  render:
    type: batchos:PoolOsVersion
    properties: {properties}
"""
    assert shown(read(project(tmp_path, text), (), {})) == {"render": said}


@pytest.mark.parametrize(
    ("endpoint", "pool", "said"),
    [
        (ENDPOINT, "7", "line 7: poolId of render: 7 is not a text.\nNext: Put the value in quotes"),
        (ENDPOINT, "1e3", "line 7: poolId of render: 1e3 is not a text"),
        (ENDPOINT, "null", "poolId of render: null is not a text"),
        (ENDPOINT, "'a b'", "poolId of render: 'a b' is not a pool id"),
        ("http://far.example", "a", "accountEndpoint of render: "),
        ('"${account}"', "a", "line 7: accountEndpoint of render: config farm:account has no value for stack dev.\n"),
        ('"${nothing}"', "a", "${nothing}: the program has nothing with the name nothing.\nNext: Correct the program"),
    ],
)
def test_what_pulumi_would_refuse_too_is_an_error_with_the_line(
    tmp_path: Path, endpoint: str, pool: str, said: str
) -> None:
    text = "config: {account: {type: string}}" + POOL.format(endpoint=endpoint, pool=pool)
    assert said in refusal(project(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resources:\n  a: [\n", "Pulumi.yaml, line 5: it is not YAML: "),
        ("resources:\n\ta: 1\n", "Pulumi.yaml, line 4: it is not YAML: "),
        ("a: &x 1\nb: *x\n", "Pulumi.yaml, line 4: the alias *x is not allowed in a Pulumi program"),
    ],
)
def test_broken_yaml_is_an_error_with_the_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(project(tmp_path, text))


def test_only_the_file_that_pulumi_reads_counts(tmp_path: Path) -> None:
    """Pulumi reads Main.json, else Main.yaml, else Pulumi.yaml, in the folder of `main`."""
    inner = tmp_path / "inner"
    inner.mkdir()
    project(tmp_path, POOL.format(endpoint=ENDPOINT, pool="pulumi"), head=f"{HEAD}main: inner\n")
    assert "has no YAML program: it has none of Main.json, Main.yaml, Pulumi.yaml" in refusal(tmp_path)
    (inner / "Main.yaml").write_text(POOL.format(endpoint=ENDPOINT, pool="main"), encoding="utf-8")
    assert shown(read(tmp_path, (), {})) == {"render": f"{ENDPOINT}/pools/main"}
    properties = {"accountEndpoint": ENDPOINT, "poolId": "json", "targetOsVersion": OLD}
    document = {"resources": {"render": {"type": "batchos:PoolOsVersion", "properties": properties}}}
    (inner / "Main.json").write_text(json.dumps(document), encoding="utf-8")
    assert shown(read(tmp_path, (), {})) == {"render": f"{ENDPOINT}/pools/json"}


def test_a_program_in_another_language_is_refused_with_the_way_on(tmp_path: Path) -> None:
    project(tmp_path, "", head="name: farm\nruntime: nodejs\n")
    assert "has a program of the runtime nodejs; only Python and YAML can be read" in refusal(tmp_path)
    assert "pulumi preview --json --show-sames" in refusal(tmp_path)
    with pytest.raises(InputError, match="Change the versions by hand"):
        read(tmp_path, (), {}, takes_files=False)


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    project(tmp_path, "", **{"Pulumi.dev": "", "other": ""})
    assert "is the config of a stack" in refusal(tmp_path / "Pulumi.dev.yaml")
    (tmp_path / "Pulumi.yaml").write_text("name: farm\nruntime: {name: nodejs}\n", encoding="utf-8")
    assert "says runtime: nodejs" in refusal(tmp_path / "other.yaml")
    compiled = "name: farm\nruntime: {name: yaml, options: {compiler: cue export}}\n"
    (tmp_path / "Pulumi.yaml").write_text(compiled, encoding="utf-8")
    assert "names a compiler" in refusal(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_as_windows_tools_write_them(tmp_path: Path, encoding: str, end: str) -> None:
    text = HEAD + POOL.format(endpoint='"${endpoint}"', pool="render")
    config = f"config:\n  farm:endpoint: {ENDPOINT}\n"
    for name, content in (("Pulumi", text), ("Pulumi.dev", config)):
        (tmp_path / f"{name}.yaml").write_bytes(content.replace("\n", end).encode(encoding))
    assert shown(read(tmp_path, (), {})) == {"render": f"{ENDPOINT}/pools/render"}


def test_a_fleet_declares_each_of_its_pools(tmp_path: Path) -> None:
    text = f"""
        resources:
          fleet:
            type: batchos:PoolFleet
            properties:
              accountEndpoint: {ENDPOINT}
              pools: [first, "{LAB}/pools/second"]
              canary: ${{other.first}}
              canaryNodes: 2
              nodesSince: 2026-11-24
              strategy: empty
          open: {{type: "batchos:PoolFleet", properties: {{pools: "${{other.pools}}", targetOsVersion: "{OLD}"}}}}
          other: {{type: "my:index:Thing"}}
        """
    declared = read(project(tmp_path, text), (), {})
    assert shown(declared) == {
        "fleet-first": f"{ENDPOINT}/pools/first",
        "fleet-lab.westeurope-second": f"{LAB}/pools/second",
        "open": "? its pools are not known: ${other.pools} is an output, which only a deployment knows",
    }
    inputs = {"account_endpoint": ENDPOINT, "canary": 2, "nodes_since": "2026-11-24", "strategy": "empty"}
    assert declared[0].inputs == {**inputs, "pool_id": "first"}
    text = f"resources:\n  f: {{type: 'batchos:PoolFleet', properties: {{accountEndpoint: '{ENDPOINT}', pools: []}}}}\n"
    assert "fleet f: pools: it is empty" in refusal(project(tmp_path, text))


def test_check_says_why_a_pool_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = [Account(ENDPOINT, "a key", pools=tuple(seen(paas_pool(each)) for each in ("render", "lost")))]
    monkeypatch.setattr(command, "survey", lambda _: accounts)
    text = POOL.format(endpoint=ENDPOINT, pool="render").replace("WA-GUEST-OS-7.58_202511-01", OLD)
    text += '  open: {type: "batchos:PoolOsVersion", properties: {poolId: "${render.name}", targetOsVersion: x}}\n'
    project(tmp_path, text)
    words = CliRunner().invoke(main, ["adopt", ENDPOINT, "--check", str(tmp_path)])
    assert words.exit_code == 3, words.output
    assert f"{ENDPOINT}/pools/lost is not declared; PoolOsVersion fits it" in words.output
    flat = " ".join(words.output.split())
    assert "(open), and it declares no accountEndpoint, and neither does its provider" in flat
    said = CliRunner().invoke(main, ["adopt", ENDPOINT, "--check", str(tmp_path), "--json"])
    (unknown,) = json.loads(said.stdout)["not_known_yet"]
    assert unknown["why"].startswith("it declares no accountEndpoint")
