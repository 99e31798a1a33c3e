"""Small clients of the toy provider, as programs: what each does wrong is one word of its command line."""

from __future__ import annotations

import sys
from pathlib import Path

from mockserver.rehearsal.orders import Orders
from mockserver.rehearsal.staging import Telling
from tests.providers import TOY

SCRIPT = """
import http.client, json, os, sys, time
from urllib.parse import urlsplit

faults = set(sys.argv[1:])
base = urlsplit(os.environ.get("TOY_BASE_URL", ""))

def ask(method, path, body=None):
    connection = http.client.HTTPConnection(base.netloc, timeout=10)
    connection.request(method, base.path + path, body, {"X-Toy-Key": os.environ["TOY_API_KEY"]})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"refused: {said['message']}")
    return said

def film(url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", parts.path)
    assert connection.getresponse().read()
    connection.close()

wish = {"prompt": "a boat"}
news = None
if "hook" in faults:
    import http.server, queue, threading
    news = queue.Queue()

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            news.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wish["hook"] = f"http://127.0.0.1:{server.server_port}/"

def listen():
    try:
        return news.get(timeout=1.5)
    except queue.Empty:
        return None

clip = ask("POST", "/clips", json.dumps(wish))["clip"]
print("made", clip["id"])
while clip["state"] not in ("done", "broken"):
    heard = listen() if news else time.sleep(0.2 if "hasty" in faults else 1.0)
    clip = heard or ask("GET", "/clips/" + clip["id"])["clip"]
if clip["state"] == "broken":
    raise SystemExit(f"failed: {clip['why']}")
film(clip["file"]["url"])
"""


def client(folder: Path, *faults: str, script: str = SCRIPT) -> tuple[str, ...]:
    """Return the command of a client that is written into a folder."""
    file = folder / "client.py"
    file.write_text(script)
    return (sys.executable, "-S", str(file), *faults)


def orders(command: tuple[str, ...], *acts: str, **more: object) -> Orders:
    """Return what is to be rehearsed with the toy provider, quickly."""
    telling = Telling(command=command)
    settings: dict[str, object] = {"speed": 20.0, "time_limit": 20.0, "jobs": 4, "specs": (str(TOY),)}
    return Orders(telling=telling, acts=acts or ("success",), **(settings | more))  # type: ignore[arg-type]
