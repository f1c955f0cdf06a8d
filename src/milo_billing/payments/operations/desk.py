"""Where money is collected: what that needs besides a transaction. Also how a class of methods reaches its provider."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast
from uuid import UUID

from milo_billing.accounts.reads import methods as method_reads
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import BadRequest
from milo_billing.payments import reads, store
from milo_billing.payments.ports import PaymentProvider, Providers
from milo_billing.payments.rules.retries import RETRY_DAYS
from milo_billing.payments.types import GROUP, ProviderConfig, UnableToSetUp

SECRET_LENGTH_MAX: Final = 4096
SECRETS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Desk:
    """One a process. `gaps` are the days between attempts to collect an invoice."""

    engine: Engine
    vault: Vault
    providers: Providers
    gaps: tuple[int, ...] = RETRY_DAYS


def read_config(tx: Tx, desk: Desk, *, class_uid: UUID) -> ProviderConfig:
    """How the class reaches its provider, its secrets in clear. Raises UnableToSetUp where it has none."""
    name = method_reads.get_method_class_name(tx, uid=class_uid)
    kind = desk.engine.registry.get(GROUP, "paymentmethodclasses")
    found = desk.engine.find_object(tx, type(kind), namespace="", name=name)
    assert found is not None, "the projection goes with its object"
    sealed = reads.find_secrets(tx, class_uid=class_uid)
    if sealed is None:
        raise UnableToSetUp(
            f'payment method class "{name}" has no secrets: set them with `milo-billing payments secrets {name}`'
        )
    secrets = cast("Mapping[str, str]", desk.vault.open(tx, subject=class_uid, ciphertext=sealed))
    return ProviderConfig(name, found.spec.provider, dict(found.spec.parameters or {}), dict(secrets))


def open_provider(desk: Desk, config: ProviderConfig) -> PaymentProvider:
    """The client of a class's provider. Raises UnableToSetUp where this server cannot speak to it."""
    factory = desk.providers.get(config.provider)
    if factory is None:
        raise UnableToSetUp(
            f'payment method class "{config.name}": this server has no way to {config.provider}'
        )
    return factory(config)


def set_secrets(work: Work, desk: Desk, *, name: str, secrets: Mapping[str, str]) -> None:
    """Keep the secrets of a class, in place of all before; nobody can read them again.

    Raises BadRequest for what cannot be one, UnableToSetUp where the provider's client would not take them.
    """
    found = method_reads.find_method_class(work.tx, name=name)
    if found is None:
        raise BadRequest(f'payment method class "{name}" not found')
    if found.provider == "manual":
        raise BadRequest(f'payment method class "{name}" is manual: it calls nobody and has no secrets')
    if not secrets or len(secrets) > SECRETS_MAX:
        raise BadRequest(f"secrets: 1 to {SECRETS_MAX} names with values are wanted")
    if any(not value or len(value) > SECRET_LENGTH_MAX for value in secrets.values()):
        raise BadRequest(f"secrets: each is a text of 1 to {SECRET_LENGTH_MAX} characters")
    sealed = desk.vault.seal(work.tx, subject=found.uid, value=dict(secrets), at=work.now)
    store.put_secrets(work.tx, class_uid=found.uid, sealed=sealed, by=work.identity.user, at=work.now)
    open_provider(desk, read_config(work.tx, desk, class_uid=found.uid))
