"""A receiver that is allowed and sends on to one that is not (CVE-2023-41327): nobody follows."""

from __future__ import annotations

import pytest

from tests.safety.receiving import Trap, deliver


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("form", ["absolute", "no-scheme", "metadata", "refresh", "twice"])
def test_a_redirect_leads_nowhere(status: int, form: str) -> None:
    with Trap() as inside:
        there = f"http://127.0.0.1:{inside.port}/secret"
        headers = {
            "absolute": f"Location: {there}",
            "no-scheme": f"Location: //127.0.0.1:{inside.port}/secret",
            "metadata": "Location: http://169.254.169.254/latest/meta-data/",
            "refresh": f"Refresh: 0; url={there}",
            "twice": f"Location: /again\r\nLocation: {there}",
        }
        answer = f"HTTP/1.1 {status} X\r\n{headers[form]}\r\nContent-Length: 0\r\n\r\n".encode()
        with Trap(answer) as outside:
            results = deliver(f"http://127.0.0.1:{outside.port}/hook", callback_allow=("127.0.0.1",))

            assert [status] == results
            assert 1 == len(outside.heads)
            assert [] == inside.heads


def test_an_early_hint_is_no_way_either() -> None:
    with Trap() as inside:
        hint = f"HTTP/1.1 103 Early Hints\r\nLink: <http://127.0.0.1:{inside.port}/x>; rel=preload\r\n\r\n"
        with Trap(hint.encode() + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as outside:
            assert [200] == deliver(f"http://127.0.0.1:{outside.port}/hook")

        assert [] == inside.heads


def test_a_switch_of_protocols_is_not_taken_up() -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    with Trap(answer) as outside:
        (result,) = deliver(f"http://127.0.0.1:{outside.port}/hook", within_s=0.5)

        assert 101 == result or isinstance(result, OSError)
        assert 1 == len(outside.heads)
