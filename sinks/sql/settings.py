"""Which of ClickHouse's settings a caller may change for a query: limits down, looks freely."""

import os
import re
from collections.abc import Mapping

from sinks.sql.protocol import Limits

#: What changes how a query runs or looks, and neither what it may use nor what it may reach.
_FREE = frozenset(
    {
        "aggregate_functions_null_for_empty", "allow_experimental_analyzer",
        "any_join_distinct_right_table_keys", "asterisk_include_alias_columns",
        "asterisk_include_materialized_columns", "cast_keep_nullable",
        "count_distinct_implementation", "data_type_default_nullable", "date_time_input_format",
        "date_time_output_format", "distributed_product_mode",
        "do_not_merge_across_partitions_select_final",
        "empty_result_for_aggregation_by_empty_set", "enable_analyzer",
        "enable_named_columns_in_function_tuple", "extremes", "final", "format_csv_delimiter",
        "format_csv_null_representation", "format_tsv_null_representation",
        "group_by_overflow_mode", "group_by_two_level_threshold", "group_by_use_nulls",
        "join_algorithm", "join_default_strictness", "join_use_nulls",
        "legacy_column_name_of_tuple_literal", "limit", "max_ast_depth", "max_ast_elements",
        "max_block_size", "max_bytes_to_read", "max_columns_to_read", "max_rows_in_distinct",
        "max_rows_in_join", "max_rows_in_set", "max_rows_to_group_by", "max_rows_to_read",
        "max_rows_to_sort", "max_subquery_depth", "offset", "optimize_aggregation_in_order",
        "optimize_move_to_prewhere", "optimize_read_in_order", "prefer_column_name_to_alias",
        "preferred_block_size_bytes", "read_overflow_mode", "result_overflow_mode",
        "session_timezone", "short_circuit_function_evaluation", "sort_overflow_mode",
        "timeout_overflow_mode", "totals_mode", "transform_null_in", "union_default_mode",
        "use_skip_indexes", "use_uncompressed_cache",
    }
)  # fmt: skip
_FREE_PREFIX = "output_format_"
#: Names a file to write.
_NEVER = "output_format_schema"
#: The connection's options are one text of name=value&…
_PLAIN_VALUE = re.compile(r"[\w.,:;+/ |-]*")


def granted(wanted: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """Choose those settings that are the caller's to change, at values that are."""
    bounds = _bounds(limits)
    return {
        name: value
        for name, value in wanted.items()
        if _PLAIN_VALUE.fullmatch(value) and (_is_free(name) or _is_lower(value, bounds.get(name)))
    }


def changeable(limits: Limits) -> str:
    """Return an SQL condition on `name`: whether a caller may change it."""
    names = ", ".join(f"'{name}'" for name in sorted(_FREE | _bounds(limits).keys()))
    return f"(name IN ({names}) OR startsWith(name, '{_FREE_PREFIX}') AND name != '{_NEVER}')"


def _is_free(name: str) -> bool:
    if name in _FREE:
        return True
    return name.startswith(_FREE_PREFIX) and name != _NEVER and name.isidentifier()


def _bounds(limits: Limits) -> dict[str, int]:
    return limits.settings() | {"max_threads": os.cpu_count() or 1}


def _is_lower(value: str, bound: int | None) -> bool:
    """Say whether `value` keeps to a bound; 0 means without one."""
    try:
        return bound is not None and 0 < float(value) <= bound
    except ValueError:
        return False
