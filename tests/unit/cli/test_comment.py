"""`batch-os comment`: what it reads from a preview's file, what it writes, and what it stops at."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF16_LE
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from batch_os_provider.cli.comment import fail_on, preview_file
from batch_os_provider.cli.comment.command import command
from batch_os_provider.cli.comment.digest import digest
from batch_os_provider.cli.comment.markdown import LIMIT, comment, marker, plain
from batch_os_provider.cli.comment.rows import Message, Row, Stack
from batch_os_provider.preview.message_tail import NO_SUCH_POOL, WHATS, MessageTail
from batch_os_provider.schema.resource_types import FLEETS
from batch_os_provider.schema.spelling import in_program, spell
from tests.support.examples import examples

FARM = "https://farm.westeurope.batch.azure.com"
V57, V58 = "WA-GUEST-OS-7.57_202510-01", "WA-GUEST-OS-7.58_202511-01"
IMAGE_1, IMAGE_2 = "20348.2402.240402", "20348.2461.240510"
OS_TYPE = "pulumi-python:dynamic/batch:PoolOsVersion"
IMAGE_TYPE = "pulumi-python:dynamic/batch:PoolImageVersion"
STACK_TYPE = "pulumi:pulumi:Stack"
SILENT = "the preview does not say why"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def urn(name: str, kind: str = OS_TYPE) -> str:
    return f"urn:pulumi:dev::farm::{kind}::{name}"


def state(pool_id: str, target: str, current: str = "", **more: Any) -> dict[str, Any]:
    found = {"account_endpoint": FARM, "pool_id": pool_id, "target_os_version": target}
    return {"inputs": found, "outputs": {**found, "current_os_version": current}, **more}


def image_state(pool_id: str, target: str, oldest: str | None = None, pin: str | None = None) -> dict[str, Any]:
    found = {"account_endpoint": FARM, "pool_id": pool_id, "target_image_version": target}
    return {"inputs": found, "outputs": {**found, "oldest_node_version": oldest, "pool_image_version": pin}}


def step(op: str, name: str, *, old: Any = None, new: Any = None, kind: str = OS_TYPE) -> dict[str, Any]:
    states = {"oldState": old, "newState": new}
    return {"op": op, "urn": urn(name, kind), **{key: value for key, value in states.items() if value is not None}}


def told(
    name: str, text: str, tail: MessageTail | str = "", severity: str = "info", kind: str = OS_TYPE
) -> dict[str, Any]:
    prefix = "" if severity == "info" else f"{severity}: "
    return {"urn": urn(name, kind), "message": f"{prefix}{text} {tail}".strip() + "\n", "severity": severity}


def read(*steps: dict[str, Any], said: list[dict[str, Any]] | None = None, **more: Any) -> Stack:
    root = {"op": "same", "urn": urn("farm-dev", STACK_TYPE)}
    body = {"steps": [root, *steps], "diagnostics": said or [], "changeSummary": {"same": 1}, "duration": 1, **more}
    stack = digest("dev", preview_file.read(json.dumps(body, indent=4).encode()))
    other = digest("dev", preview_file.read(json.dumps(as_native(body), indent=4).encode()))
    assert other.rows == tuple(replace(row, unseen=spell(row.unseen)) for row in stack.rows), "the same in YAML"
    return stack


def as_native(value: Any) -> Any:
    """The preview of the same program for the native provider: other types, and names in camelCase."""
    if isinstance(value, dict):
        changed = {key.replace("batch:", "batchos:"): as_native(each) for key, each in value.items()}
        return {key: in_program(each) if key in ("inputs", "outputs") else each for key, each in changed.items()}
    if isinstance(value, list):
        return [as_native(each) for each in value]
    if isinstance(value, str) and value.startswith("urn:"):
        return value.replace(OS_TYPE, "batchos:index:PoolOsVersion").replace(
            IMAGE_TYPE, "batchos:index:PoolImageVersion"
        )
    return value


def only(stack: Stack) -> Row:
    (row,) = stack.rows
    return row


# ── What is read ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_is_what_the_tail_says():
    tail = MessageTail(f"{FARM}/pools/render", "os", "upgrade", V57, V58, nodes=8, tasks=3, warnings=("behind",))
    row = only(
        read(
            step("update", "r", old=state("render", V57, V57), new=state("render", V58)),
            said=[told("r", "a -> b", tail)],
        )
    )
    assert (row.resource, row.name, row.account, row.what) == ("r", "render", "farm", "upgrade")
    assert (row.came_from, row.target, row.nodes, row.tasks, row.warnings) == (V57, V58, 8, 3, ("behind",))
    assert row.looked
    assert row.said == (Message("info", "a -> b"),)


@pytest.mark.parametrize("what", [each for each in WHATS if each not in ("warning", "not looked at")])
def test_each_plan_of_a_tail_is_shown(what: Any):
    tail = MessageTail(f"{FARM}/pools/render", "image", what, nodes=2)
    stack = read(
        step("create", "r", new=image_state("render", IMAGE_2), kind=IMAGE_TYPE),
        said=[told("r", "so", tail, kind=IMAGE_TYPE)],
    )
    assert only(stack).what == what
    assert "| dev | <code>render</code> |" in comment([stack])


def test_codes_of_all_tails_come_together_and_the_last_plan_counts():
    pool = f"{FARM}/pools/render"
    said = [
        told("r", "first", MessageTail(pool, "os", "wait", V57, V58, nodes=1, warnings=("resize",))),
        told("r", "old", MessageTail(pool, "os", "warning", warnings=("disabled", "behind")), "warning"),
        told("r", "second", MessageTail(pool, "os", "upgrade", V57, V58, nodes=1, warnings=("behind",))),
    ]
    row = only(read(step("create", "r", new=state("render", V58)), said=said))
    assert (row.what, row.warnings) == ("upgrade", ("resize", "disabled", "behind"))
    assert row.said == (Message("info", "first"), Message("warning", "old"), Message("info", "second"))


def test_a_refusal_has_no_step_and_fails_the_stack_with_its_reason():
    tail = MessageTail(f"{FARM}/pools/render", "os", "refused", V57, V58, why="it is a VM pool")
    stack = read(said=[told("r", "resource 'r' has a problem: it is a VM pool.", tail, "error")])
    row = only(stack)
    assert (row.what, row.op, row.looked, row.name) == ("refused", "", True, "render")
    assert (stack.error, stack.unchanged) == ("render: it is a VM pool", None)


def test_an_error_without_a_tail_is_an_error_of_its_pool():
    stack = read(said=[told("r", "property timeout has a problem", severity="error")])
    assert (only(stack).what, only(stack).name, stack.error) == ("failed", "r", "property timeout has a problem")


def test_an_error_after_a_plan_is_an_error():
    plan = MessageTail(f"{FARM}/pools/render", "os", "upgrade", V57, V58, nodes=1)
    stack = read(
        step("update", "r", old=state("render", V57), new=state("render", V58)),
        said=[told("r", "a -> b", plan), told("r", "broken", severity="error")],
    )
    assert only(stack).what == "failed"


@pytest.mark.parametrize(
    ("old", "new", "what", "came_from"),
    [
        (state("render", V57, V57), state("render", V58), "upgrade", V57),
        (state("render", V58, V58), state("render", V57), "rollback", V58),
        (state("render", V58, V57), state("render", V58), "upgrade", V57),
        (state("render", V58, V58), state("render", V58), "update", V58),
        (state("render", V58), state("render", UNKNOWN), "update", V58),
    ],
)
def test_without_a_tail_an_update_is_judged_by_the_state(old: Any, new: Any, what: str, came_from: str):
    row = only(read(step("update", "r", old=old, new=new)))
    assert (row.what, row.came_from, row.looked) == (what, came_from, False)
    assert row.target != UNKNOWN


@pytest.mark.parametrize(
    ("old", "what", "came_from"),
    [
        (image_state("render", IMAGE_2, IMAGE_1, "latest"), "renew", IMAGE_1),
        (image_state("render", IMAGE_1, IMAGE_2), "update", IMAGE_2),
        (image_state("render", IMAGE_1, None, IMAGE_1), "renew", IMAGE_1),
        (image_state("render", IMAGE_1), "renew", IMAGE_1),
    ],
)
def test_without_a_tail_an_update_of_a_vm_pool_is_judged_by_the_state(old: Any, what: str, came_from: str):
    row = only(read(step("update", "r", old=old, new=image_state("render", IMAGE_2), kind=IMAGE_TYPE)))
    assert (row.kind, row.what, row.came_from, row.target) == ("image", what, came_from, IMAGE_2)


def since_state(pool_id: str, since: str, oldest: str | None = None) -> dict[str, Any]:
    found = {"account_endpoint": FARM, "pool_id": pool_id, "nodes_since": since}
    return {"inputs": found, "outputs": {**found, "oldest_node_allocated": oldest, "pool_image_version": "latest"}}


@pytest.mark.parametrize(
    ("old", "what", "came_from"),
    [
        (since_state("render", "2026-11-24", "2026-11-20T08:12:44Z"), "renew", "2026-11-20T08:12:44Z"),
        (since_state("render", "2026-11-20"), "update", ""),
        (since_state("render", "2026-11-24", "2026-11-24T00:00:00Z"), "update", "2026-11-24T00:00:00Z"),
        (image_state("render", IMAGE_2, IMAGE_1, "latest"), "update", ""),
    ],
)
def test_without_a_tail_an_update_to_a_moment_is_judged_by_the_state(old: Any, what: str, came_from: str):
    row = only(read(step("update", "r", old=old, new=since_state("render", "2026-11-24"), kind=IMAGE_TYPE)))
    assert (row.kind, row.what, row.came_from, row.target) == ("image", what, came_from, "2026-11-24")


def test_a_row_of_a_moment_is_what_the_tail_says():
    pool = f"{FARM}/pools/render"
    tail = MessageTail(pool, "image", "renew", nodes=4, behind=3, oldest="2026-11-20T08:12:44Z", since="2026-11-24")
    new = since_state("render", "2026-11-24")
    stack = read(step("create", "r", new=new, kind=IMAGE_TYPE), said=[told("r", "3 of 4", tail, kind=IMAGE_TYPE)])
    row = only(stack)
    assert (row.what, row.came_from, row.target) == ("renew", "2026-11-20T08:12:44Z", "2026-11-24")
    assert "→<br><code>2026-11-24</code>" in comment([stack])
    deleted = only(read(step("delete", "r", old=since_state("render", "2026-11-24"), kind=IMAGE_TYPE)))
    assert deleted.came_from == "2026-11-24"


def test_a_new_pool_without_a_plan_was_not_looked_at():
    failed = MessageTail(f"{FARM}/pools/render", "os", "not looked at", target=V58, why="403")
    row = only(read(step("create", "r", new=state("render", V58)), said=[told("r", "403", failed, "warning")]))
    assert (row.what, row.looked, row.target, row.unseen) == ("not looked at", False, V58, "403")
    assert Page(comment([Stack("dev", (row,))])).rows[1][-1] == "403"
    assert "| **403** |" in comment([Stack("dev", (row,))])
    assert only(read(step("create", "r", new=state("render", V58)))).what == "not looked at"


@pytest.mark.parametrize("why", [f"account {FARM}: listing pools failed: HTTP 403", "no credential can be used"])
def test_why_an_account_was_not_looked_at_stands_with_its_other_pools_too(why: str):
    failed = MessageTail(f"{FARM}/pools/first", "os", "not looked at", target=V58, why=why)
    gone = MessageTail(f"{FARM}/pools/gone", "os", "not looked at", target=V58, why=NO_SUCH_POOL)
    elsewhere = state("away", V58)
    elsewhere["inputs"]["account_endpoint"] = "https://farm.northeurope.batch.azure.com"
    by_state = MessageTail(f"{FARM}/pools/old", "image", "renew", IMAGE_1, IMAGE_2)
    stack = read(
        step("create", "f", new=state("first", V58)),
        step("create", "g", new=state("gone", V58)),
        step("create", "s", new=state("silent", V58)),
        step("create", "a", new=elsewhere),
        step("update", "o", old=image_state("old", IMAGE_1), new=image_state("old", IMAGE_2), kind=IMAGE_TYPE),
        said=[
            told("f", why, failed, "warning"),
            told("g", NO_SUCH_POOL, gone, "warning"),
            told("o", "renew", by_state, kind=IMAGE_TYPE),
        ],
    )
    assert {row.name: row.unseen for row in stack.rows} == {
        "away": "",
        "first": why,
        "gone": NO_SUCH_POOL,
        "old": why,
        "silent": why,
    }
    cells = {cells[1]: cells[-1].replace("\u200b", "") for cells in Page(comment([stack])).rows[1:]}
    assert cells == {
        "away": SILENT,
        "first": why,
        "gone": NO_SUCH_POOL,
        "old": f"not checked: {why}",
        "silent": why,
    }
    assert len(list(fail_on.tripped(["not-looked-at"], [stack]))) == 5


def test_a_pool_that_is_not_there_says_nothing_about_the_others():
    gone = MessageTail(f"{FARM}/pools/gone", "os", "not looked at", target=V58, why=NO_SUCH_POOL)
    seen = MessageTail(f"{FARM}/pools/seen", "os", "upgrade", V57, V58, nodes=5, tasks=0)
    stack = read(
        step("create", "g", new=state("gone", V58)),
        step("create", "s", new=state("seen", V58)),
        step("create", "t", new=state("silent", V58)),
        said=[told("g", NO_SUCH_POOL, gone, "warning"), told("s", "upgrade", seen)],
    )
    assert [(row.name, row.unseen) for row in stack.rows] == [("gone", NO_SUCH_POOL), ("seen", ""), ("silent", "")]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"pool_id": UNKNOWN}, "pool_id is not known before `up`"),
        ({"timeout": UNKNOWN, "account_endpoint": UNKNOWN}, "account_endpoint and timeout are not known before `up`"),
    ],
)
def test_an_input_that_is_not_known_yet_is_the_reason(inputs: dict[str, str], why: str):
    new = state("render", V58)
    new["inputs"] |= inputs
    other = step("create", "s", new=state("other", V58))
    rows = {row.resource: row for row in read(step("create", "r", new=new), other).rows}
    assert (rows["r"].unseen, rows["s"].unseen) == (why, "")


def test_looks_that_are_off_are_the_reason_and_the_gate_stops():
    steps = [
        step("create", "r", new=state("render", V58)),
        step("update", "s", old=state("other", V57, V57), new=state("other", V58)),
    ]
    stack = read(*steps, config={"batch:previewLook": "False"})
    assert {row.unseen for row in stack.rows} == {"stack config batch:previewLook is false"}
    assert len(list(fail_on.tripped(["not-looked-at"], [stack]))) == 2
    assert {row.unseen for row in read(*steps, config={"batch:previewLook": "true"}).rows} == {""}


def test_a_pool_whose_step_is_missing_was_not_looked_at_either():
    failed = MessageTail(f"{FARM}/pools/render", "os", "not looked at", target=V58, why="403")
    stack = read(said=[told("r", "403", failed, "warning")])
    assert (only(stack).what, only(stack).op, only(stack).unseen) == ("warning", "", "403")
    assert "| **not checked: 403** |" in comment([stack])
    assert list(fail_on.tripped(["not-looked-at"], [stack])) == [fail_on.Tripped("not-looked-at", "dev", "render")]


def test_a_deleted_pool_is_left_as_it_is():
    row = only(read(step("delete", "r", old=state("render", V58, V57, retainOnDelete=True))))
    assert (row.what, row.came_from, row.target) == ("delete", V57, "")
    assert "does not change it" in row.said[0].text


def test_a_replacement_leaves_one_pool_for_another():
    tail = MessageTail(f"{FARM}/pools/b", "os", "adopt", V58, V58, nodes=2)
    stack = read(step("replace", "r", old=state("a", V57, V57), new=state("b", V58)), said=[told("r", "adopts", tail)])
    assert [(row.name, row.what, row.came_from) for row in stack.rows] == [("a", "delete", V57), ("b", "adopt", V58)]


def test_a_renamed_resource_leaves_no_pool():
    tail = MessageTail(f"{FARM}/pools/render", "os", "adopt", V58, V58, nodes=2)
    stack = read(
        step("create", "new", new=state("render", V58)),
        step("delete", "old", old=state("RENDER", V58, V58)),
        said=[told("new", "adopts", tail)],
    )
    assert only(stack).what == "adopt"
    assert only(stack).said[-1].text == "until now the resource old declares this pool"


def test_inputs_that_are_secret_or_not_known_yet_are_not_shown():
    stack = read(
        step("create", "a", new=state(UNKNOWN, UNKNOWN)),
        step("create", "b", new=state("[secret]", V58)),
        step("delete", "c", old=state("[secret]", V58)),
    )
    assert [(row.name, row.pool, row.target) for row in stack.rows] == [("a", "", ""), ("b", "", V58), ("c", "", "")]
    assert UNKNOWN not in comment([stack])
    assert "secret" not in comment([stack])


def test_what_a_refresh_and_unchanged_steps_say_is_no_change():
    old = state("render", V58, V58)
    assert not read(
        step("refresh", "r", old=old, new=old), step("same", "r", old=old, new=old), step("read", "s", new=old)
    ).rows


def test_a_warning_about_an_unchanged_pool_is_shown():
    old = state("render", V58, V58)
    stack = read(step("refresh", "r", old=old, new=old), said=[told("r", "Batch is gone", severity="warning")])
    assert (only(stack).what, only(stack).name) == ("warning", "render")
    assert "warning only" in comment([stack])


@pytest.mark.parametrize(
    ("fleet", "pool"), [(FLEETS[0], OS_TYPE), (FLEETS[1], "batchos:index:PoolOsVersion")], ids=["dynamic", "native"]
)
def test_a_fleets_pools_are_pools_and_the_fleet_itself_is_no_change_and_may_warn(fleet: str, pool: str):
    child = f"{fleet}${pool}"
    stack = read(
        step("create", "fleet", new={}, kind=fleet),
        step("create", "fleet-render", new=state("render", V58), kind=child),
        said=[
            told("fleet", "fleet fleet: max_unhealthy is not declared", severity="warning", kind=fleet),
            told("fleet-render", "up", MessageTail(f"{FARM}/pools/render", "os", "upgrade", V57, V58), kind=child),
        ],
    )
    assert [(row.resource, row.name, row.what) for row in stack.rows] == [("fleet-render", "render", "upgrade")]
    assert stack.others == {}
    assert stack.said == (Message("warning", "fleet fleet: max_unhealthy is not declared"),)


def test_pulumis_warning_about_the_machine_is_left_out() -> None:
    """It comes with each run, and names a folder of the pipeline's machine."""
    texts = ("using pulumi-resource-batchos from $PATH at /a/b", "using up the quota")
    said = [told("dev", each, severity="warning", kind="pulumi:pulumi:Stack") for each in texts]
    assert read(said=said).said == (Message("warning", "using up the quota"),)


def test_what_is_not_ours_is_counted_and_so_is_what_stays():
    others = [step(op, f"{op}{n}", kind="aws:s3/bucket:Bucket") for n in range(2) for op in ("create", "delete")]
    stack = read(
        *others,
        step("refresh", "x", kind="aws:s3/bucket:Bucket"),
        step("create", "y", kind="pulumi-python:dynamic:Resource"),
        changeSummary={"same": 5, "create": 3},
    )
    assert (stack.others, stack.unchanged, stack.rows) == ({"create": 3, "delete": 2}, 4, ())
    text = comment([stack])
    assert "### Batch pools: nothing changes" in text
    assert "dev: 4 unchanged and 5 other changes." in text


def test_a_new_stack_counts_itself_among_nothing():
    body = {"steps": [{"op": "create", "urn": urn("farm-dev", STACK_TYPE)}], "changeSummary": {"create": 1}}
    stack = digest("dev", preview_file.read(json.dumps(body).encode()))
    assert (stack.unchanged, dict(stack.others), stack.rows) == (0, {}, ())


FORMER = "pulumi-python:dynamic:Resource"


def test_a_pool_of_another_type_is_a_pool_by_its_tail_or_by_its_inputs():
    tail = MessageTail(f"{FARM}/pools/render", "os", "rollback", V58, V57, nodes=1)
    by_tail = read(step("update", "r", kind=FORMER), said=[told("r", "58 -> 57", tail, kind=FORMER)])
    assert only(by_tail).what == "rollback"
    by_inputs = read(step("update", "r", old=state("render", V58, V58), new=state("render", V57), kind=FORMER))
    assert (only(by_inputs).what, only(by_inputs).name) == ("rollback", "render")
    assert list(map(str, fail_on.tripped(["rollback"], [by_tail, by_inputs]))) == ["rollback: dev, render"] * 2
    gone = read(step("delete", "r", old=state("render", V58), kind=FORMER))
    assert (only(gone).what, gone.others) == ("delete", {})


@pytest.mark.parametrize("where", [{}, {"urn": ""}, {"urn": "urn:pulumi:dev::farm::pulumi:pulumi:Stack::farm-dev"}])
def test_a_tail_without_a_resource_goes_to_the_row_of_its_pool_or_has_a_row_of_its_own(where: dict[str, str]):
    tail = MessageTail(f"{FARM}/pools/Render", "os", "rollback", V58, V57, nodes=1, warnings=("behind",))
    said = told("r", "render: 58 -> 57", tail, "warning")
    del said["urn"]
    alone = read(said=[said | where])
    assert (only(alone).what, only(alone).name, alone.said) == ("rollback", "Render", ())
    joined = read(step("update", "r", old=state("render", V58), new=state("render", V57)), said=[said | where])
    assert (only(joined).resource, only(joined).what, only(joined).warnings) == ("r", "rollback", ("behind",))


def test_another_dynamic_resource_is_no_pool():
    stack = read(step("update", "x", old={"inputs": {"size": 1}}, new={"inputs": {"size": 2}}, kind=FORMER))
    assert (stack.rows, stack.others) == ((), {"update": 1})


def test_a_pool_in_a_component_is_found():
    stack = read(step("create", "r", new=state("render", V58), kind=f"pkg:x:Farm${OS_TYPE}"))
    assert only(stack).kind == "os"


def test_the_first_error_that_tells_something_is_the_one():
    said = [
        {"message": "error: preview failed\n", "severity": "error"},
        {"message": "error: no such bucket\n", "severity": "error", "urn": urn("b", "aws:s3/bucket:Bucket")},
    ]
    assert read(said=said).error == "no such bucket"
    assert "policy" in read(said=said[:1]).error


def test_a_failed_program_is_shown_by_the_last_line_of_its_traceback():
    trace = 'Traceback (most recent call last):\n  File "x"\n\nE: <b>\n\n'
    text = f"error: Program failed with an unhandled exception:\n{trace}"
    stack = read(said=[{"message": text, "severity": "error"}])
    assert stack.error == "E: <b>"
    shown = comment([stack])
    assert "**dev: the preview failed:** E: &lt;b>." in shown
    assert '<pre>Program failed with an unhandled exception:\nTraceback (most recent call last):\n  File "x"' in shown


def test_messages_of_the_program_come_last():
    said = [
        {
            "message": "warning: 60 pools change, but the engine runs 8 steps at once; pass --parallel 60\n",
            "severity": "warning",
        },
        {"message": "a print\n", "severity": "info"},
        {"message": "warning: of a bucket\n", "severity": "warning", "urn": urn("b", "aws:s3/bucket:Bucket")},
    ]
    assert read(said=said).said == (
        Message("warning", "60 pools change, but the engine runs 8 steps at once; pass --parallel 60"),
    )


@pytest.mark.parametrize(
    "tail",
    ['[batch-os v2 {"pool":"p"}]', "[batch-os v1 {broken]", '[batch-os v1 {"pool":1,"kind":"os","what":"adopt"}]'],
)
def test_a_tail_of_another_time_is_passed_over(tail: str):
    stack = read(step("create", "r", new=state("render", V58)), said=[told("r", "text", tail)])
    row = only(stack)
    assert (row.what, row.name) == ("not looked at", "render")
    assert row.unseen.startswith("its message comes from another version")
    assert list(fail_on.tripped(["not-looked-at"], [stack])) == [fail_on.Tripped("not-looked-at", "dev", "render")]


@pytest.mark.parametrize(
    "body",
    [
        {"steps": 1, "diagnostics": {"a": 1}, "changeSummary": {}},
        {"steps": [1, {}, {"urn": 5}, {"urn": "x"}, {"op": 1, "urn": urn("r")}], "diagnostics": [None, {"message": 5}]},
        {"steps": [{"op": "update", "urn": urn("r"), "oldState": 1, "newState": {"inputs": [1]}}], "diagnostics": []},
        {"diagnostics": [{"message": "m", "urn": urn("r"), "severity": None}], "changeSummary": {"same": "x"}},
        {"changeSummary": {}, "config": 5},
    ],
)
def test_strange_documents_are_read_as_far_as_they_go(body: Any):
    assert comment([digest("dev", preview_file.read(json.dumps(body).encode()))])


# ── Files of previews that died, and files of something else ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "the preview wrote nothing"),
        (b" \n", "the preview wrote nothing"),
        (b"error: incorrect passphrase\n", "incorrect passphrase"),
        (b"warning: a\nerror: b\nerror: c\n", "b"),
        (
            b"warning: A new version of Pulumi is available. To upgrade, run\n   $ curl\n",
            "the preview wrote only warnings",
        ),
        (b'{\n    "steps": [\n        {\n', "cut off"),
        (b'{\n    "steps": [\nerror: broken pipe\n', "broken pipe"),
        (b'warning: a\n{\n    "steps": [', "cut off"),
    ],
)
def test_a_preview_that_died_is_a_failed_stack(raw: bytes, error: str):
    stack = digest("dev", preview_file.read(raw))
    assert error in stack.error
    text = comment([stack])
    assert "### Batch pools: the preview failed\n" in text
    assert "| dev |  | **error** |" in text


def test_what_the_cli_prints_around_its_json_does_no_harm():
    body = json.dumps({"steps": [], "changeSummary": {"same": 1}}, indent=4)
    for around in (f"warning: using x from $PATH\n{body}", f"{body}\nbye", f"{{not json\n{body}\n"):
        assert not digest("dev", preview_file.read(around.encode())).error
    unexpected = f"{body}\nerror: no changes were expected for preview but changes were proposed\n"
    assert digest("dev", preview_file.read(unexpected.encode())).error == (
        "no changes were expected for preview but changes were proposed"
    )


def test_files_of_powershell_are_read():
    text = json.dumps({"steps": [], "changeSummary": {"same": 1}})
    for raw in (BOM_UTF16_LE + text.encode("utf-16-le"), text.encode("utf-8-sig")):
        assert not digest("dev", preview_file.read(raw)).error


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"version": 3, "deployment": {}}', "not what"),
        (b'{"all": "mandatory"}', "not what"),
        (b'{"steps": [], "duration": 1}', "not what"),
        (b'warning: of the job\n{"level": "info"}\n{"level": "error"}\n', "not what"),
        (b'{"changeSummary": {"same": 1}}\n{\n  "changeSummary": {"create": 1}\n}\n', "output of 2 previews"),
        (b'warning: using x\n{"sequence":0,"timestamp":1}\n{"sequence":1,', "PULUMI_ENABLE_STREAMING_JSON_PREVIEW"),
        (b"[]", "not what"),
        (b"{}", "not what"),
        (b"5", "not what"),
        (b'{"sequence":0,"timestamp":1}\n{"sequence":1}\n', "PULUMI_ENABLE_STREAMING_JSON_PREVIEW"),
        (b"\x89PNG\r\n\x1a\n\xff", "not text"),
        (b"Previewing update (dev):\n    Type  Name  Plan\n\nResources:\n    1 unchanged\n", "was --json given"),
        ("Previewing update (dev):\r\n".encode("utf-16"), "was --json given"),
        (b"Previewing update (dev):\n\nerror: no changes were expected for preview\n", "was --json given"),
        (b"warning: a\nPreviewing update (acme/dev):\n", "was --json given"),
        (b"Killed\n", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_file_of_something_else_is_refused(raw: bytes, why: str):
    with pytest.raises(preview_file.NotAPreviewError, match=why):
        preview_file.read(raw)


# ── What is written ──────────────────────────────────────────────────────────────────────────────────────────────────

OURS = {
    "h3",
    "p",
    "strong",
    "code",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "br",
    "details",
    "summary",
    "ul",
    "li",
}


class Page(HTMLParser):
    """A comment as a browser would see it: tags, attributes, and the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.comments: list[str] = []
        self.rows: list[list[str]] = []
        self.items: list[str] = []
        self._open: list[str] = []
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "li":
            self.items.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data
        elif "li" in self._open:
            self.items[-1] += data


def seen(text: str) -> str:
    """Foreign text as a reader of the page sees it; the mark that parts a mention has no width."""
    return plain(text).replace("\u200b", "")


NASTY = st.one_of(
    st.text(max_size=100),
    st.text(alphabet="|`\\<>&*_[]()!#@~-+=:;/.w1a \n\r\t\"'$^{}%\u202e\u2028\x00\ud800", max_size=60),
    st.sampled_from(
        [
            "a|b",
            "\\|",
            "```",
            "</code></td><td>",
            "<script>alert(1)</script>",
            "<!--",
            "-->",
            "--- | ---",
            "# h",
            "- x",
            "1. x",
            "@octocat #1",
            "![i](http://x)",
            "&lt;b&gt;",
            "www.example.com",
            "&#60;",
            "x" * 5000,
            "</details>",
            "<pre>",
            "***",
            "===",
            "> q",
            "[x]: http://y",
        ]
    ),
)
ROWS = st.builds(
    Row,
    resource=NASTY,
    kind=st.sampled_from(["os", "image"]),
    op=st.sampled_from(["", "create", "update"]),
    what=st.sampled_from([*WHATS, "delete", "update", "failed"]),
    pool=NASTY.map(lambda text: f"{FARM}/pools/{text}"),
    pool_id=NASTY,
    came_from=NASTY,
    target=NASTY,
    nodes=st.none() | st.integers(0, 10_000),
    behind=st.none() | st.integers(0, 10_000),
    tasks=st.none() | st.integers(0, 10_000),
    back=st.none() | st.integers(0, 10_000),
    warnings=st.lists(NASTY, max_size=3).map(tuple),
    looked=st.booleans(),
    said=st.lists(st.builds(Message, st.sampled_from(["info", "warning", "error"]), NASTY), max_size=2).map(tuple),
)
STACKS = st.builds(
    Stack,
    name=NASTY,
    rows=st.lists(ROWS, max_size=4).map(tuple),
    error=NASTY,
    full_error=st.just("") | NASTY,
    others=st.dictionaries(st.just("create"), st.integers(1, 3)),
    unchanged=st.none() | st.integers(0, 3),
    said=st.lists(st.builds(Message, st.just("warning"), NASTY), max_size=2).map(tuple),
)


@examples(40)
@given(st.lists(STACKS, min_size=1, max_size=3))
def test_whatever_is_in_the_inputs_the_table_has_its_cells_and_the_page_no_foreign_tag(stacks: list[Stack]):
    text = comment(stacks, stopped=list(fail_on.tripped(["failed", "rollback"], stacks)))
    text.encode()
    assert len(text) <= LIMIT
    page = Page(text)
    assert set(page.tags) <= OURS | {"pre"}
    assert page.attributes == []
    assert page.comments == [" batch-os comment v1 "]
    expected = [
        (seen(stack.name), seen(row.name) if row else "")
        for stack in stacks
        for row in (stack.rows or ((None,) if stack.error else ()))
    ]
    assert [len(cells) for cells in page.rows] == ([7] * (len(expected) + 1) if expected else [])
    assert [(cells[0].replace("\u200b", ""), cells[1]) for cells in page.rows[1:]] == expected
    assert re.search(r"@|://|www\.\S|\]\(", text, re.IGNORECASE) is None, "it mentions somebody, or links"


@examples(40)
@given(NASTY)
def test_a_sentence_reads_as_it_was_said(text: str):
    row = Row("r", "os", "update", "upgrade", said=(Message("info", text),))
    (item,) = Page(comment([Stack("dev", (row,))])).items
    assert item.replace("\u200b", "").strip() == plain(text, 2000)


def test_every_what_has_a_word_and_columns_say_what_the_tail_says():
    rows = (
        Row("a", "os", "create", "join", came_from=V57, target=V58, nodes=8, back=3, looked=True),
        Row(
            "b", "image", "update", "renew", came_from=IMAGE_1, target=IMAGE_2, nodes=4, behind=2, tasks=5, looked=True
        ),
        Row("c", "os", "update", "upgrade", came_from=V57, target=V58, nodes=4, tasks=5, looked=True),
        Row("d", "os", "update", "upgrade", came_from=V57, target=V58),
        Row("e", "os", "update", "adopt", came_from=V58, target=V58, nodes=0, tasks=0, looked=True),
        Row("f", "os", "create", "rollback", target=V57, warnings=("rollback", "disabled"), looked=True),
    )
    assert Page(comment([Stack("dev", rows)])).rows[1:] == [
        ["dev", "a", "join an upgrade", "7.57_202510-01 →7.58_202511-01", "3 of 8 back", "", ""],
        ["dev", "b", "renew nodes", f"{IMAGE_1} →{IMAGE_2}", "2 of 4 behind", "5 (not stopped)", ""],
        ["dev", "c", "upgrade", "7.57_202510-01 →7.58_202511-01", "4", "5 (requeued)", ""],
        ["dev", "d", "upgrade", "7.57_202510-01 →7.58_202511-01", "", "", f"not checked: {SILENT}"],
        ["dev", "e", "nothing to write", "7.58_202511-01", "0", "none", ""],
        ["dev", "f", "ROLLBACK", "→ 7.57_202510-01", "", "", "disabled"],
    ]


def test_the_same_pool_id_in_two_accounts_is_told_apart():
    rows = tuple(Row("r", "os", "create", "adopt", pool=f"https://{host}/pools/p", pool_id="p") for host in ("a", "b"))
    assert [cells[1] for cells in Page(comment([Stack("dev", rows)])).rows[1:]] == ["a/p", "b/p"]


def test_stacks_stay_in_the_order_given_and_pools_are_sorted():
    stacks = [
        digest(
            name,
            preview_file.read(
                json.dumps(
                    {"changeSummary": {}, "steps": [step("create", each, new=state(each, V58)) for each in "bAc"]}
                ).encode()
            ),
        )
        for name in ("z", "a")
    ]
    rows = Page(comment(stacks)).rows[1:]
    assert [cells[:2] for cells in rows] == [[stack, pool] for stack in "za" for pool in ("A", "b", "c")]


def many(count: int, **more: Any) -> Stack:
    said = (Message("warning", "a sentence of some length. " * 6),)
    rows = [Row(f"pool-{n:05}", "os", "update", "upgrade", said=said, looked=True, **more) for n in range(count)]
    rows[-1] = Row("worst", "os", "update", "rollback", said=said, looked=True)
    return Stack("dev", tuple(rows), unchanged=0)


def test_a_long_comment_loses_details_first_and_says_so():
    text = comment([many(400)])
    assert len(text) <= LIMIT
    assert len(Page(text).rows) == 401
    shown = text.count("a sentence of some length")
    assert 0 < shown < 400 * 6
    assert "of the details left out: a comment holds 65,536 characters." in text
    assert "**<code>worst</code> ROLLBACK**" in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_a_very_long_comment_loses_rows_too_but_not_the_gravest():
    text = comment([many(5000, warnings=("behind",)), Stack("prod", error="boom")])
    assert 0.9 * LIMIT < len(text) <= LIMIT
    rows = Page(text).rows
    assert ["dev", "worst", "ROLLBACK", "", "", "", ""] in rows
    assert ["prod", "", "error", "", "", "", ""] in rows
    assert f"{5001 - (len(rows) - 1):,} pools left out".replace(",", "") in text.replace(",", "")
    assert "4999 x upgrade" in text


def test_a_thousand_failed_stacks_fit():
    text = comment([Stack(f"stack-{n}", error="<" * 300) for n in range(1000)])
    assert len(text) <= LIMIT
    assert "failed previews left out" in text


# ── The end of an image ──────────────────────────────────────────────────────────────────────────────────────────────


def image_rows(*tails: MessageTail, severity: str = "warning") -> Stack:
    new = image_state("render", IMAGE_2)
    said = [told("r", "so", tail, severity, kind=IMAGE_TYPE) for tail in tails]
    return read(step("create", "r", new=new, kind=IMAGE_TYPE), said=said)


def ends(what: Any, code: str, day: str = "2027-01-12") -> MessageTail:
    return MessageTail(f"{FARM}/pools/render", "image", what, nodes=2, warnings=(code,), image_ends=day)


@pytest.mark.parametrize(
    ("code", "cell", "stops"),
    [
        ("image ending", "image ending 2027-01-12", {"image-ending"}),
        ("image ended", "image ended 2027-01-12", {"image-ending", "image-ended"}),
        ("image unlisted", "image unlisted", {"image-unlisted"}),
        ("image not checked", "image not checked", {"image-not-checked"}),
    ],
)
def test_the_end_of_an_image_is_a_warning_with_its_day_and_has_a_word(code: str, cell: str, stops: set[str]):
    day = "2027-01-12" if cell.endswith("2") else ""
    stack = image_rows(ends("renew", code, day))
    assert f" | {cell} |\n" in comment([stack])
    assert only(stack).image_ends == day
    words = [word for word in fail_on.MEANINGS if word.startswith("image-")]
    assert {each.word for each in fail_on.tripped(words, [stack])} == stops


def test_the_warning_about_a_refused_pool_adds_to_its_row():
    refused = MessageTail(f"{FARM}/pools/render", "image", "refused", why="the pool scales itself")
    stack = image_rows(ends("warning", "image ended"), refused)
    assert (only(stack).what, only(stack).warnings, only(stack).image_ends) == (
        "refused",
        ("image ended",),
        "2027-01-12",
    )
    assert "| image ended 2027-01-12 |\n" in comment([stack])


def test_a_day_without_a_warning_is_only_in_the_json():
    tail = MessageTail(f"{FARM}/pools/render", "image", "adopt", nodes=2, image_ends="2031-05-31")
    stack = image_rows(tail, severity="info")
    assert only(stack).image_ends == "2031-05-31"
    assert "2031" not in comment([stack])


@pytest.mark.parametrize("since", ["", "2026-11-24"])
def test_a_pool_that_moves_shows_both_images_with_their_versions(since: str):
    before, after = "canonical:0001-com-ubuntu-server-jammy:22_04-lts", "canonical:ubuntu-24_04-lts:server"
    at = {"oldest": "2026-11-20T08:00:00Z", "since": since} if since else {"came_from": "latest", "target": "latest"}
    tail = MessageTail(
        f"{FARM}/pools/render", "image", "renew", from_image=before, to_image=after, warnings=("another image",), **at
    )
    stack = image_rows(tail)
    start, end = (at["oldest"], since) if since else ("latest", "latest")
    cell = f"<code>{before}</code><br><code>{start}</code> →<br><code>{after}</code><br><code>{end}</code>"
    assert f" | {cell} | " in comment([stack])
    assert [each.word for each in fail_on.tripped(["another-image", "rollback"], [stack])] == ["another-image"]


def test_the_day_of_an_image_is_foreign_text():
    stack = image_rows(ends("renew", "image ended", "[x](https://evil.example) @team | <b>"))
    assert "](" not in comment([stack])
    assert "@team" not in comment([stack])
    assert "<b>" not in comment([stack])


# ── What stops ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("word", [each for each in fail_on.MEANINGS if each != "failed"])
def test_each_word_stops_at_its_pool_and_at_no_other(word: str):
    quiet = Row("quiet", "os", "create", "nothing of all this", looked=True, said=(Message("info", "so"),))
    code = word.replace("-", " ")
    loud = {
        "warning": Row("loud", "os", "create", "x", looked=True, said=(Message("warning", "so"),)),
        "not-looked-at": Row("loud", "os", "update", "upgrade"),
        "delete": Row("loud", "os", "delete", "delete"),
        "update": Row("loud", "os", "update", "update"),
    }.get(word)
    rows = [loud] if loud else [Row("loud", "os", "create", "x", warnings=(code,), looked=True)]
    if not loud and word in WHATS:
        rows = [Row("loud", "os", "create", word, looked=True)]
    stopped = list(fail_on.tripped([word], [Stack("dev", (quiet, *rows)), Stack("prod", error="boom")]))
    assert stopped == [fail_on.Tripped(word, "dev", "loud")]


EXAMPLES = Path(__file__).parents[3] / "examples" / "pipelines"


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yml")), ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_shipped_gates_are_words_and_stop_where_nothing_was_looked_at(file: Path):
    text = file.read_text(encoding="utf-8")
    shipped = re.findall(r"FAIL_ON(?::|\n +value:) *(\S+)", text)
    assert len(shipped) == (file.name == "pull-request.yml")
    assert bool(shipped) == ("--fail-on" in text)
    for words in shipped:
        assert set(words.split(",")) <= set(fail_on.MEANINGS)
        assert "not-looked-at" in words.split(",")


def test_failed_stops_at_the_stack():
    stacks = [Stack("dev"), Stack("prod", error="boom")]
    assert list(fail_on.tripped(["failed", "failed"], stacks)) == [fail_on.Tripped("failed", "prod")]
    assert str(fail_on.Tripped("failed", "prod")) == "failed: prod"


def test_joining_a_rollback_is_a_rollback():
    row = Row("r", "os", "update", "join", warnings=("rollback",), looked=True)
    assert list(fail_on.tripped(["rollback"], [Stack("dev", (row,))]))


# ── The command ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def previews(tmp_path: Path) -> dict[str, Path]:
    tail = MessageTail(f"{FARM}/pools/render", "os", "rollback", V58, V57, nodes=2, tasks=1, warnings=("rollback",))
    body = {
        "steps": [step("update", "r", old=state("render", V58), new=state("render", V57))],
        "diagnostics": [told("r", "ROLLBACK", tail, "warning")],
        "changeSummary": {"update": 1, "same": 3},
    }
    texts = {"good": json.dumps(body), "died": "", "other": "[]"}
    files = {name: tmp_path / f"{name}.json" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text, encoding="utf-8")
    return files


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments], prog_name="batch-os comment")


def test_a_failed_preview_is_written_and_stops_nothing_by_itself(previews: dict[str, Path]):
    done = run(f"dev={previews['good']}", f"prod={previews['died']}")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "<!-- batch-os comment v1 -->\n### Batch pools: 1 of 2 previews failed; 1 x ROLLBACK\n"
    )


def test_fail_on_exits_with_3_after_the_comment(previews: dict[str, Path], tmp_path: Path):
    target = tmp_path / "comment.md"
    files = (f"dev={previews['good']}", f"prod={previews['died']}")
    done = run(*files, "--fail-on", "rollback, failed", "--fail-on", "expired", "--output", target)
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr == "--fail-on rollback: dev, render\n--fail-on failed: prod\n"
    assert "`--fail-on` stops here: **rollback** (dev <code>render</code>), **failed** (prod)\n" in target.read_text(
        encoding="utf-8"
    )
    assert run(*files, "--fail-on", "expired,,").exit_code == 0


def test_json_is_one_document_with_stable_keys(previews: dict[str, Path], tmp_path: Path):
    target = tmp_path / "comment.md"
    done = run(f"dev={previews['good']}", "--json", "--output", target, "--fail-on", "rollback")
    assert done.exit_code == 3
    assert json.loads(done.stdout) == {
        "version": 1,
        "stacks": [
            {
                "stack": "dev",
                "failed": False,
                "error": "",
                "pools": [
                    {
                        "resource": "r",
                        "kind": "os",
                        "op": "update",
                        "what": "rollback",
                        "pool": f"{FARM}/pools/render",
                        "poolId": "render",
                        "from": V58,
                        "to": V57,
                        "nodes": 2,
                        "behind": None,
                        "tasks": 1,
                        "back": None,
                        "warnings": ["rollback"],
                        "looked": True,
                        "unseen": "",
                        "imageEnds": "",
                        "fromImage": "",
                        "toImage": "",
                        "said": [{"severity": "warning", "text": "ROLLBACK"}],
                    }
                ],
                "unchanged": 3,
                "otherChanges": {},
                "said": [],
            }
        ],
        "stoppedAt": [{"word": "rollback", "stack": "dev", "pool": "render"}],
    }
    assert target.read_text(encoding="utf-8").startswith(marker())
    assert "<!--" not in run(f"dev={previews['good']}", "--json").stdout


def test_a_marker_tells_comments_apart(previews: dict[str, Path]):
    named = run(f"dev={previews['good']}", "--marker", "nightly.eu-1").stdout
    assert named.startswith("<!-- batch-os comment v1 nightly.eu-1 -->\n")
    assert marker() not in named
    for wrong in ("a -->", "a--b", "-", "a b", "ä"):
        refused = run(f"dev={previews['good']}", "--marker", wrong)
        assert refused.exit_code == 2
        assert "letters and digits" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["good.json"], "'good.json' is not STACK=FILE, such as dev=dev.json"),
        (["=good.json"], "is not STACK=FILE"),
        (["dev="], "is not STACK=FILE"),
        (["dev=good.json", "dev=died.json"], "stack dev is given twice: good.json and died.json"),
        (["dev=good.json", "prod=./good.json"], "./good.json is given twice, for stack dev and for stack prod"),
        (["dev=good.json", "--fail-on", ""], "names no word; leave the option out for no gates"),
        (["dev=good.json", "--fail-on", " ,"], "names no word"),
        (["dev=good.json", "--fail-on", "rolback"], "'rolback' is not one of its words; did you mean rollback?"),
    ],
)
def test_wrong_usage_exits_with_2(
    previews: dict[str, Path], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    monkeypatch.chdir(previews["good"].parent)
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dev=missing.json"], "the preview of stack dev cannot be read: missing.json: No such file"),
        (["dev=other.json"], "other.json, given for stack dev, is JSON, but not what `pulumi preview --json` writes"),
        (
            ["dev=good.json", "--output", "no/such/folder.md"],
            f"the comment cannot be written: {Path('no/such/folder.md')}: No such file",
        ),
    ],
)
def test_what_cannot_be_read_or_written_exits_with_1(
    previews: dict[str, Path], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    monkeypatch.chdir(previews["good"].parent)
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
