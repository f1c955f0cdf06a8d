"""Reading a usage file: what an import sends, and how it refuses."""

import hashlib
import io
from typing import Any

import pytest

from milo_billing.client.errors import UnableToImport
from milo_billing.client.tables import TableMapping, check_table, guess_format, read_events

MAPPING = TableMapping(
    meter="llm.example/tokens",
    project="chat",
    time_column="TIMESTAMP",
    value_column="Tokens",
    dimensions={"model": "Model"},
    format="csv",
)
GOOD = b"TIMESTAMP,Tokens,Model\n2023-11-16 18:17:03.9799600,4808,small\n2023-11-16 18:17:04,+10,\n"


def events_of(content: bytes, mapping: TableMapping = MAPPING) -> list[dict[str, Any]]:
    file = io.BytesIO(content)
    checked = check_table(file, mapping, where="trace.csv")
    events = list(read_events(file, mapping, where="trace.csv", checked=checked))
    assert checked.rows == len(events)
    return events


def refusal_of(content: bytes, mapping: TableMapping = MAPPING) -> UnableToImport:
    with pytest.raises(UnableToImport) as caught:
        check_table(io.BytesIO(content), mapping, where="trace.csv")
    return caught.value


def test_rows_become_events_in_their_order():
    assert events_of(GOOD) == [
        {
            "row": 1,
            "project": "chat",
            "meter": "llm.example/tokens",
            "time": "2023-11-16T18:17:03.979960Z",
            "value": "4808",
            "dimensions": {"model": "small"},
        },
        {
            "row": 2,
            "project": "chat",
            "meter": "llm.example/tokens",
            "time": "2023-11-16T18:17:04Z",
            "value": "10",
            "dimensions": {},  # an empty cell leaves the dimension out
        },
    ]


def test_the_digest_is_that_of_the_whole_file():
    checked = check_table(io.BytesIO(GOOD), MAPPING, where="trace.csv")
    assert checked.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert (checked.rows, checked.size) == (2, len(GOOD))


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + GOOD,  # the byte order mark that spreadsheets write
        GOOD + b"\n\n",
        GOOD.rstrip(b"\n"),
        GOOD.replace(b"small", b'"small"'),
    ],
    ids=["carriage returns", "byte order mark", "blank lines at the end", "no last newline", "quotes"],
)
def test_what_spreadsheets_do_to_a_file_does_not_matter(content: bytes):
    assert events_of(content) == events_of(GOOD)


def test_a_missing_column_is_named_with_those_that_exist():
    error = refusal_of(b"time,Tokens,Model\n2023-11-16T18:17:04Z,1,small\n")
    assert error.what == "The file has no column TIMESTAMP."
    assert "time, Tokens, Model" in error.next_step
    assert "Nothing was imported" in error.next_step


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b"yesterday,1,small", "row 2 (line 3), column TIMESTAMP: expected an RFC 3339 time"),
        (b"2023-11-16T18:17:04Z,12.5,small", "row 2 (line 3), column Tokens: expected a whole number"),
        (b"2023-11-16T18:17:04Z,,small", "got nothing"),
        (b"2023-11-16T18:17:04Z,9223372036854775808,small", "got '9223372036854775808'"),
        (b"2023-11-16T18:17:04Z,1", "column (all): expected 3 cells, as in the header, got 2 cells"),
        ("2023-11-16T18:17:04Z,١,small".encode(), "column Tokens: expected a whole number"),
    ],
)
def test_a_bad_row_says_where_what_was_expected_and_what_came(row: bytes, expected: str):
    error = refusal_of(b"TIMESTAMP,Tokens,Model\n2023-11-16T18:17:03Z,1,small\n" + row + b"\n")
    assert error.what.startswith("1 of 2 rows cannot be read as usage:")
    assert expected in error.what
    assert error.next_step == "Nothing was imported. Correct the file and import it again."


def test_many_bad_rows_are_counted_and_the_first_ten_shown():
    error = refusal_of(b"TIMESTAMP,Tokens,Model\n" + b"never,1,small\n" * 25)
    assert error.what.startswith("25 of 25 rows cannot be read as usage:")
    assert error.what.count("\n  row ") == 10
    assert "and 15 more" in error.what


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "The file is empty."),
        (b'TIMESTAMP,Tokens,Model\n2023-11-16T18:17:03Z,1,"open\n', "is not CSV"),
        (b"TIMESTAMP,Tokens,Model\n2023-11-16T18:17:03Z,1,\xff\xfe\n", "The file is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content: bytes, what: str):
    assert what in refusal_of(content).what


def test_json_lines_take_numbers_and_text():
    mapping = TableMapping("m", "p", "at", "n", {"model": "model"}, "jsonl")
    content = (
        b'{"at": "2023-11-16T18:17:03Z", "n": 7, "model": "small"}\n\n{"at":"2023-11-16T18:17:04Z","n":"8"}\n'
    )
    assert [(e["row"], e["value"], e["dimensions"]) for e in events_of(content, mapping)] == [
        (1, "7", {"model": "small"}),
        (2, "8", {}),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"[1]", "a JSON object"),
        (b"{", "a JSON object"),
        (b'{"at": "2023-11-16T18:17:03Z", "n": true}', "a whole number"),
        (b'{"at": "2023-11-16T18:17:03Z", "n": 1.5}', "a whole number"),
        (b'{"at": 1700158623, "n": 1}', "a time such as"),
        (b'{"at": "2023-11-16T18:17:03Z", "n": 1, "model": ["a"]}', "text or a whole number"),
    ],
)
def test_a_bad_json_line_is_a_bad_row(line: bytes, expected: str):
    mapping = TableMapping("m", "p", "at", "n", {"model": "model"}, "jsonl")
    good = b'{"at": "2023-11-16T18:17:03Z", "n": 1}\n'
    assert "row 2 (line 2), column" in (what := refusal_of(good + line + b"\n", mapping).what)
    assert expected in what


def test_a_file_that_changes_between_checking_and_sending_is_noticed():
    file = io.BytesIO(GOOD)
    checked = check_table(file, MAPPING, where="trace.csv")
    changed = io.BytesIO(GOOD.replace(b"4808", b"4809"))
    with pytest.raises(UnableToImport, match="changed while it was being imported"):
        list(read_events(changed, MAPPING, where="trace.csv", checked=checked))


def test_the_format_follows_the_name(tmp_path: Any):
    assert guess_format(tmp_path / "a.csv") == "csv"
    assert guess_format(tmp_path / "a.JSONL") == "jsonl"
    assert guess_format(tmp_path / "a.ndjson") == "jsonl"
    assert guess_format(tmp_path / "a.txt") == "csv"


def test_the_mapping_is_the_same_document_whatever_the_order_of_dimensions():
    one = TableMapping("m", "p", "t", "v", {"a": "A", "b": "B"}, "csv")
    other = TableMapping("m", "p", "t", "v", {"b": "B", "a": "A"}, "csv")
    assert list(one.document()["dimensions"]) == list(other.document()["dimensions"])
