"""A careless client: it makes a video on a good day.  Each fault is marked with the law that it breaks.

    KLING_BASE_URL=http://127.0.0.1:8700/kling KLING_API_KEY=... python careless.py "A paper boat at dusk"

careful.py beside it does the same job and breaks none.  `understudy rehearse -- python careless.py` finds them all.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

FOLDER = os.environ.get("VIDEO_DIR") or tempfile.mkdtemp(prefix="videos-")
downloaded: list[str] = []


def call(method: str, url: str, body: dict | None = None) -> dict:
    headers = {"Authorization": f"Bearer {os.environ['KLING_API_KEY']}", "Content-Type": "application/json"}
    # BREAKS keeps-secrets: the key goes to wherever the output goes.
    print("debug:", method, url, headers)
    for _ in range(3):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=20)
        try:
            connection.request(method, parts.path, json.dumps(body) if body else None, headers)
            answer = json.loads(connection.getresponse().read())
            if answer["code"] == 0:
                return answer["data"]
            error = Exception(answer["message"])
        except Exception as failed:
            error = failed
        finally:
            connection.close()
        # BREAKS backs-off, obeys-retry-after: again at once, whatever was said.
        # BREAKS no-useless-retry: what will never be taken is sent three times as well.
        # BREAKS one-task-per-wish: the answer was lost, the task was not.
    raise error


def download(url: str) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("GET", parts.path)
    try:
        content = connection.getresponse().read()
    except http.client.IncompleteRead as half:
        content = half.partial
    # BREAKS notices-broken-results: half a file and an error page are written like a video.
    file = os.path.join(FOLDER, parts.path.rpartition("/")[2])
    with open(file, "wb") as out:
        out.write(content)
    downloaded.append(file)


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        # BREAKS checks-signatures: whoever finds the port is believed.
        task = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if task["task_status"] == "succeed" and task["task_result"].get("videos"):
            # BREAKS callbacks-at-least-once: every copy of the news is another download.
            download(task["task_result"]["videos"][0]["url"])

    def log_message(self, *args: object) -> None:
        pass


def main() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    videos = os.environ["KLING_BASE_URL"] + "/v1/videos/text2video"
    body = {
        "model_name": "kling-v2-6",
        "prompt": sys.argv[1] if len(sys.argv) > 1 else "A paper boat at dusk",
    }
    body["callback_url"] = f"http://127.0.0.1:{server.server_address[1]}/done"
    try:
        # BREAKS no-invalid-request: two parameters are missing, and nobody looks at the answer.
        print("balance", call("GET", os.environ["KLING_BASE_URL"] + "/account/costs"))
    except Exception as error:
        print("balance unknown:", error)
    task = call("POST", videos, body)
    address = f"{videos}/{task['task_id']}"
    # BREAKS gives-up-in-finite-time: a job that never ends is waited for that long.
    # BREAKS knows-what-it-does-not-know: any other word is taken for the end, and the end for success.
    while task.get("task_status") in ("submitted", "processing"):
        # BREAKS polls-not-too-fast: five times a second.
        time.sleep(0.2)
        try:
            task = call("GET", address)
        except Exception:
            continue
    # BREAKS stops-at-final-state: a few more looks, in case it changes its mind.
    for _ in range(3):
        time.sleep(0.2)
        task = call("GET", address)
    if task["task_status"] == "failed":
        raise Exception("failed")
    # BREAKS fetches-before-expiry: the file is left to the callback, which may never come.
    print("done", downloaded or task["task_result"])


try:
    main()
except Exception:
    # BREAKS tells-failed-from-refused: one sentence for everything.
    print("Something went wrong.")
# BREAKS fails-loudly: and 0 for everything.
