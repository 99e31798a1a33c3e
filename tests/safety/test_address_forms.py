"""An address written another way: it is judged by where a packet would go, not by how it looks.

Looked up by the system's own resolver, which reads decimal, octal, hexadecimal and shortened forms as well.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockserver.receivers import NotAllowedError, Policy
from mockserver.settings import Settings
from tests.safety.receiving import ELSEWHERE, deliver, never_connected

METADATA = [
    *("169.254.169.254", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376"),
    *("169.254.43518", "169.16689662", "0xa9.254.0251.0xfe", "169.254.169.254."),
    *("[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[0:0:0:0:0:ffff:a9fe:a9fe]"),
    *("[::169.254.169.254]", "[64:ff9b::169.254.169.254]", "[64:ff9b::a9fe:a9fe]"),
    *("[64:ff9b:1::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[2002:a9fe:a9fe::]"),
    *("[2001:0:a9fe:a9fe::1]", "[2001:0:1:1:0:0:5601:5601]", "[fe80::a9fe:a9fe%25eth0]"),
    *("[fd00:ec2::254]", "[fd00:0ec2:0:0:0:0:0:254]", "[fe80::1%25lo]", "[fe80::1%eth0]"),
    *("\uff11\uff16\uff19.254.169.254", "169\u3002254\u3002169\u3002254", "169.254.169.\u2461\u2464\u2463"),
    *("%31%36%39.254.169.254", "169%2e254%2e169%2e254", "169.254.169.254%00.receiver.test"),
]
HERE = [
    *("127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0177.0.0.01", "127.1", "127.0.1"),
    *("127.0.0.1.", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::1%25lo]", "[::1%lo]", "[::127.0.0.1]"),
    *(
        "\uff11\uff12\uff17.0.0.1",
        "\u2460\u2461\u2466.0.0.1",
        "127\u30020\u30020\u30021",
        "localhost",
        "LOCALHOST",
    ),
    *(
        "localhost.",
        "loc\u00adalhost",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
        "%6cocalhost",
    ),
]
BENT = [
    *(
        "http:127.0.0.1/",
        "http:/127.0.0.1/",
        "http:///127.0.0.1/",
        "http:\\\\127.0.0.1\\",
        "http://127.0.0.1\\@x.test/",
    ),
    *("http://allowed.test\\@127.0.0.1/", "http://allowed.test\\.127.0.0.1/", "http://127.0.0.1:80:80/"),
    *(
        "http://allowed.test\t@127.0.0.1/",
        "http://[127.0.0.1]/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]x/",
    ),
    *(
        "http://127.0.0.1:-1/",
        "http://127.0.0.1:\u0661/",
        "http://127.0.0.1:8 0/",
        "http://127.0.0.1 .allowed.test/",
    ),
    *("http://127.0.0.1;allowed.test/", "http://127.0.0.1,allowed.test/", "http://allowed.test|127.0.0.1/"),
    *(
        "\x00http://127.0.0.1/",
        "ht\ntp://127.0.0.1/",
        "jar:http://127.0.0.1!/",
        "http://\u2488/",
        "http://%00/",
    ),
]


@pytest.mark.parametrize("settings", [{}, ELSEWHERE, {"callback_allow": ("0.0.0.0/0", "::/0")}])
@pytest.mark.parametrize("host", METADATA)
def test_metadata_in_disguise_is_metadata(host: str, settings: dict[str, Any]) -> None:
    with never_connected() as reached:
        (result,) = deliver(f"http://{host}/latest/meta-data/", **settings)

    assert [] == reached
    assert isinstance(result, OSError | NotAllowedError), result


@pytest.mark.parametrize("allow", [(), ("allowed.test", "10.0.0.0/8", "2001:db8::/32")])
@pytest.mark.parametrize("host", HERE)
def test_this_machine_in_disguise_is_not_on_the_list(host: str, allow: tuple[str, ...]) -> None:
    with never_connected() as reached:
        (result,) = deliver(f"http://{host}/", **{**ELSEWHERE, "callback_allow": allow})

    assert [] == reached
    assert isinstance(result, OSError | NotAllowedError), result


@pytest.mark.parametrize("url", BENT)
def test_a_url_that_readers_disagree_about_leads_nowhere(url: str) -> None:
    with never_connected() as reached:
        (result,) = deliver(url, **{**ELSEWHERE, "callback_allow": ("allowed.test", "x.test")})

    assert [] == reached
    assert isinstance(result, OSError | NotAllowedError), result


def forms(number: int) -> list[str]:
    """Return the ways in which a host can say an IPv4 address, for readers of URLs and for those of packets."""
    a, b, c, d = struct.pack(">I", number)
    high, low = number >> 16, number & 0xFFFF
    return [
        *(str(number), hex(number), f"0{number:o}", f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{low}"),
        *(f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"{a}.{b:#x}.0{c:o}.{d}"),
        *(f"[::ffff:{a}.{b}.{c}.{d}]", f"[::ffff:{high:x}:{low:x}]", f"[0:0:0:0:0:FFFF:{high:X}:{low:X}]"),
    ]


def reaches(text: str, **settings: Any) -> bool:
    with never_connected() as reached:
        deliver(f"http://{text}/", **settings)
    return bool(reached)


LISTS: list[dict[str, Any]] = [
    {},
    ELSEWHERE,
    {**ELSEWHERE, "callback_allow": ("10.0.0.0/8", "192.168.0.0/16", "93.184.216.34", "0.0.0.0/1")},
]


@given(
    number=st.one_of(
        st.integers(0, 2**32 - 1),
        *(
            st.integers(int(network[0]), int(network[-1]))
            for network in map(
                ipaddress.ip_network,
                ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/4"),
            )
        ),
    )
)
def test_every_form_of_an_address_meets_the_same_judgement(number: int) -> None:
    plain = str(ipaddress.IPv4Address(number))
    for settings in LISTS:
        expected = reaches(plain, **settings)
        for form in forms(number):
            assert expected == reaches(form, **settings), (form, settings)


@given(number=st.integers(0, 2**32 - 1))
def test_what_is_nobodys_stays_so_behind_every_translation(number: int) -> None:
    """NAT64, 6to4, Teredo (server and client) and the old compatible form carry an IPv4 address along."""
    high, low = number >> 16, number & 0xFFFF
    behind = [
        *(f"64:ff9b::{high:x}:{low:x}", f"64:ff9b:1::{high:x}:{low:x}", f"2002:{high:x}:{low:x}::1"),
        *(f"2001:0:{high:x}:{low:x}::", f"2001::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}"),
    ]
    is_nobodys = not reaches(str(ipaddress.IPv4Address(number)))
    for address in behind:
        if is_nobodys:
            assert not reaches(f"[{address}]"), address
        assert not reaches(f"[{address}]", **{**ELSEWHERE, "callback_allow": ("0.0.0.0/0",)}), address


def test_a_dot_at_the_end_is_the_same_name() -> None:
    policy = Policy.of(Settings(callback_allow=("receiver.test", "other.test."), **ELSEWHERE))

    policy.check("receiver.test.", "10.0.0.1")
    policy.check("OTHER.test", "10.0.0.1")
    with pytest.raises(NotAllowedError):
        policy.check("receiver.test.evil.", "10.0.0.1")
