"""Rehearsals of tiny clients: what is played, what is found, and what keeps one from being judged."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from mockserver.rehearsal.acts import ACTS
from mockserver.rehearsal.orders import Orders
from mockserver.rehearsal.program import Program
from mockserver.rehearsal.run import NoRehearsalError, OpenKeys, Played, rehearse
from mockserver.rehearsal.staging import StagingError, Telling
from mockserver.rehearsal.verdict import Verdict, verdict
from tests.providers import TOY
from tests.rehearsal.clients import SCRIPT, client, orders


def judged(wanted: Orders) -> Verdict:
    return verdict(wanted, rehearse(wanted))


def outcome(found: Verdict, act: str, law: str) -> str:
    return found.table[act][law].outcome


def test_a_client_is_played_in_each_act_and_judged(tmp_path: Path) -> None:
    found = judged(
        orders(
            client(tmp_path, "hasty"),
            "success",
            "unauthorized@create",
            "accepted-then-failed",
            "callback-lost",
        )
    )

    assert ["polls-not-too-fast"] == [one.law.id for one in found.broken]
    assert ["success"] == [one.act.id for one, _ in found.broken[0].seen], "the failed one was over at once"
    assert {"success": "done", "unauthorized@create": "refused", "accepted-then-failed": "failed"} == {
        one.act.id: one.fate for one in found.done
    }
    assert "kept" == outcome(found, "unauthorized@create", "fails-loudly")
    assert "kept" == outcome(found, "accepted-then-failed", "tells-failed-from-refused")
    assert {"callback-lost": "the client asks for no callbacks"} == {
        one.act.id: one.why_not for one in found.missed
    }


def test_what_shows_a_breach_is_kept_for_the_reports(tmp_path: Path) -> None:
    found = judged(orders(client(tmp_path, "hasty"), laws=("polls-not-too-fast",)))

    ((played, finding),) = found.broken[0].seen
    for name in finding.breaches[0].exchanges:
        assert any("GET /t/success/toy/api/clips/" in line for line in played.shown[name])
    assert ["polls-not-too-fast"] == [one.law for one in played.findings]


def test_the_baseline_is_played_though_only_another_act_counts(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    wanted = orders(client(tmp_path), "unauthorized@create")

    played = rehearse(wanted, lambda one, total: seen.append((one.act.id, total)))

    assert ["unauthorized@create"] == [one.act.id for one in played]
    assert ["success", "unauthorized@create"] == [name for name, _ in seen]


def test_a_client_that_hears_all_it_wants_is_seen_to_read_where_no_callback_comes(tmp_path: Path) -> None:
    command = client(tmp_path, "hook")

    found = judged(orders(command, "success", "internal-error@read", "key-revoked-midway@create", speed=60.0))

    played = {one.act.id: one for one in found.played}
    assert played["success"].use is not None
    assert {("toy", "createClip")} == played["success"].use.operations, "callbacks told all"
    for name in ("internal-error@read", "key-revoked-midway@create"):
        assert played[name].is_played, played[name].why_not
        use = played[name].use
        assert use is not None
        assert ("toy", "getClip") in use.operations


def test_a_client_that_never_pauses_is_known_by_its_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many as it sends in a second or two are forgotten; here that takes no thousands.
    monkeypatch.setattr("mockserver.rehearsal.run.JOURNAL_ENTRIES", 3)
    command = client(tmp_path, "hasty")

    found = judged(orders(command, "success", "unauthorized@create"))

    use = found.done[0].use
    assert use is not None
    assert ("toy", "createClip") in use.operations
    assert {"success": "done", "unauthorized@create": "refused"} == {
        one.act.id: one.fate for one in found.done
    }


def test_the_first_breach_ends_the_others_where_that_is_wanted(tmp_path: Path) -> None:
    acts = ("unauthorized@create", "accepted-then-failed", "slow", "stuck-processing")
    wanted = orders(client(tmp_path, "hasty"), *acts, is_fail_fast=True, laws=("polls-not-too-fast",))

    begun = time.monotonic()
    played = rehearse(wanted)

    assert time.monotonic() - begun < wanted.time_limit
    assert {"the rehearsal ended before it"} == {one.why_not for one in played}, (
        "the baseline broke it already"
    )


def test_what_goes_on_is_ended_by_the_first_breach(tmp_path: Path) -> None:
    acts = ("unauthorized@create", "stuck-processing")
    wanted = orders(client(tmp_path), *acts, is_fail_fast=True, laws=("fails-loudly",), time_limit=60.0)
    command = client(
        tmp_path, script=SCRIPT.replace('raise SystemExit(f"refused: ', 'raise SystemExit(0 and f"')
    )

    begun = time.monotonic()
    played = {one.act.id: one for one in rehearse(wanted)}

    assert command == wanted.telling.command
    assert time.monotonic() - begun < 30
    assert played["unauthorized@create"].is_played
    assert "the rehearsal ended before it" == played["stuck-processing"].why_not


# --- nothing to judge -------------------------------------------------------------------------------------


def refused(command: tuple[str, ...], **more: object) -> NoRehearsalError:
    with pytest.raises(NoRehearsalError) as caught:
        rehearse(orders(command, **more))
    return caught.value


def script(tmp_path: Path, text: str) -> tuple[str, ...]:
    return client(
        tmp_path, script="import os, sys, time, urllib.request\nBASE = os.environ['TOY_BASE_URL']\n" + text
    )


def test_a_command_that_is_not_there() -> None:
    assert "no program 'no-such-client'" in str(refused(("no-such-client",)))


def test_a_client_that_sends_nothing(tmp_path: Path) -> None:
    error = refused(script(tmp_path, "print('hello'); sys.exit(3)"))

    assert "sent nothing to the base URL it was given, and ended with 3" in str(error)
    assert any("TOY_BASE_URL" in hint for hint in error.hints)
    assert error.played is not None
    assert error.played.ended is not None
    assert b"hello\n" == error.played.ended.stdout


def test_a_client_that_drops_the_path_of_its_base_url(tmp_path: Path) -> None:
    text = "try: urllib.request.urlopen(BASE.partition('/t/')[0] + '/api/clips', b'{}')\nexcept OSError: pass"

    error = refused(script(tmp_path, text))

    assert "leaves its path out" in str(error)
    assert any("POST /api/clips" in hint for hint in error.hints)


def test_a_client_that_asks_for_other_paths(tmp_path: Path) -> None:
    text = "try: urllib.request.urlopen(BASE + '/v2/films', b'{}')\nexcept OSError: pass"

    error = refused(script(tmp_path, text))

    assert "none of the client's requests reached an operation" in str(error)
    assert "POST /t/success/toy/api/v2/films -> 404" in error.hints


def test_a_client_that_fails_with_nothing_in_its_way(tmp_path: Path) -> None:
    error = refused(client(tmp_path, script=SCRIPT + "sys.exit(9)"), speed=1_000.0)

    assert "ended with 9, with nothing in its way" in str(error)
    assert 1 == len(error.hints)


def test_a_speed_that_may_be_why_is_named(tmp_path: Path) -> None:
    error = refused(client(tmp_path, script=SCRIPT + "sys.exit(9)"), speed=5_000.0)

    assert any("--speed 5000" in hint for hint in error.hints)


def test_a_client_that_does_not_end_with_nothing_in_its_way(tmp_path: Path) -> None:
    error = refused(client(tmp_path, script=SCRIPT + "time.sleep(600)"), time_limit=3.0)

    assert "still running after 3 s" in str(error)
    assert "--time-limit" in error.hints[0]


def test_a_placeholder_that_cannot_be_filled_in(tmp_path: Path) -> None:
    with pytest.raises(StagingError, match="acme"):
        rehearse(orders(("client", "{acme.base_url}")))


# --- fairness ---------------------------------------------------------------------------------------------


def test_what_a_wise_client_does_is_no_double_spend_at_any_speed(tmp_path: Path) -> None:
    for speed in (20.0, 600.0):
        found = judged(orders(client(tmp_path), speed=speed))

        assert "kept" == outcome(found, "success", "one-task-per-wish")
        assert "broken" not in {one.outcome for one in found.table["success"].values()}


TOKENS = """
import http.client, json, os, sys, time
import jwt
from urllib.parse import urlsplit
base = urlsplit(os.environ["TOY_BASE_URL"])
secret = os.environ["TOY_SECRET_KEY"] if sys.argv[1] == "right" else "w" * 32
token = jwt.encode({"iss": os.environ["TOY_ACCESS_KEY"], "exp": int(time.time()) + 60}, secret, "HS256")
def ask(method, path, body=None):
    connection = http.client.HTTPConnection(base.netloc, timeout=10)
    connection.request(method, base.path + path, body, {"Authorization": "Bearer " + token})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    if answer.status != 200:
        raise SystemExit(said["message"])
    return said["clip"]
clip = ask("POST", "/clips", '{"prompt": "a boat"}')
for _ in range(3):
    time.sleep(1)
    clip = ask("GET", "/clips/" + clip["id"])
"""


def test_a_token_lives_by_the_clients_clock_and_its_signature_is_verified(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(TOKENS)

    # A minute's token, and three minutes of the provider's before its last use.
    fast = orders((sys.executable, str(tmp_path / "client.py"), "right"), speed=120.0)
    assert "done" == rehearse(fast)[0].fate
    wrong = refused((sys.executable, str(tmp_path / "client.py"), "wrong"), speed=120.0)
    assert wrong.played is not None
    assert wrong.played.ended is not None
    assert b"Key is signature" in wrong.played.ended.stderr


def test_keys_that_were_not_given_out_are_taken_too() -> None:
    keys = OpenKeys()
    assert keys
    keys.give("mine", "secret")

    assert "anything" in keys
    assert (None, "secret") == (keys["anything"], keys["mine"])
    assert ["mine"] == list(keys)


# --- broken off -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
def test_ctrl_c_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    start = Program._start

    def noting(self: Program) -> object:
        process = start(self)
        started.append(process.pid)
        if len(started) == 4:
            # Three acts are under way beside each other.
            threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        return process

    monkeypatch.setattr(Program, "_start", noting)
    acts = ("stuck-processing", "slow", "moderation-late")

    with pytest.raises(KeyboardInterrupt):
        rehearse(orders(client(tmp_path), *acts, speed=60.0, time_limit=600.0))

    assert 4 == len(started)
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.killpg(pid, 0)


def test_the_same_seed_gives_the_same_keys_and_ids(tmp_path: Path) -> None:
    def output(seed: int) -> tuple[bytes, Played]:
        (played,) = rehearse(orders(client(tmp_path), seed=seed))
        assert played.ended is not None
        return played.ended.stdout, played

    (first, one), (again, same), (other, _) = output(5), output(5), output(6)

    assert one.secrets == same.secrets
    assert first == again
    assert first != other


def test_every_provider_of_the_toys_kind_can_be_told_by_name(tmp_path: Path) -> None:
    command = client(tmp_path, script=SCRIPT.replace("TOY_BASE_URL", "WHERE").replace("TOY_API_KEY", "WHO"))
    telling = Telling(
        command=command, names=(("base-url", "WHERE"),), extra=(("WHO", "{api_key}"), ("TOY_BASE_URL", ""))
    )

    (played,) = rehearse(Orders(telling=telling, acts=("success",), specs=(str(TOY),), speed=20.0))

    assert "done" == played.fate
    assert ACTS["success"] == played.act
