"""A careful client: one video from one text, whatever happens on the way.  Python's own library is all it needs.

    KLING_BASE_URL=http://127.0.0.1:8700/kling KLING_API_KEY=... python careful.py "A paper boat at dusk"

It prints the path of the video and ends with 0.  It ends with 1 when the job failed, with 2 when the request was
refused, with 3 when it gave up, and says why on standard error.

    KLING_WEBHOOK_SECRET   what callbacks are signed with; without it none are asked for
    VIDEO_PATIENCE_S       seconds that a video may take, 900 unless said otherwise
    VIDEO_POLL_S           seconds between two looks at the job, 5
    VIDEO_DIR              where videos go, a new temporary directory
"""

from __future__ import annotations

import base64
import email.utils
import gzip
import hashlib
import hmac
import http.client
import http.server
import json
import os
import queue
import sys
import tempfile
import threading
import time
import uuid
from urllib.parse import urlsplit

PAUSES_S = (1.0, 2.0, 4.0)
"""Seconds before the second, third and fourth attempt: growing, so that a service in trouble gets room."""

PASSING = {1302, 1303, 5000, 5001, 5002}
"""Codes that pass: too fast, too many jobs at once, three kinds of trouble at their end.

Others that come with HTTP 429 do not: an empty account (1101, 1102) is as empty a second later.
"""

TIMEOUT_S = 20.0
FRESH_S = 300.0
"""Seconds by which the time of a callback may be off; an older one may be somebody's copy."""


class JobFailed(Exception):
    """The job was taken and failed; nothing is to be had from it."""


class Refused(Exception):
    """The request was refused, and would be refused again."""


class Gone(Exception):
    """It cannot be said what became of the job, or not in time."""


class Trouble(Exception):
    """Something that may pass.  `is_unclear`: the request may have been carried out all the same."""

    def __init__(self, message: str, *, is_unclear: bool = True, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.is_unclear, self.after_s = is_unclear, after_s


# --- requests ---------------------------------------------------------------------------------------------


def fetch(method: str, url: str, headers: dict, body: bytes | None = None) -> tuple[int, dict, bytes]:
    """Return (status, headers, body) of an answer that arrived whole; raises Trouble for any other."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_S)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
        answer = connection.getresponse()
        content = answer.read()
        named = {name.lower(): value for name, value in answer.getheaders()}
        if named.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        return answer.status, named, content
    except (OSError, EOFError, http.client.HTTPException) as error:
        raise Trouble(f"no whole answer: {type(error).__name__}") from None
    finally:
        connection.close()


class Api:
    """The calls this client makes."""

    def __init__(self, base_url: str, key: str) -> None:
        self._videos = base_url.rstrip("/") + "/v1/videos/text2video"
        # In a header and nowhere else: addresses are written to logs on the way.
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def create(self, body: dict) -> dict:
        return self._call("POST", self._videos, json.dumps(body).encode())

    def read(self, name: str) -> dict | None:
        """Return a job by its id or by ours; None where there is none, or none yet."""
        try:
            return self._call("GET", f"{self._videos}/{name}")
        except Refused as refused:
            if "not found" in str(refused).lower():
                return None
            raise

    def _call(self, method: str, url: str, body: bytes | None = None) -> dict:
        status, headers, content = fetch(method, url, self._headers, body)
        try:
            said = json.loads(content)
            code, message = said["code"], said.get("message", "")
        except (ValueError, TypeError, KeyError):
            # A gateway's page, half of an answer, nothing: whatever its status, it is not the provider's word.
            if 400 <= status < 500 and status not in (408, 429):
                raise Refused(f"HTTP {status}, without a reason") from None
            raise Trouble(f"HTTP {status} and nothing that could be read", is_unclear=status != 429) from None
        if status == 200 and code == 0 and isinstance(said.get("data"), dict):
            return said["data"]
        text = f"{message} (HTTP {status}, code {code})"
        if code in PASSING or code == 0:
            raise Trouble(text, is_unclear=status != 429, after_s=seconds(headers.get("retry-after")))
        raise Refused(text)


def seconds(text: str | None) -> float:
    """Return what a Retry-After says in seconds from now; 0 for none, and for what cannot be understood."""
    text = (text or "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0


# --- callbacks --------------------------------------------------------------------------------------------


class Inbox:
    """Takes callbacks, each once, and only those that are the provider's."""

    def __init__(self, secret: str) -> None:
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self.news: queue.Queue[dict] = queue.Queue()
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(inbox.take(self.headers, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/done"

    def take(self, headers: http.client.HTTPMessage, body: bytes) -> int:
        """Return the status that answers a callback."""
        if not self._is_genuine(headers, body):
            return 401
        name = headers["webhook-id"]
        with self._lock:
            # At least once is what senders promise: a second copy is taken, and does nothing.
            is_new = name not in self._seen
            self._seen.add(name)
        if is_new:
            self.news.put(json.loads(body))
        return 204

    def _is_genuine(self, headers: http.client.HTTPMessage, body: bytes) -> bool:
        name, at, given = (headers.get(f"webhook-{one}", "") for one in ("id", "timestamp", "signature"))
        if not at.isdigit() or abs(time.time() - int(at)) > FRESH_S:
            return False
        signed = hmac.digest(self._key, f"{name}.{at}.".encode() + body, hashlib.sha256)
        expected = "v1," + base64.b64encode(signed).decode()
        return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given.split())


# --- one job ----------------------------------------------------------------------------------------------


class Job:
    """One wish and the one job that fulfils it."""

    def __init__(self, api: Api, inbox: Inbox | None, *, patience_s: float, poll_s: float) -> None:
        self._api, self._inbox = api, inbox
        self._until = time.monotonic() + patience_s
        self._poll_s = max(poll_s, 1.0)
        self._early: list[dict] = []
        self._odd = ""

    def run(self, prompt: str) -> str:
        """Return the address of the video."""
        # Our own name for it, drawn once: however often we ask, there can be one job of this name.
        name = f"boat-{uuid.uuid4().hex}"
        body = {"model_name": "kling-v2-6", "mode": "pro", "prompt": prompt, "external_task_id": name}
        if self._inbox is not None:
            body["callback_url"] = self._inbox.url
        task = self._submit(name, body)
        return self._wait(task["task_id"], task)

    def _submit(self, name: str, body: dict) -> dict:
        for pause_s in (*PAUSES_S, None):
            try:
                return self._api.create(body)
            except Refused as refused:
                # The name is taken: an earlier attempt came through, and only its answer did not.
                found = self._api.read(name) if "already exists" in str(refused) else None
                if found is None:
                    raise
                return found
            except Trouble as trouble:
                if pause_s is None or not self._has_time(trouble.after_s):
                    raise Gone(f"no job could be made: {trouble}") from None
                self._listen(max(pause_s, trouble.after_s), "")
                if trouble.is_unclear and (found := self._look(name)) is not None:
                    return found
        raise AssertionError("the last attempt ends above")

    def _look(self, name: str) -> dict | None:
        """Return the job of our name where there is one; one that we cannot see cannot be made twice either."""
        try:
            return self._api.read(name)
        except Trouble:
            return None

    def _wait(self, task_id: str, task: dict) -> str:
        failures = 0
        pause_s = self._poll_s
        while True:
            url = self._result(task)
            if url:
                return url
            if not self._has_time(pause_s):
                odd = (
                    f"; the last word on it was '{self._odd}', which nobody explained to me"
                    if self._odd
                    else ""
                )
                raise Gone(f"job {task_id} did not end in time{odd}")
            news = self._listen(pause_s, task_id)
            if news is not None:
                task = news
                continue
            try:
                found = self._api.read(task_id)
                if found is None:
                    raise Trouble(f"job {task_id} is not found")
                task, failures, pause_s = found, 0, self._poll_s
            except Trouble as trouble:
                if failures == len(PAUSES_S):
                    raise Gone(f"job {task_id} cannot be looked at: {trouble}") from None
                pause_s = max(self._poll_s, PAUSES_S[failures], trouble.after_s)
                failures += 1
            except Refused as refused:
                raise Refused(f"{refused}; job {task_id} may be running all the same") from None

    def _result(self, task: dict) -> str:
        """Return the address of the video, "" for a job that goes on; raises JobFailed."""
        status = task.get("task_status")
        if status == "succeed":
            videos = (task.get("task_result") or {}).get("videos") or [{}]
            url = videos[0].get("url")
            if not url:
                raise JobFailed("the job succeeded, it says, and there is no video")
            return url
        if status == "failed":
            raise JobFailed(f"the job failed: {task.get('task_status_msg') or 'no reason was given'}")
        self._odd = "" if status in ("submitted", "processing") else str(status)
        return ""

    def _listen(self, for_s: float, task_id: str) -> dict | None:
        """Wait so long, or until a callback tells of the job; one that comes before we know its id is kept."""
        until = time.monotonic() + for_s
        known = [one for one in self._early if one.get("task_id") == task_id]
        if known and task_id:
            self._early = []
            # They may come in any order: what is final is.
            return max(known, key=lambda one: one.get("task_status") in ("succeed", "failed"))
        while (left := until - time.monotonic()) > 0:
            if self._inbox is None:
                time.sleep(left)
                break
            try:
                news = self._inbox.news.get(timeout=left)
            except queue.Empty:
                break
            if task_id and news.get("task_id") == task_id:
                if news.get("task_status") in ("succeed", "failed"):
                    return news
                continue
            self._early.append(news)
        return None

    def _has_time(self, for_s: float) -> bool:
        return time.monotonic() + for_s < self._until


def download(url: str, file: str) -> None:
    """Bring the video here, whole, or not at all."""
    for pause_s in (*PAUSES_S[:2], None):
        try:
            # The key is not sent along: this address is another host's.
            status, _, content = fetch("GET", url, {})
            if status == 429 or status >= 500:
                raise Trouble(f"HTTP {status}")
            break
        except Trouble as trouble:
            if pause_s is None:
                raise Gone(f"the video is there and cannot be fetched: {trouble}") from None
            time.sleep(pause_s)
    if status != 200:
        raise JobFailed(f"the job is done, and its video is not there any more: HTTP {status}")
    if content[4:8] != b"ftyp":
        # What it says of itself may be wrong either way; how an MP4 begins is not.
        raise JobFailed("the job is done, and what came is no video")
    with open(file + ".part", "wb") as out:
        out.write(content)
    os.replace(file + ".part", file)


def main() -> int:
    prompt = sys.argv[1] if len(sys.argv) > 1 else "A paper boat at dusk"
    base_url, key = os.environ.get("KLING_BASE_URL"), os.environ.get("KLING_API_KEY")
    if not base_url or not key:
        print("careful: set KLING_BASE_URL and KLING_API_KEY", file=sys.stderr)
        return 2
    secret = os.environ.get("KLING_WEBHOOK_SECRET")
    job = Job(
        Api(base_url, key),
        Inbox(secret) if secret else None,
        patience_s=float(os.environ.get("VIDEO_PATIENCE_S", "900")),
        poll_s=float(os.environ.get("VIDEO_POLL_S", "5")),
    )
    try:
        url = job.run(prompt)
        folder = os.environ.get("VIDEO_DIR") or tempfile.mkdtemp(prefix="videos-")
        file = os.path.join(folder, f"{uuid.uuid4().hex}.mp4")
        download(url, file)
    except JobFailed as failed:
        print(f"careful: {failed}", file=sys.stderr)
        return 1
    except Refused as refused:
        print(f"careful: the request was refused: {refused}", file=sys.stderr)
        return 2
    except Gone as gone:
        print(f"careful: gave up: {gone}", file=sys.stderr)
        return 3
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
