"""The composition root: which kinds, routes and jobs make up each process. Every port meets its implementation here."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING
from uuid import UUID

import orjson
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from milo_billing.access import jobs as access_jobs
from milo_billing.access import resources as access_resources
from milo_billing.access import routes as access_routes
from milo_billing.access.operations import TokenAuthorizer
from milo_billing.accounts import routes as accounts_routes
from milo_billing.accounts.resources import kinds as accounts_resources
from milo_billing.accounts.resources.accounts import LATE_DAYS_MAX, BillingAccount
from milo_billing.accounts.resources.bindings import BillingAccountBinding
from milo_billing.accounts.types import Rebinding
from milo_billing.adapters.bank_files import read_refusals, read_statements, write_debits, write_transfers
from milo_billing.adapters.child_documents import ChildDocuments
from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.app import endpoints
from milo_billing.app.ledger_ports import above_the_books
from milo_billing.app.postman import build_postman
from milo_billing.catalog.resources import kinds as catalog_resources
from milo_billing.commitments import jobs as commitments_jobs
from milo_billing.commitments import routes as commitments_routes
from milo_billing.commitments.resources import kinds as commitments_resources
from milo_billing.controlplane import openapi
from milo_billing.controlplane.api import ResourceApi
from milo_billing.controlplane.bulk_door import BulkDoor
from milo_billing.controlplane.collecting import collect_dependants
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import Edge, build_application
from milo_billing.controlplane.engine import COLLECT, Engine
from milo_billing.controlplane.feed import ChangeFeed
from milo_billing.controlplane.kinds import AnyKind, Registry
from milo_billing.controlplane.specifications import Specifications
from milo_billing.controlplane.store import Store
from milo_billing.controlplane.watching import Watching, prune_changes
from milo_billing.directory import resources as directory_resources
from milo_billing.directory.jobs import Following
from milo_billing.directory.operations import Mirror, OrganizationNamespaces
from milo_billing.directory.resources import Organization, Project
from milo_billing.entitlements import jobs as entitlements_jobs
from milo_billing.entitlements import routes as entitlements_routes
from milo_billing.entitlements.resources import kinds as entitlements_resources
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.runtime import Runtime
from milo_billing.infra.settings import Settings
from milo_billing.invoicing import routes as invoicing_routes
from milo_billing.invoicing.engine.press import Presses
from milo_billing.invoicing.jobs.daily import daily_tasks
from milo_billing.invoicing.jobs.printing import printing_tasks
from milo_billing.invoicing.jobs.runs import run_tasks
from milo_billing.invoicing.jobs.vat_numbers import vat_tasks
from milo_billing.invoicing.operations import late_interest
from milo_billing.invoicing.operations.office import Office, Pen
from milo_billing.invoicing.resources import kinds as invoicing_resources
from milo_billing.invoicing.resources.kinds import CreditGrant
from milo_billing.ledger import jobs as ledger_jobs
from milo_billing.ledger import routes as ledger_routes
from milo_billing.notices import jobs as notices_jobs
from milo_billing.notices import resources as notices_resources
from milo_billing.notices import routes as notices_routes
from milo_billing.notices.resources import NotificationChannel
from milo_billing.payments import jobs as payments_jobs
from milo_billing.payments import resources as payments_resources
from milo_billing.payments.operations.desk import Desk
from milo_billing.payments.ports import PaymentProvider, Providers
from milo_billing.payments.routes import bank as bank_routes
from milo_billing.payments.routes import collection as payments_routes
from milo_billing.payments.routes import debits as debit_routes
from milo_billing.payments.routes import payouts as payout_routes
from milo_billing.payments.routes import transfers as transfer_routes
from milo_billing.payments.rules.dunning import Schedule
from milo_billing.payments.types import ProviderConfig, UnableToSetUp
from milo_billing.pricing import jobs as pricing_jobs
from milo_billing.pricing import resources as pricing_resources
from milo_billing.pricing import routes as pricing_routes
from milo_billing.usage import jobs as usage_jobs
from milo_billing.usage import resources as usage_resources
from milo_billing.usage.engine.archive import Archive, Archivist
from milo_billing.usage.engine.pipeline import UsageEngine
from milo_billing.usage.engine.replay import Replayer
from milo_billing.usage.routes import events as event_routes
from milo_billing.usage.routes import ingest as usage_routes
from milo_billing.usage.routes import quarantine as quarantine_routes
from milo_billing.usage.routes import retention as retention_routes
from milo_billing.usage.routes.gateway import ShortWay

if TYPE_CHECKING:
    from milo_billing.adapters.remote_directory import RemoteDirectory

BACKGROUND_NICE = 19
"""How far the process that writes PDFs ahead lets everybody else go first."""

CHANGES_KEPT = 200_000
"""Changes that a watch may resume over; older ones are pruned, and a watcher that is further behind lists again."""


def build_registry(
    *,
    require_payment_profile: bool = True,
    rebinding: Rebinding = "supersede",
    late_days_max: int = LATE_DAYS_MAX,
    mirrored_from: str | None = None,
    notices_to_loopback: bool = False,
    pen: Pen | None = None,
) -> Registry:
    """Every kind, in the order of the story: who, what is sold, what is owed.

    `mirrored_from`: the URL of the resource manager that organizations and projects are mirrored from, if they are.
    `pen` writes the invoices that a declaration asks for; a registry that only describes the kinds has none.
    """
    modules = (
        directory_resources,
        access_resources,
        notices_resources,
        accounts_resources,
        catalog_resources,
        entitlements_resources,
        usage_resources,
        pricing_resources,
        commitments_resources,
        invoicing_resources,
        payments_resources,
    )
    configured: dict[type[AnyKind], AnyKind] = {
        Organization: Organization(mirrored_from=mirrored_from),
        Project: Project(mirrored_from=mirrored_from),
        BillingAccount: BillingAccount(
            require_payment_profile=require_payment_profile,
            late_days_max=late_days_max,
            open_interest=late_interest.list_open,
        ),
        BillingAccountBinding: BillingAccountBinding(rebinding=rebinding),
        NotificationChannel: NotificationChannel(loopback=notices_to_loopback),
        CreditGrant: CreditGrant(pen=pen),
    }
    return Registry(
        tuple(configured.get(kind) or kind() for module in modules for kind in module.KINDS),
        reviews=tuple(review() for review in entitlements_resources.REVIEWS),
    )


@dataclass(frozen=True, slots=True)
class Declarative:
    """The declarative engine with what it stands on."""

    registry: Registry
    engine: Engine
    door: Door


def build_declarative(runtime: Runtime) -> Declarative:
    """The engine of one process, over its own pools."""
    settings = runtime.settings
    registry = build_registry(
        require_payment_profile=settings.accounts_require_payment_profile,
        rebinding=settings.accounts_rebinding,
        late_days_max=settings.late_days_max,
        mirrored_from=settings.directory_url,
        notices_to_loopback=settings.notices_to_loopback,
        pen=Pen(runtime.vault, mails=settings.smtp_host is not None),
    )
    authorizer = TokenAuthorizer()
    engine = Engine(
        registry=registry,
        store=Store(runtime.vault),
        namespaces=OrganizationNamespaces(plain=runtime.settings.plain_namespaces),
        authorizer=authorizer,
        clock=runtime.clock,
    )
    door = Door(database=runtime.databases.app, authorizer=authorizer, clock=runtime.clock)
    return Declarative(registry, engine, door)


def prepare(runtime: Runtime) -> None:
    """Have what must stand in the database before anybody can ask: the built-in roles. Safe to repeat."""
    engine = build_declarative(runtime).engine
    with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
        access_jobs.bootstrap(engine, tx, now=runtime.clock.now())


def build_api(runtime: Runtime) -> Starlette:
    """The API: declared resources, and the slices' own endpoints beside them."""
    declarative = build_declarative(runtime)
    engine, door = declarative.engine, declarative.door
    feed = ChangeFeed(runtime.conninfo, engine.store, declarative.registry)
    runtime.checks["change feed"] = feed.problem
    blobs = open_blobs(runtime)
    office, documents, checker = open_office(runtime, engine), ChildDocuments(), RuleChecker()
    threads = CapacityLimiter(runtime.settings.api_connections_max)
    edge = Edge(
        api=ResourceApi(engine, door),
        watching=Watching(feed, engine.store, runtime.databases.app, runtime.clock),
        registry=declarative.registry,
        product_version=version("milo-billing"),
        documents={
            **openapi.documents(declarative.registry),
            endpoints.DOCUMENT: orjson.dumps(endpoints.api_document()),
        },
        threads=threads,
    )
    routes: list[BaseRoute] = [
        *access_routes.routes(door),
        *notices_routes.routes(door, engine, runtime.vault),
        *accounts_routes.routes(door),
        *usage_routes.read_routes(door),
        *quarantine_routes.routes(door),
        *event_routes.routes(door, blobs),
        *commitments_routes.routes(door, declarative.registry),
        *retention_routes.routes(door, Archive(blobs), build_archivist(runtime, blobs)),
        *entitlements_routes.routes(door),
        *pricing_routes.routes(door),
        *invoicing_routes.routes(door, office, documents, blobs),
        *invoicing_routes.credit_routes(door),
        *invoicing_routes.interest_routes(door, office),
        *invoicing_routes.printing_routes(door),
        *invoicing_routes.validation_routes(door, office, documents, checker),
        *ledger_routes.routes(door, above_the_books()),
        *payments_routes.routes(door, open_desk(runtime, engine)),
        *bank_routes.routes(door, office, read_statements),
        *payout_routes.routes(door, engine),
        *debit_routes.routes(door, office, write_debits, read_refusals),
        *transfer_routes.routes(door, office, write_transfers),
        *BulkDoor(engine, door, threads).routes(),
        *edge.routes(),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        feed.start(loop)
        runtime.drains.append(lambda: loop.call_soon_threadsafe(feed.drain))
        try:
            yield
        finally:
            await asyncio.to_thread(feed.stop)
            await asyncio.to_thread(checker.close)
            await asyncio.to_thread(documents.close)

    return build_application(routes, lifespan=lifespan)


def open_office(runtime: Runtime, engine: Engine) -> Office:
    """Where invoices are issued; it asks the register of VAT numbers that the settings name, if they name one."""
    settings = runtime.settings
    mails, ahead = settings.smtp_host is not None, settings.documents_ahead_percent > 0
    if settings.vies_url is None:
        return Office(engine, runtime.vault, mails=mails, prints_ahead=ahead)
    from milo_billing.adapters.vies_register import ViesRegister  # most servers never call out for it

    register = ViesRegister(settings.vies_url, settings.vies_requester)
    return Office(engine, runtime.vault, mails=mails, prints_ahead=ahead, register=register)


def open_blobs(runtime: Runtime) -> FolderBlobs:
    """Where archived days of usage lie."""
    settings = runtime.settings
    return FolderBlobs(settings.usage_archive_dir or settings.data_dir / "archive")


def build_archivist(runtime: Runtime, blobs: FolderBlobs) -> Archivist:
    """Who brings days of usage into the archive, by this server's settings."""
    settings = runtime.settings
    return Archivist(
        runtime.databases.ingest,
        blobs,
        retention_days=settings.usage_retention_days,
        kept_years=settings.usage_archive_years,
    )


def build_gateway(runtime: Runtime) -> ShortWay:
    """The ingest of usage, behind the same door as the API."""
    door = build_declarative(runtime).door
    usage = UsageEngine(
        runtime.databases.ingest,
        process=new_uid(),
        random_bits=random_bits,
        late_days_max=runtime.settings.late_days_max,
    )
    runtime.checks["usage"] = usage.problem

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        usage.start()
        try:
            yield
        finally:
            await asyncio.to_thread(usage.stop)

    documents = Specifications({endpoints.DOCUMENT: orjson.dumps(endpoints.gateway_document())})
    routes, doors = usage_routes.routes(door, usage)
    return ShortWay(build_application([*routes, *documents.v3_routes()], lifespan=lifespan), doors)


def worker_tasks(runtime: Runtime) -> tuple[Periodic | Task, ...]:
    """What workers do: by the clock, and when somebody defers it."""

    def prune(timestamp: int) -> None:
        del timestamp
        with runtime.databases.job.transaction(reach=EVERYWHERE) as tx:
            prune_changes(tx, keep=CHANGES_KEPT)

    engine = build_declarative(runtime).engine
    office = open_office(runtime, engine)

    def collect(owner: str) -> None:
        collect_dependants(engine, runtime.databases.app, owner=UUID(owner))

    return (
        Task(COLLECT, collect),
        Periodic(Task("controlplane.prune_changes", prune), cron="23 * * * *"),
        *commitments_jobs.tasks(engine=engine, database=runtime.databases.app, clock=runtime.clock),
        *_usage_tasks(runtime),
        *_invoicing_tasks(runtime, office),
        *_payments_tasks(runtime, engine, office),
        *entitlements_jobs.tasks(engine=engine, database=runtime.databases.app, clock=runtime.clock),
        *ledger_jobs.tasks(
            database=runtime.databases.job, subledgers=above_the_books().subledgers, clock=runtime.clock
        ),
        *notices_jobs.tasks(
            build_postman(runtime, engine), retention_days=runtime.settings.notices_retention_days
        ),
        *_rate_tasks(runtime),
    )


def _usage_tasks(runtime: Runtime) -> tuple[Periodic | Task, ...]:
    return (
        *usage_jobs.tasks(
            database=runtime.databases.job,
            ingest=runtime.databases.ingest,
            clock=runtime.clock,
            replayer=lambda: Replayer(
                runtime.databases.ingest,
                process=new_uid(),
                random_bits=random_bits,
                late_days_max=runtime.settings.late_days_max,
            ),
        ),
        *usage_jobs.archive_tasks(
            build_archivist(runtime, open_blobs(runtime)),
            runtime.clock,
            schedule=runtime.settings.usage_archive_schedule,
        ),
    )


def _invoicing_tasks(runtime: Runtime, office: Office) -> tuple[Periodic | Task, ...]:
    return (
        *run_tasks(office=office, database=runtime.databases.app, clock=runtime.clock),
        *daily_tasks(office=office, database=runtime.databases.app, clock=runtime.clock),
        *vat_tasks(office=office, database=runtime.databases.app, clock=runtime.clock),
        *printing_tasks(
            office=office,
            presses=Presses(
                asked=ChildDocuments(children=1),
                ahead=ChildDocuments(children=1, nice=BACKGROUND_NICE),
                percent=runtime.settings.documents_ahead_percent,
            ),
            database=runtime.databases.app,
            clock=runtime.clock,
        ),
    )


def _payments_tasks(runtime: Runtime, engine: Engine, office: Office) -> tuple[Periodic | Task, ...]:
    return (
        *payments_jobs.dunning_tasks(
            office=office,
            database=runtime.databases.app,
            clock=runtime.clock,
            schedule=dunning_schedule(runtime.settings),
        ),
        *payments_jobs.tasks(
            cashier=payments_jobs.Cashier(open_desk(runtime, engine), runtime.databases.app, runtime.clock),
            schedule=runtime.settings.payments_schedule,
        ),
    )


def _rate_tasks(runtime: Runtime) -> tuple[Periodic | Task, ...]:
    """Exchange rates every day, where the settings say from where."""
    if runtime.settings.rates_url is None:
        return ()
    from milo_billing.adapters.published_rates import PublishedRates  # most servers never call out for it

    source = PublishedRates(runtime.settings.rates_url)
    return pricing_jobs.tasks(database=runtime.databases.job, clock=runtime.clock, source=source)


def open_desk(runtime: Runtime, engine: Engine) -> Desk:
    """Where money is collected, by this server's settings."""
    return Desk(
        engine, runtime.vault, payment_providers(runtime.settings), runtime.settings.payments_retry_days
    )


def dunning_schedule(settings: Settings) -> Schedule:
    """What is done about invoices that stay unpaid, by this server's settings."""
    return Schedule(
        reminders=settings.payments_reminder_days,
        announced_after=settings.payments_announce_after_days,
        notice_days=settings.payments_notice_days,
    )


def payment_providers(settings: Settings) -> Providers:
    """The providers that this server can speak to; each is loaded with the first class that names it.

    The sandbox, which moves no money, refuses where the clock is a real one; a stand-in on this machine is called only
    where the settings say so.
    """

    def stripe(config: ProviderConfig) -> PaymentProvider:
        from milo_billing.adapters import stripe_payments  # most servers never load it

        here_too = settings.payments_to_loopback
        transport = stripe_payments.send_here_too if here_too else stripe_payments.send
        return stripe_payments.connect(config, transport=transport)

    def sandbox(config: ProviderConfig) -> PaymentProvider:
        from milo_billing.adapters import sandbox_payments  # only demos and trials load it

        if settings.clock == "system":
            raise UnableToSetUp(
                f'payment method class "{config.name}": the sandbox moves no money, and is there only on a server '
                "whose clock is simulated by MILO_BILLING_CLOCK; name a real provider"
            )
        return sandbox_payments.connect(config, file=settings.data_dir / "sandbox-payments.sqlite")

    return {"stripe": stripe, "sandbox": sandbox}


def follow_directory(runtime: Runtime) -> None:
    """Mirror organizations and projects while this process runs, where the settings name a resource manager."""
    settings = runtime.settings
    if settings.directory_url is None:
        return
    source = open_directory(settings)
    mirror = Mirror(build_declarative(runtime).engine, runtime.databases.app, source)
    following = Following(mirror, runtime.conninfo)
    runtime.checks["resource manager"] = following.problem
    runtime.closers.append(source.close)
    runtime.closers.append(following.stop)
    following.start()


def open_directory(settings: Settings) -> "RemoteDirectory":
    """The resource manager that the settings name. Raises Unavailable for a file that cannot be read."""
    from milo_billing.adapters import remote_directory  # most servers never need an HTTP client

    url, token, authority = settings.directory_url, settings.directory_token_file, settings.directory_ca_file
    assert url is not None and token is not None and authority is not None, "Settings has checked it"
    return remote_directory.connect(url, token_file=token, authority_file=authority)
