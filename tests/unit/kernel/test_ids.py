"""Identifiers: the vectors of the ULID reference implementation, and what is refused."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from milo_billing.kernel.ids import ULID, id_ms, int_to_ulid, int_to_uuid, ulid, ulid_to_int, uuid7


@pytest.mark.shared
def test_the_vectors_of_the_reference_implementation_hold(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "standards" / "ulid" / "vectors.json").read_text())
    for text, ms in vectors["decode_time"]:
        assert id_ms(ulid_to_int(text)) == ms
    for ms, text in vectors["encode_time"]:
        assert ulid(ms, 0)[:10] == text


def test_a_ulid_is_read_in_any_case() -> None:
    assert ulid_to_int("01aryz6s41tsv4rrffq69g5fav") == ulid_to_int("01ARYZ6S41TSV4RRFFQ69G5FAV")


@pytest.mark.parametrize(
    "text",
    [
        "01ARYZ6S41TSV4RRFFQ69G5FA",
        "01ARYZ6S41TSV4RRFFQ69G5FAVV",
        "81ARYZ6S41TSV4RRFFQ69G5FAV",  # over 128 bits
        "01ARYZ6S41TSV4RRFFQ69G5FAU",  # Crockford has no U
        "01ARYZ6S41TSV4RRFFQ69G5FAI",
        "01ARYZ6S41TSV4RRFFQ69G5FA\n",
        "٠1ARYZ6S41TSV4RRFFQ69G5FAV",  # a digit of another script
        "",
    ],
)
def test_what_is_no_ulid_is_refused(text: str) -> None:
    assert ULID.fullmatch(text) is None
    with pytest.raises(ValueError, match="not a ULID"):
        ulid_to_int(text)


def test_uuid7_matches_the_example_of_rfc_9562() -> None:
    # appendix A.6: rand_a 0xCC3, rand_b 0b01 followed by 0x8C4DC0C0C07398F
    assert uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F) == UUID(
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F"
    )


def test_bits_out_of_bounds_are_refused() -> None:
    for ms, bits in ((-1, 0), (2**48, 0), (0, -1), (0, 2**80)):
        with pytest.raises(ValueError, match="bits of"):
            ulid(ms, bits)
    with pytest.raises(ValueError, match="random bits"):
        uuid7(0, 2**74)
    with pytest.raises(ValueError, match="128 bits"):
        int_to_ulid(2**128)


def test_the_same_bits_as_a_uuid() -> None:
    assert int_to_uuid(2**127 + 5).int == 2**127 + 5
