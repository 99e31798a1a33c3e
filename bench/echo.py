"""What a server costs that does nothing: `python -m bench.echo raw|constant|echo PORT`.

The yardsticks: uvicorn alone with a constant answer, Starlette with a constant answer, and Starlette reading JSON
and answering it, as its documentation shows.
"""

from __future__ import annotations

import sys
from typing import Any, Final

_ANSWER: Final = b'{"code":0,"message":"SUCCEED"}'
_LENGTH: Final = str(len(_ANSWER)).encode()


async def raw(scope: Any, receive: Any, send: Any) -> None:
    """Answer the same bytes, without a framework."""
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", _LENGTH)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})


def starlette(kind: str) -> Any:
    """Return a Starlette application with a constant answer, or one that echoes."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def constant(request: Request) -> Response:
        return Response(_ANSWER, media_type="application/json")

    async def echo(request: Request) -> Response:
        return JSONResponse(await request.json())

    async def echo_path(request: Request) -> Response:
        return JSONResponse({"id": request.path_params["id"], "query": dict(request.query_params)})

    post, get = (constant, constant) if kind == "constant" else (echo, echo_path)
    routes = [
        Route("/v1/things", post, methods=["POST"]),
        Route("/v1/things/{id}", get, methods=["GET"]),
    ]
    return Starlette(routes=routes)


def main(kind: str, port: int) -> None:
    """Serve until told to stop, with uvicorn as it comes but for its access log."""
    import uvicorn

    app = raw if kind == "raw" else starlette(kind)
    uvicorn.run(
        app,
        port=port,
        loop="auto",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="critical",
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
