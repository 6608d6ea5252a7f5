"""What a program declares: run with a stand-in for the engine, or read from a file of Pulumi's."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.cli.adopt.command import compare
from batch_os_provider.cli.adopt.declaration import DeclaredPool
from batch_os_provider.cli.adopt.declared_pools import read
from batch_os_provider.cli.adopt.project import Project
from batch_os_provider.cli.inventory import Account
from batch_os_provider.errors import InputError
from tests.support.simulator import OLD, paas_pool, vm_pool
from tests.unit.cli.test_proposal import ENDPOINT, image, seen

if TYPE_CHECKING:
    from pathlib import Path

URN = "urn:pulumi:dev::farm::pulumi-python:dynamic/batch:PoolOsVersion::"
TYPE = "pulumi-python:dynamic/batch:PoolOsVersion"


def project(folder: Path, program: str, **files: str) -> Path:
    """A Pulumi project; files are named without `.yaml`."""
    head = "import pulumi\nfrom batch_os_provider import PoolFleet, PoolImageVersion, PoolOsVersion\n"
    (folder / "__main__.py").write_text(head + dedent(program), encoding="utf-8")
    for name, text in {"Pulumi": "name: farm\nruntime: python\n", **files}.items():
        (folder / f"{name}.yaml").write_text(dedent(text), encoding="utf-8")
    return folder


def pools(declared: list[DeclaredPool]) -> set[str]:
    return {each.ref.url if each.ref else f"? {each.pool_id}" for each in declared}


def test_loops_components_and_what_only_a_deployment_knows(tmp_path: Path) -> None:
    """All in one program: each way in which a resource may come to be."""
    project(
        tmp_path,
        f"""
        AT = "{ENDPOINT}"
        print("a program may print")

        for number in range(3):
            PoolOsVersion(f"p{{number}}", account_endpoint=AT, pool_id=f"p{{number}}", target_os_version="{OLD}")

        class Farm(pulumi.ComponentResource):
            def __init__(self, name):
                super().__init__("my:farm:Farm", name)
                PoolImageVersion("inner", account_endpoint=AT.upper(), pool_id="inner",
                    target_image_version="1.2.3", strategy="surge", opts=pulumi.ResourceOptions(parent=self))

        Farm("farm")
        PoolFleet("fleet", pools=["f1", "f2"], account_endpoint=AT, target_os_version="{OLD}")
        PoolOsVersion.get("other", id=AT + "/pools/kept-elsewhere")
        where = pulumi.StackReference("me/account/dev").get_output("endpoint")
        open_one = PoolOsVersion("open", account_endpoint=where, pool_id="open", target_os_version="{OLD}")
        pulumi.export("version", open_one.current_os_version)
        """,
    )
    declared = read(tmp_path, (), {})
    assert pools(declared) == {
        *(f"{ENDPOINT}/pools/{each}" for each in ("p0", "p1", "p2", "inner", "f1", "f2")),
        "? open",
    }


CONFIGURED = f"""
    config = pulumi.Config()
    for each in config.require_object("pools"):
        PoolOsVersion(each, account_endpoint=config.require("endpoint"), pool_id=each, target_os_version="{OLD}")
    config.require_secret("password")
    """


def stack_file(*ids: str) -> str:
    listed = ", ".join(ids)
    return f"config:\n  farm:endpoint: {ENDPOINT}\n  farm:pools: [{listed}]\n  farm:password:\n    secure: AAABAD\n"


def test_config_comes_from_the_only_stack(tmp_path: Path) -> None:
    project(tmp_path, CONFIGURED, **{"Pulumi.dev": stack_file("render", "encode")})
    assert pools(read(tmp_path, (), {})) == {f"{ENDPOINT}/pools/render", f"{ENDPOINT}/pools/encode"}


def test_several_stacks_have_to_be_named_and_all_named_ones_count(tmp_path: Path) -> None:
    project(tmp_path, CONFIGURED, **{"Pulumi.dev": stack_file("a"), "Pulumi.prod": stack_file("b")})
    with pytest.raises(InputError) as caught:
        read(tmp_path, (), {})
    assert "several stacks: dev, prod" in str(caught.value)
    assert "--stack" in str(caught.value)
    assert pools(read(tmp_path, ("dev", "prod"), {})) == {f"{ENDPOINT}/pools/a", f"{ENDPOINT}/pools/b"}


def test_config_that_is_given_wins_and_projects_have_defaults(tmp_path: Path) -> None:
    settings = f"""
        name: farm
        runtime: python
        config:
          endpoint: {ENDPOINT}
          pools: {{type: array, default: [from-the-project]}}
          password: x
        """
    project(tmp_path, CONFIGURED, Pulumi=settings)
    assert pools(read(tmp_path, (), {})) == {f"{ENDPOINT}/pools/from-the-project"}
    assert pools(read(tmp_path, (), {"farm:pools": '["given"]'})) == {f"{ENDPOINT}/pools/given"}
    assert pools(read(tmp_path, (), {"pools": '["given"]'})) == {f"{ENDPOINT}/pools/given"}


def test_a_day_without_quotes_is_what_pulumi_makes_of_it(tmp_path: Path) -> None:
    """Pulumi 3.259 hands it over as Go prints a time, which nodes_since refuses."""
    (tmp_path / "Pulumi.yaml").write_text("name: farm\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "config:\n  farm:day: 2026-05-01\n  farm:at: 2026-05-01T06:30:00Z\n  farm:quoted: '2026-05-01'\n"
        "  farm:zone: 2026-05-01T06:30:00+02:00\n",
        encoding="utf-8",
    )
    values, _ = Project.of(tmp_path).config("dev", {})
    assert values == {
        "farm:day": "2026-05-01 00:00:00 +0000 UTC",
        "farm:at": "2026-05-01 06:30:00 +0000 UTC",
        "farm:quoted": "2026-05-01",
        "farm:zone": "2026-05-01 06:30:00 +0200 +0200",
    }


def test_a_program_without_a_project_and_one_in_a_folder_of_its_own(tmp_path: Path) -> None:
    text = f'from batch_os_provider import PoolOsVersion\nfrom names import NAMES\nfor each in NAMES:\n    PoolOsVersion(each, account_endpoint="{ENDPOINT}", pool_id=each, target_os_version="{OLD}")\n'  # noqa: E501 - a program in one string
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "__main__.py").write_text(text, encoding="utf-8")
    (inside / "names.py").write_text('NAMES = ["render"]\n', encoding="utf-8")
    assert pools(read(inside / "__main__.py", (), {})) == {f"{ENDPOINT}/pools/render"}
    (tmp_path / "Pulumi.yaml").write_text("name: farm\nruntime: python\nmain: inside\n", encoding="utf-8")
    assert pools(read(tmp_path, (), {})) == {f"{ENDPOINT}/pools/render"}


def test_a_program_that_fails_is_shown_with_the_way_on(tmp_path: Path) -> None:
    project(tmp_path, 'pulumi.Config().require("endpoint")\n')
    with pytest.raises(InputError) as caught:
        read(tmp_path, (), {})
    assert "Missing required configuration variable 'farm:endpoint'" in str(caught.value)
    assert "--config key=value" in str(caught.value)
    assert "pulumi preview --json --show-sames" in str(caught.value)


def test_a_program_that_ends_the_interpreter_has_told_nothing(tmp_path: Path) -> None:
    project(tmp_path, "import os\nos._exit(0)\n")
    with pytest.raises(InputError, match="ended with exit code 0"):
        read(tmp_path, (), {})


def resource(name: str, **more: Any) -> dict[str, Any]:
    return {
        "urn": URN + name,
        "type": TYPE,
        "inputs": {"account_endpoint": ENDPOINT, "pool_id": name, "target_os_version": OLD},
        **more,
    }


def written(tmp_path: Path, document: object) -> Path:
    file = tmp_path / "pulumi.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_a_preview_with_all_its_steps(tmp_path: Path) -> None:
    unknown = {"account_endpoint": "04da6b54-80e4-46f7-96ec-b56ff0331ba9", "pool_id": "open"}
    steps = [
        {"op": "same", "newState": resource("kept")},
        {"op": "create", "newState": resource("new")},
        {"op": "create", "newState": resource("open", inputs=unknown)},
        {"op": "delete", "oldState": resource("gone")},
        {"op": "read", "newState": resource("read")},
        {"op": "create", "newState": resource("else", type="azure-native:batch:Pool")},
    ]
    file = written(tmp_path, {"steps": steps, "changeSummary": {"same": 1, "create": 3}})
    declared = read(file, (), {})
    found = {each.name: each for each in declared}
    assert set(found) == {"kept", "new", "open"}
    assert found["kept"].ref == PoolRef(ENDPOINT, "kept")


def test_a_preview_without_what_stays_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, {"steps": [], "changeSummary": {"same": 4}})
    with pytest.raises(InputError, match="stay as they are") as caught:
        read(file, (), {})
    assert "--show-sames" in str(caught.value)


def test_an_export_without_what_is_read_or_about_to_go(tmp_path: Path) -> None:
    native = {
        "type": "batchos:index:PoolImageVersion",
        "inputs": {"accountEndpoint": ENDPOINT, "poolId": "native", "nodesSince": "2026-11-24", "strategy": "surge"},
    }
    resources = [resource("kept"), resource("read", external=True), resource("gone", delete=True)]
    file = written(tmp_path, {"version": 3, "deployment": {"resources": [*resources, resource("native", **native)]}})
    declared = read(file, (), {})
    assert pools(declared) == {f"{ENDPOINT}/pools/kept", f"{ENDPOINT}/pools/native"}
    assert declared[1].inputs["nodes_since"] == "2026-11-24"
    assert [each.is_native for each in declared] == [False, True]
    assert read(written(tmp_path, {"version": 3, "deployment": {}}), (), {}) == []


@pytest.mark.parametrize("document", [[], {}, {"deployment": None}, "x"])
def test_any_other_json_is_refused(tmp_path: Path, document: object) -> None:
    with pytest.raises(InputError, match="neither a preview nor an export"):
        read(written(tmp_path, document), (), {})


def test_what_is_no_json_or_not_there_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="is not JSON"):
        read(file, (), {})
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "nowhere", (), {})


def test_comparison() -> None:
    neither = {name: value for name, value in paas_pool("odd").items() if name != "cloudServiceConfiguration"}
    gallery = image(vm_pool("gallery"), virtualMachineImageId="/s/g/i")
    bodies = (paas_pool("kept"), paas_pool("Other"), gallery, neither)
    accounts = [
        Account(ENDPOINT, "a key", pools=tuple(seen(each) for each in bodies)),
        Account("https://closed.x", "", error="no credential"),
    ]
    declared = [
        DeclaredPool("p", "kept", PoolRef(ENDPOINT, "KEPT")),
        DeclaredPool("p", "gone", PoolRef(ENDPOINT, "gone")),
        DeclaredPool("p", "closed", PoolRef("https://closed.x", "render")),
        DeclaredPool("p", "elsewhere", PoolRef("https://elsewhere.x", "render")),
        DeclaredPool("p", "open", None, "open"),
    ]
    found = compare(accounts, declared)
    assert found.pools == 4
    assert [each.pool.ref.pool_id for each in found.undeclared] == ["Other", "gallery"]
    assert [each.pool.ref.pool_id for each in found.unfit] == ["odd"]
    assert [each.name for each in found.missing] == ["gone"], "nothing is known of an account that was not read"
    assert [each.name for each in found.open] == ["open"]
