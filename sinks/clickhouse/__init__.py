"""Into ClickHouse: client, rows, writer and migrations."""
