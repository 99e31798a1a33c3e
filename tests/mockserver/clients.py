"""Clients of every provider, made from nothing but its contract: they create, read and list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt

from tests.mock import HOOK, Mock, Reply
from tests.providers import contract
from validator.contract.expressions import resolve_pointer
from validator.contract.model import Contract, Operation


def credential(
    operation: Operation, *, account: str = "a", at: int = 0, secret: str | None = None, **claims: Any
) -> dict[str, str]:
    """Return the headers of a caller; a token where a `secret` to sign it with is given.

    `at` is the time in milliseconds the token is made.
    """
    known = operation.credentials[0]
    key = f"key-of-account-{account}-" + "0" * 20
    if secret is not None:
        form = known.jwt
        assert form is not None
        now = at // 1000
        made = {form.account: account, "exp": now + 1_800, "nbf": now - 5} | claims
        key = jwt.encode(made, secret, algorithm=form.algorithms[0])
    return {known.header: f"Bearer {key}" if known.is_bearer else key}


def examples(known: Contract, operation: Operation) -> list[Any]:
    """Return the example bodies of an operation, the shortest first."""
    for item in known.document.root["paths"].values():
        for node in item.values():
            if isinstance(node, dict) and node.get("operationId") == operation.id:
                body, _ = known.document.resolve(node.get("requestBody", {}))
                found = body.get("content", {}).get("application/json", {}).get("examples", {})
                bodies = [known.document.resolve(one)[0]["value"] for one in found.values()]
                return sorted(bodies, key=lambda one: len(str(one)))
    raise AssertionError(f"{operation.id} is nowhere in the document")


@dataclass
class Client:
    """Somebody who uses one create operation of a provider, and what belongs to it."""

    mock: Mock
    provider: str
    operation: Operation
    account: str = "a"
    base: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return credential(self.operation, account=self.account)

    def url(self, path: str) -> str:
        return f"{self.base}/{self.provider}{path}"

    def create(self, *, hook: str | None = None, body: Any = None, **changes: Any) -> Reply:
        """Create a task from the provider's own example."""
        known = contract(self.provider)
        sent = dict(examples(known, self.operation)[0]) if body is None else body
        sent |= changes
        headers = self.headers
        for callback in self.operation.callbacks if hook is not None else ():
            place = callback.url_expression.strip("{}")
            name = place.rpartition(".")[2].rpartition("/")[2]
            if "header." in place:
                headers[name] = hook or ""
            else:
                sent[name] = hook
        return self.mock.call("POST", self.url(self.operation.path), json=sent, headers=headers)

    def made(self, **options: Any) -> str:
        """Create a task and return its id."""
        reply = self.create(**options)
        assert reply.status == self.operation.response.status, reply
        link = next(one for one in self.operation.links if one.is_task_id)
        found: str = resolve_pointer(reply.json, link.value.pointer or ())
        return found

    def read(self, task: str, *, method: str = "GET") -> Reply:
        """Read a task by its id, or by a name of its own."""
        link = next(one for one in self.operation.links if one.is_task_id)
        path = contract(self.provider).operations[link.operation].path
        if link.place == "path":
            path = path.replace("{" + link.parameter + "}", task)
        else:
            path += f"?{link.parameter}={task}"
        return self.mock.call(method, self.url(path), headers=self.headers)

    def list(self, query: str = "") -> Reply:
        """List the tasks of this operation."""
        listing = next(
            one for one in contract(self.provider).operations.values() if self.operation.id in one.of
        )
        return self.mock.call("GET", self.url(listing.path) + query, headers=self.headers)


def clients(mock: Mock, name: str, **options: Any) -> Iterator[Client]:
    """Yield a client for each create operation of a provider."""
    for operation in contract(name).operations.values():
        if operation.role == "create":
            yield Client(mock, name, operation, **options)


def is_same_record(query: Any, callback: Any) -> bool:
    """Tell whether a callback says what a query says: its whole body, or the record inside its envelope."""
    return callback in (query, *(query.values() if isinstance(query, dict) else ()))


__all__ = ["HOOK", "Client", "clients", "credential", "examples", "is_same_record"]
