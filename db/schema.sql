-- The whole database of Milo Billing, as it stands after every migration.
--
-- This file is the truth; `tests/migrations` proves that db/migrations reaches it.
-- Conventions: schema = slice, table = plural noun, instants are timestamptz in UTC, money is an integer count of
-- minor units, prices are numeric. `owner_org` is the surrogate number of the one organization that owns a row;
-- 0 is the provider itself. Roles (created by the bootstrap, before this file): milo_owner runs migrations,
-- milo_app is every door under row-level security, milo_ingest owns the usage tables (COPY does not work under
-- row-level security), milo_job serves one organization a transaction.

create extension if not exists btree_gist;

create schema infra;
create schema controlplane;
create schema directory;
create schema access;
create schema ledger;
create schema notices;
create schema catalog;
create schema accounts;
create schema entitlements;
create schema usage;
create schema pricing;
create schema commitments;
create schema invoicing;
create schema payments;

grant usage on schema infra, controlplane, directory, access, ledger, notices, catalog, accounts, entitlements, usage, pricing,
    commitments,
    invoicing,
    payments
    to milo_app, milo_job, milo_ingest;

-- ---------------------------------------------------------------------------------------------------- infra

-- What the migration runner has applied; while unreleased there is one, made from this file.
create table infra.migrations (
    name text primary key,
    sha256 text not null,
    applied_at timestamptz not null
);

-- One row a live process, renewed every ten seconds: migrations that older code cannot bear wait for them.
create table infra.heartbeats (
    process_id uuid primary key,
    role text not null,
    version text not null,
    schema_version text not null,
    seen_at timestamptz not null
);

-- Personal data is encrypted with a keyset per subject, itself wrapped by the installation's key. Erasure destroys
-- the keyset; ciphertexts, hashes and amounts stay.
create table infra.subject_keys (
    subject uuid primary key,
    wrapped_keyset bytea,
    created_at timestamptz not null,
    destroyed_at timestamptz,
    check ((wrapped_keyset is null) = (destroyed_at is not null))
);

-- A destroyed keyset never comes back: a new one would let writes go on about somebody who asked to be forgotten.
create function infra.guard_subject_key() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if old.destroyed_at is not null then
        raise exception 'the keyset of % was destroyed', old.subject using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger subject_keys_guard before update on infra.subject_keys
    for each row execute function infra.guard_subject_key();

grant select, insert, update on infra.heartbeats, infra.subject_keys to milo_app, milo_job, milo_ingest;
grant delete on infra.heartbeats to milo_app, milo_job, milo_ingest;

-- ------------------------------------------------------------------------------------------- controlplane

-- The organizations whose rows this transaction may see: '*' or a comma list of numbers, set by the door.
create function controlplane.reach() returns bigint[]
    language sql stable parallel safe set search_path = pg_catalog as
$$ select case when current_setting('milo.reach', true) in ('*', '') then '{}'::bigint[]
               else string_to_array(current_setting('milo.reach', true), ',')::bigint[] end $$;

create function controlplane.reaches_all() returns boolean
    language sql stable parallel safe set search_path = pg_catalog as
$$ select coalesce(current_setting('milo.reach', true) = '*', false) $$;

-- Truth of every declared kind. `resource_version` is 0 from the write until seal stamps it in the same transaction.
create table controlplane.objects (
    uid uuid primary key,
    api_group text not null,
    resource text not null,               -- plural, e.g. billingaccounts
    namespace text not null default '',   -- '' for cluster-scoped kinds
    name text not null,
    owner_org bigint not null,
    readable_by_all boolean not null default false,
    resource_version bigint not null default 0,
    generation bigint not null,
    created_at timestamptz not null,
    deletion_requested_at timestamptz,
    labels jsonb not null default '{}',
    fields jsonb not null default '{}',   -- values of the selectable fields
    metadata jsonb not null default '{}', -- annotations, finalizers, ownerReferences, managedFields, generateName
    spec jsonb not null default '{}',     -- personal fields stand here as ciphertext
    status jsonb not null default '{}',
    unique (api_group, resource, namespace, name)
) with (fillfactor = 85);
create index objects_labels on controlplane.objects using gin (labels jsonb_path_ops);
create index objects_fields on controlplane.objects using gin (fields jsonb_path_ops);

create index objects_owners on controlplane.objects using gin ((metadata -> 'ownerReferences') jsonb_path_ops)
    where metadata ? 'ownerReferences';

create function controlplane.has_dependants(p_uid uuid) returns boolean
    language sql stable security definer set search_path = pg_catalog as
$$ select exists (select from controlplane.objects
                  where metadata ? 'ownerReferences'
                    and metadata -> 'ownerReferences' @> jsonb_build_array(jsonb_build_object('uid', p_uid::text))) $$;
revoke all on function controlplane.has_dependants from public;
grant execute on function controlplane.has_dependants to milo_app, milo_job;

-- Which objects of a kind carry one of the labels, or these values of selectable fields. @> is not leakproof, so under
-- row-level security it never uses an index; here it does, and whoever asked looks the uids up under the policy. At most
-- p_limit of them (null: all), in the snapshot of the statement that calls.
create function controlplane.find_labelled(p_group text, p_resource text, p_labels jsonb[], p_limit bigint)
    returns uuid[] language sql stable security definer set search_path = pg_catalog as
$$ select array(select distinct found.uid from unnest(p_labels) wanted (labels) cross join lateral
       (select o.uid from controlplane.objects o
        where o.labels @> wanted.labels and o.api_group = p_group and o.resource = p_resource limit p_limit) found
       limit p_limit) $$;
create function controlplane.find_by_fields(p_group text, p_resource text, p_fields jsonb, p_limit bigint)
    returns uuid[] language sql stable security definer set search_path = pg_catalog as
$$ select array(select o.uid from controlplane.objects o
                where o.fields @> p_fields and o.api_group = p_group and o.resource = p_resource limit p_limit) $$;
revoke all on function controlplane.find_labelled, controlplane.find_by_fields from public;
grant execute on function controlplane.find_labelled, controlplane.find_by_fields to milo_app, milo_job;

alter table controlplane.objects enable row level security;
create policy reach on controlplane.objects to milo_app, milo_job
    using (readable_by_all or (select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]))
    with check ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));

create sequence controlplane.resource_versions start 1000;

-- What watchers read, in commit order (seal holds the commit lock from drawing a version until commit).
create table controlplane.changes (
    resource_version bigint primary key,
    change text not null check (change in ('ADDED', 'MODIFIED', 'DELETED')),
    uid uuid not null,
    api_group text not null,
    resource text not null,
    namespace text not null,
    name text not null,
    owner_org bigint not null,
    readable_by_all boolean not null,
    changed_at timestamptz not null,
    object jsonb not null,      -- the row of controlplane.objects as of this change
    old_labels jsonb,           -- null when ADDED; with old_fields tells a watcher what enters or leaves its selector
    old_fields jsonb
);
alter table controlplane.changes enable row level security;
create policy reach on controlplane.changes to milo_app, milo_job
    using (readable_by_all or (select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
create index changes_of_kind on controlplane.changes (api_group, resource, resource_version);

-- Caches elsewhere (ingest) compare these counters inside their transaction: payers, meters, projects.
create table controlplane.versions (
    name text primary key,
    version bigint not null
) with (fillfactor = 50);
insert into controlplane.versions values ('payers', 1), ('meters', 1), ('projects', 1), ('access', 1),
    ('pruned_changes', 999),  -- resource versions start at 1000: the highest one no longer in controlplane.changes
    ('sealed_until', 0);      -- days of id time before this one (days since 1970) take no events any more
-- of accounts.billed, a counter for each sixty-fourth of the accounts (number & 63)
insert into controlplane.versions select 'billed/' || n, 0 from generate_series(0, 63) n;

-- A slice that needs an object to stay holds it; delete and archive answer 409 and name the holders.
create table controlplane.holds (
    uid uuid not null references controlplane.objects (uid),
    slice text not null,
    reason text not null,
    held_at timestamptz not null,
    primary key (uid, slice, reason)
);

grant select, insert, update, delete on controlplane.objects to milo_app, milo_job;
grant select, update on controlplane.versions to milo_app, milo_job, milo_ingest;
grant select, insert, delete on controlplane.holds to milo_app, milo_job;
grant select on controlplane.changes to milo_app, milo_job;
grant delete on controlplane.changes to milo_job;

-- ---------------------------------------------------------------------------------------------- directory

-- Surrogate numbers are never reused; names can be. 0 is the provider.
create table directory.organizations (
    number bigint primary key,
    uid uuid not null unique,
    name text not null,
    created_at timestamptz not null,
    deleted_at timestamptz
);
create unique index organizations_name on directory.organizations (name) where deleted_at is null;
create sequence directory.organization_numbers start 1;
-- The provider itself, so that it can own accounts in plain namespaces; deleted from the start: no name leads to it.
insert into directory.organizations values
    (0, '00000000-0000-0000-0000-000000000000', 'provider', '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z');

-- The number behind a name, whoever asks: a door must know who owns a namespace before it can refuse the caller.
-- Holds the organization until the transaction ends, so that nothing is created in one that is just being deleted.
create function directory.hold_organization(p_name text) returns bigint
    language sql security definer set search_path = pg_catalog as
$$ select number from directory.organizations where name = p_name and deleted_at is null for key share $$;
revoke all on function directory.hold_organization from public;
grant execute on function directory.hold_organization to milo_app, milo_job;

create function directory.find_organization(p_name text) returns bigint
    language sql stable security definer set search_path = pg_catalog as
$$ select number from directory.organizations where name = p_name and deleted_at is null $$;
revoke all on function directory.find_organization from public;
grant execute on function directory.find_organization to milo_app, milo_job, milo_ingest;

alter table directory.organizations enable row level security;
create policy reach on directory.organizations to milo_app, milo_job
    using ((select controlplane.reaches_all()) or number = any ((select controlplane.reach())::bigint[]));
create policy ingest on directory.organizations for select to milo_ingest using (true);

create table directory.projects (
    number integer generated always as identity primary key,
    uid uuid not null unique,
    name text not null,
    owner_org bigint not null references directory.organizations (number),
    created_at timestamptz not null,
    deleted_at timestamptz,
    exclude using gist (name with =, tstzrange(created_at, coalesce(deleted_at, 'infinity')) with &&)
);
create index projects_by_org on directory.projects (owner_org);
create unique index projects_by_name on directory.projects (name, created_at);

-- When the last bearer of a project's name gave it up, whoever owned it; null where it is new.
create function directory.name_given_up(p_name text) returns timestamptz
    language sql stable security definer set search_path = pg_catalog as
$$ select max(deleted_at) from directory.projects where name = p_name $$;
revoke all on function directory.name_given_up from public;
grant execute on function directory.name_given_up to milo_app, milo_job;

alter table directory.projects enable row level security;
create policy reach on directory.projects to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
-- attribution of usage has to know every project
create policy ingest on directory.projects for select to milo_ingest using (true);

grant select, insert, update on directory.organizations, directory.projects to milo_app, milo_job;
grant usage on sequence directory.organization_numbers to milo_app, milo_job;
grant select on directory.organizations, directory.projects to milo_ingest;

-- ------------------------------------------------------------------------------------------------- access

create table access.tokens (
    sha256 bytea primary key check (length(sha256) = 32),   -- of 256 random bits; the token itself is nowhere
    subject text not null,          -- 'system:serviceaccount:<namespace>:<name>' or a user name
    service_account uuid,           -- null for a user
    owner_org bigint not null,      -- of the service account; 0 for a user
    created_at timestamptz not null,
    expires_at timestamptz,         -- null: never
    revoked_at timestamptz
);
create index tokens_by_service_account on access.tokens (service_account) where service_account is not null;

-- Projection of Role: the permissions it includes, e.g. billing.miloapis.com/billingaccounts.create; '*' wildcards.
create table access.roles (
    uid uuid primary key,
    name text not null unique,
    permissions text[] not null
);

-- Projection of PolicyBinding: one row a subject.
create table access.bindings (
    uid uuid not null,
    subject text not null,
    service_account uuid,           -- grants to this one only, not to a later one of the same name; null for a user
    role uuid not null references access.roles (uid),
    owner_org bigint not null,      -- the organization in which it grants; 0 grants everywhere
    primary key (uid, subject)
);
create index bindings_by_subject on access.bindings (subject);
create index bindings_by_role on access.bindings (role);

alter table access.tokens enable row level security;
create policy reach on access.tokens to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table access.bindings enable row level security;
create policy reach on access.bindings to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));

-- Who a token is, and what that one was granted: asked before any reach is known, so they read regardless of it, and
-- answer only to somebody who has the token or an identity.
create function access.find_token(p_sha256 bytea)
    returns table (subject text, service_account uuid, expires_at timestamptz, revoked_at timestamptz)
    language sql stable security definer set search_path = pg_catalog as
$$ select t.subject, t.service_account, t.expires_at, t.revoked_at from access.tokens t where t.sha256 = p_sha256 $$;

create function access.find_grants(p_subject text, p_service_account uuid)
    returns table (owner_org bigint, permissions text[])
    language sql stable security definer set search_path = pg_catalog as
$$ select b.owner_org, r.permissions from access.bindings b join access.roles r on r.uid = b.role
   where b.subject = p_subject and b.service_account is not distinct from p_service_account $$;

revoke all on function access.find_token, access.find_grants from public;
grant execute on function access.find_token, access.find_grants to milo_app, milo_job, milo_ingest;

create table access.audit_heads (
    chain bigint primary key,       -- organization number; 0 is the platform's own chain
    sequence bigint not null,
    hash bytea not null
);

create table access.audit_records (
    chain bigint not null,
    sequence bigint not null,
    at timestamptz not null,
    audit_id uuid not null,
    actor text not null,
    verb text not null,             -- create, update, patch, delete, suspend, issue …
    target text not null,           -- group/resource/namespace/name
    target_uid uuid,
    resource_version bigint,
    detail jsonb not null,          -- personal fields stand here as ciphertext, as in the object
    previous_hash bytea not null,
    hash bytea not null,
    primary key (chain, sequence)
);

-- The bytes a record's hash covers. jsonb text is canonical in PostgreSQL (sorted keys, one spelling).
create function access.audit_hash(previous bytea, chain bigint, sequence bigint, at timestamptz, audit_id uuid,
                                  actor text, verb text, target text, target_uid uuid, rv bigint, detail jsonb)
    returns bytea language sql immutable parallel safe set search_path = pg_catalog as
$$ select sha256(previous || convert_to(jsonb_build_array(
       chain, sequence, (extract(epoch from at) * 1000000)::bigint, audit_id, actor, verb, target, target_uid, rv, detail)::text, 'UTF8')) $$;

-- What the first record of a chain follows from.
create function access.audit_genesis(chain bigint) returns bytea
    language sql immutable parallel safe set search_path = pg_catalog as
$$ select sha256(convert_to('milo-billing audit ' || chain, 'UTF8')) $$;

create function access.append_audit(p_chain bigint, p_at timestamptz, p_audit_id uuid, p_actor text, p_verb text,
                                    p_target text, p_target_uid uuid, p_rv bigint, p_detail jsonb) returns void
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    head access.audit_heads;
    digest bytea;
begin
    -- insert zero first: a row that is missing cannot be locked
    insert into access.audit_heads values (p_chain, 0, access.audit_genesis(p_chain))
        on conflict do nothing;
    select * into head from access.audit_heads where chain = p_chain for update;
    digest := access.audit_hash(head.hash, p_chain, head.sequence + 1, p_at, p_audit_id, p_actor, p_verb, p_target,
                                p_target_uid, p_rv, p_detail);
    insert into access.audit_records values (p_chain, head.sequence + 1, p_at, p_audit_id, p_actor, p_verb, p_target,
                                             p_target_uid, p_rv, p_detail, head.hash, digest);
    update access.audit_heads set sequence = head.sequence + 1, hash = digest where chain = p_chain;
end $$;
revoke all on function access.append_audit from public;
grant execute on function access.append_audit to milo_app, milo_job;

alter table access.audit_records enable row level security;
create policy reach on access.audit_records for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or chain = any ((select controlplane.reach())::bigint[]));
alter table access.audit_heads enable row level security;
create policy reach on access.audit_heads for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or chain = any ((select controlplane.reach())::bigint[]));
grant select on access.audit_records, access.audit_heads to milo_app, milo_job;
grant select, insert on access.tokens to milo_app, milo_job;
grant update (revoked_at) on access.tokens to milo_app, milo_job;
grant select, insert, update, delete on access.roles, access.bindings to milo_app, milo_job;

-- ------------------------------------------------------------------------------------ controlplane: seal

-- The last statement of every write, sent in one pipeline with COMMIT. It takes the commit lock, so that the order
-- of resource versions is the order of commits and a watcher that reads "greater than N" misses nothing; stamps the
-- versions; writes the change log and the audit chain; notifies.
--
-- p_writes: array of {"uid", "change": ADDED|MODIFIED|DELETED, "old_labels", "old_fields", "verb", "detail"};
-- "verb" is null for objects that changed only as a consequence (they get no audit record of their own).
-- Returns uid, resource_version in the order given.
create function controlplane.seal(p_actor text, p_audit_id uuid, p_at timestamptz, p_writes jsonb)
    returns table (uid uuid, resource_version bigint, waited_s float8)
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    w jsonb;
    o controlplane.objects;
    rv bigint;
    began timestamptz := clock_timestamp();
begin
    perform pg_advisory_xact_lock(4201);
    waited_s := greatest(0, extract(epoch from clock_timestamp() - began));
    for w in select value from jsonb_array_elements(p_writes) loop
        rv := nextval('controlplane.resource_versions');
        update controlplane.objects t set resource_version = rv where t.uid = (w ->> 'uid')::uuid returning * into o;
        if not found then
            raise exception 'seal: object % was not written in this transaction', w ->> 'uid';
        end if;
        insert into controlplane.changes values (
            rv, w ->> 'change', o.uid, o.api_group, o.resource, o.namespace, o.name, o.owner_org, o.readable_by_all,
            p_at, to_jsonb(o), w -> 'old_labels', w -> 'old_fields');
        if w ->> 'verb' is not null then
            perform access.append_audit(
                o.owner_org, p_at, p_audit_id, p_actor, w ->> 'verb',
                o.api_group || '/' || o.resource || '/' || o.namespace || '/' || o.name, o.uid, rv,
                coalesce(w -> 'detail', '{}'));
        end if;
        if w ->> 'change' = 'DELETED' then
            delete from controlplane.objects t where t.uid = o.uid;
        end if;
        uid := o.uid;
        resource_version := rv;
        return next;
    end loop;
    perform pg_notify('controlplane', rv::text);
end $$;
revoke all on function controlplane.seal from public;
grant execute on function controlplane.seal to milo_app, milo_job;

-- ------------------------------------------------------------------------------------------------- ledger

create table ledger.transactions (
    id uuid primary key,
    key text not null unique,           -- idempotency: derived from the fact, e.g. invoice/<uid>/issue
    entity text not null,               -- legal entity: IssuerProfile name
    posted_on date not null,
    description text not null,
    billing_account integer not null,   -- one billing account a transaction
    owner_org bigint not null,
    created_at timestamptz not null,
    number bigint not null generated always as identity      -- in the order in which they were posted, with gaps
);
create index transactions_by_billing_account on ledger.transactions (billing_account, posted_on, number);
create index transactions_by_day on ledger.transactions (posted_on, number);

create table ledger.entries (
    transaction uuid not null references ledger.transactions (id),
    line smallint not null,
    account text not null check (account ~ '^(Assets|Liabilities|Equity|Income|Expenses)(:[A-Z0-9][A-Za-z0-9-]*)+$'),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint not null check (amount_minor <> 0),  -- debit positive, credit negative
    service_from date,                  -- half-open: the first day served …
    service_to date,                    -- … and the day after the last
    primary key (transaction, line),
    check ((service_from is null) = (service_to is null) and service_from < service_to)
);
create index entries_by_account on ledger.entries (account, currency);

-- Months whose books are closed: with one, every month before it. Nothing is posted into them any more.
create table ledger.closings (
    entity text not null,
    month date not null check (extract(day from month) = 1),    -- its first day
    closed_at timestamptz not null,
    closed_by text not null,
    primary key (entity, month)
);

-- The first day of an entity's books that is open; null where no month was ever closed.
create function ledger.first_open_day(p_entity text) returns date
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select (max(month) + interval '1 month')::date from ledger.closings where entity = p_entity
$$;

-- The only way in. The same key again returns the standing transaction if it says the same, else it is refused, naming
-- both; description and instants may differ. What falls into a closed month is refused or, with p_late, stands on the
-- first open day. A deferred constraint trigger says again at commit that it balances.
create function ledger.post(p_id uuid, p_key text, p_entity text, p_posted_on date, p_description text,
                            p_billing_account integer, p_owner_org bigint, p_at timestamptz, p_entries jsonb,
                            p_late boolean default false)
    returns uuid language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    standing ledger.transactions;
    off record;
    first_open date;
begin
    -- BOOKS: a month that is being closed waits for what is being posted, and the other way round
    perform pg_advisory_xact_lock_shared(4220, hashtext(p_entity));
    if jsonb_array_length(p_entries) < 2 then
        raise exception 'ledger transaction % has fewer than two entries', p_key using errcode = 'check_violation';
    end if;
    first_open := ledger.first_open_day(p_entity);
    insert into ledger.transactions values (
        p_id, p_key, p_entity, case when p_late then greatest(p_posted_on, first_open) else p_posted_on end,
        p_description, p_billing_account, p_owner_org, p_at)
        on conflict (key) do nothing;
    if not found then
        select * into strict standing from ledger.transactions where key = p_key;
        -- what was late stands on a first of a month that was open then
        if (standing.entity, standing.billing_account, standing.owner_org)
               is distinct from (p_entity, p_billing_account, p_owner_org)
           or not (standing.posted_on = p_posted_on
                   or (p_late and coalesce(standing.posted_on between p_posted_on and first_open, false)
                       and extract(day from standing.posted_on) = 1))
           or (select jsonb_agg(jsonb_build_object('account', account, 'currency', currency, 'amount_minor', amount_minor,
                                                   'service_from', service_from, 'service_to', service_to) order by line)
               from ledger.entries where transaction = standing.id) is distinct from p_entries then
            raise exception 'ledger key % already stands for transaction %, which says something else than %',
                p_key, standing.id, p_id using errcode = 'unique_violation';
        end if;
        return standing.id;
    end if;
    insert into ledger.entries
        select p_id, ordinality, e ->> 'account', e ->> 'currency', (e ->> 'amount_minor')::bigint,
               (e ->> 'service_from')::date, (e ->> 'service_to')::date
        from jsonb_array_elements(p_entries) with ordinality as t (e, ordinality);
    for off in select currency, sum(amount_minor) as total from ledger.entries where transaction = p_id
               group by currency having sum(amount_minor) <> 0 loop
        raise exception 'ledger transaction % is out of balance by % %', p_key, off.total, off.currency
            using errcode = 'check_violation';
    end loop;
    return p_id;
end $$;
revoke all on function ledger.post from public;
grant execute on function ledger.post to milo_app, milo_job;

create function ledger.assert_balanced() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- at commit every line is there: the last one answers for all of them
    if exists (select from ledger.entries where transaction = new.transaction and line > new.line) then
        return null;
    end if;
    if exists (select from ledger.entries where transaction = new.transaction
               group by currency having sum(amount_minor) <> 0) then
        raise exception 'ledger transaction % is out of balance', new.transaction using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger entries_balance after insert on ledger.entries
    deferrable initially deferred for each row execute function ledger.assert_balanced();

create function ledger.refuse_change() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'the ledger is append-only: post a correcting transaction instead' using errcode = 'restrict_violation';
end $$;
create trigger entries_append_only before update or delete or truncate on ledger.entries
    for each statement execute function ledger.refuse_change();
create trigger transactions_append_only before update or delete or truncate on ledger.transactions
    for each statement execute function ledger.refuse_change();
create trigger closings_append_only before update or delete or truncate on ledger.closings
    for each statement execute function ledger.refuse_change();

-- A month is closed once, and for good; closing it again changes nothing and gives false. Months before it are closed
-- with it.
create function ledger.close_month(p_entity text, p_month date, p_at timestamptz, p_by text)
    returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(4220, hashtext(p_entity));
    if ledger.first_open_day(p_entity) > p_month then
        return false;
    end if;
    insert into ledger.closings values (p_entity, p_month, p_at, p_by);
    return true;
end $$;
revoke all on function ledger.close_month from public;
grant execute on function ledger.close_month to milo_app, milo_job;
revoke all on function ledger.first_open_day from public;
grant execute on function ledger.first_open_day to milo_app, milo_job;

-- Money of a customer's leaves what is kept for him, unapplied and on account, only as far as he has it in all: one of the
-- two may be below zero, where money went back that he had been given. Called at the commit of what took it.
create function ledger.assert_covered(p_entity text, p_billing_account integer, p_currency text) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if (select sum(e.amount_minor) from ledger.transactions t join ledger.entries e on e.transaction = t.id
        where t.billing_account = p_billing_account and t.entity = p_entity and e.currency = p_currency
          and e.account in ('Liabilities:UnappliedCash', 'Liabilities:MoneyOnAccount')) > 0 then
        raise exception 'more is taken from what % keeps for billing account % in % than there is in all',
            p_entity, p_billing_account, p_currency using errcode = 'check_violation';
    end if;
end $$;
revoke all on function ledger.assert_covered from public;
grant execute on function ledger.assert_covered to milo_app, milo_job;

-- Whoever inserts, and by whatever way.
create function ledger.refuse_closed() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.posted_on < ledger.first_open_day(new.entity) then
        raise exception 'ledger transaction % falls on %, but the books of % are closed until %: post it on that day or '
            'later, with its service period', new.key, new.posted_on, new.entity, ledger.first_open_day(new.entity)
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
create trigger transactions_open_month after insert on ledger.transactions
    for each row execute function ledger.refuse_closed();

alter table ledger.transactions enable row level security;
create policy reach on ledger.transactions for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table ledger.entries enable row level security;
create policy reach on ledger.entries for select to milo_app, milo_job
    using (exists (select from ledger.transactions t where t.id = transaction));
grant select on ledger.transactions, ledger.entries, ledger.closings to milo_app, milo_job;

-- ------------------------------------------------------------------------------------------------ notices

-- What NotificationChannel objects say of whom to tell; where to is in the objects, sealed. A channel of the provider's
-- (owner_org 0) hears of every organization. `listening` says that messages are meant for it.
create table notices.channels (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    type text not null check (type in ('Email', 'Webhook', 'Chat')),
    events text[] not null,              -- types of events; none is all of them
    paused boolean not null,
    unique (namespace, name)
);
create index channels_by_owner on notices.channels (owner_org);

-- How a channel has fared: what its conditions are made of. `settled` says that the object's status knows of it.
create table notices.health (
    channel uuid primary key references notices.channels (uid) on delete cascade,
    owner_org bigint not null,
    listening boolean not null,          -- has what it takes to be sent to, and was not told to stop by its other side
    gone_at timestamptz,                 -- when the other side said 410
    delivered_at timestamptz,
    delivered_type text,
    failed_at timestamptz,
    failed_said text not null default '',
    failures integer not null default 0 check (failures >= 0),  -- in a row
    dead integer not null default 0 check (dead >= 0),          -- given up since the last one that came through
    settled boolean not null default true
);
create index health_unsettled on notices.health (channel) where not settled;

-- Secrets that webhooks are signed with, under the channel's key: the newest, and for a while the one before.
create table notices.secrets (
    channel uuid not null references notices.channels (uid) on delete cascade,
    number integer not null check (number > 0),
    owner_org bigint not null,
    sealed text not null,
    created_at timestamptz not null,
    ends_at timestamptz check (ends_at >= created_at),
    primary key (channel, number)
);
create unique index secrets_newest on notices.secrets (channel) where ends_at is null;

-- What happened, once for all who are told. `key` names the fact; `body` is JSON, or with a subject its ciphertext.
create table notices.messages (
    id uuid primary key,
    key text not null unique,
    owner_org bigint not null,
    type text not null,
    account text not null,               -- namespace/name of the billing account, '' where it is about none
    subject uuid,                        -- whose personal data the body holds
    hash bytea not null check (length(hash) = 32),
    body text not null,
    occurred_at timestamptz not null
);
create index messages_by_time on notices.messages (occurred_at);

-- One message on its way to one channel, or with none to the addresses in its body.
create table notices.deliveries (
    id uuid primary key,
    message uuid not null references notices.messages (id) on delete cascade,
    owner_org bigint not null,
    channel uuid,                        -- outlives the channel
    namespace text not null,
    channel_name text not null,
    channel_type text not null check (channel_type in ('Email', 'Webhook', 'Chat')),
    type text not null,
    account text not null,
    occurred_at timestamptz not null,
    state text not null default 'Waiting' check (state in ('Waiting', 'Failed', 'Delivered', 'Dead')),
    attempts integer not null default 0 check (attempts >= 0),
    tries integer not null default 0 check (tries between 0 and attempts),     -- since it was sent or replayed last
    next_at timestamptz,                 -- when it is due
    claimed_until timestamptz,           -- somebody is at it until then, or has died over it
    ended_at timestamptz,
    unique nulls not distinct (message, channel),
    check ((state in ('Waiting', 'Failed')) = (next_at is not null)),
    check ((state in ('Delivered', 'Dead')) = (ended_at is not null))
);
create index deliveries_due on notices.deliveries (next_at) where next_at is not null;
create index deliveries_claimed on notices.deliveries (channel, claimed_until) where claimed_until is not null;
create index deliveries_by_time on notices.deliveries (owner_org, occurred_at desc, id);
create index deliveries_of_channel on notices.deliveries (channel, occurred_at desc, id);

-- Every call to the other side, noted before it is made: one without an end was cut short, and nobody knows its outcome.
create table notices.attempts (
    delivery uuid not null references notices.deliveries (id) on delete cascade,
    number integer not null check (number > 0),
    owner_org bigint not null,
    begun_at timestamptz not null,
    ended_at timestamptz,
    outcome text check (outcome in ('Delivered', 'Failed', 'Refused', 'Gone')),
    status integer,                      -- what HTTP or SMTP answered
    latency_ms integer check (latency_ms >= 0),
    said text not null default '' check (length(said) <= 1000),
    primary key (delivery, number),
    check ((outcome is null) = (ended_at is null))
);

-- Whom an event of this organization is told, whatever the reach of the transaction shows: the provider's too.
create function notices.listeners(p_org bigint, p_type text) returns setof uuid
    language sql stable security definer set search_path = pg_catalog as
$$ select c.uid from notices.channels c join notices.health h on h.channel = c.uid
   where c.owner_org in (0, p_org) and not c.paused and h.listening
     and (cardinality(c.events) = 0 or p_type = any (c.events)
          or split_part(p_type, '.', 1) || '.*' = any (c.events)) $$;

-- The only way in: a message, and a delivery for each channel that it is meant for; the new deliveries. A message that
-- stands already changes nothing; with other contents it is refused.
create function notices.post(p_id uuid, p_key text, p_org bigint, p_type text, p_account text, p_subject uuid,
                             p_hash bytea, p_body text, p_at timestamptz, p_channels uuid[], p_mail boolean)
    returns setof uuid language plpgsql security definer set search_path = pg_catalog as $$
declare
    standing bytea;
begin
    if not (controlplane.reaches_all() or p_org = any (controlplane.reach())) then
        raise exception 'organization % is out of reach', p_org using errcode = 'insufficient_privilege';
    end if;
    insert into notices.messages (id, key, owner_org, type, account, subject, hash, body, occurred_at)
        values (p_id, p_key, p_org, p_type, p_account, p_subject, p_hash, p_body, p_at) on conflict (key) do nothing;
    if not found then
        select m.hash into standing from notices.messages m where m.key = p_key;
        if standing <> p_hash then
            raise exception 'message % was sent already and said something else', p_key
                using errcode = 'unique_violation';
        end if;
        return;
    end if;
    return query
        insert into notices.deliveries (id, message, owner_org, channel, namespace, channel_name, channel_type, type,
                                        account, occurred_at, next_at)
        select md5(p_id::text || c.uid::text)::uuid, p_id, c.owner_org, c.uid, c.namespace, c.name, c.type, p_type,
               p_account, p_at, p_at
        from notices.channels c where c.uid = any (p_channels) and c.owner_org in (0, p_org)
        union all
        select md5(p_id::text || 'mail')::uuid, p_id, p_org, null, split_part(p_account, '/', 1), '', 'Email', p_type,
               p_account, p_at, p_at
        where p_mail
        returning id;
end $$;
revoke all on function notices.listeners, notices.post from public;
grant execute on function notices.listeners, notices.post to milo_app, milo_job;

do $$
declare
    owned text;
begin
    foreach owned in array '{channels,health,secrets,messages,deliveries,attempts}'::text[] loop
        execute format('alter table notices.%I enable row level security', owned);
        execute format('create policy reach on notices.%I to milo_app, milo_job
            using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]))',
            owned);
        execute format('grant select on notices.%I to milo_app, milo_job', owned);
    end loop;
end $$;
grant insert, update, delete on notices.channels, notices.health, notices.secrets to milo_app, milo_job;
grant update (state, attempts, tries, next_at, claimed_until, ended_at) on notices.deliveries to milo_app, milo_job;
grant insert, update on notices.attempts to milo_app, milo_job;
grant delete on notices.messages to milo_app, milo_job;

-- ------------------------------------------------------------------------------------------------ catalog

create table catalog.meters (
    number integer generated always as identity primary key,
    uid uuid not null unique,
    meter_name text not null,
    phase text not null,
    aggregation text not null,
    unit text not null,
    dimensions text[] not null,
    series_by text[] not null default '{}',         -- dimensions that split a project's usage into series
    value_window text not null default 'Period' check (value_window in ('Period', 'Day')),
    bands jsonb not null default '[]',              -- as in the spec
    unique_key text,                                -- what UniqueCount counts: a label, or 'resource'
    resource_types text[] not null default '{}',    -- none: any
    deleted_at timestamptz,
    check ((aggregation = 'UniqueCount') = (unique_key is not null)),
    check (not unique_key = any (dimensions))
);
create unique index meters_name on catalog.meters (meter_name) where deleted_at is null;

-- What usage may be measured on: a meter that names types takes events of these only, with these labels.
create table catalog.resource_types (
    number integer generated always as identity primary key,
    uid uuid not null unique,
    name text not null,
    phase text not null,
    api_group text not null,
    kind text not null,
    labels text[] not null,
    deleted_at timestamptz
);
create unique index resource_types_name on catalog.resource_types (name) where deleted_at is null;
create unique index resource_types_gvk on catalog.resource_types (api_group, kind) where deleted_at is null;

create table catalog.skus (
    number integer generated always as identity primary key,
    uid uuid not null unique,
    name text not null,
    charge_type text not null check (charge_type in ('Usage', 'Recurring', 'OneTime')),
    meter_name text,                -- what is sold by usage has one
    match jsonb not null default '{}',
    pricing_unit text not null,
    unit_factor text not null,      -- exact fraction: quantity in pricing_unit = metered value * unit_factor
    body jsonb not null,            -- the whole spec
    deleted_at timestamptz,
    check ((charge_type = 'Usage') = (meter_name is not null))
);
create unique index skus_name on catalog.skus (name) where deleted_at is null;

create table catalog.price_books (
    number integer generated always as identity primary key,
    uid uuid not null unique,
    owner_org bigint not null,      -- 0: the provider's own, which everybody may read
    name text not null,             -- metadata.name
    book_name text not null,
    effective_from date not null,
    phase text not null,
    role text not null,
    is_default boolean not null,
    currency text not null,
    body jsonb not null,            -- the whole spec
    -- what its selectors meant when it was published, by name
    selections jsonb not null default '[]' check (jsonb_typeof(selections) = 'array'),
    -- what prices a period that was invoiced is what was published then: null is always, and never
    published_at timestamptz,
    retired_at timestamptz,
    deleted_at timestamptz,
    -- one list book a currency, or "the list book of the account's currency" would be two
    exclude using gist (currency with =, book_name with <>)
        where (deleted_at is null and phase = 'Published' and role = 'List' and owner_org = 0),
    -- and one for accounts of currencies without a list book
    exclude using gist (book_name with <>)
        where (is_default and deleted_at is null and phase = 'Published' and role = 'List' and owner_org = 0)
);
create unique index price_books_version on catalog.price_books (book_name, effective_from) where deleted_at is null;
create index price_books_skus on catalog.price_books using gin (body jsonb_path_ops);
create index price_books_selections on catalog.price_books using gin (selections jsonb_path_ops);

alter table catalog.price_books enable row level security;
create policy reach on catalog.price_books to milo_app, milo_job
    using (owner_org = 0 or (select controlplane.reaches_all())
           or owner_org = any ((select controlplane.reach())::bigint[]))
    with check ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));

grant select, insert, update on catalog.meters, catalog.resource_types, catalog.skus, catalog.price_books
    to milo_app, milo_job;
grant select on catalog.meters, catalog.resource_types to milo_ingest;

-- ----------------------------------------------------------------------------------------------- accounts

create table accounts.accounts (
    number integer generated always as identity primary key,
    uid uuid not null unique,
    namespace text not null,
    name text not null,
    owner_org bigint not null references directory.organizations (number),
    currency text not null,
    time_zone text not null,
    phase text not null check (phase in ('Provisioning', 'Ready', 'Suspended', 'Archived')),
    created_at timestamptz not null,
    deleted_at timestamptz,
    version bigint not null,        -- of controlplane.versions 'payers' when last changed
    parent integer references accounts.accounts (number) check (parent <> number),
    billing_mode text not null default 'Self' check (billing_mode in ('Self', 'Parent')),
    invoice_day smallint not null default 1 check (invoice_day between 1 and 28),
    invoice_frequency text not null default 'Monthly' check (invoice_frequency in ('Monthly', 'Quarterly', 'Annual')),
    profile_type text,              -- of the payment profile; null without one
    payment_method text,            -- the name that the payment profile refers to
    check (billing_mode = 'Self' or parent is not null)
);
create unique index accounts_name on accounts.accounts (namespace, name) where deleted_at is null;
create index accounts_by_name on accounts.accounts (namespace, name, created_at);
create index accounts_version on accounts.accounts (version);
create index accounts_by_parent on accounts.accounts (parent) where parent is not null;

-- Trees of one organization, without cycles, of at most eight levels. The lock orders changes of a tree: two that are
-- right by themselves could close a cycle together.
create function accounts.guard_tree() returns trigger language plpgsql set search_path = pg_catalog as $$
declare
    above integer := new.parent;
    levels integer := 1;
    node accounts.accounts;
begin
    if new.parent is null then
        return null;
    end if;
    perform pg_advisory_xact_lock(4204, (new.owner_org % 2147483647)::integer);
    while above is not null and levels <= 8 loop
        select * into node from accounts.accounts where number = above;
        if above = new.number then
            raise exception 'billing account % would be above itself', new.number using errcode = 'check_violation';
        end if;
        if node.owner_org is distinct from new.owner_org or node.deleted_at is not null then
            raise exception 'billing account % cannot be above %', above, new.number using errcode = 'check_violation';
        end if;
        above := node.parent;
        levels := levels + 1;
    end loop;
    with recursive below (number, depth) as (
        select new.number, levels
        union all
        select a.number, b.depth + 1 from accounts.accounts a join below b on a.parent = b.number
        where a.deleted_at is null and b.depth <= 8
    )
    select max(depth) into levels from below;
    if levels > 8 then
        raise exception 'the tree of billing account % has more than eight levels', new.number
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
create trigger accounts_guard_tree after insert or update of parent on accounts.accounts
    for each row execute function accounts.guard_tree();

-- How money is collected: projections of PaymentMethodClass and PaymentMethod. They go with their objects.
create table accounts.payment_method_classes (
    uid uuid primary key,
    name text not null unique,
    provider text not null,
    is_default boolean not null
);
create unique index payment_method_classes_default on accounts.payment_method_classes (is_default) where is_default;

create table accounts.payment_methods (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    account uuid not null,          -- the uid of its object: not a later one of the same name
    class uuid not null references accounts.payment_method_classes (uid),
    phase text not null check (phase in ('Pending', 'AwaitingConfirmation', 'Active', 'Failed')),
    type text,
    failure_reason text,
    unique (namespace, name)
);
create index payment_methods_by_class on accounts.payment_methods (class);

-- Who pays for a project, and since when: half-open intervals, open end = infinity. Outlives the binding objects.
create table accounts.payer_intervals (
    id bigint generated always as identity primary key,
    owner_org bigint not null,
    project integer not null references directory.projects (number),
    account integer not null references accounts.accounts (number),
    binding uuid not null unique,
    binding_name text not null,     -- as they were called: the objects go, the history stays
    project_name text not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null default 'infinity',
    version bigint not null,        -- of controlplane.versions 'payers' when last changed
    check (starts_at < ends_at),
    exclude using gist (project with =, tstzrange(starts_at, ends_at) with &&)
);
create unique index payer_intervals_lookup on accounts.payer_intervals (project, starts_at desc) include (account, ends_at);
create index payer_intervals_by_name on accounts.payer_intervals (project_name, starts_at desc) include (account, ends_at);
create index payer_intervals_by_account on accounts.payer_intervals (account, ends_at);
create index payer_intervals_of_account on accounts.payer_intervals (account, project_name, starts_at);
create index payer_intervals_version on accounts.payer_intervals (version);

-- History never shrinks: an interval is only ever ended, once.
create function accounts.guard_interval() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'payer intervals are never deleted' using errcode = 'restrict_violation';
    end if;
    if (new.project, new.account, new.binding, new.binding_name, new.project_name, new.starts_at, new.owner_org)
       is distinct from (old.project, old.account, old.binding, old.binding_name, old.project_name, old.starts_at,
                         old.owner_org)
       or (old.ends_at <> 'infinity' and new.ends_at <> old.ends_at) then
        raise exception 'a payer interval can only be ended, once' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger payer_intervals_guard before update or delete on accounts.payer_intervals
    for each row execute function accounts.guard_interval();

-- Whoever pays exists: an account that was deleted begins to pay for nothing, one that pays is not deleted, also where
-- both happen at once.
create function accounts.assert_payer() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if tg_table_name = 'payer_intervals' then
        perform from accounts.accounts where number = new.account and deleted_at is null for share;
        if not found then
            raise exception 'account % was deleted and can pay for nothing', new.account
                using errcode = 'restrict_violation';
        end if;
    elsif exists (select from accounts.payer_intervals where account = new.number and ends_at = 'infinity') then
        raise exception 'account % pays for a project and cannot be deleted', new.number
            using errcode = 'restrict_violation';
    end if;
    return null;
end $$;
create trigger payer_intervals_payer after insert on accounts.payer_intervals
    for each row execute function accounts.assert_payer();
create trigger accounts_payer after update of deleted_at on accounts.accounts
    for each row when (new.deleted_at is not null and old.deleted_at is null)
    execute function accounts.assert_payer();

-- Up to where an account has been invoiced, told downwards by invoicing, so that back-dating can be refused.
-- `version` is of controlplane.versions 'billed/<account & 63>'. Who writes it holds the advisory lock (4214, account & 63)
-- exclusively; whoever adds usage holds it shared, so that usage is either in the invoice or known to come after it.
create table accounts.billed (
    account integer primary key references accounts.accounts (number),
    billed_until timestamptz,
    version bigint not null,
    -- up to where there was nothing to invoice: what still comes is a change, but nothing is forbidden there
    closed_until timestamptz,
    -- up to where its final invoice is, or it was said that none is needed
    final_until timestamptz,
    check (num_nonnulls(billed_until, closed_until) > 0)
);
create index billed_by_version on accounts.billed ((account & 63), version);

-- The invoice day of an account, by the billing day on which it was written: what recurs keeps the one with which its
-- interval began. Truth: the object has only the last.
create table accounts.invoice_days (
    account integer not null references accounts.accounts (number),
    owner_org bigint not null,
    day date not null,
    invoice_day smallint not null check (invoice_day between 1 and 28),
    primary key (account, day)
);

create function accounts.guard_invoice_day() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'invoice days are never deleted: amounts follow from them' using errcode = 'restrict_violation';
    end if;
    if tg_op = 'UPDATE' and (new.account, new.day, new.owner_org)
       is distinct from (old.account, old.day, old.owner_org) then
        raise exception 'an invoice day stays of its account and day' using errcode = 'restrict_violation';
    end if;
    if exists (select from accounts.billed b join accounts.accounts a on a.number = b.account
               where a.number = new.account and new.day::timestamp at time zone a.time_zone < b.billed_until)
       or exists (select from accounts.invoice_days d where d.account = new.account and d.day > new.day) then
        raise exception 'an invoice day of % would change what was known before', new.day
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger invoice_days_guard before insert or update or delete on accounts.invoice_days
    for each row execute function accounts.guard_invoice_day();

alter table accounts.accounts enable row level security;
create policy reach on accounts.accounts to milo_app, milo_job, milo_ingest
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table accounts.payer_intervals enable row level security;
create policy reach on accounts.payer_intervals to milo_app, milo_job, milo_ingest
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table accounts.invoice_days enable row level security;
create policy reach on accounts.invoice_days to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
-- everybody may read the classes, and keep one from going (a row lock asks for the right to update); the provider writes
alter table accounts.payment_method_classes enable row level security;
create policy read on accounts.payment_method_classes for select to milo_app, milo_job using (true);
create policy add on accounts.payment_method_classes for insert to milo_app, milo_job
    with check ((select controlplane.reaches_all()) or 0 = any ((select controlplane.reach())::bigint[]));
create policy change on accounts.payment_method_classes for update to milo_app, milo_job using (true)
    with check ((select controlplane.reaches_all()) or 0 = any ((select controlplane.reach())::bigint[]));
create policy remove on accounts.payment_method_classes for delete to milo_app, milo_job
    using ((select controlplane.reaches_all()) or 0 = any ((select controlplane.reach())::bigint[]));
alter table accounts.payment_methods enable row level security;
create policy reach on accounts.payment_methods to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));

grant select, insert, update on accounts.accounts, accounts.payer_intervals, accounts.billed, accounts.invoice_days
    to milo_app, milo_job;
grant select, insert, update, delete on accounts.payment_methods, accounts.payment_method_classes to milo_app, milo_job;
grant select on accounts.accounts, accounts.payer_intervals, accounts.billed to milo_ingest;

-- -------------------------------------------------------------------------------------------- entitlements
-- What an account may use and at which prices. Rows outlive their objects: what was charged must stay explicable.

create table entitlements.offers (
    number integer generated always as identity primary key,
    uid uuid not null unique,
    name text not null,
    phase text not null check (phase in ('Draft', 'Published')),
    tier text not null,
    services text[] not null,
    features jsonb not null,
    book text,                      -- bookName; null: the account's list prices
    recurring jsonb not null,       -- [{"sku", "quantity", "per"}]: what whoever takes it pays for again and again
    trial_days integer not null check (trial_days >= 0),
    deleted_at timestamptz
);
create unique index offers_name on entitlements.offers (name) where deleted_at is null;

create table entitlements.entitlements (
    number integer generated always as identity primary key,
    uid uuid not null unique,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    account integer not null references accounts.accounts (number),
    offer integer references entitlements.offers (number),
    services text[] not null,       -- of its own; empty: the offer's
    book text,                      -- bookName of the negotiated prices
    recurring jsonb not null,       -- of its own, beside the offer's
    starts_on date not null,        -- local midnights of the account: [starts_on, ends_on)
    ends_on date,
    quantity bigint not null check (quantity > 0),
    limits jsonb not null,
    phase text not null check (phase in ('Scheduled', 'Active', 'Ended')),
    deleted_at timestamptz,
    check (ends_on >= starts_on),
    check ((offer is null) = (cardinality(services) > 0))
);
create unique index entitlements_name on entitlements.entitlements (namespace, name) where deleted_at is null;
create index entitlements_by_account on entitlements.entitlements (account, starts_on);
create index entitlements_due on entitlements.entitlements (least(starts_on, ends_on)) where phase <> 'Ended';

-- History never changes: an entitlement can only be ended sooner or later.
create function entitlements.guard_entitlement() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'entitlements are never deleted: amounts follow from them' using errcode = 'restrict_violation';
    end if;
    if (new.account, new.offer, new.services, new.book, new.recurring, new.starts_on, new.owner_org)
       is distinct from (old.account, old.offer, old.services, old.book, old.recurring, old.starts_on, old.owner_org)
       or old.deleted_at is distinct from new.deleted_at and old.deleted_at is not null then
        raise exception 'entitlement % can only be ended', old.name using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger entitlements_guard before update or delete on entitlements.entitlements
    for each row execute function entitlements.guard_entitlement();

-- What each entitlement said when a day of its account ended on which it was written: how many of it, and up to when.
-- Truth, not a projection: the object has only the last of it. What recurs is charged by what was known, so a row is
-- written on its own day and stays.
create table entitlements.revisions (
    entitlement integer not null references entitlements.entitlements (number),
    owner_org bigint not null,
    day date not null,              -- of the account
    quantity bigint not null check (quantity > 0),
    ends_on date,
    primary key (entitlement, day)
);

create function entitlements.guard_revision() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'revisions of entitlements are never deleted: amounts follow from them'
            using errcode = 'restrict_violation';
    end if;
    if tg_op = 'UPDATE' and (new.entitlement, new.day, new.owner_org)
       is distinct from (old.entitlement, old.day, old.owner_org) then
        raise exception 'a revision stays of its entitlement and day' using errcode = 'restrict_violation';
    end if;
    if exists (select from accounts.billed b join accounts.accounts a on a.number = b.account
               join entitlements.entitlements e on e.account = a.number
               where e.number = new.entitlement
                 and new.day::timestamp at time zone a.time_zone < b.billed_until)
       or exists (select from entitlements.revisions r where r.entitlement = new.entitlement and r.day > new.day) then
        raise exception 'a revision of % would change what was known before', new.day
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger revisions_guard before insert or update or delete on entitlements.revisions
    for each row execute function entitlements.guard_revision();

alter table entitlements.entitlements enable row level security;
create policy reach on entitlements.entitlements to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table entitlements.revisions enable row level security;
create policy reach on entitlements.revisions to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
grant select, insert, update on entitlements.offers, entitlements.entitlements, entitlements.revisions
    to milo_app, milo_job;

-- -------------------------------------------------------------------------------------------------- usage
-- Owned by milo_ingest: COPY does not work under row-level security, and partitions come and go while serving.
-- Others read under policies. Where a row has an account, its organization is the account's; a row without one
-- carries `owner_org`.

-- One row an event that is billed. The id is the event's own ULID or UUIDv7, or a server-made UUIDv7 for any other
-- id (usage.foreign_ids). Ids start with 48 bits of Unix milliseconds, so the partitions are days of id time, and the
-- primary key alone is unique over all of them. Account, project and day are what attribution decided at
-- min(event_at, received_at); they never change. `digest` is of the payload, to tell a retry from a conflict.
create table usage.events (
    id uuid not null,
    event_at timestamptz not null,
    received_at timestamptz not null,
    account integer not null,
    project integer not null,
    meter integer not null,
    day date not null,              -- billing day in the account's zone
    dimensions bigint not null,     -- usage.dimension_sets
    value bigint not null,
    resource bigint not null,       -- usage.resources; 0 is none
    digest bigint not null,
    distinct_key uuid,              -- of a UniqueCount meter: 128-bit hash of the text of what it counts
    primary key (id)
) partition by range (id);

-- The partitions there are: events of an id day without one, or with a sealed one, are ID_EXPIRED. A day is sealed, then
-- written to the archive, then dropped; the row stays, so that the partition is not made again.
create table usage.days (
    day date primary key,           -- UTC day of id time
    sealed_at timestamptz,
    indexed boolean not null default false,     -- its events can be found by (account, meter, id), for disputes
    dropped_at timestamptz,
    check (dropped_at is null or sealed_at is not null)
);

-- A sealed partition has this as a trigger: what the archive holds is what was there.
create function usage.refuse_sealed() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'the day of this event id is sealed: file a UsageCorrection' using errcode = 'restrict_violation';
end $$;

-- What a sealed day was written to, before its partition was dropped. `totals` says, by meter number, how many events and
-- which sum the file holds, as counted from the partition. Days without an event have no file.
create table usage.archives (
    day date primary key references usage.days (day),
    name text not null unique,      -- in the blob store
    bytes bigint not null check (bytes > 0),
    sha256 bytea not null check (length(sha256) = 32),
    events bigint not null check (events > 0),
    totals jsonb not null,          -- {"<meter>": {"events": "…", "sum": "…"}}
    first_day date not null,        -- billing days in it, both included
    last_day date not null,
    written_at timestamptz not null,
    expired_at timestamptz,         -- the file was deleted after its time
    check (first_day <= last_day)
);

-- Ids that are neither ULID nor UUIDv7: 128-bit hash of (sender's organization, source, id) → the event's id.
create table usage.foreign_ids (
    hash uuid primary key,
    event uuid not null,
    digest bigint not null
);

-- Labels, once each, under the 64-bit hash of their canonical JSON; a collision is refused, not stored.
create table usage.dimension_sets (
    hash bigint primary key,
    dimensions jsonb not null
);

-- What an event said it was measured on, once each, for disputes. The same hash over canonical JSON.
create table usage.resources (
    hash bigint primary key,
    resource text not null
);

-- Accepted, durable, and not billable yet: the event as it was sent, and why.
create table usage.quarantine (
    id uuid primary key,
    owner_org bigint not null,      -- the project's organization where the sender reaches it, else the sender's
    reason text not null check (reason in ('unknown_meter', 'invalid_dimensions', 'invalid_value', 'malformed_data',
                                           'attribution_failure', 'too_late')),
    detail text not null,
    meter text,                     -- as sent, cut to 200 characters, for replays by meter and project
    project text,
    event_at timestamptz,           -- null where it could not be read
    received_at timestamptz not null,
    digest bigint not null,
    event bytea not null            -- JSON, byte for byte
);
-- what the summary, the depth by reason and the replay by cause read
create index quarantine_by_org on usage.quarantine (owner_org, reason, meter, received_at);
create index quarantine_by_cause on usage.quarantine (reason, meter, id);

-- Quarantined events that somebody gave up, with who did it, when and why. Their ids stay known for ever: the same event
-- sent again is a duplicate.
create table usage.discarded (
    id uuid primary key,
    owner_org bigint not null,
    reason text not null,
    detail text not null,
    meter text,
    project text,
    event_at timestamptz,
    received_at timestamptz not null,
    digest bigint not null,
    event bytea not null,
    discarded_at timestamptz not null,
    discarded_by text not null,
    discard_reason text not null check (length(discard_reason) between 1 and 1000)
);

-- One row a replay: what of the quarantine is tried again, and how far that has come. Groups of events are replayed in
-- order of id, each in one transaction that also moves `cursor`, so a replay that was interrupted goes on behind it.
create table usage.replays (
    id uuid primary key,
    organizations bigint[] check (cardinality(organizations) > 0),     -- whose events; null is everybody's
    reason text,
    meter text,
    project text,
    received_from timestamptz,
    received_to timestamptz,
    accept_late boolean not null,
    opened_by text not null,
    opened_at timestamptz not null,     -- events that were received later are not part of it
    state text not null default 'running' check (state in ('running', 'finished')),
    cursor uuid not null default '00000000-0000-0000-0000-000000000000',
    total bigint not null check (total >= 0),                 -- when it was opened
    replayed bigint not null default 0 check (replayed >= 0), -- moved to usage.events
    kept bigint not null default 0 check (kept >= 0),         -- failed again, with a new reason or detail
    duplicate bigint not null default 0 check (duplicate >= 0),   -- stood in usage.events already
    updated_at timestamptz not null,
    finished_at timestamptz,
    check ((state = 'finished') = (finished_at is not null))
);
create index replays_running on usage.replays (updated_at) where state = 'running';

-- Events that a replay moved out of quarantine: when they began to count, which their receipt does not say.
create table usage.replayed (
    id uuid primary key,
    account integer not null,
    replay uuid not null references usage.replays (id),
    reason text not null,           -- why it was quarantined
    replayed_at timestamptz not null
);

-- What bills are made of: one row an (account, billing day, project, meter, dimension set). Sums are numeric, since
-- int64 values may add up to more. `last` is by event time, then id.
create table usage.rollups (
    account integer not null,
    day date not null,
    project integer not null,
    meter integer not null,
    dimensions bigint not null,
    sum numeric not null,
    count bigint not null,
    min bigint not null,
    max bigint not null,
    last bigint not null,
    last_at timestamptz not null,
    last_id uuid not null,
    primary key (account, day, project, meter, dimensions)
) with (fillfactor = 70);

-- Aggregates of each ingest group, in the group's transaction. Every two seconds the compactor moves them into the
-- roll-up with one statement (delete … returning, insert … on conflict), so that a reader of
-- rollups UNION ALL deltas is never wrong, whatever its snapshot. TRUNCATE would not be MVCC-safe.
create table usage.deltas (
    account integer not null,
    day date not null,
    project integer not null,
    meter integer not null,
    dimensions bigint not null,
    sum bigint not null,
    count bigint not null,
    min bigint not null,
    max bigint not null,
    last bigint not null,
    last_at timestamptz not null,
    last_id uuid not null
) with (autovacuum_enabled = false);    -- the compactor vacuums it

-- What a UniqueCount meter counted behind a row of the roll-up, exactly: each key once, with how many events had it,
-- so that a void can take one away. The same way as the roll-ups: appended with the group, moved by the compactor.
create table usage.distinct_keys (
    account integer not null,
    day date not null,
    project integer not null,
    meter integer not null,
    dimensions bigint not null,
    key uuid not null,
    events bigint not null check (events > 0),
    primary key (account, day, project, meter, dimensions, key)
) with (fillfactor = 90);
create table usage.distinct_key_deltas (
    account integer not null,
    day date not null,
    project integer not null,
    meter integer not null,
    dimensions bigint not null,
    key uuid not null,
    events bigint not null check (events > 0)
) with (autovacuum_enabled = false);    -- the compactor vacuums it

-- Events that do not count any more, and why. The event itself stays where it is; these are its figures.
create table usage.voids (
    id uuid primary key,            -- of usage.events, wherever it lies now
    account integer not null,
    day date not null,
    project integer not null,
    meter integer not null,
    dimensions bigint not null,
    value bigint not null,
    event_at timestamptz not null,
    distinct_key uuid,
    reason text not null check (reason <> ''),
    voided_by text not null,
    voided_at timestamptz not null
);
create index voids_of_row on usage.voids (account, day, project, meter, dimensions);

-- Usage that staff declare, because its events cannot come in any more. Written once, by the UsageCorrection of this uid;
-- the figures are those of a delta, which is written with it.
create table usage.corrections (
    uid uuid primary key,
    account integer not null,
    day date not null,
    project integer not null,
    meter integer not null,
    dimensions bigint not null,
    sum bigint not null,
    count bigint not null,
    min bigint not null,
    max bigint not null,
    last bigint not null,
    last_at timestamptz not null,
    reason text not null check (reason <> ''),
    corrected_at timestamptz not null
);
create index corrections_of_row on usage.corrections (account, day, project, meter, dimensions);

-- What reached days that had been invoiced already: what to look at when the next invoice settles the difference. Appended
-- only; `events` and `quantity` are what was added to count and sum, `first_at` and `last_at` the times of the events.
create table usage.changes (
    id bigint generated always as identity primary key,
    account integer not null,
    day date not null,
    project integer not null,
    meter integer not null,
    dimensions bigint not null,
    cause text not null check (cause in ('late', 'void', 'correction')),
    events bigint not null,
    quantity numeric not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    changed_at timestamptz not null,
    check (first_at <= last_at)
);
create index changes_of_account on usage.changes (account, day);
create index changes_by_account on usage.changes (account, id);

-- Up to which change an account's invoices have taken them up.
create table usage.settled_changes (
    account integer primary key,
    until bigint not null check (until >= 0),
    settled_at timestamptz not null
);

-- How many events had which fate, by the day of receipt and the sender's organization. One row a process, so that
-- two gateways do not wait for each other.
create table usage.tallies (
    owner_org bigint not null,
    day date not null,
    fate text not null,             -- accepted, late, duplicate, conflict, quarantined:<reason>, rejected:<reason>
    process uuid not null,
    events bigint not null,
    primary key (owner_org, day, fate, process)
) with (fillfactor = 70);

-- File imports, kept for ever: the same digest and mapping is the same import.
create table usage.imports (
    id uuid primary key,
    owner_org bigint not null,
    digest bytea not null check (length(digest) = 32),
    mapping jsonb not null,
    identity bytea not null check (length(identity) = 32),    -- sha256 of digest and canonical mapping
    rows bigint not null check (rows >= 0),
    accept_late boolean not null,
    opened_by text not null,
    opened_at timestamptz not null,
    completed_at timestamptz,
    unique (owner_org, identity)
);

-- Written in the transaction that stores the chunk's events, so that a chunk sent again answers the same.
create table usage.import_chunks (
    import uuid not null references usage.imports (id),
    number integer not null check (number >= 0),
    digest bytea not null check (length(digest) = 32),
    rows integer not null,
    accepted integer not null,
    quarantined integer not null,
    duplicate integer not null,
    rejected jsonb not null,        -- [{row, reason, detail}]
    primary key (import, number)
);

alter table usage.events enable row level security;
create policy reach on usage.events for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.rollups enable row level security;
create policy reach on usage.rollups for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.deltas enable row level security;
create policy reach on usage.deltas for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.distinct_keys enable row level security;
create policy reach on usage.distinct_keys for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.distinct_key_deltas enable row level security;
create policy reach on usage.distinct_key_deltas for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.voids enable row level security;
create policy reach on usage.voids for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.corrections enable row level security;
create policy reach on usage.corrections for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.changes enable row level security;
create policy reach on usage.changes for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.quarantine enable row level security;
create policy reach on usage.quarantine for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
create policy discard on usage.quarantine for delete to milo_app
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table usage.discarded enable row level security;
create policy reach on usage.discarded to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table usage.replays enable row level security;
create policy reach on usage.replays to milo_app, milo_job
    using ((select controlplane.reaches_all()) or organizations <@ (select controlplane.reach())::bigint[]);
alter table usage.replayed enable row level security;
create policy reach on usage.replayed for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
alter table usage.tallies enable row level security;
create policy reach on usage.tallies for select to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table usage.imports enable row level security;
create policy reach on usage.imports to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table usage.import_chunks enable row level security;
create policy reach on usage.import_chunks for select to milo_app, milo_job
    using (exists (select from usage.imports i where i.id = import));

grant select on usage.events, usage.dimension_sets, usage.resources, usage.quarantine, usage.rollups, usage.deltas,
    usage.distinct_keys, usage.distinct_key_deltas, usage.tallies, usage.imports, usage.import_chunks,
    usage.discarded, usage.replays, usage.replayed, usage.days to milo_app, milo_job;
alter table usage.settled_changes enable row level security;
create policy reach on usage.settled_changes to milo_app, milo_job
    using ((select controlplane.reaches_all()) or account in (select number from accounts.accounts));
grant select, insert, update on usage.settled_changes to milo_app, milo_job;
grant select on usage.voids, usage.corrections, usage.changes, usage.archives to milo_app, milo_job;
grant insert, update on usage.imports to milo_app;
grant insert on usage.discarded, usage.replays to milo_app;
grant delete on usage.quarantine to milo_app;

grant create on schema usage to milo_ingest;
alter table usage.events owner to milo_ingest;
alter table usage.days owner to milo_ingest;
alter table usage.archives owner to milo_ingest;
alter table usage.voids owner to milo_ingest;
alter table usage.corrections owner to milo_ingest;
alter table usage.changes owner to milo_ingest;
alter function usage.refuse_sealed() owner to milo_ingest;
alter table usage.foreign_ids owner to milo_ingest;
alter table usage.dimension_sets owner to milo_ingest;
alter table usage.resources owner to milo_ingest;
alter table usage.quarantine owner to milo_ingest;
alter table usage.discarded owner to milo_ingest;
alter table usage.replays owner to milo_ingest;
alter table usage.replayed owner to milo_ingest;
alter table usage.rollups owner to milo_ingest;
alter table usage.deltas owner to milo_ingest;
alter table usage.distinct_keys owner to milo_ingest;
alter table usage.distinct_key_deltas owner to milo_ingest;
alter table usage.tallies owner to milo_ingest;
alter table usage.imports owner to milo_ingest;
alter table usage.import_chunks owner to milo_ingest;

-- ------------------------------------------------------------------------------------------------ pricing
-- Exchange rates as they were published: units of `currency` for one euro. What an amount was converted with must stay
-- what it was, so a row is written once.

create table pricing.exchange_rates (
    source text not null check (source <> ''),
    currency text not null check (currency ~ '^[A-Z]{3}$' and currency <> 'EUR'),
    day date not null,
    rate numeric not null check (rate > 0 and rate < 'infinity'),
    imported_at timestamptz not null,
    primary key (source, currency, day)
);

create function pricing.refuse_change() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    raise exception '%.% is written once: amounts were converted with it', tg_table_schema, tg_table_name
        using errcode = 'restrict_violation';
end $$;
create trigger exchange_rates_written_once before update or delete or truncate on pricing.exchange_rates
    for each statement execute function pricing.refuse_change();

grant select, insert on pricing.exchange_rates to milo_app, milo_job;

-- What is sold once, as Charge objects say it.

create table pricing.charges (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    account integer not null references accounts.accounts (number),
    sku text not null,
    day date not null,              -- a billing day of the account
    quantity numeric not null check (quantity > 0 and quantity < 'infinity'),
    description text not null,
    unique (namespace, name)
);
create index charges_by_account on pricing.charges (account, day);

-- What an invoice holds stays: the explanation of its line is read from here.
create function pricing.guard_charge() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if exists (select from accounts.billed b join accounts.accounts a on a.number = b.account
               where a.number = old.account and old.day::timestamp at time zone a.time_zone < b.billed_until) then
        raise exception 'charge % lies in an invoiced period and never changes', old.name
            using errcode = 'restrict_violation';
    end if;
    return case tg_op when 'DELETE' then old else new end;
end $$;
create trigger charges_guard before update or delete on pricing.charges
    for each row execute function pricing.guard_charge();

alter table pricing.charges enable row level security;
create policy reach on pricing.charges to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
grant select, insert, update, delete on pricing.charges to milo_app, milo_job;

-- --------------------------------------------------------------------------------------------- commitments

-- What accounts have promised, as it was declared. What an interval lacks is computed from usage, never stored here.
-- `ends_on` is the first day after the last term; null goes on until somebody ends it.
create table commitments.commitments (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    account integer not null references accounts.accounts (number),
    currency text not null,
    starts_on date not null,
    ends_on date check (ends_on >= starts_on),
    accepted_at timestamptz,
    covers_all boolean not null,    -- it is about every Sku
    stacks boolean not null,        -- it bears another one beside it
    body jsonb not null,
    unique (namespace, name),
    -- the rules also refuse what shares only some Skus; this much the database knows by itself
    exclude using gist (account with =, daterange(starts_on, ends_on) with &&)
        where (accepted_at is not null and covers_all and not stacks)
);
create index commitments_by_account on commitments.commitments (account);

-- What was accepted stays as it was accepted, but for its end.
create function commitments.guard_accepted() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if old.accepted_at is null then
        return case tg_op when 'DELETE' then old else new end;
    end if;
    if tg_op = 'DELETE' then
        raise exception 'commitment % was accepted and is never deleted', old.name using errcode = 'restrict_violation';
    end if;
    if (new.account, new.currency, new.starts_on, new.accepted_at, new.covers_all, new.stacks, new.owner_org,
        new.body - 'renewalPolicy')
       is distinct from (old.account, old.currency, old.starts_on, old.accepted_at, old.covers_all, old.stacks,
                         old.owner_org, old.body - 'renewalPolicy') then
        raise exception 'commitment % was accepted: only its end can change', old.name
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger commitments_guard before update or delete on commitments.commitments
    for each row execute function commitments.guard_accepted();

-- How ended intervals stood when a worker last looked: what conditions say is read here. One row an interval of a
-- minimum (by its position), so that one shortfall is known of it however often it is looked at.
create table commitments.intervals (
    commitment uuid not null references commitments.commitments (uid),
    minimum integer not null check (minimum >= 0),
    starts_on date not null,
    ends_on date not null check (starts_on < ends_on),
    owner_org bigint not null,
    minimum_minor bigint not null,
    spent_minor bigint not null,
    shortfall_minor bigint not null check (shortfall_minor >= 0),
    assessed_at timestamptz not null,
    primary key (commitment, minimum, starts_on),
    check (shortfall_minor = greatest(minimum_minor - spent_minor, 0)),
    exclude using gist (commitment with =, minimum with =, daterange(starts_on, ends_on) with &&)
);

create table commitments.discounts (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    account integer not null references accounts.accounts (number),
    starts_on date not null,
    ends_on date check (ends_on >= starts_on),
    body jsonb not null,
    unique (namespace, name),
    check ((body ? 'percentage') <> (body ? 'amount'))
);
create index discounts_by_account on commitments.discounts (account);

alter table commitments.commitments enable row level security;
create policy reach on commitments.commitments to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table commitments.intervals enable row level security;
create policy reach on commitments.intervals to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
alter table commitments.discounts enable row level security;
create policy reach on commitments.discounts to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
grant select, insert, update, delete on commitments.commitments, commitments.discounts to milo_app, milo_job;
grant select, insert, update on commitments.intervals to milo_app, milo_job;

-- ---------------------------------------------------------------------------------------------- invoicing
-- Who issues: what IssuerProfile objects say now, and every version that an invoice was issued under.

create table invoicing.issuer_versions (
    digest bytea primary key check (length(digest) = 32),   -- SHA-256 of the body
    body jsonb not null
);

create table invoicing.issuers (
    name text primary key,
    uid uuid not null unique,
    is_default boolean not null,
    version bytea not null references invoicing.issuer_versions (digest)
);
create unique index issuers_default on invoicing.issuers (is_default) where is_default;

-- What TaxRate objects say: one rate at a time for each tax of a place and tax category.
create table invoicing.tax_rates (
    uid uuid primary key,
    name text not null unique,
    country text not null check (country ~ '^[A-Z]{2}$'),
    region text not null,               -- empty for the whole country
    tax text not null check (tax <> ''),
    category text not null,             -- a Sku's
    code text not null check (code in ('S', 'Z', 'E')),
    percent numeric not null check (percent between 0 and 100),
    starts_on date not null,
    ends_on date check (ends_on > starts_on),
    reason text not null,
    reason_code text not null,
    check ((code = 'S') = (percent > 0)),
    check ((code = 'E') = (reason <> '')),
    constraint tax_rates_overlap exclude using gist (
        country with =, region with =, tax with =, category with =, daterange(starts_on, ends_on) with &&)
);

-- What registers, or staff who asked them, said of accounts' VAT numbers. The last one counts, for the number that it was
-- about; the number is sealed under the account's key. Kept as the proof why nothing was taken.
create table invoicing.vat_checks (
    account integer not null references accounts.accounts (number),
    checked_at timestamptz not null,
    owner_org bigint not null,
    sealed text not null,
    valid boolean not null,
    source text not null check (source <> ''),
    reference text not null,            -- what the register gives as a proof that it was asked
    primary key (account, checked_at)
);
alter table invoicing.vat_checks enable row level security;
create policy reach on invoicing.vat_checks to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
grant select, insert on invoicing.vat_checks to milo_app, milo_job;

-- Gapless: the row stays locked from drawing a number until commit, and a rollback gives the number back. Rows outlive
-- the profile, so a profile made again goes on where it stopped.
create table invoicing.number_series (
    issuer text not null,
    series text not null,               -- what stands before the digits
    next bigint not null check (next > 0),
    last_issued_on date not null,
    primary key (issuer, series)
) with (fillfactor = 50);

-- An invoice is written from the bottom up: its lines, parts and shares first, its own row last. From then on nothing
-- can be added, and at commit the sums are checked.
create table invoicing.invoices (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    account integer not null references accounts.accounts (number),
    account_name text not null,
    kind text not null check (kind in ('Periodic', 'OneTime', 'Adjustment', 'Consolidated', 'Final')),
    period tstzrange not null check (lower_inc(period) and not upper_inc(period) and lower(period) < upper(period)),
    phase text not null check (phase in ('Issued', 'PartiallyPaid', 'Paid', 'PastDue', 'Void', 'Uncollectible')),
    issuer text not null,
    issuer_version bytea not null references invoicing.issuer_versions (digest),
    series text not null,
    sequence bigint not null check (sequence > 0),
    number text not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    subtotal_minor bigint not null,
    discounts_minor bigint not null,    -- discounts of invoice scope; those of line scope are inside the lines
    tax_minor bigint not null,
    total_minor bigint not null check (total_minor >= 0),
    -- what became of the total, from `settlements`; the rest is due
    amount_paid_minor bigint not null default 0 check (amount_paid_minor >= 0),
    credited_minor bigint not null default 0 check (credited_minor >= 0),
    written_off_minor bigint not null default 0 check (written_off_minor >= 0),
    issued_at timestamptz not null,
    issued_on date not null,
    due_on date not null check (due_on >= issued_on),
    check (total_minor = subtotal_minor + discounts_minor + tax_minor),
    frozen jsonb not null,              -- zone, language, terms, project names; `buyer` as the account's ciphertext
    replaces uuid unique references invoicing.invoices (uid),           -- a void one
    check (amount_paid_minor + credited_minor + written_off_minor <= total_minor),
    -- off what is paid until the day, itself included; a year on what is overdue
    early_percent numeric check (early_percent > 0 and early_percent <= 100),
    early_until date check (early_until between issued_on and due_on),
    interest_percent numeric check (interest_percent > 0 and interest_percent <= 100),
    check ((early_percent is null) = (early_until is null)),
    check (case phase
        when 'Issued' then amount_paid_minor + credited_minor + written_off_minor = 0 and total_minor > 0
        when 'PartiallyPaid' then amount_paid_minor + credited_minor + written_off_minor between 1 and total_minor - 1
        when 'PastDue' then amount_paid_minor + credited_minor + written_off_minor < total_minor
        when 'Paid' then amount_paid_minor + credited_minor = total_minor
        when 'Uncollectible' then written_off_minor > 0
            and amount_paid_minor + credited_minor + written_off_minor = total_minor
        when 'Void' then credited_minor = total_minor end),
    unique (namespace, name),
    unique (issuer, series, sequence),
    unique (issuer, number)
);

-- Whose last day to pay has come is looked at by the day.
create index invoices_falling_due on invoicing.invoices (due_on) where phase in ('Issued', 'PartiallyPaid');
-- Who collects goes over those of which something is due, in the order of uids.
create index invoices_open on invoicing.invoices (uid) where phase in ('Issued', 'PartiallyPaid', 'PastDue');
create index invoices_by_account on invoicing.invoices (account, issued_at);
create index invoices_bearing on invoicing.invoices (due_on) where interest_percent is not null;
create index invoices_owed on invoicing.invoices (account) where phase in ('Issued', 'PartiallyPaid', 'PastDue');
-- Whoever issues asks whether a void invoice is to be replaced.
create index invoices_void on invoicing.invoices (account) where phase = 'Void';

-- What became of what an invoice asks for: rows that are added and never changed. Each says how much less is due by it
-- (below zero: more), under which key the books have it, and in which phase the invoice is since. The trigger carries it
-- to the invoice's row, where checks hold the sums and the phase; there is no other way to change the sums.
create table invoicing.settlements (
    invoice uuid not null references invoicing.invoices (uid),
    step integer not null check (step > 0),
    owner_org bigint not null,
    kind text not null check (kind in (
        'Payment', 'PaymentReversal', 'Credit', 'EarlyPaymentDiscount', 'DiscountReversal', 'CreditNote', 'Void',
        'WriteOff', 'Recovery')),
    reference text not null check (reference <> ''),    -- what settles: a payment, a credit note …
    amount_minor bigint not null,
    phase text not null,
    posted text references ledger.transactions (key) deferrable initially deferred,
    reason text check (reason <> ''),   -- of those who took it back or gave it up
    at timestamptz not null,
    noted_at timestamptz not null,
    check ((kind in ('Void', 'WriteOff')) = (reason is not null)),
    primary key (invoice, step),
    unique (invoice, kind, reference),
    check (case when kind in ('PaymentReversal', 'DiscountReversal', 'Recovery') then amount_minor < 0
        when kind = 'Void' then amount_minor >= 0 else amount_minor > 0 end),
    check (posted is not null or amount_minor = 0)
);
create index settlements_by_reference on invoicing.settlements (reference);
-- A DiscountReversal cancels the credit note to which it refers: nothing stands of what the note took back.
create unique index settlements_cancelling on invoicing.settlements (reference) where kind = 'DiscountReversal';

-- The accounts whose days an invoice has: of a periodic or final one the account that it is addressed to, whose row a
-- trigger writes; of a consolidated one each account that is invoiced with it, numbered as the sections stand on it. No
-- instant of an account is on two of them that stand, whoever pays.
create table invoicing.sections (
    invoice uuid not null references invoicing.invoices (uid) deferrable initially deferred,
    account integer not null references accounts.accounts (number),
    owner_org bigint not null,
    section integer not null check (section > 0),
    period tstzrange not null check (lower_inc(period) and not upper_inc(period) and lower(period) < upper(period)),
    standing boolean not null default true,     -- until the invoice is void
    nothing_at timestamptz,             -- of a void one: when its days were run again and there was nothing to charge
    primary key (invoice, account),
    unique (invoice, section),
    check (nothing_at is null or not standing),
    constraint sections_once exclude using gist (account with =, period with &&) where (standing)
);
create index sections_void on invoicing.sections (account) where not standing;

create table invoicing.lines (
    invoice uuid not null references invoicing.invoices (uid) deferrable initially deferred,
    line integer not null check (line > 0),
    owner_org bigint not null,
    kind text not null check (kind in (
        'Usage', 'Recurring', 'OneTime', 'Shortfall', 'Overage', 'Prepayment', 'DrawDown', 'Interest', 'PrepaidCredit',
        'Adjustment')),
    used_by integer not null,           -- the account that used
    paid_by integer not null,           -- the account that pays
    sku integer,                        -- null, like the book, where a commitment charges
    sku_name text,
    description text not null,
    service text not null,
    invoice_group text not null,
    tax_category text not null,
    book integer,                       -- the version of the price book
    book_name text,
    book_effective_from date,
    commitment uuid,
    first_day date not null,            -- the days that are charged: [first_day, end_day)
    end_day date not null check (end_day > first_day),
    quantity numeric not null,          -- in pricing_unit; `included` of it was free
    included numeric not null,
    pricing_unit text not null,
    amount_minor bigint not null check (kind <> 'DrawDown' or amount_minor <> 0),
    in_advance boolean not null,        -- earned after it was charged
    taxes integer[] not null,           -- numbers of the invoice's tax groups that it belongs to
    adjusts uuid references invoicing.invoices (uid),       -- the issued invoice that came to more or less since
    adjusted_kind text check (adjusted_kind <> 'Adjustment'),           -- and which kind of its lines
    primary key (invoice, line),
    check ((kind = 'Adjustment') = (adjusts is not null) and (adjusts is null) = (adjusted_kind is null)),
    check (coalesce(adjusted_kind, kind) = 'Recurring' or not in_advance),
    check (case when coalesce(adjusted_kind, kind) in ('Usage', 'Recurring', 'OneTime')
        then num_nulls(sku, sku_name, book, book_name, book_effective_from) = 0 and commitment is null
        else num_nonnulls(sku, sku_name, book, book_name, book_effective_from) = 0
            and (commitment is null) = (kind in ('Interest', 'PrepaidCredit')) end)
);

-- Who took what off a line: `Line` is inside its amount, a Discount among its parts; `Invoice` is the line's share of
-- what was taken off the whole invoice.
create table invoicing.line_discounts (
    invoice uuid not null,
    line integer not null,
    discount integer not null check (discount > 0),     -- in the order in which they acted
    owner_org bigint not null,
    scope text not null check (scope in ('Line', 'Invoice')),
    given_by text not null check (given_by in ('Commitment', 'Discount', 'CreditGrant', 'PrepaidCredit')),
    source uuid not null,               -- the object's uid
    name text not null,
    title text not null,                -- what the invoice calls it
    percent numeric check (percent > 0 and percent <= 100),             -- null for an amount
    amount_minor bigint not null,
    primary key (invoice, line, discount),
    foreign key (invoice, line) references invoicing.lines (invoice, line)
);

-- One row for each way in which lines of the invoice are taxed: their net after every discount, and the tax on that,
-- rounded here and nowhere else. PostgreSQL rounds numeric half away from zero, as kernel.money does.
create table invoicing.taxes (
    invoice uuid not null references invoicing.invoices (uid) deferrable initially deferred,
    tax integer not null check (tax > 0),
    owner_org bigint not null,
    code text not null check (code in ('S', 'Z', 'E', 'AE', 'G', 'O')),     -- UNTDID 5305 in EN 16931
    percent numeric not null check (percent between 0 and 100),
    name text not null,
    place text not null,                -- whose tax: DE, US-CA
    reason text not null,
    reason_code text not null,          -- VATEX
    basis_minor bigint not null,
    tax_minor bigint not null,
    primary key (invoice, tax),
    unique (invoice, code, percent, name, place, reason, reason_code),
    check ((code = 'S') = (percent > 0)),
    check (code <> 'S' or (name <> '' and place <> '')),
    check (code in ('S', 'Z') or reason <> ''),
    check (tax_minor = round(basis_minor * percent / 100))
);

create table invoicing.line_parts (
    invoice uuid not null,
    line integer not null,
    part integer not null check (part > 0),
    owner_org bigint not null,
    kind text not null check (kind in (
        'Usage', 'Package', 'Percentage', 'FlatFee', 'Discount', 'Maximum', 'Minimum', 'Committed', 'Spent',
        'Rerated', 'Charged', 'GivenBack')),
    tier integer,
    quantity numeric,
    unit_price numeric,
    amount_minor bigint not null,
    primary key (invoice, line, part),
    foreign key (invoice, line) references invoicing.lines (invoice, line)
);

-- Line × project × dimension set. `project` is null for the account's own share.
create table invoicing.line_shares (
    invoice uuid not null,
    line integer not null,
    share integer not null check (share > 0),
    owner_org bigint not null,
    project integer,
    dimensions jsonb not null,
    metered numeric not null,           -- in the meter's unit; beyond int64 for sums, a fraction for averages and parts
    quantity numeric not null,          -- the same in the line's pricing_unit
    amount_minor bigint not null,
    primary key (invoice, line, share),
    foreign key (invoice, line) references invoicing.lines (invoice, line)
);

-- What was taken back of an invoice, frozen like it: by line, net of every discount. What was still open of the invoice is
-- settled by it; the rest, which had been paid, is money on account of the customer. One that voids takes back all.
create table invoicing.credit_notes (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    invoice uuid not null references invoicing.invoices (uid),
    account integer not null references accounts.accounts (number),
    voids boolean not null,
    issuer text not null,
    issuer_version bytea not null references invoicing.issuer_versions (digest),
    series text not null,
    sequence bigint not null check (sequence > 0),
    number text not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    net_minor bigint not null,
    tax_minor bigint not null,
    total_minor bigint not null check (total_minor >= 0),
    settled_minor bigint not null check (settled_minor between 0 and total_minor),
    reason text not null check (reason <> ''),
    issued_at timestamptz not null,
    issued_on date not null,
    check (total_minor = net_minor + tax_minor),
    check (voids or total_minor > 0),
    unique (namespace, name),
    unique (issuer, series, sequence),
    unique (issuer, number)
);
create index credit_notes_by_invoice on invoicing.credit_notes (invoice);
create unique index credit_notes_voiding on invoicing.credit_notes (invoice) where voids;

create table invoicing.credit_lines (
    credit_note uuid not null references invoicing.credit_notes (uid) deferrable initially deferred,
    line integer not null,              -- the invoice's
    owner_org bigint not null,
    invoice uuid not null,
    net_minor bigint not null check (net_minor <> 0),
    quantity numeric check (quantity > 0),      -- where one was credited, in the line's pricing unit
    primary key (credit_note, line),
    foreign key (invoice, line) references invoicing.lines (invoice, line)
);
create index credit_lines_by_invoice on invoicing.credit_lines (invoice, line);

-- The tax that comes back with it, by the invoice's tax groups: on what was credited, and never more than was charged.
create table invoicing.credit_taxes (
    credit_note uuid not null references invoicing.credit_notes (uid) deferrable initially deferred,
    tax integer not null,               -- the invoice's group
    owner_org bigint not null,
    invoice uuid not null,
    basis_minor bigint not null,
    tax_minor bigint not null,
    primary key (credit_note, tax),
    foreign key (invoice, tax) references invoicing.taxes (invoice, tax)
);
create index credit_taxes_by_invoice on invoicing.credit_taxes (invoice, tax);

-- What cancels a credit note: a document of its own over exactly the note's lines and taxes, so it has no amounts here. It
-- stands with the DiscountReversal that takes away what the note had settled, and neither without the other.
create table invoicing.cancellations (
    credit_note uuid primary key references invoicing.credit_notes (uid),
    owner_org bigint not null,
    issuer text not null,
    issuer_version bytea not null references invoicing.issuer_versions (digest),
    series text not null,
    sequence bigint not null check (sequence > 0),
    number text not null,
    reason text not null check (reason <> ''),
    issued_at timestamptz not null,
    issued_on date not null,
    unique (issuer, series, sequence),
    unique (issuer, number)
);

create table invoicing.credit_documents (
    credit_note uuid not null references invoicing.credit_notes (uid),
    paper text not null check (paper in ('Note', 'Cancellation')),
    kind text not null check (kind in ('pdf', 'ubl', 'cii')),
    owner_org bigint not null,
    media_type text not null,
    template text not null,
    sha256 bytea not null check (length(sha256) = 32),
    sealed text not null,
    written_at timestamptz not null,
    primary key (credit_note, paper, kind)
);

create function invoicing.assert_cancelled() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if not exists (select from invoicing.credit_notes n where n.uid = new.credit_note and n.owner_org = new.owner_org
                   and n.issuer = new.issuer and n.issued_on <= new.issued_on) then
        raise exception 'cancellation % is not of the credit note that it cancels', new.number
            using errcode = 'check_violation';
    end if;
    if not exists (select from invoicing.settlements where kind = 'DiscountReversal'
                   and reference = new.credit_note::text) then
        raise exception 'cancellation % is of a credit note that stands', new.number using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger cancellations_of_notes after insert on invoicing.cancellations
    deferrable initially deferred for each row execute function invoicing.assert_cancelled();

-- A credit note is the sum of its lines, and no line, nor the invoice, is credited beyond what was charged. The invoice is
-- locked, so that two notes at once are looked at one after the other.
create function invoicing.assert_credited() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    credited invoicing.invoices;
    cancelled uuid[];
    off record;
begin
    select * into strict credited from invoicing.invoices where uid = new.invoice for no key update;
    select coalesce(array_agg(reference::uuid), '{}') into cancelled from invoicing.settlements
    where invoice = new.invoice and kind = 'DiscountReversal';
    if (credited.owner_org, credited.account, credited.currency, credited.issuer)
       is distinct from (new.owner_org, new.account, new.currency, new.issuer) then
        raise exception 'credit note % is not of the invoice that it credits', new.number using errcode = 'check_violation';
    end if;
    if exists (select from invoicing.credit_lines c where c.credit_note = new.uid and c.invoice <> new.invoice)
       or new.net_minor <> (select coalesce(sum(net_minor), 0) from invoicing.credit_lines where credit_note = new.uid) then
        raise exception 'credit note % is not the sum of its lines', new.number using errcode = 'check_violation';
    end if;
    select t.tax into off
    from (select tax, sum(net) as net
          from (select unnest(l.taxes) as tax, c.net_minor as net from invoicing.credit_lines c
                join invoicing.lines l on l.invoice = c.invoice and l.line = c.line
                where c.credit_note = new.uid) line
          group by tax) n
    full join (select tax, basis_minor from invoicing.credit_taxes where credit_note = new.uid) t on t.tax = n.tax
    where t.basis_minor is distinct from n.net limit 1;
    if found or new.tax_minor <> (select coalesce(sum(tax_minor), 0) from invoicing.credit_taxes
                                  where credit_note = new.uid) then
        raise exception 'the tax of credit note % is not that of its lines', new.number
            using errcode = 'check_violation';
    end if;
    select t.tax into off
    from (select tax, sum(tax_minor) as minor from invoicing.credit_taxes
          where invoice = new.invoice and credit_note <> all (cancelled) group by tax) c
    join invoicing.taxes t on t.invoice = new.invoice and t.tax = c.tax
    where c.minor not between least(t.tax_minor, 0) and greatest(t.tax_minor, 0)
    order by t.tax limit 1;
    if found then
        raise exception 'tax % of invoice % is credited beyond what was charged', off.tax, credited.number
            using errcode = 'check_violation';
    end if;
    select l.line into off
    from (select line, sum(net_minor) as minor from invoicing.credit_lines
          where invoice = new.invoice and credit_note <> all (cancelled) group by line) c
    join invoicing.lines l on l.invoice = new.invoice and l.line = c.line
    cross join lateral (
        select l.amount_minor + coalesce(sum(amount_minor), 0) as net from invoicing.line_discounts
        where invoice = l.invoice and line = l.line and scope = 'Invoice') n
    where c.minor not between least(n.net, 0) and greatest(n.net, 0)
    order by l.line limit 1;
    if found then
        raise exception 'line % of invoice % is credited beyond what was charged', off.line, credited.number
            using errcode = 'check_violation';
    end if;
    if (select sum(total_minor) from invoicing.credit_notes where invoice = new.invoice and uid <> all (cancelled))
       > credited.total_minor then
        raise exception 'invoice % is credited beyond its total', credited.number using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger credit_notes_sums after insert on invoicing.credit_notes
    deferrable initially deferred for each row execute function invoicing.assert_credited();

-- What an issued period came to since, because usage was late, voided or corrected: as rated again at the versions that
-- the invoice froze, less what was charged and adjusted before. One row for each document that says so: the invoice that
-- carries lines for what is charged in addition, or the credit note over what is given back, which is of the adjusted
-- invoice or of one that carried an adjustment of it.
create table invoicing.adjustments (
    invoice uuid not null references invoicing.invoices (uid),
    account integer not null references accounts.accounts (number),     -- that used: each section is adjusted by itself
    sequence integer not null check (sequence > 0),
    owner_org bigint not null,
    carrier uuid references invoicing.invoices (uid) deferrable initially deferred,
    credit_note uuid unique references invoicing.credit_notes (uid) deferrable initially deferred,
    amount_minor bigint not null,       -- before tax
    adjusted_at timestamptz not null,
    primary key (invoice, account, sequence),
    unique (carrier, invoice, account),
    check (num_nonnulls(carrier, credit_note) = 1),
    check (case when carrier is not null then amount_minor >= 0 else amount_minor < 0 end)
);
create index adjustments_by_account on invoicing.adjustments (account);

-- By what was charged for: the Sku or commitment, and its days.
create table invoicing.adjusted_lines (
    invoice uuid not null,
    account integer not null,
    sequence integer not null,
    owner_org bigint not null,
    kind text not null,
    charged_for text not null,          -- a Sku's name, or a commitment's uid
    first_day date not null,
    end_day date not null check (end_day > first_day),
    amount_minor bigint not null check (amount_minor <> 0),
    primary key (invoice, account, sequence, kind, charged_for, first_day, end_day),
    foreign key (invoice, account, sequence) references invoicing.adjustments (invoice, account, sequence)
);

-- What an invoiced period came to more or less is what its documents charge and give back.
create function invoicing.assert_adjusted() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    said bigint;
begin
    if new.amount_minor <> (select coalesce(sum(amount_minor), 0) from invoicing.adjusted_lines
                            where invoice = new.invoice and account = new.account and sequence = new.sequence) then
        raise exception 'adjustment % of invoice % is not the sum of its lines', new.sequence, new.invoice
            using errcode = 'check_violation';
    end if;
    if new.carrier is not null then
        select coalesce(sum(amount_minor), 0) into said from invoicing.lines
        where invoice = new.carrier and adjusts = new.invoice and used_by = new.account;
    else
        select -net_minor into said from invoicing.credit_notes where uid = new.credit_note;
    end if;
    if new.amount_minor <> said then
        raise exception 'adjustment % of invoice % is %, and its document says %', new.sequence, new.invoice,
            new.amount_minor, said using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger adjustments_sums after insert on invoicing.adjustments
    deferrable initially deferred for each row execute function invoicing.assert_adjusted();

-- Interest on what is paid late: for which days of which overdue invoice a line of a one-time invoice is. No day of an
-- invoice is charged twice; days are none where earlier ones came to more than was known.
create table invoicing.interest (
    charged_on uuid not null,           -- the one-time invoice
    line integer not null,
    owner_org bigint not null,
    invoice uuid not null references invoicing.invoices (uid) check (invoice <> charged_on),
    days daterange not null check (not lower_inf(days) and not upper_inf(days)),
    percent numeric not null check (percent > 0),       -- a year
    amount_minor bigint not null check (amount_minor > 0),
    primary key (charged_on, line),
    foreign key (charged_on, line) references invoicing.lines (invoice, line),
    exclude using gist (invoice with =, days with &&)
);

-- Interest that was charged and is not owed, because less was overdue: the credit note that gives it back.
create table invoicing.interest_reversals (
    credit_note uuid primary key references invoicing.credit_notes (uid),
    invoice uuid not null references invoicing.invoices (uid),
    owner_org bigint not null,
    amount_minor bigint not null check (amount_minor > 0)
);
create index interest_reversals_by_invoice on invoicing.interest_reversals (invoice);

-- Documents are rows. They hold personal data for as long as the law wants the document kept, so the body is sealed
-- under a key of the invoice's own, and outlives the erasure of the customer's.
create table invoicing.documents (
    invoice uuid not null references invoicing.invoices (uid),
    kind text not null check (kind in ('pdf', 'ubl', 'cii')),
    owner_org bigint not null,
    media_type text not null,
    template text not null,
    sha256 bytea not null check (length(sha256) = 32),      -- of the document in clear
    sealed text not null,
    written_at timestamptz not null,
    primary key (invoice, kind)
);

create function invoicing.guard_invoice() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if tg_op = 'UPDATE' then
        if old.phase <> 'Void'
           and to_jsonb(new) - '{phase,amount_paid_minor,credited_minor,written_off_minor}'::text[]
               = to_jsonb(old) - '{phase,amount_paid_minor,credited_minor,written_off_minor}'::text[] then
            return new;
        end if;
    end if;
    raise exception 'invoice % was issued and never changes: issue a credit note instead', old.number
        using errcode = 'restrict_violation';
end $$;
create trigger invoices_guard before update or delete on invoicing.invoices
    for each row execute function invoicing.guard_invoice();

create function invoicing.refuse_change() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    raise exception '%.% is written once, when an invoice is issued', tg_table_schema, tg_table_name
        using errcode = 'restrict_violation';
end $$;
create trigger invoices_kept before truncate on invoicing.invoices
    for each statement execute function invoicing.refuse_change();
-- A periodic or final invoice has the days of its own account; a void one has nobody's any more.
create function invoicing.carry_sections() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if tg_op = 'UPDATE' then
        update invoicing.sections set standing = false where invoice = new.uid;
    else
        insert into invoicing.sections (invoice, account, owner_org, section, period)
        values (new.uid, new.account, new.owner_org, 1, new.period) on conflict (invoice, account) do nothing;
    end if;
    return null;
end $$;
create trigger invoices_section after insert on invoicing.invoices
    for each row when (new.kind in ('Periodic', 'Final')) execute function invoicing.carry_sections();
create trigger invoices_void_sections after update of phase on invoicing.invoices
    for each row when (new.phase = 'Void' and old.phase <> 'Void') execute function invoicing.carry_sections();

-- A section is written before its invoice and never changes, but that it stands no more, and is run again for nothing.
create function invoicing.guard_section() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if tg_op = 'UPDATE' then
        if not new.standing and (old.nothing_at is null or new.nothing_at is not distinct from old.nothing_at)
            and to_jsonb(new) - '{standing,nothing_at}'::text[] = to_jsonb(old) - '{standing,nothing_at}'::text[] then
            return new;
        end if;
    elsif tg_op = 'INSERT' then
        if not exists (select from invoicing.invoices i where i.uid = new.invoice and i.kind = 'Consolidated') then
            return new;
        end if;
    end if;
    raise exception 'the sections of an invoice are written once, when it is issued' using errcode = 'restrict_violation';
end $$;
create trigger sections_guard before insert or update or delete on invoicing.sections
    for each row execute function invoicing.guard_section();
create trigger sections_kept before truncate on invoicing.sections
    for each statement execute function invoicing.refuse_change();

create trigger lines_written_once before update or delete or truncate on invoicing.lines
    for each statement execute function invoicing.refuse_change();
create trigger line_discounts_written_once before update or delete or truncate on invoicing.line_discounts
    for each statement execute function invoicing.refuse_change();
create trigger line_parts_written_once before update or delete or truncate on invoicing.line_parts
    for each statement execute function invoicing.refuse_change();
create trigger taxes_written_once before update or delete or truncate on invoicing.taxes
    for each statement execute function invoicing.refuse_change();
create trigger line_shares_written_once before update or delete or truncate on invoicing.line_shares
    for each statement execute function invoicing.refuse_change();
create trigger settlements_written_once before update or delete or truncate on invoicing.settlements
    for each statement execute function invoicing.refuse_change();
create trigger credit_notes_written_once before update or delete or truncate on invoicing.credit_notes
    for each statement execute function invoicing.refuse_change();
create trigger credit_lines_written_once before update or delete or truncate on invoicing.credit_lines
    for each statement execute function invoicing.refuse_change();
create trigger credit_taxes_written_once before update or delete or truncate on invoicing.credit_taxes
    for each statement execute function invoicing.refuse_change();
create trigger cancellations_written_once before update or delete or truncate on invoicing.cancellations
    for each statement execute function invoicing.refuse_change();
create trigger credit_documents_written_once before update or delete or truncate on invoicing.credit_documents
    for each statement execute function invoicing.refuse_change();
create trigger interest_written_once before update or delete or truncate on invoicing.interest
    for each statement execute function invoicing.refuse_change();
create trigger interest_reversals_written_once before update or delete or truncate on invoicing.interest_reversals
    for each statement execute function invoicing.refuse_change();
create trigger documents_written_once before update or delete or truncate on invoicing.documents
    for each statement execute function invoicing.refuse_change();
create trigger adjustments_written_once before update or delete or truncate on invoicing.adjustments
    for each statement execute function invoicing.refuse_change();
create trigger adjusted_lines_written_once before update or delete or truncate on invoicing.adjusted_lines
    for each statement execute function invoicing.refuse_change();
create trigger issuer_versions_written_once before update or delete or truncate on invoicing.issuer_versions
    for each statement execute function invoicing.refuse_change();

create function invoicing.apply_settlement() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    update invoicing.invoices set phase = new.phase,
        amount_paid_minor = amount_paid_minor
            + case when new.kind in ('Payment', 'PaymentReversal', 'Credit') then new.amount_minor else 0 end,
        credited_minor = credited_minor
            + case when new.kind in ('CreditNote', 'EarlyPaymentDiscount', 'DiscountReversal', 'Void')
                then new.amount_minor else 0 end,
        written_off_minor = written_off_minor
            + case when new.kind in ('WriteOff', 'Recovery') then new.amount_minor else 0 end
    where uid = new.invoice and owner_org = new.owner_org;
    if not found then
        raise exception 'a settlement belongs to the owner of its invoice' using errcode = 'check_violation';
    end if;
    return null;
end $$;
create trigger settlements_applied after insert on invoicing.settlements
    for each row execute function invoicing.apply_settlement();

-- A discount for early payment ends by what its credit note had settled, and none is given while another stands.
create function invoicing.assert_discount() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if new.kind = 'DiscountReversal' and not exists (
        select from invoicing.settlements s where s.invoice = new.invoice and s.kind = 'EarlyPaymentDiscount'
        and s.reference = new.reference and s.amount_minor = -new.amount_minor) then
        raise exception 'no discount for early payment of invoice % stands by %', new.invoice, new.reference
            using errcode = 'check_violation';
    end if;
    if new.kind = 'DiscountReversal' and not exists (
        select from invoicing.cancellations where credit_note::text = new.reference) then
        raise exception 'credit note % has no document that cancels it', new.reference using errcode = 'check_violation';
    end if;
    if new.kind = 'EarlyPaymentDiscount' and (
        select count(*) filter (where kind = 'EarlyPaymentDiscount') > count(*) filter (where kind = 'DiscountReversal')
        from invoicing.settlements where invoice = new.invoice) then
        raise exception 'invoice % has its discount for early payment already', new.invoice
            using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger settlements_discounted before insert on invoicing.settlements
    for each row when (new.kind in ('EarlyPaymentDiscount', 'DiscountReversal'))
    execute function invoicing.assert_discount();

create function invoicing.refuse_addition() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if exists (select from added join invoicing.invoices i on i.uid = added.invoice) then
        raise exception 'nothing can be added to an invoice once it was issued' using errcode = 'restrict_violation';
    end if;
    return null;
end $$;
create function invoicing.refuse_credit() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if exists (select from added join invoicing.credit_notes c on c.uid = added.credit_note) then
        raise exception 'nothing can be added to a credit note once it was issued' using errcode = 'restrict_violation';
    end if;
    return null;
end $$;
create trigger credit_taxes_before_note after insert on invoicing.credit_taxes
    referencing new table as added for each statement execute function invoicing.refuse_credit();
create trigger credit_lines_before_note after insert on invoicing.credit_lines
    referencing new table as added for each statement execute function invoicing.refuse_credit();
create trigger lines_before_invoice after insert on invoicing.lines
    referencing new table as added for each statement execute function invoicing.refuse_addition();
create trigger line_discounts_before_invoice after insert on invoicing.line_discounts
    referencing new table as added for each statement execute function invoicing.refuse_addition();
create trigger line_parts_before_invoice after insert on invoicing.line_parts
    referencing new table as added for each statement execute function invoicing.refuse_addition();
create trigger taxes_before_invoice after insert on invoicing.taxes
    referencing new table as added for each statement execute function invoicing.refuse_addition();
create trigger line_shares_before_invoice after insert on invoicing.line_shares
    referencing new table as added for each statement execute function invoicing.refuse_addition();

-- An invoice is the sum of its lines, and of what was taken off it; a line is the sum of its parts, and of its shares.
-- Whoever took something off is named, and nothing is taken off beyond what a line comes to.
create function invoicing.assert_sums() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    off record;
begin
    if new.subtotal_minor <> (select coalesce(sum(amount_minor), 0) from invoicing.lines where invoice = new.uid) then
        raise exception 'invoice % is not the sum of its lines', new.number using errcode = 'check_violation';
    end if;
    if new.discounts_minor <> (select coalesce(sum(amount_minor), 0) from invoicing.line_discounts
                               where invoice = new.uid and scope = 'Invoice') then
        raise exception 'the discounts of invoice % are not the sum of those on its lines', new.number
            using errcode = 'check_violation';
    end if;
    select l.line into off
    from invoicing.lines l
    cross join lateral (
        select coalesce(sum(amount_minor) filter (where scope = 'Line'), 0) as inside,
            coalesce(sum(amount_minor) filter (where scope = 'Invoice'), 0) as beside
        from invoicing.line_discounts where invoice = l.invoice and line = l.line) d
    where l.invoice = new.uid
      and (d.beside * l.amount_minor > 0 or abs(d.beside) > abs(l.amount_minor)
           or d.inside <> (select coalesce(sum(p.amount_minor), 0) from invoicing.line_parts p
                           where p.invoice = new.uid and p.line = l.line and p.kind = 'Discount'))
    order by l.line limit 1;
    if found then
        raise exception 'the discounts of line % of invoice % exceed it, or are not its parts', off.line, new.number
            using errcode = 'check_violation';
    end if;
    select l.line into off
    from invoicing.lines l
    where l.invoice = new.uid
      and (l.amount_minor <> (select coalesce(sum(p.amount_minor), 0) from invoicing.line_parts p
                              where p.invoice = new.uid and p.line = l.line)
           or l.amount_minor <> (select coalesce(sum(s.amount_minor), 0) from invoicing.line_shares s
                                 where s.invoice = new.uid and s.line = l.line))
    order by l.line limit 1;
    if found then
        raise exception 'line % of invoice % is not the sum of its parts, or of its shares', off.line, new.number
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
-- No line is left out of the taxes: category O says that nothing is taken. A group is the sum of its lines' nets.
create function invoicing.assert_taxes() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    off record;
begin
    if new.tax_minor <> (select coalesce(sum(tax_minor), 0) from invoicing.taxes where invoice = new.uid) then
        raise exception 'the tax of invoice % is not the sum of its groups', new.number using errcode = 'check_violation';
    end if;
    select l.line into off from invoicing.lines l where l.invoice = new.uid and cardinality(l.taxes) = 0
    order by l.line limit 1;
    if found then
        raise exception 'line % of invoice % is in no tax group', off.line, new.number
            using errcode = 'check_violation';
    end if;
    select coalesce(t.tax, n.tax) as tax into off
    from (select tax, sum(net) as net
          from (select unnest(l.taxes) as tax, l.amount_minor + coalesce((
                    select sum(d.amount_minor) from invoicing.line_discounts d
                    where d.invoice = l.invoice and d.line = l.line and d.scope = 'Invoice'), 0) as net
                from invoicing.lines l where l.invoice = new.uid) line
          group by tax) n
    full join (select tax, basis_minor from invoicing.taxes where invoice = new.uid) t on t.tax = n.tax
    where t.basis_minor is distinct from n.net
    order by 1 limit 1;
    if found then
        raise exception 'tax group % of invoice % is not the sum of its lines', off.tax, new.number
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
-- Every line says who pays, and who used: of a consolidated invoice an account that has a section, of a periodic or final
-- one its own. Only these have sections, within their period, of accounts of the one organization.
create function invoicing.assert_sections() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    off record;
begin
    select l.line into off from invoicing.lines l
    where l.invoice = new.uid and (l.paid_by <> new.account or (
        new.kind in ('Periodic', 'Consolidated', 'Final')
        and not exists (select from invoicing.sections s where s.invoice = new.uid and s.account = l.used_by)))
    order by l.line limit 1;
    if found then
        raise exception 'line % of invoice % is of an account that has no section on it, or that another one pays',
            off.line, new.number using errcode = 'check_violation';
    end if;
    if exists (select from invoicing.sections s where s.invoice = new.uid and (
               s.owner_org <> new.owner_org or not s.period <@ new.period
               or new.kind not in ('Periodic', 'Consolidated', 'Final')
               or (new.kind <> 'Consolidated' and s.account <> new.account)))
       or (new.kind = 'Consolidated' and not exists (select from invoicing.sections where invoice = new.uid)) then
        raise exception 'the sections of invoice % are not of its kind, owner and period', new.number
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger invoices_sections after insert on invoicing.invoices
    deferrable initially deferred for each row execute function invoicing.assert_sections();

create constraint trigger invoices_taxes after insert on invoicing.invoices
    deferrable initially deferred for each row execute function invoicing.assert_taxes();

create constraint trigger invoices_sums after insert on invoicing.invoices
    deferrable initially deferred for each row execute function invoicing.assert_sums();

-- A month over many accounts: one row a run, one step an account. A step is noted in the transaction of its invoice, so
-- a run that was killed goes on with the accounts that wait, and its report is what happened.
create table invoicing.runs (
    id uuid primary key,
    organizations bigint[] check (cardinality(organizations) > 0),     -- whose accounts; null is everybody's
    year integer not null,
    month integer not null check (month between 1 and 12),
    opened_by text not null,
    impersonated_by text not null,      -- who acted as opened_by; empty where nobody did
    audit_id uuid not null,
    opened_at timestamptz not null,
    total integer not null check (total >= 0),
    finished_at timestamptz,
    follows uuid unique check (follows <> id) references invoicing.runs (id)   -- that left accounts to be gone over again
);
create index runs_open on invoicing.runs (opened_at) where finished_at is null;
create index runs_by_time on invoicing.runs (opened_at desc);

create table invoicing.run_steps (
    run uuid not null references invoicing.runs (id),
    step integer not null check (step > 0),         -- by namespace and name of the account
    account integer not null references accounts.accounts (number),
    owner_org bigint not null,
    state text not null default 'waiting' check (state in ('waiting', 'issued', 'unchanged', 'skipped', 'failed')),
    invoice uuid references invoicing.invoices (uid) deferrable initially deferred,
    reason text,                                    -- for people
    invoiced_with integer references accounts.accounts (number),   -- who was invoiced for the account instead, if anybody
    done_at timestamptz,
    primary key (run, step),
    unique (run, account),
    check (invoiced_with is null or state = 'skipped' and invoiced_with <> account),
    check ((state = 'waiting') = (done_at is null)),
    check ((state in ('issued', 'unchanged')) = (invoice is not null)),
    check ((state in ('skipped', 'failed')) = (reason is not null))
) with (fillfactor = 70);
create index run_steps_waiting on invoicing.run_steps (run, step) where state = 'waiting';

create function invoicing.guard_step() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if old.state <> 'waiting' then
        raise exception 'step % of run % is done: what happened does not change', old.step, old.run
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger run_steps_guard before update on invoicing.run_steps
    for each row execute function invoicing.guard_step();
alter table invoicing.runs enable row level security;
create policy reach on invoicing.runs to milo_app, milo_job
    using ((select controlplane.reaches_all()) or organizations <@ (select controlplane.reach())::bigint[]);
alter table invoicing.run_steps enable row level security;
create policy reach on invoicing.run_steps to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
grant select, insert on invoicing.runs, invoicing.run_steps to milo_app, milo_job;
grant update (finished_at) on invoicing.runs to milo_app, milo_job;
grant update (state, invoice, reason, invoiced_with, done_at) on invoicing.run_steps to milo_app, milo_job;

-- PDFs that workers write: ahead, of the invoices of a run, or because somebody asked. A step is a document that was not
-- there when the printing was opened; whoever writes the document notes the step in the same transaction.
create table invoicing.printings (
    id uuid primary key,
    organizations bigint[] check (cardinality(organizations) > 0),     -- whose documents; null is everybody's
    run uuid unique references invoicing.runs (id),     -- whose invoices are printed ahead; null where somebody asked
    opened_by text not null,
    opened_at timestamptz not null,
    total integer not null check (total >= 0),
    finished_at timestamptz
);
create index printings_open on invoicing.printings (opened_at) where finished_at is null;

create table invoicing.printing_steps (
    printing uuid not null references invoicing.printings (id),
    step integer not null check (step > 0),         -- by number of the invoices; credit notes after them
    owner_org bigint not null,
    invoice uuid references invoicing.invoices (uid),
    credit_note uuid references invoicing.credit_notes (uid),
    state text not null default 'waiting' check (state in ('waiting', 'printed', 'failed')),
    reason text,
    done_at timestamptz,
    primary key (printing, step),
    unique (printing, invoice),
    unique (printing, credit_note),
    check (num_nonnulls(invoice, credit_note) = 1),
    check ((state = 'waiting') = (done_at is null)),
    check ((state = 'failed') = (reason is not null))
) with (fillfactor = 70);
create index printing_steps_waiting on invoicing.printing_steps (printing, step) where state = 'waiting';

create function invoicing.guard_printing_step() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if old.state <> 'waiting' then
        raise exception 'step % of printing % is done: what happened does not change', old.step, old.printing
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger printing_steps_guard before update on invoicing.printing_steps
    for each row execute function invoicing.guard_printing_step();
alter table invoicing.printings enable row level security;
create policy reach on invoicing.printings to milo_app, milo_job
    using ((select controlplane.reaches_all()) or organizations <@ (select controlplane.reach())::bigint[]);
alter table invoicing.printing_steps enable row level security;
create policy reach on invoicing.printing_steps to milo_app, milo_job
    using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]));
grant select, insert on invoicing.printings, invoicing.printing_steps to milo_app, milo_job;
grant update (finished_at) on invoicing.printings to milo_app, milo_job;
grant update (state, reason, done_at) on invoicing.printing_steps to milo_app, milo_job;

-- Credit that was granted. The row is what was granted; what became of it are movements, and `remaining_minor` their sum:
-- the trigger carries each of them into it, and the check holds that nobody uses more than there is.
create table invoicing.credit_grants (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    account integer not null references accounts.accounts (number),
    account_name text not null,
    kind text not null check (kind in ('Prepaid', 'Promotional', 'Goodwill')),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint not null check (amount_minor > 0),
    remaining_minor bigint not null default 0 check (remaining_minor between 0 and amount_minor),
    priority integer not null check (priority between 0 and 1000),
    effective_from timestamptz not null,
    expires_at timestamptz check (expires_at > effective_from),
    issuer text not null,               -- in whose books the money of prepaid credit lies; else empty
    received_minor bigint not null check (received_minor >= 0),         -- of it: money that came to a bank account with it
    unapplied_minor bigint not null check (unapplied_minor >= 0),       -- unapplied cash; the rest was on account
    title text not null check (title <> ''),            -- what invoices call it
    reason text not null check (reason <> ''),
    selectors jsonb not null,           -- which Skus it pays for, as declared; all where the list is empty
    granted_at timestamptz not null,
    tax_at text not null check (tax_at = 'Use' or tax_at = 'Purchase' and kind = 'Prepaid'),
    tax_category text not null,         -- of what it buys, taxed at purchase; else empty
    bought_by uuid unique references invoicing.invoices (uid) deferrable initially deferred,    -- with tax, at purchase
    unique (namespace, name),
    check ((kind = 'Prepaid') = (issuer <> '')),
    check ((tax_at = 'Purchase') = (bought_by is not null) and (tax_at = 'Purchase') = (tax_category <> '')),
    check (received_minor + unapplied_minor <= case when kind = 'Prepaid' then amount_minor else 0 end)
);
create index credit_grants_open on invoicing.credit_grants (account) where remaining_minor > 0;
create index credit_grants_by_account on invoicing.credit_grants (account, granted_at, uid);
create index credit_grants_expiring on invoicing.credit_grants (expires_at) where remaining_minor > 0;

create function invoicing.check_grant_covered() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    perform ledger.assert_covered(new.issuer, new.account, new.currency);
    return null;
end $$;
create constraint trigger credit_grants_covered after insert on invoicing.credit_grants
    deferrable initially deferred for each row
    when (new.kind = 'Prepaid' and new.bought_by is null and new.received_minor < new.amount_minor)
    execute function invoicing.check_grant_covered();

create table invoicing.grant_movements (
    credit_grant uuid not null references invoicing.credit_grants (uid),
    step integer not null check (step > 0),
    owner_org bigint not null,
    kind text not null check (kind in ('Granted', 'Used', 'GivenBack', 'Expired', 'Revoked')),
    amount_minor bigint not null,       -- by which what is left rises; falls below zero
    invoice uuid references invoicing.invoices (uid),       -- which used it, or had it given back
    cause text not null check (cause <> ''),            -- what did it: the issue, a credit note, a request
    posted text references ledger.transactions (key) deferrable initially deferred,
    reason text check (reason <> ''),
    at timestamptz not null,
    primary key (credit_grant, step),
    unique nulls not distinct (credit_grant, invoice, cause),
    check ((invoice is not null) = (kind in ('Used', 'GivenBack'))),
    check ((kind = 'Revoked') = (reason is not null)),
    check (case when kind in ('Granted', 'GivenBack') then amount_minor > 0 else amount_minor < 0 end)
);
create index grant_movements_by_invoice on invoicing.grant_movements (invoice) where invoice is not null;

create function invoicing.apply_movement() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    update invoicing.credit_grants set remaining_minor = remaining_minor + new.amount_minor
    where uid = new.credit_grant and owner_org = new.owner_org;
    if not found then
        raise exception 'a movement belongs to the owner of its credit grant' using errcode = 'check_violation';
    end if;
    if new.kind = 'GivenBack' and (select sum(amount_minor) from invoicing.grant_movements
                                   where credit_grant = new.credit_grant and invoice = new.invoice) > 0 then
        raise exception 'an invoice gives back no more of a credit grant than it used'
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
create trigger grant_movements_applied after insert on invoicing.grant_movements
    for each row execute function invoicing.apply_movement();
create function invoicing.guard_grant() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if tg_op = 'UPDATE' then
        if to_jsonb(new) - 'remaining_minor' = to_jsonb(old) - 'remaining_minor' then
            return new;
        end if;
    end if;
    raise exception 'credit grant % was granted and never changes: revoke what is left of it', old.name
        using errcode = 'restrict_violation';
end $$;
create trigger credit_grants_guard before update or delete on invoicing.credit_grants
    for each row execute function invoicing.guard_grant();
create trigger credit_grants_kept before truncate on invoicing.credit_grants
    for each statement execute function invoicing.refuse_change();
create trigger grant_movements_written_once before update or delete or truncate on invoicing.grant_movements
    for each statement execute function invoicing.refuse_change();

do $$
declare
    owned text;
begin
    foreach owned in array '{invoices,settlements,credit_notes,credit_lines,credit_taxes,cancellations,
        credit_documents,lines,line_discounts,
        sections,taxes,line_parts,line_shares,documents,interest,interest_reversals,adjustments,adjusted_lines,
        credit_grants,grant_movements}'::text[] loop
        execute format('alter table invoicing.%I enable row level security', owned);
        execute format('create policy reach on invoicing.%I to milo_app, milo_job
            using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]))',
            owned);
        execute format('grant select, insert on invoicing.%I to milo_app, milo_job', owned);
    end loop;
end $$;
grant update (phase) on invoicing.invoices to milo_app, milo_job;     -- the sums change by settlements only
grant update (nothing_at) on invoicing.sections to milo_app, milo_job;
grant select, insert on invoicing.issuer_versions to milo_app, milo_job;
grant select, insert, update, delete on invoicing.issuers, invoicing.tax_rates to milo_app, milo_job;
grant select, insert, update on invoicing.number_series to milo_app, milo_job;

-- ---------------------------------------------------------------------------------------------- payments
-- Effects on providers of payments: every row below is committed before anybody outside is asked, and asked for again
-- with the same key until it says what became of it.

create table payments.payments (
    uid uuid primary key,
    owner_org bigint not null,
    namespace text not null,
    name text not null,
    account integer not null references accounts.accounts (number),
    account_name text not null,
    entity text not null,               -- the issuer in whose books it stands
    invoice uuid references invoicing.invoices (uid),       -- what it is collected for; null where it came by itself
    invoice_name text not null,
    method_name text not null,
    provider text not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint not null check (amount_minor > 0),
    refunded_minor bigint not null default 0,               -- with refunds under way
    disputed_minor bigint not null default 0 check (disputed_minor >= 0),       -- taken back by whoever paid
    phase text not null check (phase in ('Pending', 'Succeeded', 'Failed', 'Refunded')),
    reference text not null,            -- the provider's
    failure text not null,              -- why it failed last
    next_attempt_on date,
    created_at timestamptz not null,
    decided_at timestamptz,
    unique (namespace, name),
    check (refunded_minor between 0 and amount_minor),
    check (refunded_minor + disputed_minor <= amount_minor),
    check (disputed_minor = 0 or phase in ('Succeeded', 'Refunded')),
    check (refunded_minor = 0 or phase in ('Succeeded', 'Refunded')),
    check ((phase = 'Pending') = (decided_at is null)),
    check (phase = 'Pending' or next_attempt_on is null)
);
create unique index payments_pending on payments.payments (invoice) where phase = 'Pending';
create index payments_by_account on payments.payments (account);

-- One request for the money of an invoice, numbered within it. Two of them never stand at once.
create table payments.attempts (
    invoice uuid not null references invoicing.invoices (uid),
    number integer not null check (number > 0),
    payment uuid not null references payments.payments (uid),
    owner_org bigint not null,
    key text not null unique,           -- idempotency: derived from invoice and number
    request_sha256 bytea not null check (length(request_sha256) = 32),
    class uuid not null,
    method uuid not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    state text not null default 'Open'
        check (state in ('Open', 'Processing', 'ActionRequired', 'Succeeded', 'Declined')),
    calls integer not null default 0 check (calls >= 0),    -- how often the provider was asked; counted before each
    reference text not null default '',
    code text not null default '',
    message text not null default '',
    hard boolean not null default false,
    at timestamptz not null,
    called_at timestamptz,
    answered_at timestamptz,
    primary key (invoice, number),
    check ((state in ('Succeeded', 'Declined')) = (answered_at is not null)),
    check ((calls = 0) = (called_at is null)),
    check (state = 'Declined' or (code = '' and not hard))
) with (fillfactor = 70);
create unique index attempts_standing on payments.attempts (invoice)
    where state in ('Open', 'Processing', 'ActionRequired');
create index attempts_by_payment on payments.attempts (payment);
create index attempts_by_reference on payments.attempts (reference) where reference <> '';

create function payments.guard_attempt() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if old.state in ('Succeeded', 'Declined') then
        raise exception 'attempt % is %: what happened does not change', old.key, old.state
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger attempts_guard before update on payments.attempts
    for each row execute function payments.guard_attempt();

create table payments.refunds (
    payment uuid not null references payments.payments (uid),
    number integer not null check (number > 0),
    owner_org bigint not null,
    key text not null unique,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    source text not null check (source in ('Invoice', 'UnappliedCash', 'MoneyOnAccount')),
    reason text not null,
    state text not null default 'Open' check (state in ('Open', 'Processing', 'Succeeded', 'Failed')),
    calls integer not null default 0 check (calls >= 0),
    reference text not null default '',
    message text not null default '',
    at timestamptz not null,
    called_at timestamptz,
    answered_at timestamptz,
    primary key (payment, number),
    check ((state in ('Succeeded', 'Failed')) = (answered_at is not null)),
    check ((calls = 0) = (called_at is null))
) with (fillfactor = 70);
create index refunds_standing on payments.refunds (at) where state in ('Open', 'Processing');
-- What succeeded may fail after all: whoever was to have the money could not take it.
create trigger refunds_guard before update on payments.refunds
    for each row when (old.state = 'Failed' or old.state = 'Succeeded' and new.state <> 'Failed')
    execute function payments.guard_attempt();

create function payments.check_refund_covered() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    perform ledger.assert_covered(entity, account, new.currency) from payments.payments where uid = new.payment;
    return null;
end $$;
create constraint trigger refunds_covered after insert on payments.refunds
    deferrable initially deferred for each row when (new.source <> 'Invoice')
    execute function payments.check_refund_covered();

-- Payments that whoever paid disputes, and debits that came back: as the provider said last, and how much of the payment
-- is gone by it.
create table payments.disputes (
    class uuid not null,
    reference text not null check (reference <> ''),        -- the provider's
    payment uuid not null references payments.payments (uid),
    owner_org bigint not null,
    amount_minor bigint not null check (amount_minor >= 0),
    taken_minor bigint not null,
    state text not null check (state in ('Inquiry', 'Open', 'Won', 'Lost')),
    reason text not null,
    changes integer not null check (changes >= 0),          -- how often the money moved
    opened_at timestamptz not null,
    changed_at timestamptz not null,
    primary key (class, reference),
    check (taken_minor between 0 and amount_minor),
    check (taken_minor = 0 or state in ('Open', 'Lost'))
);
create index disputes_by_payment on payments.disputes (payment);

-- What providers know payment methods by. Numbers of cards and accounts are the provider's alone.
create table payments.methods (
    uid uuid primary key,               -- of the PaymentMethod
    owner_org bigint not null,
    account uuid not null,
    class uuid not null,
    customer text not null default '',
    reference text not null default '', -- of a set-up that waits for the method's owner
    token text not null default '',
    kind text check (kind in ('Card', 'BankAccount')),
    asked_at timestamptz not null,
    check ((token = '') = (kind is null))
);
create index methods_by_account on payments.methods (account, class);

-- What providers told, each event once, before it was answered. Its content is not kept: whoever applies it asks.
create table payments.webhook_events (
    class uuid not null,
    id text not null,
    type text not null,
    subject text not null check (subject in ('payment', 'refund', 'method', 'dispute', 'payout', 'other')),
    reference text not null,
    key text not null,
    received_at timestamptz not null,
    applied_at timestamptz,
    primary key (class, id)
);
create index webhook_events_waiting on payments.webhook_events (received_at) where applied_at is null;

-- Keys of providers: sealed under the class's own key, written and never shown.
create table payments.class_secrets (
    class uuid primary key,
    sealed text not null,
    set_by text not null,
    set_at timestamptz not null
);

-- What was done about an invoice that is past due, each thing once: it is noted in the transaction that does it.
create table payments.dunning (
    invoice uuid not null references invoicing.invoices (uid),
    kind text not null check (kind in ('Reminder', 'Announcement', 'Suspension')),
    number integer not null check (number > 0 and (kind = 'Reminder' or number = 1)),
    owner_org bigint not null,
    on_day date not null,               -- in the issuer's zone
    at timestamptz not null,
    primary key (invoice, kind, number)
);

do $$
declare
    owned text;
begin
    foreach owned in array '{payments,attempts,refunds,methods,disputes}'::text[] loop
        execute format('alter table payments.%I enable row level security', owned);
        execute format('create policy reach on payments.%I to milo_app, milo_job
            using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]))',
            owned);
        execute format('grant select, insert, update on payments.%I to milo_app, milo_job', owned);
    end loop;
    foreach owned in array '{webhook_events,class_secrets}'::text[] loop
        execute format('alter table payments.%I enable row level security', owned);
        execute format('create policy reach on payments.%I to milo_app, milo_job
            using ((select controlplane.reaches_all()) or 0 = any ((select controlplane.reach())::bigint[]))', owned);
        execute format('grant select, insert, update on payments.%I to milo_app, milo_job', owned);
    end loop;
end $$;

-- Bank transfers: what the provider's own bank tells of its accounts, and what each movement pays. Statements and their
-- entries belong to the provider (owner 0), what they pay to the customer's organization.
create table payments.statements (
    uid uuid primary key,
    owner_org bigint not null check (owner_org = 0),
    digest bytea not null check (length(digest) = 32),      -- of the file
    ordinal integer not null check (ordinal > 0),           -- the statement within it
    format text not null,
    bank_account text not null,
    statement_id text not null,
    sequence text not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    opening_minor bigint not null,
    closing_minor bigint not null,
    opened_on date not null,
    closed_on date not null,
    imported_at timestamptz not null,
    imported_by text not null,
    unique (digest, ordinal)
);
create index statements_by_account on payments.statements (bank_account, closed_on desc, imported_at desc);

create table payments.statement_entries (
    uid uuid primary key,
    owner_org bigint not null check (owner_org = 0),
    statement uuid not null references payments.statements (uid),
    position integer not null check (position > 0),
    key bytea not null check (length(key) = 32),            -- by what it is known again in another file
    certain boolean not null,                               -- the key holds a reference of the bank's
    amount_minor bigint not null check (amount_minor > 0),
    credit boolean not null,
    reversal boolean not null,
    booked_on date not null,
    valued_on date not null,
    bank_reference text not null,
    end_to_end_id text not null,
    return_reason text not null,
    payer bytea check (length(payer) = 32),                 -- of the other side's IBAN
    sealed text not null,               -- name, IBAN and text of the other side, under the statement's own key
    state text not null check (state in ('Applied', 'Waiting', 'Ignored', 'Outgoing', 'Known', 'Returned', 'Payout', 'Transfer')),
    reason text not null,
    detail text not null,
    decided_at timestamptz not null,
    decided_by text not null,
    unique (statement, position)
);
create unique index statement_entries_once on payments.statement_entries (key) where certain and state <> 'Known';
create index statement_entries_by_key on payments.statement_entries (key);
create index statement_entries_waiting on payments.statement_entries (booked_on, uid) where state = 'Waiting';
create index statement_entries_by_end_to_end on payments.statement_entries (end_to_end_id) where end_to_end_id <> '';

-- What an entry pays: an invoice, or an account's unapplied cash. All of one entry is one account's.
create table payments.matches (
    uid uuid primary key,
    entry uuid not null references payments.statement_entries (uid),
    owner_org bigint not null,
    account integer not null references accounts.accounts (number),
    invoice uuid references invoicing.invoices (uid),
    amount_minor bigint not null check (amount_minor > 0),
    rule text not null,
    posted text not null references ledger.transactions (key) deferrable initially deferred,
    returned_by uuid references payments.statement_entries (uid),
    unique nulls not distinct (entry, invoice)
);
create index matches_by_invoice on payments.matches (invoice);

-- From which IBANs an account has paid, by digest: a payer is known again without its IBAN being kept in the clear.
create table payments.payers (
    account integer not null references accounts.accounts (number),
    payer bytea not null check (length(payer) = 32),
    owner_org bigint not null,
    primary key (account, payer)
);
create index payers_by_payer on payments.payers (payer);

-- An entry that is applied is applied as a whole, once, and to one account.
create function payments.check_entry() returns trigger language plpgsql set search_path = pg_catalog as $$
declare
    checked uuid := case tg_table_name when 'matches' then (to_jsonb(new) ->> 'entry')::uuid
        else (to_jsonb(new) ->> 'uid')::uuid end;
    found record;
begin
    select e.state, e.amount_minor, e.credit, coalesce(sum(m.amount_minor), 0) as matched,
        count(distinct m.account) as accounts
    into found from payments.statement_entries e left join payments.matches m on m.entry = e.uid
    where e.uid = checked group by e.uid;
    if found.state = 'Applied' and (found.matched <> found.amount_minor or not found.credit or found.accounts <> 1)
        or found.state not in ('Applied') and found.matched <> 0 then
        raise exception 'entry % is %: % of its % are matched, with % accounts', checked, found.state, found.matched,
            found.amount_minor, found.accounts using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger matches_whole after insert on payments.matches
    deferrable initially deferred for each row execute function payments.check_entry();
create constraint trigger entries_whole after insert or update of state on payments.statement_entries
    deferrable initially deferred for each row execute function payments.check_entry();

-- What the bank said does not change, and what was decided only from Waiting.
create function payments.guard_entry() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if old.state <> 'Waiting' then
        raise exception 'entry % is % already', old.uid, old.state using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger statement_entries_guard before update on payments.statement_entries
    for each row execute function payments.guard_entry();

-- Numbers of invoices as payers write them: capitals and digits only.
create index invoices_by_compact_number on invoicing.invoices (regexp_replace(number, '[^A-Z0-9]', '', 'g'));

-- SEPA direct debit: what a customer signed, files that ask the bank to collect, and each debit in them.
create table payments.mandates (
    uid uuid primary key,
    owner_org bigint not null,
    account integer not null references accounts.accounts (number),
    reference text not null unique check (reference ~ '^[A-Za-z0-9+:().,-]{1,35}$'),
    signed_on date not null,
    scheme text not null check (scheme in ('CORE', 'B2B')),
    payer bytea not null check (length(payer) = 32),
    last4 text not null check (length(last4) = 4),
    sealed text not null,               -- holder, IBAN and BIC, under the account's key
    state text not null check (state in ('Active', 'Revoked')),
    reason text not null,               -- why it was revoked
    created_at timestamptz not null,
    created_by text not null,
    check ((state = 'Revoked') = (reason <> ''))
);
create unique index mandates_active on payments.mandates (account) where state = 'Active';

create table payments.debit_files (
    uid uuid primary key,
    owner_org bigint not null check (owner_org = 0),
    message_id text not null unique check (length(message_id) between 1 and 35),
    issuer text not null,
    collect_on date not null,
    debits integer not null check (debits > 0),
    total_minor bigint not null check (total_minor > 0),    -- of euro
    sha256 bytea not null check (length(sha256) = 32),
    sealed text not null,               -- the file, under a key of its own
    created_at timestamptz not null,
    created_by text not null
);

create table payments.debits (
    uid uuid primary key,
    owner_org bigint not null,
    file uuid not null references payments.debit_files (uid) deferrable initially deferred,
    mandate uuid not null references payments.mandates (uid),
    account integer not null references accounts.accounts (number),
    invoice uuid not null references invoicing.invoices (uid),
    end_to_end_id text not null unique check (length(end_to_end_id) between 1 and 35),
    amount_minor bigint not null check (amount_minor > 0),
    sequence text not null check (sequence in ('FRST', 'RCUR')),
    state text not null check (state in ('Sent', 'Settled', 'Returned')),
    reason text not null check ((state = 'Returned') or reason = ''),
    sent_at timestamptz not null
);
create unique index debits_standing on payments.debits (invoice) where state = 'Sent';  -- nothing is asked for twice
create index debits_by_mandate on payments.debits (mandate);
create index debits_by_file on payments.debits (file);

-- A debit is Sent, Settled, and perhaps Returned; never backwards.
create function payments.guard_debit() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if old.state = 'Returned' or (old.state = 'Settled' and new.state = 'Sent') then
        raise exception 'debit % is % and does not become %', old.end_to_end_id, old.state, new.state
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger debits_guard before update on payments.debits for each row execute function payments.guard_debit();

-- Money of customers that goes back by bank transfer: what was asked for, and the files that ask the bank to pay.
create table payments.transfer_files (
    uid uuid primary key,
    owner_org bigint not null check (owner_org = 0),
    message_id text not null unique check (length(message_id) between 1 and 35),
    issuer text not null,
    execute_on date not null,
    transfers integer not null check (transfers > 0),
    total_minor bigint not null check (total_minor > 0),    -- of euro
    sha256 bytea not null check (length(sha256) = 32),
    sealed text not null,               -- the file, under a key of its own
    created_at timestamptz not null,
    created_by text not null,
    unique (uid, issuer)
);

create table payments.transfers (
    uid uuid primary key,
    owner_org bigint not null,
    account integer not null references accounts.accounts (number),
    entity text not null,               -- whose books and bank account it leaves
    source text not null check (source in ('UnappliedCash', 'MoneyOnAccount')),
    end_to_end_id text not null unique check (length(end_to_end_id) between 1 and 35),
    amount_minor bigint not null check (amount_minor > 0),  -- of euro
    last4 text not null check (length(last4) = 4),
    sealed text not null,               -- holder, IBAN and BIC, under the account's key
    reason text not null check (reason <> ''),
    state text not null check (state in ('Wanted', 'Sent', 'Booked', 'Returned', 'Cancelled')),
    answer text not null check (state in ('Returned', 'Cancelled') or answer = ''),     -- why it came back or never went
    answered_by text not null,          -- who said so, or brought in what the bank said
    posted text not null references ledger.transactions (key) deferrable initially deferred,
    file uuid,                          -- of the same issuer
    entry uuid unique references payments.statement_entries (uid),          -- by which the bank paid it
    returned_by uuid unique references payments.statement_entries (uid),
    created_at timestamptz not null,
    created_by text not null,
    foreign key (file, entity) references payments.transfer_files (uid, issuer) deferrable initially deferred,
    check (state = 'Cancelled' or (file is null) = (state = 'Wanted')),
    check ((entry is not null) = (state in ('Booked', 'Returned'))),
    check ((returned_by is not null) = (state = 'Returned')),
    check ((answered_by <> '') = (state in ('Returned', 'Cancelled')))
);
create index transfers_by_account on payments.transfers (account);
create index transfers_under_way on payments.transfers (created_at) where state in ('Wanted', 'Sent');
create index transfers_by_file on payments.transfers (file);

-- A transfer is Wanted, Sent, Booked, and perhaps Returned; what was not booked may be Cancelled. It is in one file.
create function payments.guard_transfer() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if (old.state, new.state) not in (('Wanted', 'Sent'), ('Wanted', 'Cancelled'), ('Sent', 'Booked'),
        ('Sent', 'Cancelled'), ('Booked', 'Returned')) or old.file is distinct from new.file and old.file is not null then
        raise exception 'transfer % is % and does not become %', old.end_to_end_id, old.state, new.state
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger transfers_guard before update on payments.transfers
    for each row execute function payments.guard_transfer();

create function payments.check_transfer_covered() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    perform ledger.assert_covered(new.entity, new.account, 'EUR');
    return null;
end $$;
create constraint trigger transfers_covered after insert on payments.transfers
    deferrable initially deferred for each row execute function payments.check_transfer_covered();

-- What providers pay out to the bank: as they said last, and what became of it in the books.
create table payments.payouts (
    class uuid not null,
    reference text not null check (reference <> ''),        -- the provider's
    owner_org bigint not null check (owner_org = 0),
    provider text not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint not null,       -- below zero where the provider takes money from the bank
    told text not null check (told in ('Pending', 'Paid', 'Failed')),
    arrives_on date not null,
    bank_account text not null,         -- what is told of it, such as its last four digits
    trace text not null,                -- what the bank statement is to say
    state text not null check (state in ('Noted', 'Waiting', 'Booked', 'Failed')),
    reason text not null check ((reason <> '') = (state = 'Waiting')),
    detail text not null,
    entity text check (entity <> ''),   -- in whose books lies what is about no payment; once it was booked
    entry uuid unique references payments.statement_entries (uid),      -- the bank's, once it told of it
    noted_at timestamptz not null,
    booked_at timestamptz,
    accepted_by text,                   -- who said that what is about no known payment is to be booked
    primary key (class, reference),
    check ((entity is not null) = (booked_at is not null)),
    check (state <> 'Booked' or booked_at is not null)
);
create index payouts_by_noted on payments.payouts (noted_at desc);

-- What a payout that was booked is made of. Amounts less fees are the payout, which a trigger holds.
create table payments.payout_items (
    class uuid not null,
    payout text not null,
    reference text not null,
    owner_org bigint not null,          -- the payment's; the provider's own where it is about none
    kind text not null check (kind in ('Payment', 'Refund', 'Dispute', 'Fee', 'Payout', 'Other')),
    payment uuid references payments.payments (uid),
    amount_minor bigint not null,
    fee_minor bigint not null,
    primary key (class, payout, reference),
    foreign key (class, payout) references payments.payouts (class, reference),
    check (payment is null or kind in ('Payment', 'Refund', 'Dispute')),
    check (payment is not null or owner_org = 0),
    check (kind <> 'Fee' or amount_minor = 0)
);
create index payout_items_by_payment on payments.payout_items (payment) where payment is not null;
create unique index payout_items_once on payments.payout_items (class, reference);    -- nothing is paid out twice

create function payments.check_payout() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    whole payments.payouts;
    parts bigint;
begin
    select * into strict whole from payments.payouts where class = new.class
        and reference = case tg_table_name when 'payouts' then to_jsonb(new) ->> 'reference' else to_jsonb(new) ->> 'payout' end;
    if whole.booked_at is null then
        return null;
    end if;
    select coalesce(sum(amount_minor - fee_minor), 0) into parts from payments.payout_items
        where class = whole.class and payout = whole.reference;
    if parts <> whole.amount_minor then
        raise exception 'payout % is %, what it is made of %', whole.reference, whole.amount_minor, parts
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger payouts_whole after insert or update on payments.payouts
    deferrable initially deferred for each row execute function payments.check_payout();
create constraint trigger payout_items_whole after insert on payments.payout_items
    deferrable initially deferred for each row execute function payments.check_payout();

-- Customers' money that payments put on account, and that went from there again. What is more than its invoices can take
-- is on account where somebody said what it was for; else it is unapplied cash, of which nothing stands here.
create table payments.on_account (
    posted text primary key references ledger.transactions (key) deferrable initially deferred,
    owner_org bigint not null,
    account integer not null references accounts.accounts (number),
    entity text not null,               -- the issuer in whose books it is
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint not null check (amount_minor <> 0),     -- below zero: taken from there, since it goes back
    payment uuid references payments.payments (uid),
    entry uuid references payments.statement_entries (uid),
    check (num_nonnulls(payment, entry) = 1)
);
create index on_account_by_payment on payments.on_account (payment) where payment is not null;
create index on_account_by_entry on payments.on_account (entry) where entry is not null;

-- Nothing is on account that did not come in, or of which nobody said what it was for.
create function payments.check_on_account() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    if new.amount_minor > 0
        and not exists (select from payments.payments
                        where uid = new.payment and phase in ('Succeeded', 'Refunded') and invoice is not null
                          and new.amount_minor <= amount_minor)
        and not exists (select from payments.matches m
                        where m.entry = new.entry and m.posted = new.posted and m.invoice is null
                          and new.amount_minor <= m.amount_minor
                          and (m.rule <> 'Assigned' or exists (select from payments.matches o
                                                               where o.entry = m.entry and o.invoice is not null))) then
        raise exception '% puts % on account, which is not over of a payment of invoices', new.posted, new.amount_minor
            using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger on_account_came after insert on payments.on_account
    deferrable initially deferred for each row execute function payments.check_on_account();

do $$
declare
    owned text;
begin
    foreach owned in array '{dunning,payouts,payout_items,statements,statement_entries,matches,payers,mandates,debit_files,debits,transfer_files,transfers,on_account}'::text[] loop
        execute format('alter table payments.%I enable row level security', owned);
        execute format('create policy reach on payments.%I to milo_app, milo_job
            using ((select controlplane.reaches_all()) or owner_org = any ((select controlplane.reach())::bigint[]))',
            owned);
        execute format('grant select, insert on payments.%I to milo_app, milo_job', owned);
    end loop;
end $$;
grant update (state, reason, detail, decided_at, decided_by) on payments.statement_entries to milo_app, milo_job;
grant update on payments.payouts to milo_app, milo_job;
grant update (returned_by) on payments.matches to milo_app, milo_job;
grant update (state, reason) on payments.mandates, payments.debits to milo_app, milo_job;
grant update (state, answer, answered_by, file, entry, returned_by) on payments.transfers to milo_app, milo_job;

-- ----------------------------------------------------------------------------------------------------------- jobs
-- begin generated: jobs (the queue's own tables, from procrastinate; `./task generate` writes this section)

create schema jobs;
set local search_path = jobs, pg_catalog;

-- Procrastinate Schema

-- Enums

CREATE TYPE procrastinate_job_status AS ENUM (
    'todo',  -- The job is queued
    'doing',  -- The job has been fetched by a worker
    'succeeded',  -- The job ended successfully
    'failed',  -- The job ended with an error
    'cancelled', -- The job was cancelled
    'aborting',  -- legacy, not used anymore since v3.0.0
    'aborted'  -- The job was aborted
);

CREATE TYPE procrastinate_job_event_type AS ENUM (
    'deferred',  -- Job created, in todo
    'started',  -- todo -> doing
    'deferred_for_retry',  -- doing -> todo
    'failed',  -- doing -> failed
    'succeeded',  -- doing -> succeeded
    'cancelled', -- todo -> cancelled
    'abort_requested', -- not a state transition, but set in a separate field
    'aborted', -- doing -> aborted (only allowed when abort_requested field is set)
    'scheduled', -- not a state transition, but recording when a task is scheduled for
    'retried' -- Manually retried failed job
);

-- Composite Types

CREATE TYPE procrastinate_job_to_defer_v1 AS (
    queue_name character varying,
    task_name character varying,
    priority integer,
    lock text,
    queueing_lock text,
    args jsonb,
    scheduled_at timestamp with time zone
);

-- Tables

CREATE TABLE procrastinate_workers(
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    last_heartbeat timestamp with time zone NOT NULL DEFAULT NOW()
);

CREATE TABLE procrastinate_jobs (
    id bigserial PRIMARY KEY,
    queue_name character varying(128) NOT NULL,
    task_name character varying(128) NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    lock text,
    queueing_lock text,
    args jsonb DEFAULT '{}' NOT NULL,
    status procrastinate_job_status DEFAULT 'todo'::procrastinate_job_status NOT NULL,
    scheduled_at timestamp with time zone NULL,
    attempts integer DEFAULT 0 NOT NULL,
    abort_requested boolean DEFAULT false NOT NULL,
    worker_id bigint REFERENCES procrastinate_workers(id) ON DELETE SET NULL,
    CONSTRAINT check_not_todo_abort_requested CHECK (NOT (status = 'todo' AND abort_requested = true))
);

CREATE TABLE procrastinate_periodic_defers (
    id bigserial PRIMARY KEY,
    task_name character varying(128) NOT NULL,
    defer_timestamp bigint,
    job_id bigint REFERENCES procrastinate_jobs(id) NULL,
    periodic_id character varying(128) NOT NULL DEFAULT '',
    CONSTRAINT procrastinate_periodic_defers_unique UNIQUE (task_name, periodic_id, defer_timestamp)
);

CREATE TABLE procrastinate_events (
    id bigserial PRIMARY KEY,
    job_id bigint NOT NULL REFERENCES procrastinate_jobs ON DELETE CASCADE,
    type procrastinate_job_event_type,
    at timestamp with time zone DEFAULT NOW() NULL
);

-- Constraints & Indices

-- this prevents from having several jobs with the same queueing lock in the "todo" state
CREATE UNIQUE INDEX procrastinate_jobs_queueing_lock_idx_v1 ON procrastinate_jobs (queueing_lock) WHERE status = 'todo';
-- this prevents from having several jobs with the same lock in the "doing" state
CREATE UNIQUE INDEX procrastinate_jobs_lock_idx_v1 ON procrastinate_jobs (lock) WHERE status = 'doing';

-- Index for select_stalled_jobs_by_heartbeat query
CREATE INDEX idx_procrastinate_jobs_worker_not_null ON procrastinate_jobs(worker_id) WHERE worker_id IS NOT NULL AND status = 'doing'::procrastinate_job_status;

CREATE INDEX procrastinate_jobs_queue_name_idx_v1 ON procrastinate_jobs(queue_name);
CREATE INDEX procrastinate_jobs_id_lock_idx_v1 ON procrastinate_jobs (id, lock) WHERE status = ANY (ARRAY['todo'::procrastinate_job_status, 'doing'::procrastinate_job_status]);
CREATE INDEX procrastinate_jobs_priority_idx_v1 ON procrastinate_jobs(priority desc, id asc) WHERE (status = 'todo'::procrastinate_job_status);

CREATE INDEX procrastinate_events_job_id_fkey_v1 ON procrastinate_events(job_id);

CREATE INDEX procrastinate_periodic_defers_job_id_fkey_v1 ON procrastinate_periodic_defers(job_id);

CREATE INDEX idx_procrastinate_workers_last_heartbeat ON procrastinate_workers(last_heartbeat);

-- Functions
CREATE FUNCTION procrastinate_defer_jobs_v1(
    jobs procrastinate_job_to_defer_v1[]
)
    RETURNS bigint[]
    LANGUAGE plpgsql
AS $$
DECLARE
    job_ids bigint[];
BEGIN
    WITH inserted_jobs AS (
        INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
        SELECT (job).queue_name,
               (job).task_name,
               (job).priority,
               (job).lock,
               (job).queueing_lock,
               (job).args,
               (job).scheduled_at
        FROM unnest(jobs) AS job
        RETURNING id
    )
    SELECT array_agg(id) FROM inserted_jobs INTO job_ids;

    RETURN job_ids;
END;
$$;

CREATE FUNCTION procrastinate_defer_periodic_job_v2(
    _queue_name character varying,
    _lock character varying,
    _queueing_lock character varying,
    _task_name character varying,
    _priority integer,
    _periodic_id character varying,
    _defer_timestamp bigint,
    _args jsonb
)
    RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
	_job_id bigint;
	_defer_id bigint;
BEGIN
    INSERT
        INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp)
        VALUES (_task_name, _periodic_id, _defer_timestamp)
        ON CONFLICT DO NOTHING
        RETURNING id into _defer_id;

    IF _defer_id IS NULL THEN
        RETURN NULL;
    END IF;

    UPDATE procrastinate_periodic_defers
        SET job_id = (
            SELECT COALESCE((
                SELECT unnest(procrastinate_defer_jobs_v1(
                    ARRAY[
                        ROW(
                            _queue_name,
                            _task_name,
                            _priority,
                            _lock,
                            _queueing_lock,
                            _args,
                            NULL::timestamptz
                        )
                    ]::procrastinate_job_to_defer_v1[]
                ))
            ), NULL)
        )
        WHERE id = _defer_id
        RETURNING job_id INTO _job_id;

    DELETE
        FROM procrastinate_periodic_defers
        USING (
            SELECT id
            FROM procrastinate_periodic_defers
            WHERE procrastinate_periodic_defers.task_name = _task_name
            AND procrastinate_periodic_defers.periodic_id = _periodic_id
            AND procrastinate_periodic_defers.defer_timestamp < _defer_timestamp
            ORDER BY id
            FOR UPDATE
        ) to_delete
        WHERE procrastinate_periodic_defers.id = to_delete.id;

    RETURN _job_id;
END;
$$;

CREATE FUNCTION procrastinate_fetch_job_v2(
    target_queue_names character varying[],
    p_worker_id bigint
)
    RETURNS procrastinate_jobs
    LANGUAGE plpgsql
AS $$
DECLARE
	found_jobs procrastinate_jobs;
BEGIN
    WITH candidate AS (
        SELECT jobs.*
            FROM procrastinate_jobs AS jobs
            WHERE
                -- reject the job if its lock has earlier or higher priority jobs
                NOT EXISTS (
                    SELECT 1
                        FROM procrastinate_jobs AS other_jobs
                        WHERE
                            jobs.lock IS NOT NULL
                            AND other_jobs.lock = jobs.lock
                            AND (
                                -- job with same lock is already running
                                other_jobs.status = 'doing'
                                OR
                                -- job with same lock is waiting and has higher priority (or same priority but was queued first)
                                (
                                    other_jobs.status = 'todo'
                                    AND (
                                        other_jobs.priority > jobs.priority
                                        OR (
                                        other_jobs.priority = jobs.priority
                                        AND other_jobs.id < jobs.id
                                        )
                                    )
                                )
                            )
                )
                AND jobs.status = 'todo'
                AND (target_queue_names IS NULL OR jobs.queue_name = ANY( target_queue_names ))
                AND (jobs.scheduled_at IS NULL OR jobs.scheduled_at <= now())
            ORDER BY jobs.priority DESC, jobs.id ASC LIMIT 1
            FOR UPDATE OF jobs SKIP LOCKED
    )
    UPDATE procrastinate_jobs
        SET status = 'doing', worker_id = p_worker_id
        FROM candidate
        WHERE procrastinate_jobs.id = candidate.id
        RETURNING procrastinate_jobs.* INTO found_jobs;

 RETURN found_jobs;
END;
$$;

CREATE FUNCTION procrastinate_finish_job_v1(job_id bigint, end_status procrastinate_job_status, delete_job boolean)
    RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    _job_id bigint;
BEGIN
    IF end_status NOT IN ('succeeded', 'failed', 'aborted') THEN
        RAISE 'End status should be either "succeeded", "failed" or "aborted" (job id: %)', job_id;
    END IF;
    IF delete_job THEN
        DELETE FROM procrastinate_jobs
        WHERE id = job_id AND status IN ('todo', 'doing')
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = end_status,
            abort_requested = false,
            attempts = CASE status
                WHEN 'doing' THEN attempts + 1 ELSE attempts
            END
        WHERE id = job_id AND status IN ('todo', 'doing')
        RETURNING id INTO _job_id;
    END IF;
    IF _job_id IS NULL THEN
        RAISE 'Job was not found or not in "doing" or "todo" status (job id: %)', job_id;
    END IF;
END;
$$;

CREATE FUNCTION procrastinate_cancel_job_v1(job_id bigint, abort boolean, delete_job boolean)
    RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    _job_id bigint;
BEGIN
    IF delete_job THEN
        DELETE FROM procrastinate_jobs
        WHERE id = job_id AND status = 'todo'
        RETURNING id INTO _job_id;
    END IF;
    IF _job_id IS NULL THEN
        IF abort THEN
            UPDATE procrastinate_jobs
            SET abort_requested = true,
                status = CASE status
                    WHEN 'todo' THEN 'cancelled'::procrastinate_job_status ELSE status
                END
            WHERE id = job_id AND status IN ('todo', 'doing')
            RETURNING id INTO _job_id;
        ELSE
            UPDATE procrastinate_jobs
            SET status = 'cancelled'::procrastinate_job_status
            WHERE id = job_id AND status = 'todo'
            RETURNING id INTO _job_id;
        END IF;
    END IF;
    RETURN _job_id;
END;
$$;

CREATE FUNCTION procrastinate_retry_job_v1(
    job_id bigint,
    retry_at timestamp with time zone,
    new_priority integer,
    new_queue_name character varying,
    new_lock character varying
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    _job_id bigint;
    _abort_requested boolean;
BEGIN
    SELECT abort_requested FROM procrastinate_jobs
    WHERE id = job_id AND status = 'doing'
    FOR UPDATE
    INTO _abort_requested;
    IF _abort_requested THEN
        UPDATE procrastinate_jobs
        SET status = 'failed'::procrastinate_job_status
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = 'todo'::procrastinate_job_status,
            attempts = attempts + 1,
            scheduled_at = retry_at,
            priority = COALESCE(new_priority, priority),
            queue_name = COALESCE(new_queue_name, queue_name),
            lock = COALESCE(new_lock, lock)
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    END IF;

    IF _job_id IS NULL THEN
        RAISE 'Job was not found or not in "doing" status (job id: %)', job_id;
    END IF;
END;
$$;

CREATE FUNCTION procrastinate_retry_job_v2(
    job_id bigint,
    retry_at timestamp with time zone,
    new_priority integer,
    new_queue_name character varying,
    new_lock character varying
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    _job_id bigint;
    _abort_requested boolean;
    _current_status procrastinate_job_status;
BEGIN
    SELECT status, abort_requested FROM procrastinate_jobs
    WHERE id = job_id AND status IN ('doing', 'failed')
    FOR UPDATE
    INTO _current_status, _abort_requested;
    IF _current_status = 'doing' AND _abort_requested THEN
        UPDATE procrastinate_jobs
        SET status = 'failed'::procrastinate_job_status
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = 'todo'::procrastinate_job_status,
            attempts = attempts + 1,
            scheduled_at = retry_at,
            priority = COALESCE(new_priority, priority),
            queue_name = COALESCE(new_queue_name, queue_name),
            lock = COALESCE(new_lock, lock)
        WHERE id = job_id AND status IN ('doing', 'failed')
        RETURNING id INTO _job_id;
    END IF;

    IF _job_id IS NULL THEN
        RAISE 'Job was not found or has an invalid status to retry (job id: %)', job_id;
    END IF;

END;
$$;

CREATE FUNCTION procrastinate_notify_queue_job_inserted_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    payload TEXT;
BEGIN
    SELECT json_build_object('type', 'job_inserted', 'job_id', NEW.id)::text INTO payload;
	PERFORM pg_notify('procrastinate_queue_v1#' || NEW.queue_name, payload);
	PERFORM pg_notify('procrastinate_any_queue_v1', payload);
	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_notify_queue_abort_job_v1()
RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    payload TEXT;
BEGIN
    SELECT json_build_object('type', 'abort_job_requested', 'job_id', NEW.id)::text INTO payload;
	PERFORM pg_notify('procrastinate_queue_v1#' || NEW.queue_name, payload);
	PERFORM pg_notify('procrastinate_any_queue_v1', payload);
	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_trigger_function_status_events_insert_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type)
        VALUES (NEW.id, 'deferred'::procrastinate_job_event_type);
	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_trigger_function_status_events_update_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    WITH t AS (
        SELECT CASE
            WHEN OLD.status = 'todo'::procrastinate_job_status
                AND NEW.status = 'doing'::procrastinate_job_status
                THEN 'started'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'todo'::procrastinate_job_status
                THEN 'deferred_for_retry'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'failed'::procrastinate_job_status
                THEN 'failed'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'succeeded'::procrastinate_job_status
                THEN 'succeeded'::procrastinate_job_event_type
            WHEN OLD.status = 'todo'::procrastinate_job_status
                AND (
                    NEW.status = 'cancelled'::procrastinate_job_status
                    OR NEW.status = 'failed'::procrastinate_job_status
                    OR NEW.status = 'succeeded'::procrastinate_job_status
                )
                THEN 'cancelled'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'aborted'::procrastinate_job_status
                THEN 'aborted'::procrastinate_job_event_type
            WHEN OLD.status = 'failed'::procrastinate_job_status
                AND NEW.status = 'todo'::procrastinate_job_status
                THEN 'retried'::procrastinate_job_event_type
            ELSE NULL
        END as event_type
    )
    INSERT INTO procrastinate_events(job_id, type)
        SELECT NEW.id, t.event_type
        FROM t
        WHERE t.event_type IS NOT NULL;
	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_trigger_function_scheduled_events_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type, at)
        VALUES (NEW.id, 'scheduled'::procrastinate_job_event_type, NEW.scheduled_at);

	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_trigger_abort_requested_events_procedure_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type)
        VALUES (NEW.id, 'abort_requested'::procrastinate_job_event_type);
    RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_unlink_periodic_defers_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE procrastinate_periodic_defers
    SET job_id = NULL
    WHERE job_id = OLD.id;
    RETURN OLD;
END;
$$;

CREATE FUNCTION procrastinate_register_worker_v1()
    RETURNS TABLE(worker_id bigint)
    LANGUAGE plpgsql
AS $$
BEGIN
    RETURN QUERY
    INSERT INTO procrastinate_workers DEFAULT VALUES
    RETURNING procrastinate_workers.id;
END;
$$;

CREATE FUNCTION procrastinate_unregister_worker_v1(worker_id bigint)
    RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM procrastinate_workers
    WHERE id = worker_id;
END;
$$;

CREATE FUNCTION procrastinate_update_heartbeat_v1(worker_id bigint)
    RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE procrastinate_workers
    SET last_heartbeat = NOW()
    WHERE id = worker_id;
END;
$$;

CREATE FUNCTION procrastinate_prune_stalled_workers_v1(seconds_since_heartbeat float)
    RETURNS TABLE(worker_id bigint)
    LANGUAGE plpgsql
AS $$
BEGIN
    RETURN QUERY
    DELETE FROM procrastinate_workers
    WHERE last_heartbeat < NOW() - (seconds_since_heartbeat || 'SECOND')::INTERVAL
    RETURNING procrastinate_workers.id;
END;
$$;

-- Triggers

CREATE TRIGGER procrastinate_jobs_notify_queue_job_inserted_v1
    AFTER INSERT ON procrastinate_jobs
    FOR EACH ROW WHEN ((new.status = 'todo'::procrastinate_job_status))
    EXECUTE PROCEDURE procrastinate_notify_queue_job_inserted_v1();

CREATE TRIGGER procrastinate_jobs_notify_queue_job_aborted_v1
    AFTER UPDATE OF abort_requested ON procrastinate_jobs
    FOR EACH ROW WHEN ((old.abort_requested = false AND new.abort_requested = true AND new.status = 'doing'::procrastinate_job_status))
    EXECUTE PROCEDURE procrastinate_notify_queue_abort_job_v1();

CREATE TRIGGER procrastinate_trigger_status_events_update_v1
    AFTER UPDATE OF status ON procrastinate_jobs
    FOR EACH ROW
    EXECUTE PROCEDURE procrastinate_trigger_function_status_events_update_v1();

CREATE TRIGGER procrastinate_trigger_status_events_insert_v1
    AFTER INSERT ON procrastinate_jobs
    FOR EACH ROW WHEN ((new.status = 'todo'::procrastinate_job_status))
    EXECUTE PROCEDURE procrastinate_trigger_function_status_events_insert_v1();

CREATE TRIGGER procrastinate_trigger_scheduled_events_v1
    AFTER UPDATE OR INSERT ON procrastinate_jobs
    FOR EACH ROW WHEN ((new.scheduled_at IS NOT NULL AND new.status = 'todo'::procrastinate_job_status))
    EXECUTE PROCEDURE procrastinate_trigger_function_scheduled_events_v1();

CREATE TRIGGER procrastinate_trigger_abort_requested_events_v1
    AFTER UPDATE OF abort_requested ON procrastinate_jobs
    FOR EACH ROW WHEN ((new.abort_requested = true))
    EXECUTE PROCEDURE procrastinate_trigger_abort_requested_events_procedure_v1();

CREATE TRIGGER procrastinate_trigger_delete_jobs_v1
    BEFORE DELETE ON procrastinate_jobs
    FOR EACH ROW EXECUTE PROCEDURE procrastinate_unlink_periodic_defers_v1();

-- A job that is queued again, because it failed or its worker died, gives up its queueing lock: another with the same
-- may have been queued since it began, and the two could not both wait. It would count as running for ever, and
-- whatever has its lock would wait for it. So both wait, and run one after the other.
create function procrastinate_jobs_give_up_queueing_lock() returns trigger language plpgsql as $$
begin
    new.queueing_lock := null;
    return new;
end $$;
create trigger procrastinate_jobs_give_up_queueing_lock before update of status on procrastinate_jobs
    for each row when (old.status <> 'todo' and new.status = 'todo' and new.queueing_lock is not null)
    execute function procrastinate_jobs_give_up_queueing_lock();

set local search_path to default;

-- The functions name no schema, so each gets its path; only deferring is for every role, and it is all they may do.
do $$
declare
    f regprocedure;
begin
    for f in select oid from pg_proc where pronamespace = 'jobs'::regnamespace loop
        execute format('alter function %s set search_path = jobs, pg_catalog', f);
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to milo_job', f);
    end loop;
end $$;
alter function jobs.procrastinate_defer_jobs_v1 security definer;
grant execute on function jobs.procrastinate_defer_jobs_v1 to milo_app, milo_ingest;
grant usage on schema jobs to milo_app, milo_job, milo_ingest;
grant select, insert, update, delete on all tables in schema jobs to milo_job;
grant usage on all sequences in schema jobs to milo_job;
-- end generated: jobs
