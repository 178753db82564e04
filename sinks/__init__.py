"""Where it lands: ClickHouse tables, the SQL endpoint, webhooks."""
