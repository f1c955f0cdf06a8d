"""What price lists say: OCI's ranges, Google's nanos, AWS's tiers, units in words. And what is wrong with them."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from milo_billing.catalog.rules.importing.aws import unit_price
from milo_billing.catalog.rules.importing.formats import Format, read_price_list
from milo_billing.catalog.rules.importing.metrics import read_metric
from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import PriceList

DAY = date(2026, 7, 1)


def read(format: Format, content: object, *, currency: str = "USD") -> PriceList:
    text = content if isinstance(content, str) else json.dumps(content)
    return read_price_list(text.encode(), format=format, source=format, currency=currency)


def steps(listed: PriceList, *, on: date = DAY) -> list[list[tuple[str, str]]]:
    assert listed.problems == ()
    return [
        [(f"{step.up_to}", f"{step.unit_price}") for step in price] for price in listed.prices_at(on).values()
    ]


def problem(listed: PriceList) -> tuple[str, str, str]:
    (found,) = listed.problems
    return found.entry, found.field, found.what


@pytest.mark.parametrize(
    ("words", "binary", "meter", "pricing"),
    [
        ("OCPU Per Hour", False, "{ocpu}.s", "{ocpu}.h"),
        ("1,000 Emails Sent", False, "{emails-sent}", "10*3.{emails-sent}"),
        ("1MIL Function Invocations", False, "{function-invocations}", "10*6.{function-invocations}"),
        ("Million Datapoints", False, "{datapoints}", "10*6.{datapoints}"),
        ("5K Messages Per Hour", False, "{messages}.s", "5000.{messages}.h"),
        ("10,000 GB Memory-Seconds", False, "MBy.s", "10*4.GBy.s"),
        ("Gigabyte Storage Capacity Per Month", False, "By", "GBy"),
        ("Gibibyte Memory Per Hour", False, "MiBy.s", "GiBy.h"),
        ("Minute of Output Media Content", False, "s", "min"),
        ("10,000 Requests per Month (first 50,000 free)", False, "{requests}", "10*4.{requests}"),
        ("Performance Units Per Gigabyte Per Month", False, *["{performance-units-per-gigabyte}"] * 2),
        ("Resource Possession Per Day", False, "{resource-possession}.s", "{resource-possession}.d"),
        ("GB", True, "By", "GiBy"),
        ("GB-seconds", True, "MiBy.s", "GiBy.s"),
        ("vCPU-hours", True, "{vcpu}.s", "{vcpu}.h"),
        ("1M minutes", True, "s", "10*6.min"),
        ("hours (1 DPU)", True, "s", "h"),
        ("kB", False, "By", "kBy"),
    ],
)
def test_units_in_words(words: str, binary: bool, meter: str, pricing: str):
    found = read_metric(words, binary=binary, field="metric")
    assert (found.meter_unit, found.pricing_unit) == (meter, pricing)


def oci(*prices: dict[str, Any], metric: str = "OCPU Per Hour", currency: str = "USD") -> dict[str, Any]:
    local = {"currencyCode": currency, "prices": [{"model": "PAY_AS_YOU_GO", **price} for price in prices]}
    part = {
        "partNumber": "B1",
        "displayName": "One",
        "metricName": metric,
        "currencyCodeLocalizations": [local],
    }
    return {"items": [part]}


def test_ranges_of_oci_are_graduated_in_any_order_and_the_last_is_open():
    ranges = [
        {"value": 32, "rangeMin": 100, "rangeMax": 999999999},
        {"value": 172, "rangeMin": 3, "rangeMax": 100},
        {"value": 640, "rangeMin": 0, "rangeMax": 1},
        {"value": 640, "rangeMin": 1, "rangeMax": 3},
    ]
    assert steps(read("oci", oci(*ranges))) == [[("3", "640"), ("100", "172"), ("None", "32")]]
    written = json.dumps(oci({"value": 0.125})).replace("0.125", "0.30970000000000000001")
    assert steps(read("oci", written)) == [[("None", "0.30970000000000000001")]]


@pytest.mark.parametrize(
    ("ranges", "field", "what"),
    [
        ([(0, 10), (11, 99)], "rangeMin", "is 11, but the range before it ends at 10"),
        ([(0, 10), (9, 99)], "rangeMin", "is 9, but the range before it ends at 10"),
        ([(5, 10)], "rangeMin", "is 5: nothing says what less than that costs"),
        ([(0, 0), (0, 99)], "rangeMax", "is 0, not above rangeMin, 0"),
    ],
)
def test_ranges_of_oci_that_leave_a_quantity_without_one_price_are_named(
    ranges: list[tuple[int, int]], field: str, what: str
):
    prices = [{"value": 1, "rangeMin": low, "rangeMax": high} for low, high in ranges]
    entry, path, said = problem(read("oci", oci(*prices)))
    assert (entry, path.rpartition(".")[2]) == ("B1", field)
    assert what in said


def test_prices_in_other_currencies_and_of_other_models_are_left_out_with_a_reason():
    (left_out,) = read("oci", oci({"value": 1}, currency="EUR")).left_out
    assert left_out.reason == "it has no price to pay as you go in USD"
    (left_out,) = read("oci", oci({"value": 1, "model": "MONTHLY_COMMIT"})).left_out
    assert left_out.entry == "B1"


def gcp(*infos: dict[str, Any], sku: str = "AA-1") -> dict[str, Any]:
    return {"skus": [{"skuId": sku, "description": "One", "pricingInfo": list(infos)}]}


def info(
    *rates: tuple[int, str, int], since: str | None = None, currency: str = "USD", **more: Any
) -> dict[str, Any]:
    tiers = [
        {"startUsageAmount": start, "unitPrice": {"currencyCode": currency, "units": units, "nanos": nanos}}
        for start, units, nanos in rates
    ]
    expression = {"usageUnit": "h", "baseUnit": "s", "tieredRates": tiers, **more}
    return {"pricingExpression": expression} | ({} if since is None else {"effectiveTime": since})


def test_nanos_of_google_are_exact_and_a_rate_begins_above_its_start():
    listed = read("gcp", gcp(info((1000, "1", 5), (0, "2", 933908000))))
    assert steps(listed) == [[("1000", "2.933908000"), ("None", "1.000000005")]]


def test_prices_of_google_hold_from_the_day_of_their_instant():
    listed = read(
        "gcp",
        gcp(info((0, "2", 0), since="2026-08-01T10:00:00Z"), info((0, "1", 0), since="2026-05-01T10:00:00Z")),
    )
    assert steps(listed, on=date(2026, 4, 30)) == []
    assert steps(listed) == [[("None", "1.000000000")]]
    assert steps(listed, on=date(2026, 8, 1)) == [[("None", "2.000000000")]]
    assert listed.days_after(DAY) == (date(2026, 8, 1),)


def test_the_lists_own_factor_goes_before_that_of_ucum():
    factor = 31 * 86_400 * 2**30
    listed = read(
        "gcp", gcp(info((0, "1", 0), usageUnit="GiBy.mo", baseUnit="By.s", baseUnitConversionFactor=factor))
    )
    assert listed.skus[0].pricing_unit == f"{factor}.By.s"
    same = read(
        "gcp",
        gcp(info((0, "1", 0), usageUnit="GiBy.h", baseUnit="By.s", baseUnitConversionFactor=3600 * 2**30)),
    )
    assert same.skus[0].pricing_unit == "GiBy.h"
    assert same.meters[0].unit == "MiBy.s"  # bytes times seconds would leave 64 bits


@pytest.mark.parametrize(
    ("entry", "field", "what"),
    [
        (info((5, "1", 0)), "startUsageAmount", "is 5 in the first rate"),
        (info((0, "1", 0), (0, "2", 0)), "startUsageAmount", "is the same in two rates"),
        (info((0, "0", -5)), "nanos", "amounts from zero on"),
        (info((0, "0", 10**9)), "nanos", "nanos are billionths"),
        (info((0, "1", 0), usageUnit="furlong"), "usageUnit", "not a unit of UCUM"),
    ],
)
def test_rates_of_google_that_cannot_be_charged_are_named(entry: dict[str, Any], field: str, what: str):
    _, path, said = problem(read("gcp", gcp(entry)))
    assert path.rpartition(".")[2] == field
    assert what in said


CHARGES = "resource,component,monthly_qty,unit,monthly_cost_usd\n"
UNIT_PRICES = "resource,component,unit_price_usd,per_unit\n"


def test_rows_of_aws_that_follow_one_another_are_the_tiers_of_one_price():
    rows = (
        "r,D (first 10TB),0.09,GB\nr,D (next 40TB),0.085,GB\nr,D (over 50TB),0.05,GB\nr,D (first 10TB),1,GB\n"
    )
    listed = read("aws", UNIT_PRICES + rows)
    assert steps(listed) == [[("10240", "0.09"), ("51200", "0.085"), ("None", "0.05")]]
    assert [each.reason for each in listed.left_out] == ["nothing says what more than the first 10TB costs"]


def test_a_filled_tier_is_as_wide_as_what_was_charged_in_it():
    rows = "r,D (first 1PB),1000000,GB,10000.00\nr,D (over 1PB),2000000,GB,8000.00\n"
    assert steps(read("aws", CHARGES + rows)) == [[("1000000", "0.01"), ("None", "0.004")]]


def test_what_a_row_passes_over_is_free():
    rows = "r,Mail (over 1k),2.00,100k notifications\n"
    assert steps(read("aws", UNIT_PRICES + rows)) == [[("0.01", "0"), ("None", "2.00")]]


@pytest.mark.parametrize(
    ("charge", "quantity", "price"),
    [
        ("3150.00", "9000", "0.35"),
        ("10.00", "10001", "0.001"),  # 10.001 is charged as 10.00
        ("100000.20", "6000000000", "0.0000166667"),
        ("0.00", "7", "0"),
        ("0.02", "0.3472", "0.06"),
    ],
)
def test_the_unit_price_of_a_charge_has_the_fewest_digits_that_give_it(
    charge: str, quantity: str, price: str
):
    assert unit_price(Decimal(charge), Decimal(quantity)) == Decimal(price)


def offer(*ranges: dict[str, str], since: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    """A file of one product, in the form of AWS's price list service: its terms as ranges of a price."""
    return {
        "formatVersion": "v1.0",
        "offerCode": "AmazonS3",
        "products": {
            "WP9A": {
                "sku": "WP9A",
                "productFamily": "Storage",
                "attributes": {"servicename": "Amazon S3", "usagetype": "TimedStorage", "location": "Ohio"},
            }
        },
        "terms": {"OnDemand": {"WP9A": term("1", *ranges, since=since)}, "Reserved": {}},
    }


def term(code: str, *ranges: dict[str, str], since: str) -> dict[str, Any]:
    dimensions: dict[str, dict[str, Any]] = {
        f"WP9A.{code}.{number}": {
            "rateCode": f"WP9A.{code}.{number}",
            "description": "in words",
            "beginRange": each.get("from", "0"),
            "endRange": each.get("to", "Inf"),
            "unit": each.get("unit", "GB-Mo"),
            "pricePerUnit": {each.get("currency", "USD"): each["price"]},
            "appliesTo": [],
        }
        for number, each in enumerate(ranges)
    }
    return {f"WP9A.{code}": {"sku": "WP9A", "effectiveDate": since, "priceDimensions": dimensions}}


TIERS = (
    {"from": "51200", "to": "512000", "price": "0.0220000000"},
    {"to": "51200", "price": "0.0230000000"},
    {"from": "512000", "price": "0.0210000000"},
)


def test_an_offer_file_of_aws_is_graduated_by_its_ranges():
    listed = read("aws", offer(*TIERS))
    assert steps(listed) == [[("51200", "0.023"), ("512000", "0.022"), ("None", "0.021")]]
    (sku,) = listed.skus
    assert (sku.name, sku.display_name, sku.invoice_group) == ("aws.wp9a", "TimedStorage, Ohio", "Amazon S3")
    assert (sku.match, sku.pricing_unit) == ((("sku", ("WP9A",)),), "GiBy")
    assert steps(read("aws", "\ufeff " + json.dumps(offer({"price": "2"})))) == [[("None", "2")]]


@pytest.mark.parametrize(
    ("unit", "meter", "pricing"),
    [
        ("GB-Mo", "By", "GiBy"),
        ("Hrs", "s", "h"),
        ("LCU-Hrs", "{lcu}.s", "{lcu}.h"),
        ("Requests", *["{requests}"] * 2),
        ("Lambda-GB-Second", "MiBy.s", "GiBy.s"),
        ("IOPS-Mo", *["{iops}"] * 2),
    ],
)
def test_the_short_units_of_an_offer_file(unit: str, meter: str, pricing: str):
    listed = read("aws", offer({"price": "100.0000000000", "unit": unit}))
    assert (listed.meters[0].unit, listed.skus[0].pricing_unit) == (meter, pricing)
    assert steps(listed) == [[("None", "100")]]


def test_a_later_term_of_an_offer_file_is_a_later_price():
    more = term("1", {"price": "1"}, since="2026-01-01") | term("2", {"price": "3"}, since="2026-08-01")
    listed = read("aws", offer({"price": "1"}) | {"terms": {"OnDemand": {"WP9A": more}}})
    assert steps(listed) == [[("None", "1")]]
    assert listed.days_after(DAY) == (date(2026, 8, 1),)
    assert steps(listed, on=date(2026, 8, 1)) == [[("None", "3")]]


def test_what_an_offer_file_does_not_sell_by_usage_is_left_out():
    reserved: dict[str, Any] = {"terms": {"Reserved": {}}}
    for content, reason in (
        (offer({"price": "1", "currency": "CNY"}), "its prices are in CNY"),
        (offer(), "it has no price on demand"),
        (offer({"price": "1"}) | reserved, "it has no price on demand"),
    ):
        listed = read("aws", content)
        assert [(each.entry, each.reason) for each in listed.left_out] == [("WP9A", reason)]
        assert listed.skus == ()


PATH = "terms.OnDemand.WP9A.WP9A.1.priceDimensions.WP9A.1."


@pytest.mark.parametrize(
    ("ranges", "field", "what"),
    [
        ([{"from": "5", "price": "1"}], f"{PATH}0.beginRange", "nothing says what less than that costs"),
        ([{"to": "5", "price": "1"}], f"{PATH}0.endRange", "nothing says what more than that costs"),
        ([{"to": "5", "price": "1"}, {"from": "6", "price": "2"}], f"{PATH}1.beginRange", "ends at 5"),
        ([{"price": "1"}, {"price": "2"}], f"{PATH}1.beginRange", "has no end"),
        ([{"price": "-1"}], f"{PATH}0.pricePerUnit.USD", "amounts from zero on"),
        ([{"to": "5", "price": "1"}, {"from": "5", "price": "1", "unit": "Hrs"}], f"{PATH}0.unit", "GB-Mo and Hrs"),
    ],
)  # fmt: skip
def test_bad_ranges_of_an_offer_file_are_named(ranges: list[dict[str, str]], field: str, what: str):
    found = problem(read("aws", offer(*ranges)))
    assert found[:2] == ("WP9A", field)
    assert what in found[2]


def test_an_offer_file_with_two_terms_of_one_day_is_ambiguous():
    more = term("1", {"price": "1"}, since="2026-01-01") | term("2", {"price": "3"}, since="2026-01-01")
    content = offer({"price": "1"}) | {"terms": {"OnDemand": {"WP9A": more}}}
    assert problem(read("aws", content))[1:] == (
        "terms.OnDemand.WP9A.WP9A.2.effectiveDate",
        "is 2026-01-01 in two terms: one of them must hold",
    )


def test_bad_rows_of_aws_are_named_by_their_line():
    listed = read("aws", UNIT_PRICES + "r,A,free,GB\nr,B,-1,GB\nr,C,1,GB\n")
    assert [each.entry for each in listed.problems] == ["line 2: r/A", "line 3: r/B"]
    assert len(listed.skus) == 1


@pytest.mark.parametrize(
    ("format", "content", "what"),
    [
        ("oci", {"skus": []}, "no price list of OCI"),
        ("gcp", {"items": []}, "no price list of Google Cloud"),
        ("llm", [{"id": "x"}], "has no models"),
        ("llm", {"items": []}, "is no list"),
        ("aws", "a,b\n1,2\n", "The header has no prices in USD: a, b"),
        ("aws", {"items": []}, "This is no offer file of AWS: it has no products and terms."),
        ("oci", "{", "This is not JSON"),
        ("llm", '[{"id": "x", "models": [{"id": "m", "prices": {"input_mtok": NaN}}]}]', "This is not JSON"),
    ],
)
def test_a_file_of_another_format_is_refused_as_a_whole(format: Format, content: object, what: str):
    with pytest.raises(UnableToReadPrices, match=what):
        read(format, content)


def test_a_list_of_language_models_is_in_dollars_whatever_the_book_is_in():
    with pytest.raises(UnableToReadPrices, match="not in CHF"):
        read("llm", [], currency="CHF")


@pytest.mark.parametrize(
    ("prices", "field", "what"),
    [
        ({"input_mtok": -1}, "prices.input_mtok", "amounts from zero on"),
        ({"input_mtok": "dear"}, "prices.input_mtok", "is no number"),
        ({"input_mtok": True}, "prices.input_mtok", "is no number"),
        ({"input_bushels": 1}, "prices.input_bushels", "does not say what it is the price of"),
        ({"input_mtok": {"base": 1}}, "prices.input_mtok.tiers", "is no list but missing"),
        (
            {"input_mtok": {"base": 1, "tiers": [{"start": 9, "price": 2}, {"start": 9, "price": 3}]}},
            "prices.input_mtok.tiers[1].start",
            "not above the tier before it",
        ),
        (
            [{"constraint": {"start_time": "00:30:10Z", "end_time": "01:00Z"}, "prices": {}}],
            "prices[0].constraint.start_time",
            "no whole minute",
        ),
        ([{"constraint": {"weekday": 3}, "prices": {}}], "prices[0].constraint.weekday", "does not know"),
    ],
)
def test_prices_of_a_model_that_cannot_be_read_are_named(prices: object, field: str, what: str):
    models = [{"id": "m", "prices": prices}, {"id": "n", "prices": {"input_mtok": 1}}]
    listed = read("llm", [{"id": "p", "models": models}])
    entry, path, said = problem(listed)
    assert (entry, path) == ("p/m", field)
    assert what in said
    assert len(listed.skus) == 1


def test_models_whose_names_differ_are_different_skus_and_the_same_one_twice_is_a_problem():
    names = ["a/b", "a-b", "A/B", "a.b", "a..b", "x" * 300]
    models = [{"id": name, "prices": {"input_mtok": 1, "output_mtok": 1}} for name in names]
    listed = read("llm", [{"id": "p", "models": models}])
    assert len({sku.name for sku in listed.skus}) == 2 * len(names)
    assert max(len(sku.name) for sku in listed.skus) <= 253
    twice = read("llm", [{"id": "p", "models": [models[0], models[0]]}])
    assert {each.entry for each in twice.problems} == {"p/a/b"}
