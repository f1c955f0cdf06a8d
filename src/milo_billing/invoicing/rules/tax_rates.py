"""What a TaxRate and a registration must say so that they can be applied."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from milo_billing.kernel.errors import FieldError
from milo_billing.kernel.taxes import EUROPEAN_UNION, TaxPlace, TaxRateEntry


def read_rate(spec: Mapping[str, Any]) -> tuple[TaxRateEntry, date, date | None]:
    """The rate that a TaxRate's fields declare, its first day, and the day after its last.

    At 0 percent it is exempt where a reason is given, else zero rated.
    """
    percent = Decimal(spec["percent"])
    code = "S" if percent else "E" if spec["reason"] else "Z"
    ends_on = spec["ends_on"]
    return (
        TaxRateEntry(
            place=TaxPlace(spec["country"], spec["region"]),
            name=spec["tax"],
            category=spec["tax_category"],
            code=code,
            percent=percent,
            reason=spec["reason"],
            reason_code=spec["reason_code"],
        ),
        date.fromisoformat(spec["starts_on"]),
        None if ends_on is None else date.fromisoformat(ends_on),
    )


def rate_errors(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    """What the form of a TaxRate's fields alone does not show."""
    percent = Decimal(spec["percent"])
    if percent > 100:
        yield _invalid("spec.percent", spec["percent"], "must be at most 100")
    for field in ("reason", "reason_code"):
        if spec[field] and (percent or not spec["reason"]):
            message = "needs percent 0" if percent else "needs a reason beside it"
            yield _invalid(
                "spec.reasonCode" if field == "reason_code" else "spec.reason", spec[field], message
            )
    yield from day_errors("spec.startsOn", spec["starts_on"], "spec.endsOn", spec["ends_on"])


def registration_errors(field: str, body: Mapping[str, Any]) -> Iterator[FieldError]:
    """What is wrong with one entry of an issuer's taxRegistrations."""
    yield from day_errors(f"{field}.since", body.get("since"), f"{field}.until", body.get("until"))
    if body["oneStopShop"] and body["country"] not in EUROPEAN_UNION:
        yield _invalid(f"{field}.oneStopShop", "true", "is for registrations in a member state of the Union")


def day_errors(first_field: str, first: str | None, end_field: str, end: str | None) -> Iterator[FieldError]:
    """What is wrong with the days `[first, end)`, given as YYYY-MM-DD; None is without bound."""
    known: list[date] = []
    for field, text in ((first_field, first), (end_field, end)):
        if text is None:
            continue
        try:
            known.append(date.fromisoformat(text))
        except ValueError:
            yield _invalid(field, text, "must be a day of the calendar, YYYY-MM-DD")
            return
    if len(known) == 2 and known[0] >= known[1]:
        yield _invalid(end_field, end or "", f"must be after {first}")


def _invalid(field: str, value: str, message: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f'Invalid value: "{value}": {message}')
