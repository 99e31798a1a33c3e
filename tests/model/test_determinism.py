"""The same seed and the same script give the same bytes: answers, headers, ids, callbacks, signatures, files."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.e2e.receiver import Callback, Receiver
from tests.e2e.running import Running
from tests.mock import Mock, Receivers, Wall
from tests.model.served import Served
from tests.model.session import TENANT, Player, Step, everything
from tests.providers import LIBRARY

SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
TIMES = 200 if SOAK else 2
PAIRS = 20 if SOAK else 1
DRAWN = 200 if SOAK else 15

TOY = Path(__file__).parents[1] / "toy.yaml"
PROVIDERS = ("toy", *LIBRARY)
ORIGIN = "http://127.0.0.1:9"

Played = tuple[Any, Any]
"""(answers, callbacks by their address)."""


def in_process(script: list[Step], *, seed: int = 7) -> Played:
    """Play a script on a server in this process."""
    wall = Wall()
    receivers = Receivers(wall)
    tried: Counter[str] = Counter()

    def plan(call: Any) -> None:
        tried[call.url] += 1
        if "/flaky/" in call.url and tried[call.url] % 2:
            receivers.will(call.url, 500)

    receivers.on_call = plan
    with Mock(*PROVIDERS, wall=wall, sender=receivers, seed=seed, log="off") as mock:
        answers = Player(mock, lambda name: f"{ORIGIN}/{name}").play(script)
    sent = [(call.url, call.method, tuple(call.headers.items()), call.body) for call in receivers.calls]
    return answers, sorted(sent, key=lambda one: one[0])


def served(script: list[Step], receiver: Receiver, *, hash_seed: int, store: str, seed: int = 7) -> Played:
    """Play a script on a server in a process of its own."""
    receiver.received.clear()
    options = ("--spec", str(TOY), *(word for name in LIBRARY for word in ("--provider", name)))
    with Running(
        *options,
        f"--seed={seed}",
        f"--store={store}",
        "--log=off",
        env={"PYTHONHASHSEED": str(hash_seed)},
    ) as running:
        mock = Served(running, tenants=(TENANT,))
        answers = Player(mock, lambda name: receiver.url(f"/{name}")).play(script)
        mock.close()
    sent = [(one.path, one.method, tuple(one.headers.items()), one.raw) for one in receiver.received]
    return answers, sorted(sent, key=lambda one: one[0])


def assert_same(one: Played, other: Played) -> None:
    """Every answer and every callback is the same, byte for byte."""
    for number, (first, second) in enumerate(zip(one[0], other[0], strict=True)):
        assert first == second, f"answer {number}"
    assert one[1] == other[1]


def test_the_script_leaves_nothing_out() -> None:
    answers, sent = in_process(everything(PROVIDERS))

    assert len(answers) > 300
    statuses = {status for status, _, _ in answers}
    assert {200, 204, 400, 404, 409} <= statuses
    kinds = {dict(headers).get("content-type") for _, headers, _ in answers}
    assert {"application/json", "video/mp4"} <= kinds
    assert len({url for url, *_ in sent}) > 10
    assert any("/flaky/" in url and "webhook-signature" in dict(headers) for url, _, headers, _ in sent)


def test_in_one_process_the_same_script_gives_the_same_bytes() -> None:
    script = everything(PROVIDERS)
    first = in_process(script)

    for _ in range(TIMES):
        assert_same(first, in_process(script))


def test_another_seed_gives_other_bytes() -> None:
    script = everything(("toy",))

    one, other = in_process(script, seed=7), in_process(script, seed=8)

    assert one[0] != other[0]
    assert one[1] != other[1]


@pytest.mark.parametrize("number", range(PAIRS))
def test_in_two_processes_the_same_script_gives_the_same_bytes(number: int, tmp_path: Path) -> None:
    script, tried = everything(PROVIDERS), Counter[str]()

    def answer(callback: Callback) -> int:
        tried[callback.path] += 1
        return 500 if "/flaky/" in callback.path and tried[callback.path] % 2 else 200

    with Receiver(answer=answer) as receiver:
        one = served(script, receiver, hash_seed=number, store="memory")
        tried.clear()
        # A file tells the same story.
        other = served(script, receiver, hash_seed=number + 1_000, store=f"sqlite:///{tmp_path / 'tasks.db'}")

    assert_same(one, other)


NAMES = st.sampled_from((None, "order-1", "order-2"))
NUMBER = st.integers(0, 40)
STEPS = st.one_of(
    st.tuples(
        st.just("create"),
        st.sampled_from(PROVIDERS),
        st.integers(0, 3),
        st.sampled_from(("a", "b")),
        NAMES,
        st.booleans(),
        st.booleans(),
    ),
    st.tuples(st.just("case"), st.sampled_from(LIBRARY), st.integers(0, 300)),
    st.tuples(st.just("list"), st.sampled_from(PROVIDERS), st.integers(0, 3)),
    st.tuples(st.just("advance"), st.sampled_from((0.5, 2, 7, 61, 130, 90_000))),
    st.tuples(st.just("next")),
    st.tuples(st.just("read"), NUMBER),
    st.tuples(st.just("move"), NUMBER, st.sampled_from(("success", "failure", "canceled"))),
    st.tuples(st.just("replay"), NUMBER),
)


@settings(max_examples=DRAWN)
@given(script=st.lists(STEPS, min_size=5, max_size=40))
def test_whatever_the_script_it_gives_the_same_bytes_twice(script: list[Step]) -> None:
    assert_same(in_process(script), in_process(script))
