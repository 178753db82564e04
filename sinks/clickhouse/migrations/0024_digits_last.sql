-- A transfer's columns in the order of its record: what may be absent stands behind the rest.

ALTER TABLE whale_transfers MODIFY COLUMN quantity_raw Nullable(String) AFTER ts_recv;
