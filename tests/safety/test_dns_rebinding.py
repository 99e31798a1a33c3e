"""A name that leads elsewhere after it was checked (DNS rebinding; CVE-2023-41329).

The resolver is the attacker's: it answers one thing to the check and another to the connection, if there is a
second question.
"""

from __future__ import annotations

import pytest

from mockserver.receivers import NotAllowedError
from tests.safety.receiving import ELSEWHERE, Trap, deliver, never_connected, resolver

LISTED = {**ELSEWHERE, "callback_allow": ("203.0.113.0/24", "127.0.0.1")}


def test_the_address_that_was_judged_is_the_one_that_is_called() -> None:
    questions = []

    async def rebinding(host: str, port: int) -> list[str]:
        questions.append(host)
        return ["127.0.0.1"] if len(questions) == 1 else ["10.0.0.1"]

    with Trap() as trap:
        results = deliver(f"http://receiver.test:{trap.port}/", resolver=rebinding, **LISTED)

        assert [200] == results
        assert ["receiver.test"] == questions, "one question for one delivery"
        # The connection went to the address; the name is only said.
        assert f"Host: receiver.test:{trap.port}\r\n".encode() in trap.heads[0]


def test_the_socket_is_opened_to_what_the_check_saw() -> None:
    with never_connected() as reached:
        deliver("http://receiver.test/", resolver=resolver("203.0.113.9", "127.0.0.1"), **LISTED)

    assert ["203.0.113.9"] == reached


def test_every_attempt_is_judged_anew() -> None:
    with never_connected() as reached:
        first, second, third = deliver(
            *["http://receiver.test/"] * 3,
            resolver=resolver("203.0.113.9", "169.254.169.254", "10.0.0.1"),
            **LISTED,
        )

    assert (200, ["203.0.113.9"]) == (first, reached)
    assert isinstance(second, NotAllowedError)
    assert isinstance(third, NotAllowedError)


@pytest.mark.parametrize(
    "addresses",
    [
        ["203.0.113.9", "10.0.0.1"],
        ["10.0.0.1", "203.0.113.9"],
        ["203.0.113.9"] * 50 + ["169.254.169.254"],
        ["203.0.113.9", "::ffff:10.0.0.1"],
        ["203.0.113.9", "64:ff9b::a00:1"],
    ],
)
def test_one_address_that_is_not_allowed_spoils_all(addresses: list[str]) -> None:
    with never_connected() as reached:
        (result,) = deliver("http://receiver.test/", resolver=resolver(addresses), **LISTED)

    assert [] == reached
    assert isinstance(result, NotAllowedError)


def test_a_listed_name_leads_to_no_metadata_whoever_answers_for_it() -> None:
    listed = {**ELSEWHERE, "callback_allow": ("receiver.test",)}
    with never_connected() as reached:
        first, second = deliver(
            *["http://receiver.test/"] * 2, resolver=resolver("203.0.113.9", "169.254.169.254"), **listed
        )

    assert (200, ["203.0.113.9"]) == (first, reached)
    assert isinstance(second, NotAllowedError)


@pytest.mark.parametrize("answer", [[], ["not an address"], [""], ["10.0.0.1/8"], ["1.2.3.4\x00"]])
def test_a_resolver_that_says_nonsense_leads_nowhere(answer: list[str]) -> None:
    with never_connected() as reached:
        (result,) = deliver("http://receiver.test/", resolver=resolver(answer))

    assert [] == reached
    assert isinstance(result, OSError | NotAllowedError), result


def test_a_kept_connection_is_not_used_for_a_name_that_moved() -> None:
    """Connections are kept by address: the second name gets none that was opened for the first."""
    with Trap() as first, Trap() as second:
        targets = {"a.test": first.port, "b.test": second.port}
        deliver(
            *(f"http://{host}:{port}/{host}" for host, port in targets.items()),
            resolver=resolver("127.0.0.1"),
            **LISTED,
        )

        assert [b"/a.test"] == [head.split(b" ")[1] for head in first.heads]
        assert [b"/b.test"] == [head.split(b" ")[1] for head in second.heads]
