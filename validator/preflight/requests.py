"""The hook for requests: an adapter around another one, mounted in its place.

Nothing of a request or an answer is changed, and no body is read that is not in memory.
"""

from __future__ import annotations

from typing import Any, Self

from validator.preflight.flight import Flight, Preflight

try:
    import requests
    import requests.adapters
    import urllib3
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "validator.preflight.requests is the hook for requests, which is not installed: pip install requests",
        name="requests",
    ) from None


class PreflightAdapter(requests.adapters.BaseAdapter):
    """An adapter that looks at each request before the `wrapped` one sends it, redirects included.

    `wrapped` None is a plain HTTPAdapter.  What that one sends again by itself (`max_retries`) is not seen before
    it leaves; the guard learns of it afterwards.
    """

    def __init__(self, preflight: Preflight, wrapped: requests.adapters.BaseAdapter | None = None) -> None:
        """Take what looks, and what sends."""
        super().__init__()
        self.preflight = preflight
        self.wrapped = requests.adapters.HTTPAdapter() if wrapped is None else wrapped

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Return the answer; raises PreflightError, SpendError, and what the wrapped adapter raises."""
        flight = _clear(self.preflight, request)
        try:
            response = self.wrapped.send(request, *args, **kwargs)
        except (requests.RequestException, ValueError) as error:
            if _is_unsent(error, request):
                flight.unsent()
            raise
        # The last attempt is the one that was answered; those before it were the adapter's own.
        for attempt in getattr(getattr(response.raw, "retries", None), "history", ()):
            if not _is_unconnected(attempt.error, request):
                flight.repeated(attempt.status)
        flight.answered(response.status_code)
        return response

    def close(self) -> None:
        """Close the wrapped adapter."""
        self.wrapped.close()


class Installed:
    """The hook on a session; leaving it as a context manager takes it off again."""

    def __init__(self, session: requests.Session, preflight: Preflight) -> None:
        """Mount the hook in the place of each adapter that is there."""
        if any(isinstance(adapter, PreflightAdapter) for adapter in session.adapters.values()):
            raise ValueError("this session has the hook already; two would count each request twice")
        self._session = session
        self._mounted = {
            prefix: PreflightAdapter(preflight, adapter) for prefix, adapter in session.adapters.items()
        }
        for prefix, adapter in self._mounted.items():
            session.mount(prefix, adapter)

    def remove(self) -> None:
        """Mount what was there before, unless something else was mounted since; nothing happens the second time."""
        for prefix, adapter in self._mounted.items():
            if self._session.adapters.get(prefix) is adapter:
                self._session.mount(prefix, adapter.wrapped)

    def __enter__(self) -> Self:
        """Return the hook, which is on already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take it off."""
        self.remove()


def install(session: requests.Session, preflight: Preflight) -> Installed:
    """Put the hook on a session, around every adapter it has; those mounted later are not looked at.

    Raises ValueError for a session that has the hook already.
    """
    return Installed(session, preflight)


def _clear(preflight: Preflight, request: requests.PreparedRequest) -> Flight:
    body: Any = request.body
    unseen = ""
    if body is None:
        body = b""
    elif isinstance(body, bytearray | memoryview):
        body = bytes(body)
    elif not isinstance(body, bytes | str):
        body, unseen = None, "it is a file or a generator, and reading it would use it up"
    return preflight.clear(
        request.method or "GET",
        request.url or "",
        headers={_text(name): _text(value) for name, value in request.headers.items()},
        body=body,
        unseen=unseen,
    )


def _text(value: Any) -> str:
    """Return a header as text; requests takes bytes as well."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _is_unsent(error: Exception, request: requests.PreparedRequest) -> bool:
    """Tell whether an error came before there was a connection: nobody can have taken the request."""
    if isinstance(error, requests.ConnectTimeout) or not isinstance(error, requests.RequestException):
        return True
    if not isinstance(error, requests.ConnectionError):
        # InvalidURL and its like are both, and are raised before anything is opened.
        return isinstance(error, ValueError)
    reason: Any = error.args[0] if error.args else None
    if isinstance(reason, urllib3.exceptions.MaxRetryError):
        reason = reason.reason
    return _is_unconnected(reason, request)


def _is_unconnected(error: Any, request: requests.PreparedRequest) -> bool:
    """Tell the same of what urllib3 raises."""
    if isinstance(error, urllib3.exceptions.ProxyError):
        # To urllib3 an answer that a proxy lost is an error of the proxy, too; a tunnel comes before any request.
        return (request.url or "").startswith("https:") or _is_unconnected(error.original_error, request)
    return isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
