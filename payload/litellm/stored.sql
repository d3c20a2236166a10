-- What the gateway's database says of the salt key it was encrypted with, as one JSON object:
--   mark      the HMAC of the key (deploys/components/postgres_salt.py)
--   probe     a text that LiteLLM encrypted with it (payload/litellm/database.py), for whoever can decrypt
--   samples   stored values that are encrypted, in case there is no probe
--   stored    how many things would be unreadable with another key, by what they are
-- The places are those LiteLLM 1.106.2 re-encrypts itself when a key changes (proxy/db/master_key_migration.py). A table
-- or column that this version lacks is left out; query_to_xml is how plain SQL asks a table that may not be there.
WITH places (what, tab, col, marked) AS (VALUES
    ('credential', 'LiteLLM_CredentialsTable', 'credential_values', false),
    ('model', 'LiteLLM_ProxyModelTable', 'litellm_params', false),
    ('setting', 'LiteLLM_Config', 'param_value', false),
    ('setting', 'LiteLLM_SSOConfig', 'sso_settings', false),
    ('setting', 'LiteLLM_CacheConfig', 'cache_settings', false),
    ('setting', 'LiteLLM_ConfigOverrides', 'config_value', false),
    ('guardrail', 'LiteLLM_GuardrailsTable', 'litellm_params', true),
    ('secret of an MCP server', 'LiteLLM_MCPServerTable', 'credentials', false),
    ('secret of an MCP server', 'LiteLLM_MCPServerTable', 'static_headers', false),
    ('secret of an MCP server', 'LiteLLM_MCPServerTable', 'env_vars', false),
    ('secret of an MCP server', 'LiteLLM_MCPServerTable', 'env', false),
    ('secret of an MCP server', 'LiteLLM_MCPServerOAuthClient', 'credentials', false),
    ('credential of an MCP user', 'LiteLLM_MCPUserCredentials', 'credential_b64', false),
    ('credential of an MCP user', 'LiteLLM_MCPUserEnvVars', 'values_b64', false),
    ('sign-in', 'LiteLLM_SSOIdentityAssertion', 'assertion_b64', false),
    ('search tool', 'LiteLLM_SearchToolsTable', 'litellm_params', false),
    ('callback of a team', 'LiteLLM_TeamTable', 'metadata', true),
    ('callback of a key', 'LiteLLM_VerificationToken', 'metadata', true),
    ('callback of a user', 'LiteLLM_UserTable', 'metadata', true),
    ('callback of a deleted team', 'LiteLLM_DeletedTeamTable', 'metadata', true),
    ('callback of a deleted key', 'LiteLLM_DeletedVerificationToken', 'metadata', true)
),
-- A ciphertext is 40 bytes or more in base64, or says so; 64 hexadecimal digits are a digest of something.
looks AS (
    SELECT what, col, format(
        'FROM public.%I AS r CROSS JOIN LATERAL jsonb_path_query(to_jsonb(r.%I), ''strict $.**'') AS leaf '
        'WHERE jsonb_typeof(leaf) = ''string'' AND leaf #>> ''{}'' ~ %L AND leaf #>> ''{}'' !~ ''^[0-9a-f]+$''',
        tab, col, CASE WHEN marked THEN '^litellm_enc::' ELSE
            '^(litellm_enc::)?(v2:gcm:[A-Za-z0-9_-]{38,}|[A-Za-z0-9_/+-]{54,})={0,2}$' END
    ) AS rest
    FROM places
    JOIN information_schema.columns ON table_schema = 'public' AND table_name = tab AND column_name = col
),
counted AS (
    SELECT what, sum((xpath('/table/row/n/text()',
        query_to_xml('SELECT count(DISTINCT r.ctid) AS n ' || rest, false, false, '')))[1]::text::bigint) AS n
    FROM looks GROUP BY what
),
samples AS (
    SELECT unnest(xpath('/table/row/v/text()',
        query_to_xml('SELECT leaf #>> ''{}'' AS v ' || rest || ' LIMIT 10', false, false, '')))::text AS v
    FROM looks WHERE what IN ('credential', 'model')
)
SELECT json_build_object(
    'mark', (SELECT substring(obj_description(oid, 'pg_namespace') FROM 'portcullis-salt:([0-9a-f]{64})')
        FROM pg_namespace WHERE nspname = 'portcullis'),
    'probe', (SELECT (xpath('/table/row/ciphertext/text()',
        query_to_xml('SELECT ciphertext FROM portcullis.probe LIMIT 1', false, false, '')))[1]::text
        WHERE to_regclass('portcullis.probe') IS NOT NULL),
    'samples', (SELECT coalesce(json_agg(v), '[]'::json) FROM samples),
    'stored', (SELECT coalesce(json_object_agg(what, n), '{}'::json) FROM counted WHERE n > 0)
)::text
