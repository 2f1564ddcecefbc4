"""The words that a statement may use: functions, types, relations and settings that Redshift has and that mean here
what they mean there. Whatever is not in these lists is refused, so the lists may be short and must not be generous.
"""


def _words(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


# Read by position in the text: these may stand before a parenthesis without being functions.
KEYWORDS = _words(
    "ALL AND ANY AS BETWEEN BY CASE DISTINCT ELSE EXCEPT EXISTS FROM GROUP HAVING IN INTERSECT INTO IS JOIN KEY LIKE "
    "ILIKE MINUS NOT ON OPERATOR OR OVER PARTITION PRIMARY QUALIFY REFERENCES ROLLUP SELECT SET SETS SOME SORTKEY THEN "
    "TO UNION UNIQUE USING VALUES WHEN WHERE WITH WITHIN TOP DISTKEY CUBE EXCLUDE UPDATE INSERT COLUMN IDENTITY"
)  # fmt: skip

_AGGREGATES = (
    "avg bool_and bool_or count listagg max min percentile_cont percentile_disc stddev stddev_pop stddev_samp sum "
    "var_pop var_samp variance"
)
_WINDOW = (
    "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"
)  # fmt: skip
_CONDITIONS = "cast coalesce decode greatest least nullif nvl nvl2"
_STRINGS = (
    "btrim char_length character_length charindex chr concat initcap left len length lower lpad ltrim md5 "
    "octet_length position quote_ident quote_literal repeat replace reverse right rpad rtrim split_part strpos substr "
    "substring translate trim upper"
)
_NUMBERS = (
    "abs acos asin atan atan2 cbrt ceil ceiling cos cot degrees exp floor ln log mod pi power radians random round "
    "sign sin sqrt tan to_number trunc"
)
_TIMES = "date_part date_trunc dateadd datediff extract getdate last_day to_char to_date to_timestamp"
_DOCUMENTS = "is_array is_object json_extract_path_text json_parse json_serialize json_typeof"
_SYSTEM = (
    "current_database has_database_privilege has_schema_privilege has_table_privilege is_large_string_enabled "
    "pg_backend_pid pg_last_copy_count pg_last_copy_id pg_last_unload_count version"
)
_CATALOGUE = (
    "array_to_string col_description current_schemas format_type obj_description pg_encoding_to_char "
    "pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_userbyid pg_get_viewdef "
    "pg_table_is_visible pg_type_is_visible"
)

LEADER_ONLY = _words(
    "age array_to_string current_schema current_schemas format_type generate_series getbit has_database_privilege "
    "has_schema_privilege has_table_privilege isfinite now pg_get_expr pg_get_userbyid pg_table_is_visible "
    "to_ascii"
)
"""Functions of the leader node: they fail where a user's table is read."""
LEADER_ONLY_WORDS = frozenset({"CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_SCHEMA", "LOCALTIME", "LOCALTIMESTAMP"})
COMPUTE_ONLY = frozenset({"listagg", "median", "percentile_cont", "percentile_disc"})
"""Functions of the compute nodes: they fail where no user's table is read."""

FUNCTIONS = (
    LEADER_ONLY | _words(_AGGREGATES, _WINDOW, _CONDITIONS, _STRINGS, _NUMBERS, _TIMES, _DOCUMENTS, _SYSTEM, _CATALOGUE)
) - {"getbit", "to_ascii"}  # PostgreSQL lacks them

TYPES = _words(
    "smallint int2 integer int int4 bigint int8 decimal numeric real float4 float float8 double boolean bool char "
    "character nchar bpchar varchar nvarchar text date time timetz timestamp timestamptz super interval"
)
CATALOGUE_TYPES = frozenset({"regclass", "regtype", "regproc", "regnamespace", "oid", "name", "char", "text", "int8"})
"""What clients cast to in their queries about tables."""
KNOWN_BUT_FORBIDDEN_TYPES = _words(
    "abstime aclitem bit box bytea cidr circle inet line lseg macaddr money oid path point polygon refcursor serial "
    "serial4 serial8 bigserial smallserial tinterval varbit xml"
)
"""PostgreSQL 8.0 knew them; Redshift refuses them as the type of a column."""

RELATIONS = _words(
    "pg_attrdef pg_attribute pg_class pg_collation pg_constraint pg_database pg_default_acl pg_depend pg_description "
    "pg_group pg_index pg_inherits pg_language pg_namespace pg_proc pg_rewrite pg_rules pg_table_def pg_tables "
    "pg_tablespace pg_trigger pg_type pg_user pg_views"
)
"""Relations of the catalogue that may be read. Of information_schema all may."""
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
SYSTEM_VIEWS = _words(
    "svv_external_schemas svv_role_grants svv_roles svv_table_info svv_transactions svv_user_grants sys_load_detail "
    "sys_load_error_detail sys_load_history"
)
SYSTEM_VIEW_PREFIXES = ("pg_", "svl_", "svv_", "svcs_", "stl_", "stv_", "stcs_", "sys_")

SETTINGS = {
    "application_name": "application_name",
    "client_encoding": "client_encoding",
    "client_min_messages": "client_min_messages",
    "datestyle": "datestyle",
    "extra_float_digits": "extra_float_digits",
    "query_group": "redshift.query_group",  # under a prefix PostgreSQL keeps settings that it does not have
    "search_path": "search_path",
    "statement_timeout": "statement_timeout",
    "timezone": "timezone",
    "time zone": "timezone",
}
"""Settings by Redshift's name, and PostgreSQL's name for each."""
