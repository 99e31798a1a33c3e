"""Capability maps: which combination of members offers which features, at what price, with what result."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from validator.contract.document import Document, nearest
from validator.contract.engine import compile_engine
from validator.contract.expressions import Json, format_pointer, to_text
from validator.contract.model import Capabilities, Clip, Feature, Price, Row, Rule
from validator.contract.rules import RuleBook
from validator.contract.trees import Path, Tree, strip


def compile_capabilities(
    word: Mapping[str, Json],
    at: Path,
    tree: Tree,
    book: RuleBook,
    ruled: dict[Path, Rule],
) -> Capabilities:
    """Compile an `x-capabilities`; `at` is the tree path of the Schema Object that holds it.

    Raises SpecError for a key, value or feature that does not exist, a row that no request can reach and
    two rows that cover the same combination.
    """
    document, origin = book.document, (*tree.origins[at], "x-capabilities")
    holder = tree.root
    for step in at:
        holder = holder[step]
    # Only a rule beside the map is about combinations; one from above is about something else.
    rule = ruled[at] if "x-rule" in holder else None
    known = tree.root.get("properties", {}) if isinstance(tree.root, dict) else {}
    keys = tuple(word["keys"])
    for key in keys:
        if key not in known:
            raise document.error(f"key '{key}' is no member of the body", origin, hint=nearest(key, known))
    features: dict[str, Feature] = {}
    for name, schema in word["features"].items():
        path = (*at, "x-capabilities", "features", name)
        own = None
        if isinstance(schema, dict) and "x-rule" in schema:
            own = book.add(schema["x-rule"], (*tree.origins[path], "x-rule"))
            ruled[path] = own
        uses = compile_engine(strip(schema), document, tree.origins.get(path, origin)).is_valid
        needs = _needs(schema)
        features[name] = Feature(name=name, uses=_quick(uses, needs), needs=needs, rule=own)
    choices = {key: _choices(known[key]) for key in keys}
    rows = tuple(
        _row(line, index, choices, features, document, origin, rule, book)
        for index, line in enumerate(word["rows"])
    )
    offered = set().union(*(row.features for row in rows))
    for name, feature in features.items():
        priced = any(name in price.features for row in rows for price in row.prices)
        if feature.rule is None and not priced and name not in offered:
            raise document.error(f"feature '{name}' has neither a rule nor a price", origin)
        if feature.rule is None and name in offered:
            raise document.error(f"feature '{name}' is offered by rows but has no rule", origin)
    ratio = word.get("aspectRatio", {"default": "16:9"})
    return Capabilities(
        keys=keys,
        choices=tuple(choices[key] for key in keys),
        defaults={
            key: known[key]["default"]
            for key in keys
            if isinstance(known[key], dict) and "default" in known[key]
        },
        features=features,
        rows=rows,
        rows_by_key=_rows_by_key(keys, choices, rows, document, origin),
        ratio_from=tuple(ratio.get("from", ())),
        ratio_default=ratio["default"],
        duration=word.get("duration"),
        rule=rule,
    )


def _quick(uses: Callable[[Json], bool], needs: tuple[str, ...]) -> Callable[[Json], bool]:
    """Return `uses` behind a look at whether any of the members is there, which says no at a fifth of the price."""
    if not needs:
        return uses
    if len(needs) == 1:
        (name,) = needs
        return lambda body: name in body and uses(body)
    names = frozenset(needs)
    return lambda body: not names.isdisjoint(body) and uses(body)


def _needs(schema: Json) -> tuple[str, ...]:
    """Return members of which every body that is valid against a schema has one; () where that is not said."""
    if not isinstance(schema, dict):
        return ()
    if schema.get("required"):
        return (schema["required"][0],)
    branches = [_needs(branch) for branch in schema.get("anyOf", ())]
    if branches and all(branches):
        return tuple(dict.fromkeys(name for branch in branches for name in branch))
    return next((needs for branch in schema.get("allOf", ()) if (needs := _needs(branch))), ())


def _choices(schema: Json) -> tuple[str, ...] | None:
    """Return the texts of the values a key may have, or None where the schema lists none."""
    if not isinstance(schema, dict) or "enum" not in schema:
        return None
    return tuple(dict.fromkeys(to_text(value) for value in schema["enum"]))


def _row(
    line: Mapping[str, Json],
    index: int,
    choices: Mapping[str, tuple[str, ...] | None],
    features: Mapping[str, Feature],
    document: Document,
    origin: Path,
    rule: Rule | None,
    book: RuleBook,
) -> Row:
    path = (*origin, "rows", index)
    match: dict[str, tuple[str, ...]] = {}
    for key, values in line["match"].items():
        if key not in choices:
            raise document.error(f"'{key}' is no key of this map", path, hint=nearest(key, choices))
        texts = tuple(dict.fromkeys(to_text(value) for value in values))
        allowed = choices[key]
        for text in texts:
            if allowed is not None and text not in allowed:
                raise document.error(f"{key} '{text}' can never be sent", path, hint=nearest(text, allowed))
        match[key] = texts
    for name in line.get("features", ()):
        if name not in features:
            raise document.error(f"feature '{name}' is not defined", path, hint=nearest(name, features))
    prices = tuple(
        Price(
            features=tuple(price.get("with", ())),
            base=float(price.get("base", 0)),
            per_second=float(price.get("perSecond", 0)),
        )
        for price in line.get("cost", ())
    )
    output = line.get("output")
    clip = None
    if output is not None:
        clip = Clip(
            short_side=output["shortSide"],
            fps=output["fps"],
            extra_frames=output.get("extraFrames", 0),
            audio=tuple(output.get("audio", ())),
        )
    named = [name for price in prices for name in price.features] + list(clip.audio if clip else ())
    for name in named:
        if name not in features:
            raise document.error(f"feature '{name}' is not defined", path, hint=nearest(name, features))
    if "source" in line:
        book.check_source(line["source"], path)
    refused = tuple(
        one
        for one in features.values()
        if one.rule is not None and one.rule.effect != "off" and one.name not in line.get("features", ())
    )
    if rule is None and not {"source", "evidence"} <= line.keys():
        raise document.error(
            "the row needs source and evidence", path, hint="or give the map a rule, whose they are then"
        )
    return Row(
        match=match,
        features=frozenset(line.get("features", ())),
        watched=tuple(dict.fromkeys(named)),
        refused=refused,
        refused_needs=frozenset(name for one in refused for name in one.needs)
        if all(one.needs for one in refused)
        else None,
        prices=prices,
        clip=clip,
        name=", ".join(f"{key} {' or '.join(texts)}" for key, texts in match.items()) or "anything",
        text=_row_text(line.get("features", ()), prices, clip),
        pointer=format_pointer(path),
        source=line.get("source") or (rule.source if rule else ""),
        evidence=line.get("evidence", rule.evidence if rule else "assumed"),
    )


def _row_text(features: Sequence[str], prices: Sequence[Price], clip: Clip | None) -> str:
    """Return what a row offers, for the evidence table."""
    parts = [", ".join(features)] if features else []
    for price in prices:
        amounts = [to_text(price.base)] if price.base or not price.per_second else []
        amounts += [f"{to_text(price.per_second)} a second"] if price.per_second else []
        parts.append(
            f"costs {' + '.join(amounts)}" + f" with {', '.join(price.features)}" * bool(price.features)
        )
    if clip is not None:
        parts.append(f"makes {clip.short_side} pixels at {clip.fps} a second")
    return "; ".join(parts)


def _rows_by_key(
    keys: tuple[str, ...],
    choices: Mapping[str, tuple[str, ...] | None],
    rows: tuple[Row, ...],
    document: Document,
    origin: Path,
) -> dict[tuple[str, ...], Row]:
    """Spell out every combination; only possible, and only done, where every key lists its values."""
    lists = [choices[key] for key in keys]
    table: dict[tuple[str, ...], Row] = {}
    if any(values is None for values in lists):
        for (a, first), (b, second) in itertools.combinations(enumerate(rows), 2):
            if all(_overlap(first.match.get(key), second.match.get(key)) for key in keys):
                raise document.error(f"rows {a} and {b} cover the same combination", (*origin, "rows", b))
        return table
    for index, row in enumerate(rows):
        columns = [row.match.get(key, choices[key] or ()) for key in keys]
        for combination in itertools.product(*columns):
            if combination in table:
                other = next(i for i, r in enumerate(rows) if r is table[combination])
                raise document.error(
                    f"rows {other} and {index} both cover {'/'.join(combination)}", (*origin, "rows", index)
                )
            table[combination] = row
    return table


def _overlap(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> bool:
    return first is None or second is None or bool(set(first) & set(second))


def find_row(capabilities: Capabilities, body: Mapping[str, Json]) -> Row | None:
    """Return the row that covers this body, with defaults for the keys it does not name."""
    texts = key_texts(capabilities, body)
    row = capabilities.rows_by_key.get(texts)
    if row is not None or capabilities.rows_by_key:
        return row
    for row in capabilities.rows:
        if all(
            key not in row.match or text in row.match[key]
            for key, text in zip(capabilities.keys, texts, strict=True)
        ):
            return row
    return None


def key_texts(capabilities: Capabilities, body: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the texts of the key values of a body, in the order of the keys; '' for none."""
    defaults = capabilities.defaults
    texts = []
    for key in capabilities.keys:
        value = body[key] if key in body else defaults.get(key, "")
        texts.append(value if isinstance(value, str) else to_text(value))
    return tuple(texts)


def capability_schemas(
    capabilities: Capabilities, features: Mapping[str, Json]
) -> Iterator[tuple[Json, Rule | None]]:
    """Yield (JSON Schema, rule) for what a capability map forbids, one per refusal.

    First that the combination exists at all; then, per feature, that a body which uses it has one of the
    combinations that offer it.
    """
    offers = [offer_schema(row.match, capabilities) for row in capabilities.rows]
    if {} not in offers and capabilities.rule is not None and capabilities.rule.effect != "off":
        yield {"anyOf": offers}, capabilities.rule
    for name, feature in capabilities.features.items():
        if feature.rule is None or feature.rule.effect == "off":
            continue
        with_it = [
            offer for offer, row in zip(offers, capabilities.rows, strict=True) if name in row.features
        ]
        allowed: Json = {"anyOf": with_it} if with_it else {"not": {}}
        yield {"if": strip(features[name]), "then": allowed}, feature.rule


def offer_schema(match: Mapping[str, tuple[str, ...]], capabilities: Capabilities) -> dict[str, Json]:
    """Return the JSON Schema of the bodies whose keys have one of these texts each, defaults included."""
    properties: dict[str, Json] = {}
    required = []
    for key, texts in match.items():
        properties[key] = {"enum": [form for text in texts for form in _forms(text)]}
        if key not in capabilities.defaults or to_text(capabilities.defaults[key]) not in texts:
            required.append(key)
    return ({"properties": properties} if properties else {}) | ({"required": required} if required else {})


def _forms(text: str) -> list[Json]:
    """Return the JSON values whose text this is: '5' is the string and the number."""
    if re.fullmatch(r"-?(0|[1-9]\d{0,14})", text, re.ASCII):
        return [text, int(text)]
    if re.fullmatch(r"-?(0|[1-9]\d{0,14})\.\d*[1-9]", text, re.ASCII):
        return [text, float(text)]
    return {"true": [text, True], "false": [text, False]}.get(text, [text])
