"""Out of ClickHouse: queries, the SQL endpoint, the report."""
