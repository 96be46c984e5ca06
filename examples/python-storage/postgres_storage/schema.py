"""The tables.

Ids, names and revisions are bytes: an id may contain the character NUL, which PostgreSQL's texts can't contain, and
bytes have the order that the contract asks for.
"""

from __future__ import annotations

from typing import Final, LiteralString

SCHEMA: Final[LiteralString] = """
  CREATE TABLE IF NOT EXISTS environment (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), name text NOT NULL);
  CREATE TABLE IF NOT EXISTS tokens (
    tenant bytea, customer bytea, account bytea,
    revision bytea NOT NULL, sealed_key bytea NOT NULL, sealed text NOT NULL,
    refresh_due_at bigint, written_at timestamptz NOT NULL, PRIMARY KEY (tenant, customer, account));
  CREATE INDEX IF NOT EXISTS tokens_due ON tokens (refresh_due_at, tenant, customer, account);
  CREATE TABLE IF NOT EXISTS rows (
    tenant bytea, customer bytea, account bytea,
    revision bytea NOT NULL, sealed_key bytea, sealed text, row text NOT NULL,
    status text NOT NULL, ends_at bigint, seller_name bytea NOT NULL, shops text[] NOT NULL, grant_name bytea NOT NULL,
    PRIMARY KEY (tenant, customer, account));
  CREATE INDEX IF NOT EXISTS rows_shops ON rows USING gin (shops);
  CREATE INDEX IF NOT EXISTS rows_endings ON rows (ends_at, tenant, customer, account);
  CREATE TABLE IF NOT EXISTS positions (tenant bytea PRIMARY KEY, last bigint NOT NULL);
  CREATE TABLE IF NOT EXISTS events (
    tenant bytea, position bigint, event text NOT NULL, PRIMARY KEY (tenant, position));
  CREATE TABLE IF NOT EXISTS once (
    tenant bytea, customer bytea, account bytea, once text, PRIMARY KEY (tenant, customer, account, once));
  CREATE TABLE IF NOT EXISTS states (
    tenant bytea, state text, consent text NOT NULL, used boolean NOT NULL DEFAULT false, at timestamptz NOT NULL,
    PRIMARY KEY (tenant, state));
  CREATE TABLE IF NOT EXISTS installs (
    tenant bytea, install text, browser text NOT NULL, sealed text, at timestamptz NOT NULL,
    PRIMARY KEY (tenant, install));
  CREATE TABLE IF NOT EXISTS webhooks (
    tenant bytea, webhook text, at timestamptz NOT NULL, PRIMARY KEY (tenant, webhook));
  CREATE TABLE IF NOT EXISTS keys (
    tenant bytea, id bytea, number bigint GENERATED ALWAYS AS IDENTITY, host_key text, wrapped text,
    PRIMARY KEY (tenant, id));
"""
