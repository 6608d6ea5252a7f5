"""Pins the two spellings of a pool and what is refused in an account's endpoint."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_os_provider.batch.address import PoolRef, is_loopback, parse_endpoint, parse_pool_url
from tests.unit.rollout.stage import quick

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=2, max_size=5).map(".".join) | st.ip_addresses(v=4).map(str)
hosts |= st.ip_addresses(v=6).map("[{}]".format)
pool_ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


@pytest.mark.parametrize(
    ("declared", "normal"),
    [
        ("acct.westeurope.batch.azure.com", "https://acct.westeurope.batch.azure.com"),
        ("https://Acct.WestEurope.batch.azure.com/", "https://acct.westeurope.batch.azure.com"),
        ("HTTPS://ACCT.batch.azure.com", "https://acct.batch.azure.com"),
        (" https://acct.batch.azure.com ", "https://acct.batch.azure.com"),
        ("https://acct.batch.azure.com:443", "https://acct.batch.azure.com"),
        ("https://acct.batch.azure.com:8443/", "https://acct.batch.azure.com:8443"),
        ("localhost:8080", "https://localhost:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("HTTP://LocalHost:80", "http://localhost"),
        ("http://127.0.0.1:10000", "http://127.0.0.1:10000"),
        ("http://127.0.0.2", "http://127.0.0.2"),
        ("http://[::1]:10000/", "http://[::1]:10000"),
        ("[::1]:10000", "https://[::1]:10000"),
    ],
)
def test_an_endpoint_is_normalised(declared: str, normal: str) -> None:
    assert parse_endpoint(declared) == normal
    assert parse_endpoint(normal) == normal


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ("http://acct.westeurope.batch.azure.com", "loopback"),
        ("http://10.0.0.1", "loopback"),
        ("http://127.0.0.1.nip.io", "loopback"),
        ("http://localhost.evil.example", "loopback"),
        ("ftp://acct.batch.azure.com", "scheme"),
        ("://acct.batch.azure.com", "scheme"),
        ("https://user@acct.batch.azure.com", "user name"),
        ("https://user:secret@acct.batch.azure.com", "user name"),
        ("https://@acct.batch.azure.com", "user name"),
        ("https://acct.batch.azure.com/pools", "more than a host"),
        ("https://acct.batch.azure.com/?api-version=1", "more than a host"),
        ("https://acct.batch.azure.com/#top", "more than a host"),
        ("https://acct.batch.azure.com:", "port"),
        ("https://acct.batch.azure.com:https", "[Pp]ort"),
        ("https://acct.batch.azure.com:65536", "[Pp]ort"),
        ("https://acct.batch.azure.com:-1", "[Pp]ort"),
        ("https://acct.batch.azure.com:0", "[Pp]ort"),
        ("https://acct_1.batch.azure.com", "host name"),
        ("https://acct batch", "host name"),
        ("https://-acct.batch.azure.com", "host name"),
        ("https://acct.batch.azure.com.", "host name"),
        ("https://", "host name"),
        ("", "host name"),
        ("myaccount", "has no dot"),
        ("https://MyAccount:443", "has no dot"),
        ("https://2130706433", "no dot"),
        ("https://[::1", "."),
        ("https://[v1.a]", "."),
        ("https://ac\nct.batch.azure.com", "."),
    ],
)
def test_what_is_not_an_endpoint_is_refused_with_the_reason(declared: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_endpoint(declared)


@given(hosts, st.none() | st.integers(1, 65535), st.booleans())
@quick
def test_any_host_and_port_is_kept_and_normal_form_is_stable(host: str, port: int | None, shout: bool) -> None:
    declared = f"https://{host.upper() if shout else host}" + (f":{port}" if port else "")
    normal = parse_endpoint(declared)
    assert normal == f"https://{host}" + (f":{port}" if port not in (None, 443) else "")
    assert parse_endpoint(normal) == normal


@given(st.text())
@example("https://a@b:c")
@example("https://[")
@example("http://[::1]]")
@quick
def test_any_text_is_an_endpoint_or_a_value_error(text: str) -> None:
    for prefix in ("", "https://", "http://"):
        try:
            normal = parse_endpoint(prefix + text)
        except ValueError:
            continue
        assert parse_endpoint(normal) == normal
        assert not normal.startswith("http://") or is_loopback(normal)


@given(hosts, pool_ids)
@quick
def test_a_pool_url_reads_back_as_the_same_pool(host: str, pool_id: str) -> None:
    ref = PoolRef(parse_endpoint(host), pool_id)
    assert parse_pool_url(ref.url) == ref
    assert parse_pool_url(ref.url + "/") == ref
    assert PoolRef(ref.endpoint, pool_id.swapcase()).key == ref.key


def test_the_url_is_the_id_as_designed() -> None:
    ref = PoolRef(parse_endpoint("Acct.WestEurope.batch.azure.com"), "Render-A")
    assert ref.url == "https://acct.westeurope.batch.azure.com/pools/Render-A"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "render-a",
        "https://acct.batch.azure.com",
        "https://acct.batch.azure.com/pools",
        "https://acct.batch.azure.com/pools/",
        "https://acct.batch.azure.com/pools/a/nodes",
        "https://acct.batch.azure.com/pools/a b",
        "https://acct.batch.azure.com/pools/" + "a" * 65,
        "https://acct.batch.azure.com/pools/a%2Fb",
        "https://acct.batch.azure.com/x/pools/a",
        "http://acct.batch.azure.com/pools/a",
        "https://u:p@acct.batch.azure.com/pools/a",
        "https://acct.batch.azure.com/pools/a?b=c",
    ],
)
def test_what_is_not_a_pool_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_pool_url(url)


@given(st.ip_addresses())
@quick
def test_loopback_is_what_the_standard_library_says(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert is_loopback(str(address)) == address.is_loopback


def test_a_name_that_only_looks_local_is_not_loopback() -> None:
    assert is_loopback("localhost")
    assert is_loopback("https://LOCALHOST:1")
    assert not is_loopback("localhost.example")
    assert not is_loopback("https://127.0.0.1.example")
    assert not is_loopback("")
