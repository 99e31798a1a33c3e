"""What a client program is told by its environment: base URLs, keys, secrets, one set of variables a provider.

Pure: who starts the program, and who counts as its account, is decided elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mockserver.settings import WELL_KNOWN_SECRET
from validator.contract.model import Contract, Credential, Signature
from validator.security import takes_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a client of one provider has in its hands; None for what that provider does not know.

    `api_key` goes into a header as it is; `access_key` names the account in tokens that `secret_key` signs;
    `webhook_secret` is what deliveries are signed with.
    """

    api_key: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    webhook_secret: str | None = None


def prefix_of(provider: str) -> str:
    """Return how the names of a provider's variables begin.

    >>> prefix_of("acme-video.2")
    'ACME_VIDEO_2'
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", provider).strip("_").upper()
    # A shell takes no name that begins with a digit.
    return f"_{name}" if name[:1].isdigit() else name


def variables(
    contract: Contract, base_url: str, keys: Keys, *, receiver: str | None = None
) -> dict[str, str]:
    """Return the variables of one provider: *_BASE_URL, and of the keys those that there are.

    `base_url` is the whole of it, the provider's own base path included, as :func:`base_url_of` returns it;
    `receiver` is where callbacks may be asked to go, WEBHOOK_URL.
    """
    known = {
        "BASE_URL": base_url,
        "API_KEY": keys.api_key,
        "ACCESS_KEY": keys.access_key,
        "SECRET_KEY": keys.secret_key,
        "WEBHOOK_SECRET": keys.webhook_secret,
        "WEBHOOK_URL": receiver,
    }
    prefix = prefix_of(contract.id)
    return {f"{prefix}_{name}": value for name, value in known.items() if value is not None}


def base_url_of(contract: Contract, origin: str, tenant: str = "") -> str:
    """Return what a client of a provider takes for its base URL on this server, in this tenant."""
    prefix = f"/t/{tenant}" if tenant else ""
    return f"{origin}{prefix}/{contract.id}{contract.base_path}"


def credentials_of(contract: Contract) -> tuple[Credential, ...]:
    """Return the ways to authorise with a provider, each once, the usual one first."""
    found: dict[str, Credential] = {}
    for operation in contract.operations.values():
        for credential in operation.credentials:
            found.setdefault(credential.name, credential)
    return tuple(found.values())


def signatures_of(contract: Contract) -> Iterator[Signature]:
    """Yield how a provider signs its deliveries; nothing for one that signs none."""
    for operation in contract.operations.values():
        for callback in operation.callbacks:
            if callback.signature is not None:
                yield callback.signature


def keys_of(contract: Contract, name: str, *, webhook_secret: str | None = None) -> Keys:
    """Return keys in the provider's form that are no real ones; the same `name` has the same keys always.

    They are derived and not drawn, so that a run that is repeated has them again.
    """
    api_key = access_key = secret_key = None
    drawn = _digest("key", contract.id, name)
    for credential in credentials_of(contract):
        form = credential.jwt
        key = f"understudy-{drawn[:40]}"
        if takes_key(credential, key):
            api_key = key
        if form is not None:
            access_key = f"understudy-{drawn[40:56]}"
            # As long as its hash is wide, which the libraries that sign advise (RFC 7518, 3.2).
            secret_key = _digest("secret", contract.id, name)
    return Keys(api_key=api_key, access_key=access_key, secret_key=secret_key, webhook_secret=webhook_secret)


def webhook_secret_of(contract: Contract, name: str) -> str | None:
    """Return a secret for a server of this name to sign a provider's deliveries with, None where it signs none.

    It is written as Standard Webhooks does, which is good for providers that take the text as it is, too.
    """
    if not any(signatures_of(contract)):
        return None
    digest = bytes.fromhex(_digest("webhook", contract.id, name))
    return "whsec_" + base64.b64encode(digest[:24]).decode()


def known_webhook_secret(contract: Contract, configured: Mapping[str, str]) -> str | None:
    """Return what a server signs a provider's deliveries with, given its settings; None where it does not."""
    secret = configured.get(contract.id)
    if secret is None and any(one.is_always for one in signatures_of(contract)):
        return WELL_KNOWN_SECRET
    return secret


def _digest(*parts: str) -> str:
    """Return 64 hexadecimal digits that follow from some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
