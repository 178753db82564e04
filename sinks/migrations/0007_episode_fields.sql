-- Fields that explain an episode.
--
-- May stop at any statement and be run again from its first, as 0003 says.

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS reignition_probability Nullable(Float64) AFTER venue_high_usd;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS reignition_is_default Bool DEFAULT true AFTER reignition_probability;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS branching_ratio Nullable(Float64) AFTER reignition_is_default;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS branching_low Nullable(Float64) AFTER branching_ratio;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS branching_high Nullable(Float64) AFTER branching_low;
