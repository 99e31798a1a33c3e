"""A client of the toy that is driven step by step: careful, and with any of its faults on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson
from standardwebhooks import Webhook, WebhookVerificationError

from mockserver.trial.stateful import Adapter
from mockserver.trial.workplace import Workplace

FINAL = ("done", "broken")
STATES = ("waiting", "working", *FINAL)


class GaveUp(Exception):
    """The client has no task, or none any more."""


@dataclass
class Job:
    """What the client knows of one wish."""

    name: str
    task: str = ""
    began: float = 0.0
    is_over: bool = False


class StepClient:
    """Submits, polls, takes callbacks."""

    def __init__(self, place: Workplace, *faults: str) -> None:
        self.place, self.faults = place, frozenset(faults)
        self.http = httpx.Client(
            transport=place.transport, base_url=place.base_url, headers=place.credentials
        )
        self.jobs: dict[str, Job] = {}
        self.files: dict[str, bytes] = {}
        self.count = 0

    @property
    def adapter(self) -> Adapter:
        return Adapter(submit=self.submit, poll=self.poll, on_callback=self.on_callback)

    # --- requests

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """Return an answer, None where none came."""
        try:
            return self.http.request(method, path, **options)
        except httpx.TransportError:
            return None

    def patiently(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask again where that is of use; raises GaveUp."""
        pause = 2.0
        for _ in range(5):
            answer = self.ask(method, path, **options)
            if answer is not None and answer.status_code not in (429,) and answer.status_code < 500:
                return answer
            if answer is not None and (told := answer.headers.get("retry-after")):
                pause = max(pause, self.seconds_of(told))
            self.place.sleep(pause)
            pause *= 2
        raise GaveUp(f"{method} {path}: no use")

    def seconds_of(self, told: str) -> float:
        return float(told) if told.isdigit() else parsedate_to_datetime(told).timestamp() - self.place.time()

    def submit(self, body: dict[str, Any]) -> Job:
        """Ask for a video; where nobody knows what came of that, its name tells."""
        self.count += 1
        job = Job(f"order-{self.count}", began=self.place.time())
        for attempt in range(4):
            is_careless = "double-submits" in self.faults
            name = f"{job.name}-{attempt}" if is_careless else job.name
            answer = self.ask("POST", "/clips", json={**body, "name": name})
            clip = clip_of(answer, states=None)
            if clip is None and answer is not None and 400 <= answer.status_code < 500:
                if answer.status_code == 409:
                    clip = self.mine(job.name, is_there=True)
                elif answer.status_code != 429:
                    raise GaveUp(answer.text[:200])
            wait = 2.0 ** (attempt + 1)
            if answer is not None and (told := answer.headers.get("retry-after")):
                wait = max(wait, self.seconds_of(told))
            if clip is None:
                self.place.sleep(wait)
                if not is_careless and (answer is None or answer.status_code != 429):
                    clip = self.mine(job.name, is_there=False)
            if clip is not None:
                job.task = clip["id"]
                self.jobs[job.task] = job
                return job
        raise GaveUp("nobody knows whether there is a clip")

    def mine(self, name: str, *, is_there: bool) -> dict[str, Any] | None:
        """Return what there is of this name; it may take a while to be seen."""
        for attempt in range(5 if is_there else 1):
            answer = self.patiently("GET", f"/clips/{name}")
            if 400 <= answer.status_code < 500 and answer.status_code != 404:
                raise GaveUp(answer.text[:200])
            if (clip := clip_of(answer, states=None)) is not None:
                return clip
            self.place.sleep(2.0 ** (attempt + 1))
        if is_there:
            raise GaveUp(f"{name} is taken, and cannot be found")
        return None

    def poll(self, job: Job) -> bool:
        if job.is_over:
            return True
        if self.place.time() - job.began > 3_600 and "never-gives-up" not in self.faults:
            raise GaveUp(f"{job.name}: no end within an hour")
        answer = self.patiently("GET", f"/clips/{job.task}")
        if 400 <= answer.status_code < 500 and answer.status_code != 404:
            raise GaveUp(answer.text[:200])
        clip = clip_of(answer)
        if clip is None or clip["state"] not in FINAL:
            return False
        if "polls-on" in self.faults and clip["state"] == "broken":
            return False
        job.is_over = True
        if clip["state"] == "done" and "url" in clip.get("file", {}):
            self.take(clip["id"], clip["file"]["url"])
        return True

    def take(self, task: str, url: str) -> None:
        if task not in self.files:
            answer = self.ask("GET", url)
            if answer is not None and answer.status_code == 200:
                self.files[task] = answer.content

    # --- callbacks

    def on_callback(self, method: str, headers: Mapping[str, str], body: bytes) -> int:
        assert method == "POST"
        if "trusting" not in self.faults and not self.is_genuine(headers, body):
            return 401
        news = orjson.loads(body)
        job = self.jobs.get(news["id"])
        if job is not None and news["state"] == "done" and "url" in news.get("file", {}):
            self.take(news["id"], news["file"]["url"])
        return 200

    def is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        known = {name.lower(): value for name, value in headers.items()}
        if abs(self.place.time() - float(known.get("webhook-timestamp", "0"))) > 300:
            return False
        secret = self.place.webhook_secret
        assert secret is not None
        webhook = Webhook(secret.encode())
        expected = webhook.sign(known["webhook-id"], parse_time(known["webhook-timestamp"]), body.decode())
        try:
            return expected == known["webhook-signature"]
        except (KeyError, WebhookVerificationError):
            return False


def parse_time(text: str) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(int(text), UTC).replace(tzinfo=None)


def clip_of(answer: httpx.Response | None, *, states: Any = STATES) -> dict[str, Any] | None:
    """Return the clip in an answer that makes sense; which state it is in may not matter yet."""
    if answer is None or answer.status_code != 200:
        return None
    try:
        clip = answer.json()["clip"]
    except (ValueError, KeyError, TypeError):
        return None
    is_known = isinstance(clip, dict) and "id" in clip and (states is None or clip.get("state") in states)
    return clip if is_known else None
