"""Ends with 0 when the server in this container answers, with 1 when it does not."""

from __future__ import annotations

import os
import sys
import tempfile
import urllib.request
from pathlib import Path


def token() -> str:
    """Return the admin token: the one of the environment, or the one the entry point made."""
    given = os.environ.get("UNDERSTUDY_ADMIN_TOKEN")
    return given or (Path(tempfile.gettempdir()) / "understudy-admin-token").read_text()


def main() -> int:
    """Ask once."""
    url = f"http://127.0.0.1:{os.environ.get('UNDERSTUDY_PORT', '8700')}/__admin/health"
    request = urllib.request.Request(url, headers={"X-Admin-Token": token()})
    # A proxy of the environment must not be asked for what is inside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=2) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
