"""Numbers and words fit in each message of `batch-os` that has a number.

A message with a number joins as a line of ``MESSAGES``: a function from the number to the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.cli.adopt import command as adopt
from batch_os_provider.cli.adopt.outline import Outline, outline
from batch_os_provider.cli.adopt.program_text import python_program
from batch_os_provider.cli.adopt.proposal import propose
from batch_os_provider.cli.adopt.yaml_text import yaml_program
from batch_os_provider.cli.catalogue.command import _releases
from batch_os_provider.cli.catalogue.releases import Page, PageError, merge
from batch_os_provider.cli.comment import markdown, preview_file
from batch_os_provider.cli.comment.fail_on import Tripped
from batch_os_provider.cli.comment.rows import Row, Stack
from batch_os_provider.cli.doctor import account_checks
from batch_os_provider.cli.doctor.check import Check
from batch_os_provider.cli.doctor.command import lines
from batch_os_provider.cli.inventory import Account
from batch_os_provider.cli.main import main
from batch_os_provider.cli.probe import command as probe
from batch_os_provider.cli.probe.throwaway_pool import ThrowawayPool
from batch_os_provider.cli.status import command as status
from batch_os_provider.cli.watch.command import _line
from batch_os_provider.cli.watch.moving import poll
from batch_os_provider.guest_os import catalogue
from batch_os_provider.guest_os.catalogue import Catalogue
from tests.support.simulator import BEHIND, TARGET, paas_pool, vm_pool
from tests.unit.cli import test_comment as previews
from tests.unit.cli.test_proposal import ENDPOINT, image, seen
from tests.unit.cli.test_status import shown
from tests.unit.cli.test_watch import RESIZING, FakeAccount, renewing, upgrading
from tests.unit.plurals import wrong_plurals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWN = catalogue.load()
LATEST = image(vm_pool("no-version", nodes=0), publisher="p", offer="o", sku="s", version="latest")
"""A pool that no program can declare: no node shows a version."""


@pytest.fixture(autouse=True)
def credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_BATCH_ACCOUNT", "farm")
    monkeypatch.setenv("AZURE_BATCH_ACCESS_KEY", "a2V5")


def farm(pools: int, *, unfit: int = 0) -> Account:
    bodies = [*(paas_pool(f"p{number}") for number in range(pools)), *({**LATEST, "id": f"u{n}"} for n in range(unfit))]
    return Account(ENDPOINT, "a key", pools=tuple(seen(each) for each in bodies))


def called(module: Any, accounts: list[Account], *arguments: str) -> str:
    """The output of a subcommand that reads these accounts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "survey", lambda _endpoints: accounts)
        return CliRunner().invoke(main, [*arguments, *(each.endpoint for each in accounts)]).output


def unread(failed: int, of: int) -> str:
    accounts = [Account(f"https://a{n}.x.y", error="403" if n < failed else "") for n in range(of)]
    return called(status, accounts, "status")


def adopted(declared: int, of: int) -> Outline:
    return outline({ENDPOINT: [propose(each) for each in farm(declared, unfit=of - declared).pools]})


def compared(undeclared: int, of: int) -> str:
    found = adopt.Comparison(of, farm(undeclared).pools, (), (), ())
    return "\n".join(adopt._lines(found, ""))


def checked(nodes: int) -> str:
    """The lines of `doctor` about an account of so many pools, of so many nodes each."""

    class Client:
        def list_vm_pools(self) -> tuple[VmPool, ...]:
            bodies = [vm_pool(f"p{number}", nodes=nodes) for number in range(nodes)]
            return tuple(VmPool.from_json(PoolRef(ENDPOINT, each["id"]), each) for each in bodies)

        def list_vm_nodes(self, _ref: PoolRef) -> tuple[int, ...]:
            return tuple(range(nodes))

        def get_pool(self, _ref: PoolRef) -> None:
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account_checks, "shared_client", lambda _endpoint: Client())
        patch.setattr(account_checks, "_address", lambda each: Check(each, "address", "ok", ""))
        found = account_checks.account(ENDPOINT)
    return "\n".join(lines(found))


def watched(*bodies: dict[str, Any]) -> str:
    pools = poll(FakeAccount([list(bodies)]))
    assert pools
    return "\n".join(_line(each, 1.0) for each in pools)


def row(**numbers: int) -> str:
    rows = [Row("r", kind, "update", "upgrade", pool_id="p", looked=True, **numbers) for kind in ("os", "image")]
    return markdown.comment([Stack("dev", tuple(rows))])


def stopped(count: int) -> str:
    tripped = [Tripped("upgrade", "dev", f"p{number}") for number in range(10 + count)]
    return markdown.comment([Stack("dev")], stopped=tripped)


def left_out(count: int) -> str:
    pieces = [markdown._Piece(0, "", kept=False)] * count
    noun = (("pool", "pools"), ("failed preview", "failed previews"), ("of the details", "of the details"))
    return "".join(markdown._left_out(pieces, *each) for each in noun)


def unknown_inputs(count: int) -> str:
    names = ("target_os_version", "pool_id")[:count]
    new = previews.state("render", previews.V58)
    new["inputs"] |= dict.fromkeys(names, previews.UNKNOWN)
    return previews.only(previews.read(previews.step("create", "r", new=new))).unseen


def several_previews(count: int) -> str:
    body = '{\n"changeSummary": {}\n}\n'
    with pytest.raises(preview_file.NotAPreviewError) as refused:
        preview_file.read((body * count).encode())
    return str(refused.value)


def releases(count: int) -> str:
    return _releases(Catalogue(OWN.releases[:count], tuple(OWN.families.values())))


def missing_families(count: int) -> str:
    families = sorted(
        {each.version.family for each in OWN.releases if not OWN.families[each.version.family].end_of_life}
    )
    kept = tuple(each for each in OWN.releases if each.version.family not in families[:count])
    with pytest.raises(PageError) as refused:
        merge(OWN, Page({}, kept, ()))
    return str(refused.value)


def announced(*, leaves: bool) -> str:
    """The announcement of a probe, which is then not agreed to."""

    class Account(ThrowawayPool):
        def send(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("nothing is sent")

    options = probe.Options("small", "a:b:c", "", returns=False, leaves=leaves, yes=False)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "say", said.append)
        patch.setattr(probe, "_agreed", lambda: False)
        patch.setattr(probe, "_configuration", lambda _pool, _image: {})
        probe._run(options, Account(ENDPOINT, "batch-os-probe-1", 0, 0))
    return "\n".join(said)


def of(render: Callable[[int, int], str], least: int = 0) -> Callable[[], Iterator[str]]:
    return lambda: (render(*each) for each in ((0, 1), (1, 1), (1, 3), (2, 3)) if each[0] >= least)


def each(render: Callable[[int], str], least: int = 0) -> Callable[[], Iterator[str]]:
    return lambda: (render(number) for number in range(least, 3))


MESSAGES: dict[str, Callable[[], Iterator[str]]] = {
    "status, pools": each(lambda n: shown(farm(n))),
    "status, nodes": each(lambda n: shown(Account(ENDPOINT, "a key", pools=(seen(paas_pool(nodes=n)),)))),
    "status, versions": each(lambda n: shown(Account(ENDPOINT, "", pools=(seen(vm_pool(nodes=n, version=BEHIND)),)))),
    "status, unread accounts": of(unread),
    "adopt, declared": of(lambda n, m: called(adopt, [farm(n, unfit=m - n)], "adopt")),
    "adopt, the program": of(lambda n, m: python_program(adopted(n, m))),
    "adopt, the YAML program": of(lambda n, m: yaml_program(adopted(n, m), "farm")),
    "adopt --check": of(compared),
    "doctor, pools and nodes": each(checked),
    "watch, an upgrade": of(lambda n, m: watched(upgrading(back=n, nodes=m))),
    "watch, a renewal": of(lambda n, m: watched(renewing("p", [BEHIND] * n, [TARGET] * (m - n), m))),
    "watch, a resize": each(lambda n: watched(vm_pool("p", nodes=n, **RESIZING))),
    "comment, nodes": each(lambda n: row(nodes=n)),
    "comment, nodes behind": of(lambda n, m: row(nodes=m, behind=n)),
    "comment, nodes back": of(lambda n, m: row(nodes=m, back=n)),
    "comment, tasks": each(lambda n: row(nodes=1, tasks=n)),
    "comment, failed previews": of(
        lambda n, m: markdown.comment([Stack(f"s{k}", error="x" if k < n else "") for k in range(m)]), 1
    ),
    "comment, other changes": each(lambda n: markdown.comment([Stack("dev", unchanged=n, others={"create": n})])),
    "comment, many stacks": each(lambda n: markdown.comment([Stack(str(k), others={"create": n}) for k in range(11)])),
    "comment, stops": each(stopped),
    "comment, what is left out": each(left_out),
    "comment, unknown inputs": each(unknown_inputs, 1),
    "comment, several previews": each(several_previews, 2),
    "catalogue, releases": each(releases, 1),
    "catalogue, missing families": each(missing_families, 1),
    "probe": lambda: (announced(leaves=leaves) for leaves in (True, False)),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_numbers_and_words_fit(name: str) -> None:
    texts = list(MESSAGES[name]())
    assert len(set(texts)) == len(texts) > 0, "each text has another number"
    assert [wrong for text in texts for wrong in wrong_plurals(text)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (lambda: shown(farm(1)), "1 pool; signed in as a key"),
        (lambda: unread(1, 1), "1 of 1 account could not be read completely"),
        (lambda: called(adopt, [farm(1)], "adopt"), "1 of 1 pool declared\n"),
        (lambda: called(adopt, [farm(1, unfit=1)], "adopt"), "1 of 2 pools declared; comments name the pools"),
        (lambda: compared(0, 1), "not declared: none of 1 pool"),
        (lambda: checked(1), "1 node of pool p0"),
        (lambda: left_out(1), "1 failed preview left out"),
        (lambda: unknown_inputs(2), "pool_id and target_os_version are not known"),
        (lambda: missing_families(1), "of family "),
        (lambda: missing_families(2), "of families "),
        (lambda: announced(leaves=True), "1 node of small"),
    ],
)
def test_one_and_several(text: Callable[[], str], expected: str) -> None:
    assert expected in text()
