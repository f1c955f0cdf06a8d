"""Four minutes of coverage-guided fuzzing: no crash, no hang, no group that an event spoils, no growth."""

from pathlib import Path

import pytest

from tests.fuzz.fuzz_ingest import fuzz

SECONDS = 240


@pytest.mark.long
def test_no_input_that_coverage_leads_to_does_harm(tmp_path: Path):
    result = fuzz(seconds=SECONDS, kept=tmp_path)
    print(result.done)
    assert result.sound, (
        f"{result.said}\nthe input is in {tmp_path}; again: python -m tests.fuzz.fuzz_ingest --input"
    )
