"""The section of db/schema.sql that holds procrastinate's tables, made from the release that is installed.

`./task generate` writes it between the two marks; the tests refuse a section that differs.
"""

import re

from procrastinate.schema import SchemaManager

BEGIN = "-- begin generated: jobs (the queue's own tables, from procrastinate; `./task generate` writes this section)\n"
END = "-- end generated: jobs\n"

_EXTENSION = re.compile(
    r"DO \$\$\nBEGIN\n    CREATE EXTENSION IF NOT EXISTS plpgsql.*?\n\$\$;\n\n", re.DOTALL
)

_HEADER = """
create schema jobs;
set local search_path = jobs, pg_catalog;

"""

_FOOTER = """
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
"""


def render_jobs_section() -> str:
    """The section with its marks. The plpgsql extension is left out: every database has it."""
    body, removed = _EXTENSION.subn("", SchemaManager.get_schema())
    if removed != 1:
        raise ValueError(
            "procrastinate's schema begins otherwise than it did: look at what changed, then adapt this"
        )
    return BEGIN + _HEADER + body.strip() + "\n" + _FOOTER + END


def replace_jobs_section(schema: str) -> str:
    """`schema` with the section brought up to date; appended where it is not there yet."""
    start, stop = schema.find(BEGIN), schema.find(END)
    if start < 0:
        line = "-- " + "-" * 107 + " jobs\n"
        return schema.rstrip() + "\n\n" + line + render_jobs_section()
    return schema[:start] + render_jobs_section() + schema[stop + len(END) :]
