-- How sure the label beside each end of a transfer is, where its provider says so.
--
-- May stop at any statement and be run again from its first, as 0003 says.

ALTER TABLE whale_transfers
    ADD COLUMN IF NOT EXISTS from_confidence Nullable(Float64) AFTER to_address;

ALTER TABLE whale_transfers
    ADD COLUMN IF NOT EXISTS to_confidence Nullable(Float64) AFTER from_confidence;
