"""The hook for urllib of the standard library: a handler for an opener.

Nothing of a request or an answer is changed, and no body is read that is not in memory.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any
from urllib.request import BaseHandler, Request

from validator.preflight.flight import Flight, Preflight


class PreflightHandler(BaseHandler):
    """A handler that looks at each request before it is sent, redirects included.

    `urllib.request.build_opener(PreflightHandler(preflight))`.  A failed connection cannot be told from a lost
    answer here, and counts as perhaps taken.
    """

    handler_order = 950
    """Behind those that fill in headers (500), before the one that raises for errors (1000)."""

    def __init__(self, preflight: Preflight) -> None:
        """Take what looks."""
        self._preflight = preflight
        self._flights: weakref.WeakKeyDictionary[Request, Flight] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def http_request(self, request: Request) -> Request:
        """Return the request as it is; raises PreflightError and SpendError."""
        body: Any = request.data
        unseen = ""
        if body is None:
            body = b""
        elif isinstance(body, bytearray | memoryview):
            body = bytes(body)
        elif not isinstance(body, bytes):
            body, unseen = None, "it is a file or a generator, and reading it would use it up"
        flight = self._preflight.clear(
            request.get_method(),
            request.full_url,
            headers={name: str(value) for name, value in request.header_items()},
            body=body,
            unseen=unseen,
        )
        with self._lock:
            self._flights[request] = flight
        return request

    def http_response(self, request: Request, response: Any) -> Any:
        """Return the answer as it is."""
        with self._lock:
            flight = self._flights.pop(request, None)
        if flight is not None:
            flight.answered(response.status)
        return response

    https_request = http_request
    https_response = http_response
