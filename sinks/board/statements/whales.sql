-- Deposits of the last 24 h with their verdicts; one without is waited for, two hours at most.
SELECT
    if(w.event_id != '', w.event_id, t.event_id) AS event_id,
    if(w.event_id != '', w.asset, t.asset) AS asset,
    if(w.event_id != '', w.venue, t.to_owner) AS venue,
    if(w.event_id != '', w.ts_event, t.ts_event) AS ts_event,
    if(w.event_id != '', w.notional_usd, t.notional_usd) AS notional_usd,
    multiIf(w.event_id != '', toString(w.verdict),
        t.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(2), 'awaited', 'not_judged') AS verdict,
    w.retracted_verdict AS retracted_verdict,
    w.reason AS reason,
    w.p_value AS p_value, w.placebos AS placebos, w.excess_selling_usd AS excess_selling_usd,
    w.posterior AS posterior, w.shared AS shared, w.credit AS credit, w.address_e AS address_e,
    w.onset_followed AS onset_followed, w.onset_placebo_rate AS onset_placebo_rate,
    w.coverage AS coverage, w.silent AS silent,
    t.from_owner AS from_owner, t.chain AS chain, t.tx_hash AS tx_hash
FROM
(
    SELECT * FROM whale_selling FINAL
    WHERE ts_detect <= {at:DateTime64(6, 'UTC')} AND ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(24)
    ORDER BY version DESC, verdict = 'retracted', ts_detect DESC, finding_id
    LIMIT 1 BY event_id, venue
) AS w
FULL JOIN
(
    SELECT event_id, asset, to_owner, ts_event, notional_usd, from_owner, chain, tx_hash
    FROM whale_transfers FINAL
    WHERE ts_event <= {at:DateTime64(6, 'UTC')} AND ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(24) AND NOT removed
        AND transfer_kind = 'transfer' AND to_kind = 'exchange' AND from_kind != 'exchange'
) AS t ON t.event_id = w.event_id
ORDER BY ts_event DESC, event_id, venue
LIMIT 200
