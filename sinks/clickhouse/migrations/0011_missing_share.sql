-- Of the usual USD of an asset's forced orders, the share of venues that told nothing.

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS missing_share Float64 AFTER ts_open_interest;
