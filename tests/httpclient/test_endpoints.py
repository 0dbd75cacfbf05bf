# SPDX-License-Identifier: Apache-2.0
"""Which URLs a device may name, by what they say; and which addresses are everybody's."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpclient.endpoints import Endpoints, NotAllowed, check_form, is_public, parse_origin

EXEMPT = frozenset(map(parse_origin, ["http://127.0.0.1:9103", "https://push.lan"]))


@pytest.mark.parametrize(
    "url",
    [
        "https://ntfy.sh/upAbc?up=1",
        "https://updates.push.services.mozilla.com/wpush/v2/gAAA_-=",
        "HTTPS://FCM.GoogleAPIs.com:443/fcm/send/x:APA91b",
        "https://push.example.net:8443/",
        "https://xn--bcher-kva.example/x",
        "https://a_b.example.net/x#fragment",
        "https://example.net?x=@",
        "https://93.184.216.34/x",
        "https://[2606:2800:220:1::1]/x",
        "https://[64:ff9b::808:808]/x",
        "http://127.0.0.1:9103/topic",
        "https://push.lan/topic",
        "https://push.lan:443/topic",
    ],
)
def test_such_a_url_is_taken(url: str) -> None:
    check_form(url, EXEMPT)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.net/x",
        "http://127.0.0.1:9104/topic",
        "https://127.0.0.1:9103/topic",
        "http://127.0.0.1:9103@example.net/",
        "http://127.0.0.1:9103.example.net/",
        "http://push.lan/topic",
        "file:///etc/passwd",
        "gopher://example.net/",
        "ftp://example.net/",
        "//example.net/x",
        "example.net",
        "https:example.net",
        "https:///x",
        "https://",
        "",
        "https://user@example.net/",
        "https://user:password@example.net/",
        "https://@example.net/",
        "https://example.net\\@127.0.0.1/",
        "https://example.net:22/",
        "https://example.net:80/",
        "https://example.net:0/",
        "https://example.net:65536/",
        "https://example.net:4x/",
        "https://example.net/ x",
        "https://example.net/\nx",
        "https://example.net\t/x",
        "https://exa\rmple.net/",
        "https://example.net/\x00",
        "https://example.net/" + "x" * 2000,
        "https://localhost/",
        "https://LOCALHOST/",
        "https://localhost./",
        "https://a.localhost/",
        "https://localhost.localdomain/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://router.home.arpa/",
        "https://intranet/",
        "https://example.net./",
        "https://.example.net/",
        "https://example..net/",
        "https://-a.example.net/",
        "https://*.example.net/",
        "https://%31%32%37.0.0.1/",
        "https://bücher.example/",
        "https://127。0。0。1/",
        "https://１２７.0.0.1/",
        "https://127.0.0.1/",
        "https://127.0.0.1./",
        "https://127.1/",
        "https://127.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.000.000.001/",
        "https://0x7f.0x0.0x0.0x1/",
        "https://127.0.0.0x1/",
        "https://0/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[2002:7f00:1::]/",
        "https://[2002:c0a8:1::1]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[2606:2800:220:1::1%25eth0]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[::1/",
        "https://[v1.x]/",
    ],
)
def test_such_a_url_is_refused_and_the_reason_does_not_show_it(url: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        check_form(url, EXEMPT)
    assert len(url) < 10 or url not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("93.184.216.34", True),
        ("172.32.0.1", True),
        ("2001:4860:4860::8888", True),
        ("64:ff9b::8.8.8.8", True),
        ("::ffff:8.8.8.8", True),
        ("2002:808:808::1", True),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("10.255.255.255", False),
        ("100.127.255.255", False),
        ("127.255.255.254", False),
        ("169.254.0.1", False),
        ("172.31.255.255", False),
        ("192.0.0.8", False),
        ("192.0.2.1", False),
        ("192.88.99.1", False),
        ("192.168.255.255", False),
        ("198.18.0.1", False),
        ("198.51.100.1", False),
        ("203.0.113.1", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::8.8.8.8", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::192.168.0.1", False),
        ("64:ff9b:1::8.8.8.8", False),
        ("100::1", False),
        ("2001::8.8.8.8", False),
        ("2001:db8::1", False),
        ("2002:a9fe:a9fe::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fe80::1%1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("8.8.8", False),
        ("example.net", False),
        ("", False),
    ],
)
def test_an_address_is_public_or_not(address: str, public: bool) -> None:
    assert is_public(address) is public


PRIVATE = ["10.0.0.0", "127.0.0.0", "169.254.0.0", "172.16.0.0", "192.168.0.0"]


@given(st.sampled_from(PRIVATE), st.integers(0, 2**16 - 1))
def test_no_spelling_of_a_private_address_is_taken(network: str, host: int) -> None:
    address = IPv4Address(int(IPv4Address(network)) + host)
    parts, number = address.packed, int(address)
    spellings = [
        str(address),
        f"{number}",
        f"{number:#x}",
        f"0{number:o}",
        ".".join(f"{part:#x}" for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        f"{parts[0]}.{number & 0xFFFFFF}",
        f"[::ffff:{address}]",
        f"[::{address}]",
        f"[64:ff9b::{address}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
    ]
    for spelling in spellings:
        with pytest.raises(NotAllowed):
            check_form(f"https://{spelling}/", frozenset())


@given(st.text(max_size=40))
def test_any_text_is_judged(text: str) -> None:
    for url in (text, f"https://{text}", f"https://[{text}]/", f"https://a.example:{text}/"):
        try:
            check_form(url, EXEMPT)
        except NotAllowed:
            pass


@pytest.mark.parametrize(
    "text", ["127.0.0.1:9103", "http://a.example/path", "http://a.example?q", "http://u@a.example"]
)
def test_only_an_origin_can_be_exempt(text: str) -> None:
    with pytest.raises(NotAllowed):
        Endpoints([text])
