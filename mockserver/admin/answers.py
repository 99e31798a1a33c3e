"""Answers in our own voice: JSON, and problems as RFC 9457 writes them."""

from __future__ import annotations

import logging
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mockserver.journal import shown_url
from validator.contract.expressions import Json

log: Final = logging.getLogger("understudy")


class ProblemError(Exception):
    """A refusal in our own voice (RFC 9457)."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        """Keep the parts of the answer."""
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


def ok(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")


def problem(status: int, title: str, detail: str) -> Response:
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return Response(body, status_code=status, media_type="application/problem+json")


async def http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {404: "there is no such call", 405: "this call takes another method"}.get(error.status_code, "")
    response = problem(
        error.status_code, error.detail, f"{detail}; GET /__admin/providers lists what is served"
    )
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def server_problem(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, shown_url(request.url.path), exc_info=error)
    return problem(500, "Internal error", type(error).__name__)
