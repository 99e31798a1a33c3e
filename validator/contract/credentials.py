"""Security schemes: which header holds a credential, and what it looks like."""

from __future__ import annotations

from collections.abc import Mapping

from validator.contract.document import nearest
from validator.contract.durations import milliseconds
from validator.contract.expressions import Json
from validator.contract.model import Credential, JwtForm
from validator.contract.trees import Path
from validator.contract.workbench import Workbench


def compile_credentials(
    bench: Workbench, operation: Mapping[str, Json], path: Path
) -> tuple[Credential, ...]:
    """Compile what an operation accepts as a credential, any one of it; raises SpecError."""
    security = operation.get("security", bench.document.root.get("security", []))
    schemes = bench.document.root.get("components", {}).get("securitySchemes", {})
    out = []
    for requirement in security:
        for name in requirement:
            if name not in schemes:
                raise bench.document.error(
                    f"security scheme '{name}' does not exist", path, hint=nearest(name, schemes)
                )
            out.append(_credential(bench, name, schemes[name]))
    return tuple(out)


def _credential(bench: Workbench, name: str, node: Mapping[str, Json]) -> Credential:
    scheme, path = bench.document.resolve(node, ("components", "securitySchemes", name), needs=("type",))
    is_key = scheme["type"] == "apiKey" and scheme.get("in") == "header"
    is_bearer = scheme["type"] == "http" and scheme.get("scheme", "").lower() == "bearer"
    if not (is_key or is_bearer):
        raise bench.document.error("only bearer tokens and keys in a header are understood", path)
    word = scheme.get("x-jwt")
    form = None
    if word is not None:
        opaque = word.get("opaque")
        form = JwtForm(
            algorithms=tuple(word["algorithms"]),
            claims=tuple(word["claims"]),
            account=word["account"],
            leeway=milliseconds(word.get("leeway", "PT0S")) // 1000,
            opaque=opaque,
        )
    return Credential(
        name=name,
        header="authorization" if is_bearer else scheme["name"].lower(),
        is_bearer=is_bearer,
        jwt=form,
        description=scheme.get("description", ""),
    )
