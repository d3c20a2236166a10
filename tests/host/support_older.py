"""A host whose database an older LiteLLM has made, and what a test asks of it before and after a change of version."""

from __future__ import annotations

import json
from dataclasses import dataclass

from deploys.components.litellm.config import SELFTEST
from deploys.components.postgres_install import as_postgres, copies
from tests.host.support import Server
from tests.host.support_http import Gateway

OLD = "1.105.7"
# Made by a migration in between as one that returns a trigger: PostgreSQL does not change what a function returns.
IN_THE_WAY = (
    "CREATE FUNCTION litellm_bump_mcp_catalog_revision() RETURNS integer LANGUAGE sql AS 'SELECT 1'; "
    "ALTER FUNCTION litellm_bump_mcp_catalog_revision() OWNER TO litellm"
)
# What must be there afterwards, row by row; spend is checked by itself, because the gateway goes on writing it.
CONTENT = (
    "SELECT md5(string_agg(t::text, E'\\n' ORDER BY t)) FROM (SELECT credential_name || credential_values::text AS t "
    'FROM "LiteLLM_CredentialsTable" UNION ALL SELECT model_id || litellm_params::text FROM "LiteLLM_ProxyModelTable" '
    'UNION ALL SELECT token || key_alias FROM "LiteLLM_VerificationToken") AS everything'
)
SPEND = 'SELECT count(*) FROM "LiteLLM_SpendLogs"'
# Rows of every table, and which tables there are.
ROWS = (
    "SELECT json_object_agg(name, (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM public.' || "
    "quote_ident(name), false, true, '')))[1]::text::int) FROM (SELECT relname AS name FROM pg_class WHERE "
    "relkind = 'r' AND relnamespace = 'public'::regnamespace) AS tables"
)


@dataclass(frozen=True)
class Older:
    """The host with an older LiteLLM, and what was stored there by it."""

    server: Server
    gateway: Gateway
    key: str
    content: str
    others: frozenset[str]

    def sql(self, text: str) -> str:
        return self.server.out(as_postgres(self.server.here, text, "litellm"))

    @property
    def finished(self) -> list[str]:
        found: list[str] = json.loads(self.server.out(f"{copies(self.server.here)} migrations litellm"))
        return found

    @property
    def rows(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.sql(ROWS))
        return found

    @property
    def version(self) -> str:
        return self.server.out("readlink /opt/litellm/current").rpartition("/")[2].partition("-")[0]

    def databases(self) -> set[str]:
        """Databases of ours, without those that were there before, of other tests."""
        return databases(self.server) - self.others

    def serves(self, key: str = "") -> bool:
        return self.gateway.chat(SELFTEST, key=key or self.key).status == 200


def databases(server: Server) -> set[str]:
    names = as_postgres(server.here, "SELECT datname FROM pg_database WHERE datname LIKE 'litellm%'")
    return set(server.out(names).split())


def writes_itself(table: str) -> bool:
    """Whether a table gets rows at any time: from `verify` at each run's end, sums of a day, new workers."""
    return table in ("LiteLLM_DeletedVerificationToken", "LiteLLM_ProxyWorkerHeartbeat") or "_Daily" in table
