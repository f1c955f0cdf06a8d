"""UCUM: codes of what providers meter, exact factors, and the whole table of the standard."""

from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import pytest

from milo_billing.catalog.rules.units import conversion_factor, parse_unit
from milo_billing.catalog.types import IncompatibleUnits, UnknownUnit


@pytest.mark.parametrize(
    ("metered", "priced", "factor"),
    [
        ("{token}", "10*6.{token}", "1/1000000"),
        ("{token}", "10*6{token}", "1/1000000"),
        ("{token}", "{request}", "1"),  # annotations are for people
        ("{request}", "1", "1"),
        ("{request}", "1000", "1/1000"),
        ("{request}", "10^3", "1/1000"),
        ("1", "%", "100"),
        ("By", "GBy", "1/1000000000"),
        ("By", "GiBy", "1/1073741824"),
        ("KiBy", "MiBy", "1/1024"),
        ("TiBy", "By", "1099511627776"),
        ("By", "bit", "8"),
        ("Mbit/s", "By/s", "125000"),
        ("By.s", "GiBy.h", "1/3865470566400"),
        ("GBy.mo", "GBy.h", "1461/2"),  # UCUM's month is 30.4375 days, whatever the calendar says
        ("s", "h", "1/3600"),
        ("s", "min", "1/60"),
        ("ms", "s", "1/1000"),
        ("h", "/s-1", "3600"),
        ("{vCPU}.s", "{vCPU}.h", "1/3600"),
        ("W.s", "kW.h", "1/3600000"),
        ("J", "kW.h", "1/3600000"),
        ("m2", "m.m", "1"),
        ("m/s", "m.s-1", "1"),
        ("kg.m/s2", "N", "1"),
        ("1/(4.s)", "/s", "1/4"),
        ("[iU]", "k[iU]", "1/1000"),
    ],
)
def test_factors_are_exact(metered: str, priced: str, factor: str):
    assert conversion_factor(from_unit=metered, to_unit=priced) == Fraction(factor)
    assert conversion_factor(from_unit=priced, to_unit=metered) == 1 / Fraction(factor)


@pytest.mark.parametrize(
    ("metered", "priced"),
    [
        ("By", "s"),
        ("By.s", "By/s"),
        ("By", "{request}"),  # UCUM calls a bit a number; a price for each request is not one for each byte
        ("m", "m2"),
        ("[iU]", "1"),  # arbitrary units convert into nothing else
        ("[iU]", "[USP'U]"),
    ],
)
def test_what_measures_something_else_does_not_convert(metered: str, priced: str):
    with pytest.raises(IncompatibleUnits, match="cannot be converted"):
        conversion_factor(from_unit=metered, to_unit=priced)


@pytest.mark.parametrize(
    "code",
    [
        "",
        " ",
        "bytes",
        "GB",
        "by",
        "requests",
        "0.5",  # a dot multiplies: 1.5 is five
        "By h",
        "By..h",
        "By/",
        "(By",
        "{a}{",
        "0",
        "m0",
        "é",
        "kmin",
    ],
)
def test_what_is_no_unit_is_refused(code: str):
    with pytest.raises(UnknownUnit):
        parse_unit(code)


@pytest.mark.parametrize("code", ["Cel", "[degF]", "[pH]", "B", "dB[V]", "bit_s"])
def test_scales_without_a_ratio_are_refused(code: str):
    with pytest.raises(UnknownUnit, match="scale without a ratio"):
        parse_unit(code)


@pytest.mark.parametrize("code", ["10*31", "m-31", "10*999999999999", "m" * 65])
def test_a_code_is_bounded(code: str):
    with pytest.raises(UnknownUnit):
        parse_unit(code)


def test_the_whole_table_of_the_standard(shared_data: Path):
    """Every unit is the value that the standard gives for it, in the unit that it is defined by."""
    space = "{http://unitsofmeasure.org/ucum-essence}"
    checked = 0
    for unit in (
        ElementTree.parse(shared_data / "standards" / "ucum-essence.xml").getroot().iter(f"{space}unit")
    ):
        code, value = unit.attrib["Code"], unit.find(f"{space}value")
        assert value is not None
        if unit.get("isSpecial") == "yes":
            with pytest.raises(UnknownUnit):
                parse_unit(code)
        elif unit.get("isArbitrary") == "yes" or code == "bit":
            assert parse_unit(code).powers == ((code, 1),)
        else:
            factor = conversion_factor(from_unit=code, to_unit=value.attrib["Unit"])
            assert factor == Fraction(value.attrib["value"]), code
            checked += 1
    assert checked > 230


def test_every_prefix_of_the_standard(shared_data: Path):
    space = "{http://unitsofmeasure.org/ucum-essence}"
    root = ElementTree.parse(shared_data / "standards" / "ucum-essence.xml").getroot()
    prefixes = {prefix.attrib["Code"]: prefix.find(f"{space}value") for prefix in root.iter(f"{space}prefix")}
    assert {"k", "Ki", "da", "y"} <= prefixes.keys()
    for code, value in prefixes.items():
        assert value is not None
        assert conversion_factor(from_unit=f"{code}By", to_unit="By") == Fraction(value.attrib["value"])
