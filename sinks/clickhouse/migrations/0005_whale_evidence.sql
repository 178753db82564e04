-- What many whale tests say together: credit among overlapping inflows, the posterior, the
-- sender's e-value; and the addresses that senders' e-values are kept by.
--
-- May stop at any statement and be run again from its first, as 0003 says.

ALTER TABLE whale_transfers ADD COLUMN IF NOT EXISTS from_address Nullable(String) AFTER removed;

ALTER TABLE whale_transfers
    ADD COLUMN IF NOT EXISTS to_address Nullable(String) AFTER from_address;

ALTER TABLE whale_selling
    ADD COLUMN IF NOT EXISTS credit Nullable(Float64) AFTER retracted_verdict;

ALTER TABLE whale_selling ADD COLUMN IF NOT EXISTS posterior Nullable(Float64) AFTER credit;

ALTER TABLE whale_selling ADD COLUMN IF NOT EXISTS address_e Nullable(Float64) AFTER posterior;

ALTER TABLE whale_selling ADD COLUMN IF NOT EXISTS sender Nullable(String) AFTER address_e;

-- As before, with the evidence beside each verdict.
CREATE OR REPLACE VIEW whale_verdicts AS
SELECT
    w.event_id AS event_id, w.asset AS asset, w.venue AS venue, w.verdict AS verdict,
    w.reason AS reason, w.notional_usd AS notional_usd,
    w.excess_selling_usd AS excess_selling_usd, w.statistic AS statistic,
    w.p_value AS p_value, w.placebos AS placebos, w.shared AS shared,
    w.onset_followed AS onset_followed, w.onset_placebo_rate AS onset_placebo_rate,
    w.ts_event AS ts_event, w.ts_window_end AS ts_window_end, w.ts_detect AS ts_detect,
    w.version AS version, w.retracts AS retracts,
    w.credit AS credit, w.posterior AS posterior, w.address_e AS address_e,
    w.sender AS sender, t.chain AS chain, t.tx_hash AS tx_hash, t.from_owner AS from_owner, t.to_owner AS to_owner
FROM
(
    SELECT * FROM whale_selling FINAL
    ORDER BY version DESC, verdict = 'retracted', ts_detect DESC, finding_id
    LIMIT 1 BY event_id, venue
) AS w
LEFT JOIN
(
    SELECT event_id, chain, tx_hash, from_owner, to_owner FROM whale_transfers FINAL
) AS t ON t.event_id = w.event_id;

-- Each asset's senders by what their deposits led to. One that never sells on reaches an
-- e-value of 20, at any time, with a chance of at most 1/20. `address_e` is what stands now;
-- `highest_e` may rest on what was taken back since.
CREATE OR REPLACE VIEW whale_senders AS
SELECT
    w.asset AS asset, w.sender AS sender,
    uniqExact(w.event_id) AS inflows,
    minIf(w.p_value, w.p_value IS NOT NULL) AS least_p_value,
    argMax(w.address_e, (w.ts_detect, w.kafka_offset)) AS address_e,
    max(w.address_e) AS highest_e
FROM whale_selling AS w FINAL
WHERE w.sender IS NOT NULL AND w.address_e IS NOT NULL
GROUP BY w.asset, w.sender;
