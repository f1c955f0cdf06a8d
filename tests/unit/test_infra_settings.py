from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from milo_billing.infra.clock import SimulatedClock, SystemClock
from milo_billing.infra.settings import Settings


def test_the_environment_sets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILO_BILLING_DATA_DIR", "/srv/billing")
    monkeypatch.setenv("MILO_BILLING_API_PORT", "0")
    monkeypatch.setenv("MILO_BILLING_CERTIFICATE_NAMES", "billing.example.com, 10.0.0.7")
    monkeypatch.setenv("DATABASE_URL", "postgresql://b@db/billing")
    settings = Settings()
    assert settings.data_dir == Path("/srv/billing")
    assert settings.api_port == 0
    assert settings.certificate_names == ("billing.example.com", "10.0.0.7")
    assert settings.database_url == "postgresql://b@db/billing"


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://b@db/billing")
    monkeypatch.setenv("MILO_BILLING_API_PORT", "9")
    settings = Settings(database_url=None, api_port=10)
    assert (settings.database_url, settings.api_port) == (None, 10)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert Settings().database_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "70000"),
        ("CLOCK", "2026-10-01T00:00:00"),  # no zone
        ("LATE_DAYS_MAX", "-1"),
        ("RATES_URL", "http://rates.example.com/hist.zip"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MILO_BILLING_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_a_clock_setting_makes_a_clock_that_starts_there_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILO_BILLING_CLOCK", "2026-10-01T00:00:00Z")
    clock = Settings().make_clock()
    assert isinstance(clock, SimulatedClock)
    start = datetime(2026, 10, 1, tzinfo=UTC)
    first, second = clock.now(), clock.now()
    assert start <= first <= second < start + timedelta(minutes=1)


def test_the_usual_clock_is_the_machine() -> None:
    assert isinstance(Settings(clock="system").make_clock(), SystemClock)


def test_a_simulated_clock_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="aware"):
        SimulatedClock(datetime(2026, 10, 1, tzinfo=UTC).replace(tzinfo=None))


def test_a_resource_manager_is_named_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILO_BILLING_DIRECTORY_URL", "https://milo.example/")
    monkeypatch.setenv("MILO_BILLING_DIRECTORY_TOKEN_FILE", "/run/token")
    with pytest.raises(ValidationError, match="MILO_BILLING_DIRECTORY_CA_FILE must be set as well"):
        Settings()
    monkeypatch.setenv("MILO_BILLING_DIRECTORY_CA_FILE", "/run/ca.pem")
    assert Settings().directory_url == "https://milo.example"
    monkeypatch.setenv("MILO_BILLING_DIRECTORY_URL", "http://milo.example")
    with pytest.raises(ValidationError, match="https://"):
        Settings()


def test_a_schedule_is_cron_in_five_fields_or_six(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "MILO_BILLING_USAGE_ARCHIVE_SCHEDULE"
    for good in ("41 * * * *", "0,30 2-4 */2 1-12 0-7", "* * * * * */2"):
        monkeypatch.setenv(name, good)
        assert Settings().usage_archive_schedule == good
    for wrong in (
        "41 * * *",
        "60 * * * *",
        "* 4-2 * * *",
        "* * 0 * *",
        "*/0 * * * *",
        "soon * * * *",
        "* * * * * * *",
    ):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(ValidationError, match="usage_archive_schedule"):
            Settings()
