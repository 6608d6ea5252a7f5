"""`batch-os status`: when the support of images ends, in the table and the document, and what `--fail-on` stops at."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.cli.inventory import Account
from batch_os_provider.cli.main import main
from batch_os_provider.cli.status import command, image_ends
from batch_os_provider.cli.status.command import as_json
from batch_os_provider.errors import BatchOsError, CredentialError, ServiceAnswer, TransientError
from tests.support.simulator import IMAGES, paas_pool, vm_pool
from tests.unit.batch.test_supported_images import GALLERY, JAMMY, LISTED, NOW, row
from tests.unit.cli.test_proposal import ENDPOINT, seen
from tests.unit.cli.test_status import shown

WITH_ENDS = image_ends.with_ends
FORBIDDEN = CredentialError("listing supported images failed: Batch refused a key: HTTP 403", pool=ENDPOINT)
BUSY = TransientError(ServiceAnswer(503, "ServerBusy"), pool=ENDPOINT)


class Client:
    """An account's client that lists these images; ``failures`` come first."""

    def __init__(self, *failures: BatchOsError, images: tuple[SupportedImage, ...] = LISTED) -> None:
        self._failures = list(failures)
        self._images = images
        self.asked = 0

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        self.asked += 1
        if self._failures:
            raise self._failures.pop(0)
        return self._images


def with_image(pool_id: str, sku: str, agent: str = "batch.node.windows amd64") -> dict[str, Any]:
    pool = vm_pool(pool_id)
    configuration = pool["virtualMachineConfiguration"]
    configuration["imageReference"] = {**configuration["imageReference"], "sku": sku}
    return {**pool, "virtualMachineConfiguration": {**configuration, "nodeAgentSKUId": agent}}


POOLS = (
    with_image("ending", "2016-datacenter"),
    with_image("unlisted", "2012-R2-Datacenter"),
    with_image("stays", "2022-Datacenter"),
    vm_pool("cfd", image=replace(IMAGES["ubuntu-hpc"], offer="ubuntu-hpc", sku="2204", agent=JAMMY)),
    {**vm_pool("gallery"), "virtualMachineConfiguration": {"imageReference": GALLERY, "nodeAgentSKUId": JAMMY}},
    paas_pool("cloud"),
)


def account(*bodies: dict[str, Any], endpoint: str = ENDPOINT) -> Account:
    return Account(endpoint, "a key", pools=tuple(seen(each, endpoint) for each in bodies))


def ended(client: Client, *accounts: Account, days: int = 0) -> list[Account]:
    pauses: list[float] = []
    return image_ends.with_ends(accounts, NOW + timedelta(days=days), lambda _: client, pauses.append)


def ends(found: list[Account]) -> dict[str, tuple[str | None, str | None]]:
    pools = as_json(found)["accounts"][0]["pools"]
    return {each["id"]: (each["image_ends"], each["image_support"]) for each in pools}


def test_each_pool_has_the_day_and_how_its_image_stands() -> None:
    client = Client()
    assert ends(ended(client, account(*POOLS))) == {
        "ending": ("2027-01-12", "ending"),
        "unlisted": (None, "unlisted"),
        "stays": (None, "listed"),
        "cfd": ("2027-06-30", "listed"),
        "gallery": ("2027-06-30", "listed"),
        "cloud": (None, None),
    }
    assert client.asked == 1, "one call for the pools of an account"
    assert ends(ended(client, account(*POOLS), days=45))["ending"] == ("2027-01-12", "ended")


def test_the_table_has_a_column_where_an_image_of_the_account_ends() -> None:
    short = [each for each in POOLS if each["id"] != "gallery"]
    lines = shown(*ended(Client(), account(*short)), width=100).splitlines()
    head = next(line for line in lines if "Runs" in line)
    assert head.split() == ["Pool", "Runs", "Image", "ends", "Resource"]
    place = slice(head.index("Image ends"), head.index("Resource"))
    below = {
        line.split()[0]: [line[place].strip(), after[place].strip()] for line, after in pairwise(lines) if line.strip()
    }
    assert {each["id"]: below[each["id"]] for each in short} == {
        "ending": ["2027-01-12", "ending"],
        "unlisted": ["unlisted", ""],
        "stays": ["", ""],
        "cfd": ["2027-06-30", ""],
        "cloud": ["", ""],
    }
    assert "Image ends" not in shown(*ended(Client(), account(POOLS[2], POOLS[5])), width=100)


def test_a_log_of_eighty_columns_keeps_its_table_and_has_the_day_as_a_line() -> None:
    long = [with_image("ending", "2016-datacenter"), vm_pool("etl", image=IMAGES["ubuntu"], version="22.04.202405140")]
    lines = [line.strip() for line in shown(*ended(Client(), account(*long)), width=80).splitlines()]
    assert any(line.startswith("Pool ") and line.endswith(" Resource") for line in lines), "a table"
    assert [line.split("  ")[0] for line in lines if line.startswith("image ")] == [
        "image ending 2027-01-12",
        "image ends 2027-06-30",
    ]
    assert max(map(len, lines)) <= 80


def test_the_line_of_each_pool() -> None:
    (found,) = ended(Client(), account(*POOLS))
    assert {each.pool.ref.pool_id: image_ends.line(each) for each in found.pools} == {
        "ending": "image ending 2027-01-12",
        "unlisted": "image unlisted",
        "stays": "",
        "cfd": "image ends 2027-06-30",
        "gallery": "image ends 2027-06-30",
        "cloud": "",
    }


def test_where_the_table_does_not_fit_each_pool_has_a_line_for_it() -> None:
    text = shown(*ended(Client(), account(*POOLS), days=60), width=40)
    assert "  image ends: 2027-01-12\n    ended\n" in text
    assert text.count("image ends:") == 4


@pytest.mark.parametrize("client", [Client(FORBIDDEN), Client(BUSY, BUSY, BUSY)], ids=["403", "503"])
def test_a_list_that_cannot_be_read_leaves_the_pools(client: Client) -> None:
    found = ended(client, account(*POOLS))
    assert set(ends(found).values()) == {(None, None)}
    assert found[0].images_error
    assert not found[0].troubles
    assert "when the support of images ends is not known: " in shown(*found)
    assert as_json(found)["accounts"][0]["images_error"] == found[0].images_error


def test_a_busy_list_is_asked_again_and_an_account_without_vm_pools_is_not_asked() -> None:
    client = Client(BUSY)
    assert ends(ended(client, account(POOLS[0]))) == {"ending": ("2027-01-12", "ending")}
    assert client.asked == 2
    ended(client, account(POOLS[5]), Account("https://closed.x", error="403"))
    assert client.asked == 2


def status(monkeypatch: pytest.MonkeyPatch, client: Client, *arguments: str, days: int = 0) -> Result:
    """The command on these pools, at another day."""
    monkeypatch.setattr(command, "survey", lambda endpoints: [account(*POOLS, endpoint=each) for each in endpoints])
    monkeypatch.setattr(
        image_ends,
        "with_ends",
        lambda accounts, _now: WITH_ENDS(accounts, NOW + timedelta(days=days), lambda _: client, lambda _: None),
    )
    return CliRunner().invoke(main, ["status", ENDPOINT, *arguments])


@pytest.mark.parametrize(
    ("words", "days", "stops"),
    [
        ("image-ended", 44, []),
        ("image-ended", 45, ["image-ended: ending"]),
        ("image-ending", 44, ["image-ending: ending"]),
        ("image-ending", 45, ["image-ending: ending"]),
        ("image-ending", 124, [f"image-ending: {each}" for each in ("ending", "cfd", "gallery")]),
        (
            "image-unlisted,image-ended",
            400,
            ["image-unlisted: unlisted", *(f"image-ended: {each}" for each in ("ending", "cfd", "gallery"))],
        ),
    ],
)
def test_each_word_stops_at_its_pools_with_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, words: str, days: int, stops: list[str]
) -> None:
    done = status(monkeypatch, Client(), "--fail-on", words, days=days)
    assert done.exit_code == (3 if stops else 0)
    assert done.stderr.splitlines() == [f"--fail-on {each.replace(': ', f': {ENDPOINT}/pools/')}" for each in stops]
    assert "PoolImageVersion" in done.stdout, "the pools are shown all the same"


def test_a_gate_on_a_list_that_cannot_be_read_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    without = status(monkeypatch, Client(FORBIDDEN), "--json")
    assert without.exit_code == 0
    assert "HTTP 403" in json.loads(without.stdout)["accounts"][0]["images_error"]
    gated = status(monkeypatch, Client(FORBIDDEN), "--json", "--fail-on", "image-ended")
    assert (gated.exit_code, gated.stderr) == (2, "1 of 1 account could not be read completely\n")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "image-end",
            "'image-end' is not one of its words; did you mean image-ended? all: image-ending, image-ended, ",
        ),
        ("rollback", "'rollback' is not one of its words; all: image-ending"),
        (" , ", "names no word; leave the option out for no gates"),
    ],
)
def test_words_that_are_refused(monkeypatch: pytest.MonkeyPatch, word: str, said: str) -> None:
    done = status(monkeypatch, Client(), "--fail-on", word)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())


def test_a_list_of_other_images_is_no_reason_to_be_silent() -> None:
    found = ended(Client(images=(row("canonical:ubuntu-24_04-lts:server"),)), account(POOLS[2]))
    assert ends(found) == {"stays": (None, "unlisted")}
