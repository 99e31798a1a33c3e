"""A client of the toy: careful, and with any of its faults on request.

It is a program in one function call: :meth:`Client.run` makes videos of wishes and returns what a rehearsal would
know of it, exit code and output included.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from mockserver.callbacks import sign
from mockserver.settings import WELL_KNOWN_SECRET
from mockserver.trial import Program
from tests.mock import Reply
from tests.trial.world import HOOK, KEY, Lost, World

FINAL = ("done", "broken")
STATES = ("waiting", "working", *FINAL)
PATIENCE_S = 600.0
TOO_LONG_S = 1_500.0


class Failed(Exception):
    """The job failed; the message is for people."""


class TimedOut(Exception):
    """Whoever runs the program has waited long enough."""


class Client:
    """Makes videos.  `faults` are what it does wrong; with `has_hook` it is told by callbacks as well."""

    def __init__(self, world: World, *faults: str, has_hook: bool = False) -> None:
        self.world, self.faults, self.has_hook = world, frozenset(faults), has_hook
        self.news: deque[dict[str, Any]] = deque()
        self.seen: set[str] = set()
        self.started = world.now_s
        self.files: dict[str, bytes] = {}
        world.on_callback = self.on_callback

    # --- the program

    def run(self, *wishes: str) -> Program:
        lines: list[str] = []
        code = 0
        try:
            for number, wish in enumerate(wishes, 1):
                lines.append(self.video(wish, f"order-{number}"))
        except TimedOut:
            return self.program(None, lines, [], timed_out=True)
        except Failed as error:
            code = 1
            said = str(error)
            if "mumbles" in self.faults:
                said = "something went wrong"
            if "says-nothing" in self.faults:
                said = ""
            if "shows-its-stack" in self.faults:
                said = "".join(traceback.format_exception(error))
            if "hides-failures" in self.faults:
                code = 0
            return self.program(code, lines, [said])
        return self.program(code, lines, [])

    def program(
        self, code: int | None, out: list[str], err: list[str], *, timed_out: bool = False
    ) -> Program:
        if "prints-its-key" in self.faults:
            out.append(f"using key {KEY}")
        return Program(
            exit_code=code,
            timed_out=timed_out,
            stdout="\n".join(out),
            stderr="\n".join(err),
            secrets=(KEY,),
            limit_s=TOO_LONG_S,
        )

    def video(self, wish: str, name: str) -> str:
        task = self.make(wish, name)
        url = self.wait(task)
        if not url:
            return f"{name} done"
        if "dawdles" in self.faults:
            self.world.sleep(4_000)
            self.started += 4_000
        self.files[task] = self.take(url)
        while self.news:
            self.act(self.news.popleft())
        if self.has_hook:
            # Whatever comes late comes while the next job runs.
            self.sleep(30)
            while self.news:
                self.act(self.news.popleft())
        return f"{name} saved, {len(self.files[task])} bytes"

    def sleep(self, seconds: float) -> None:
        if self.world.now_s - self.started > TOO_LONG_S:
            raise TimedOut
        self.world.sleep(seconds)

    # --- requests

    def ask(self, method: str, target: str, json: Any = None) -> Reply:
        """Send a request, again where that is of use; raises Failed, and Lost where nobody knows what came of it."""
        pause = 1.0
        for attempt in range(1, 7):
            query = f"?key={KEY}" if "key-in-url" in self.faults else ""
            reply = self.world.request(method, target + query, json=json)
            is_passing = reply.status == 429 or reply.status >= 500
            if not is_passing and not (reply.status >= 400 and "stubborn" in self.faults and attempt < 4):
                return reply
            if attempt == 6:
                break
            wait = pause
            told = reply.headers.get("retry-after")
            if told is not None and "deaf" not in self.faults:
                wait = max(wait, self.seconds_of(told))
            if method == "POST" and is_passing and "double-submits" in self.faults:
                json = {**json, "name": f"{json['name']}-{attempt}"}
            elif method == "POST" and reply.status >= 500 and json is not None:
                # It may have been done all the same.
                self.sleep(wait)
                known = self.world.request("GET", f"/clips/{json['name']}")
                if known.status == 200:
                    return known
                wait = 0.0
            self.sleep(0.1 if "hurries" in self.faults else 2.0 if "waits-the-same" in self.faults else wait)
            pause *= 2
        raise Failed(f"gave up on {method} {target}: {said(reply)}")

    def seconds_of(self, told: str) -> float:
        if told.isdigit():
            return float(told)
        return parsedate_to_datetime(told).timestamp() - self.world.now_s

    def make(self, wish: str, name: str) -> str:
        body: dict[str, Any] = {"prompt": wish, "name": name}
        if self.has_hook:
            body["hook"] = HOOK
        if "asks-wrongly" in self.faults:
            body["seconds"] = 7
        for _ in range(3):
            try:
                reply = self.ask("POST", "/clips", body)
            except Lost:
                reply = None
            made = clip_of(reply) if reply is not None and reply.status == 200 else None
            if made is not None:
                return str(made["id"])
            if reply is not None and reply.status not in (200, 409):
                raise Failed(f"refused: {said(reply)}")
            if "double-submits" in self.faults:
                body["name"] = f"{name}-{self.world.now_s:.0f}"
                self.sleep(2)
                continue
            self.sleep(2)
            found = self.ask("GET", f"/clips/{name}")
            known = clip_of(found)
            if found.status == 200 and known is not None:
                return str(known["id"])
        last = "none" if reply is None else said(reply)
        raise Failed(f"nobody knows whether there is a clip; the last answer: {last}")

    def wait(self, task: str) -> str:
        """Return where the file is."""
        began, unread = self.world.now_s, 0
        while self.world.now_s - began < PATIENCE_S or "never-gives-up" in self.faults:
            self.sleep(0.2 if "polls-fast" in self.faults else 3)
            while self.news:
                self.act(self.news.popleft())
            try:
                reply = self.ask("GET", f"/clips/{task}")
            except Lost:
                continue
            if 400 <= reply.status < 500 and reply.status != 404:
                raise Failed(f"cannot read {task}: {said(reply)}")
            clip = clip_of(reply) if reply.status == 200 else None
            if clip is None or clip["state"] not in STATES:
                unread += 1
                if "gullible" in self.faults and clip is None:
                    return ""
                if "gullible" in self.faults and unread > 5:
                    return ""
                continue
            if clip["state"] not in FINAL:
                continue
            for _ in range(5 if "polls-on" in self.faults else 0):
                self.sleep(3)
                self.ask("GET", f"/clips/{task}")
            if clip["state"] == "broken":
                raise Failed(f"the clip failed: {clip['why']}")
            if "url" not in clip.get("file", {}):
                if "gullible" in self.faults:
                    return ""
                raise Failed("the clip is done, and there is no file")
            return str(clip["file"]["url"])
        raise Failed(f"no end after {PATIENCE_S:.0f} s, {unread} answers made no sense")

    def take(self, url: str) -> bytes:
        for attempt in range(3):
            try:
                reply = self.world.fetch(url)
            except Lost:
                if "takes-halves" in self.faults:
                    return b"half"
                reply = None
            if reply is not None and reply.status == 200:
                return reply.body
            self.sleep(2 ** (attempt + 1))
        raise Failed("the file cannot be fetched")

    # --- callbacks

    def on_callback(self, headers: Mapping[str, str], body: bytes) -> int:
        if "trusting" not in self.faults and not self.is_genuine(headers, body):
            if "acts-on-refused" in self.faults:
                self.news.append(orjson.loads(body))
            return 401
        name = headers["webhook-id"]
        if name in self.seen and "acts-twice" not in self.faults:
            return 409 if "refuses-repeats" in self.faults else 200
        self.seen.add(name)
        self.news.append(orjson.loads(body))
        return 200

    def is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        at = int(headers.get("webhook-timestamp", "0"))
        signed = dict(sign(WELL_KNOWN_SECRET, "utf8", headers.get("webhook-id", ""), at, body))
        return (
            signed["webhook-signature"] == headers.get("webhook-signature")
            and abs(self.world.now_s - at) < 300
        )

    def act(self, news: Mapping[str, Any]) -> None:
        is_known = news["id"] in self.files and "acts-twice" not in self.faults
        is_acting = bool(self.faults & {"acts-twice", "acts-on-refused"})
        if is_acting and not is_known and "file" in news:
            self.files[news["id"]] = self.take(news["file"]["url"])


def clip_of(reply: Reply) -> dict[str, Any] | None:
    try:
        clip = reply.json["clip"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return clip if isinstance(clip, dict) else None


def said(reply: Reply) -> str:
    """Return what the provider says of a refusal."""
    try:
        return f"{reply.json['code']}: {reply.json['message']} (HTTP {reply.status})"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"HTTP {reply.status}, which made no sense"


def with_faults(*groups: Iterable[str]) -> frozenset[str]:
    """Return all faults of several groups."""
    return frozenset(one for group in groups for one in group)
