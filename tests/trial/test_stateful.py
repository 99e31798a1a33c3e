"""The state machine finds what is wrong with a client, tells it in few steps, and leaves a careful one alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from mockserver.scenarios import ScenarioError
from mockserver.trial import LawError, judge
from mockserver.trial.conduct import Flaw
from mockserver.trial.stateful import Adapter, BrokenLaw, client_machine, default_faults, default_laws
from mockserver.trial.workplace import Workplace
from tests.providers import LIBRARY, contract
from tests.trial.stepwise import StepClient

BOATS = st.builds(lambda number: {"prompt": f"a boat {number}"}, st.integers(0, 5))
FEW = 2
"""Wishes, and failures, that a story needs at most.  One would do: which of them can be left out Hypothesis finds by
trying, and what it tries depends on which modules are loaded."""

QUICK = settings(
    max_examples=200,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def run(
    make: Callable[[Workplace], Adapter],
    *,
    examples: int = 200,
    steps: int = 10,
    is_shrunk: bool = True,
    **options: Any,
) -> None:
    options = {"provider": contract("toy"), "bodies": BOATS} | options
    phases = (Phase.generate, Phase.shrink) if is_shrunk else (Phase.generate,)
    run_state_machine_as_test(
        client_machine(make, **options),
        settings=settings(QUICK, max_examples=examples, phases=phases, stateful_step_count=steps),
    )


def careless(*faults: str) -> Callable[[Workplace], Adapter]:
    return lambda place: StepClient(place, *faults).adapter


def story(make: Callable[[Workplace], Adapter], **options: Any) -> str:
    with pytest.raises(BrokenLaw) as caught:
        run(make, **options)
    return str(caught.value)


def wishes(text: str) -> int:
    return sum(": submit " in line for line in text.splitlines())


def test_a_careful_client_survives() -> None:
    run(careless(), examples=40)


def test_a_client_that_writes_wishes_in_its_own_way_is_not_blamed() -> None:
    alike = [{}, {"sound": None}, {"seconds": 5}, {"seconds": "5", "sound": "off"}, {"masks": []}]

    def terse(place: Workplace) -> Adapter:
        client = httpx.Client(transport=place.transport, base_url=place.base_url, headers=place.credentials)

        def submit(body: Any) -> str:
            answer = client.post("/clips", json={"prompt": body["prompt"]})
            answer.raise_for_status()
            return str(answer.json()["clip"]["id"])

        def poll(task: str) -> bool:
            return client.get(f"/clips/{task}").json()["clip"]["state"] == "done"

        return Adapter(submit=submit, poll=poll)

    bodies = st.sampled_from([{"prompt": "a boat", **more} for more in alike])
    run(terse, examples=40, faults=[], bodies=bodies)


def test_a_careful_client_survives_every_body_that_the_provider_takes() -> None:
    run(careless(), examples=15, bodies=None)


def test_a_second_submit_is_found_and_told_in_few_steps() -> None:
    text = story(careless("double-submits"))

    assert "a client broke one-task-per-wish" in text
    assert wishes(text) <= FEW
    assert text.count("the next ") <= FEW
    assert "2 tasks were made for one wish" in text


def test_reading_on_after_a_failure_is_found() -> None:
    text = story(careless("polls-on"))

    assert "a client broke stops-at-final-state" in text
    assert wishes(text) <= FEW
    assert "was told to be 'broken'" in text


def test_a_client_that_waits_for_ever_is_found() -> None:
    text = story(careless("never-gives-up"))

    assert "a client broke gives-up-in-finite-time" in text
    assert wishes(text) <= FEW
    assert "and had not ended" in text


def test_a_client_that_believes_every_callback_is_found() -> None:
    text = story(careless("trusting"))

    assert "a client broke checks-signatures" in text
    assert wishes(text) <= FEW
    assert "expected: a refusal" in text


@pytest.mark.parametrize("flaw", ["", "forged", "unsigned", "stale"])
def test_a_callback_can_be_signed_anew_or_wrongly(flaw: Flaw) -> None:
    with Workplace(contract("toy")) as place:
        client = StepClient(place)
        client.submit({"prompt": "a boat", "hook": place.callback_address})
        place.sleep(5)
        notice = place.next_notice()
        assert notice is not None
        place.report(notice, client.on_callback("POST", notice.headers, notice.body))
        place.sleep(1_000)

        status = client.on_callback("POST", place.headers_of(notice, flaw), notice.body)
        place.note(notice, status, flaw)
        conduct = place.conduct()

    assert (401 if flaw else 200) == status
    assert [("", 200), (flaw, status)] == [(call.flaw, call.status) for call in conduct.calls]
    found = {one.law: one.outcome for one in judge(conduct)}
    assert ("kept" if flaw else "not-reached") == found["checks-signatures"]
    assert ("not-reached" if flaw else "kept") == found["callbacks-at-least-once"]


def test_a_client_that_fails_on_repeated_callbacks_is_found() -> None:
    def make(place: Workplace) -> Adapter:
        client = StepClient(place)
        seen: list[str] = []

        def on_callback(method: str, headers: Mapping[str, str], body: bytes) -> int:
            status = client.on_callback(method, headers, body)
            if status == 200 and headers["webhook-id"] in seen:
                raise RuntimeError("known already")
            seen.append(headers["webhook-id"])
            return status

        return Adapter(submit=client.submit, poll=client.poll, on_callback=on_callback)

    text = story(make, is_shrunk=False)

    assert "a client broke callbacks-at-least-once" in text
    assert "the client raised RuntimeError: known already" in text


def test_a_client_that_is_broken_itself_is_told_so() -> None:
    def make(place: Workplace) -> Adapter:
        client = StepClient(place)
        return Adapter(submit=client.submit, poll=lambda job: job.no_such_thing)

    with pytest.raises(AttributeError, match="no_such_thing"):
        run(make, is_shrunk=False)


def test_no_run_ends_before_anything_was_asked_for() -> None:
    begun: list[StepClient] = []

    def make(place: Workplace) -> Adapter:
        begun.append(StepClient(place))
        return begun[-1].adapter

    run(make, is_shrunk=False, faults=[], examples=20, steps=1)

    assert begun and all(client.count for client in begun)


def lazily(value: Any) -> Callable[..., Any]:
    async def answer(*given: Any) -> Any:
        return value

    return answer


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"submit": lazily("task-1")}, "submit returned coroutine; the machine does not await"),
        ({"poll": lazily(False)}, "poll returned coroutine"),
        ({"poll": lambda job: None}, "poll returned NoneType, as one without a return does"),
        ({"on_callback": lazily(401)}, "on_callback returned coroutine"),
        ({"on_callback": lambda *given: None}, "on_callback returned NoneType"),
        ({"on_callback": lambda *given: "200"}, "on_callback returned str"),
        ({"on_callback": lambda *given: 0}, "which is no HTTP status"),
        ({"submit": lambda body: "task-1", "poll": lambda job: True}, "no request of it came here"),
    ],
)
def test_an_adapter_that_would_make_the_machine_see_nothing_is_told_so(
    parts: Mapping[str, Any], message: str
) -> None:
    def make(place: Workplace) -> Adapter:
        client = StepClient(place)
        known = {"submit": client.submit, "poll": client.poll, "on_callback": client.on_callback}
        return Adapter(**known | parts)

    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        run(make, is_shrunk=False, faults=[], examples=30)


def test_a_client_that_takes_nothing_is_not_passed_in_silence() -> None:
    def make(place: Workplace) -> Adapter:
        def submit(body: Any) -> None:
            httpx.Client(transport=place.transport, base_url=place.base_url).get(
                "/", headers=place.credentials
            )
            raise ValueError("not implemented yet")

        return Adapter(submit=submit, poll=lambda handle: True)

    with pytest.raises((ValueError, BrokenLaw)):
        run(make, is_shrunk=False)


def test_the_same_steps_tell_the_same_story() -> None:
    texts = {story(careless("double-submits"), faults=["reset-after-accept"], steps=1) for _ in range(2)}

    assert 1 == len(texts)
    assert 2 == texts.pop().count("POST /t/trial/toy/api/clips -> ")


@pytest.mark.parametrize("provider", LIBRARY)
def test_every_provider_can_be_driven_with_bodies_of_the_machines_own(provider: str) -> None:
    seen: list[int] = []

    def make(place: Workplace) -> Adapter:
        client = httpx.Client(transport=place.transport, base_url=place.base_url, headers=place.credentials)
        made = next(one for one in place.contract.operations.values() if one.role == "create")
        path = made.path.removeprefix(place.contract.base_path)

        def submit(body: Any) -> None:
            answer = client.post(path, json=body)
            seen.append(answer.status_code)

        return Adapter(submit=submit, poll=lambda handle: True, on_callback=lambda *_: 401)

    run(make, provider=provider, bodies=None, faults=[], examples=25)

    assert seen and {200} >= set(seen) - {201, 202}


def test_a_client_in_asyncio_is_found_out_as_well() -> None:
    def make(place: Workplace) -> Adapter:
        async def ask(method: str, path: str, **options: Any) -> Any:
            async with httpx.AsyncClient(
                transport=place.transport, base_url=place.base_url, headers=place.credentials
            ) as client:
                return (await client.request(method, path, **options)).json()

        def submit(body: Any) -> str:
            for _ in range(2):
                try:
                    return str(asyncio.run(ask("POST", "/clips", json=body))["clip"]["id"])
                except httpx.TransportError:
                    place.sleep(1)
            raise RuntimeError("no answer")

        def poll(task: str) -> bool:
            return asyncio.run(ask("GET", f"/clips/{task}"))["clip"]["state"] in ("done", "broken")

        return Adapter(submit=submit, poll=poll)

    text = story(make, is_shrunk=False, faults=["reset-after-accept"], laws=["one-task-per-wish"])

    assert "a client broke one-task-per-wish" in text


def test_what_can_happen_is_what_the_operation_can_meet() -> None:
    toy = contract("toy")

    found = {one.scenario for one in default_faults(toy, toy.operations["createClip"])}

    assert {"reset-after-accept", "stuck-processing", "callback-duplicated", "url-expired"} <= found
    assert set() == found & {"success", "latency", "canceled"}
    assert "gives-up-in-finite-time" in default_laws()


def test_names_that_there_are_not_are_refused() -> None:
    toy = contract("toy")

    with pytest.raises(LawError, match="backs-off"):
        client_machine(careless(), provider=toy, laws=["back-off"])
    with pytest.raises(LawError, match="back-off"):
        client_machine(careless(), provider=toy, laws="back-off")
    with pytest.raises(LawError, match="nothing would be checked"):
        client_machine(careless(), provider=toy, laws=[])
    with pytest.raises(LawError, match="only a program"):
        client_machine(careless(), provider=toy, laws=["fails-loudly"])
    with pytest.raises(ScenarioError, match="canceled here: the operation has nothing"):
        client_machine(careless(), provider=toy, faults=["canceled"])
    with pytest.raises(ScenarioError, match="latency here: it waits by the wall clock"):
        client_machine(careless(), provider=toy, faults=["latency"])
    with pytest.raises(ScenarioError, match="did you mean 'stuck-processing'"):
        client_machine(careless(), provider=toy, faults=["stuck"])
    with pytest.raises(TypeError, match="returned NoneType"):
        run(lambda place: None, is_shrunk=False)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="createClip"):
        client_machine(careless(), provider=toy, operation="makeClip")
