"""PostgreSQL started and owned by the service: its binaries, its folder, its system user, its life.

Not: schema, roles and migrations (infra.bootstrap, infra.migrations), nor who may start it (infra.locks).
"""
