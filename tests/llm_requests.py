"""What a sender does with one request to a language model: whose price, which kinds of tokens, how large, when.

Written from the schema of the list, not from the import: a model's `match`, a provider's fallbacks, and that every
token is of the most specific kind that the model has a price for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, TypeAlias, cast

Entry: TypeAlias = Mapping[str, Any]

KINDS = {"text", "audio", "image", "video", "tool", "reasoning", "5m", "1h"}


def find_model(providers: Sequence[Entry], provider_id: str, reference: str) -> tuple[str, Entry] | None:
    """The provider and the model whose prices hold: of the provider itself, or of one that it falls back to."""
    by_id = {each["id"]: each for each in providers}
    provider = by_id.get(provider_id)
    if provider is None:
        return None
    for each in (provider_id, *provider.get("fallback_model_providers", ())):
        for model in by_id[each]["models"]:
            if matches(model["match"], reference.lower()):
                return each, model
    return None


def matches(clause: Entry, text: str) -> bool:
    ((how, value),) = ((key, each) for key, each in clause.items() if key != "type")
    match how:
        case "starts_with":
            return text.startswith(value.lower())
        case "ends_with":
            return text.endswith(value.lower())
        case "contains":
            return value.lower() in text
        case "equals":
            return text == value.lower()
        case "regex":
            return re.search(value, text) is not None
        case "or":
            return any(matches(each, text) for each in value)
        case "and":
            return all(matches(each, text) for each in value)
        case other:
            raise AssertionError(f"the list matches models in a way that this test does not know: {other}")


def prices_on(model: Entry, at: datetime) -> Entry:
    """The prices that hold at an instant: of conditions the last that holds, the first where none does."""
    prices: Entry | list[Entry] = model["prices"]
    if not isinstance(prices, list):
        return prices
    for each in reversed(prices):
        if holds(each.get("constraint") or {}, at):
            return each["prices"]
    return prices[0]["prices"]


def holds(constraint: Entry, at: datetime) -> bool:
    if "start_date" in constraint:
        return at.date() >= date.fromisoformat(constraint["start_date"])
    if "start_time" in constraint:
        clock = at.timetz()
        return (
            time.fromisoformat(constraint["start_time"]) <= clock < time.fromisoformat(constraint["end_time"])
        )
    return True


def kinds_of(field: str) -> frozenset[str]:
    """What a kind of usage is made of: `cache_audio_read_mtok` and `cache_audio_read_tokens` are the same three."""
    words = re.sub(r"_(mtok|tokens)$", "", field).split("_")
    kinds = {word for word in words if word in KINDS}
    if "cache" in words:
        kinds |= {"input", "cache_read" if "read" in words else "cache_write"}
    return frozenset(kinds | ({"output"} if "output" in words else {"input"}))


def tokens_by_price(usage: Mapping[str, int], prices: Entry) -> Iterator[tuple[str, int]]:
    """How many tokens each price of the model is for: those of its kind that no more specific price takes."""
    counted = {kinds_of(name): count for name, count in usage.items() if name.endswith("_tokens")}
    priced = {kinds_of(field): field for field in prices if field.endswith("_mtok")}
    own: dict[frozenset[str], int] = {}
    for kinds in sorted(priced, key=len, reverse=True):
        own[kinds] = counted.get(kinds, 0) - sum(count for other, count in own.items() if other > kinds)
    for kinds, count in own.items():
        if count:
            yield priced[kinds], count


def bounds_of(prices: Entry) -> tuple[int, ...]:
    """At how many input tokens of a request some price of the model changes."""
    tiers: list[Entry] = [
        tier
        for price in prices.values()
        if isinstance(price, dict)
        for tier in cast("Sequence[Entry]", price["tiers"])
    ]
    return tuple(sorted({tier["start"] for tier in tiers}))


def size_of(prices: Entry, usage: Mapping[str, int]) -> str | None:
    """The value of `requestSize`, as docs/how-to-import-prices.md says it."""
    bounds = bounds_of(prices)
    total = usage.get("input_tokens", 0)
    if not bounds:
        return None
    return next((f"up-to-{bound}" for bound in bounds if total <= bound), f"over-{bounds[-1]}")
