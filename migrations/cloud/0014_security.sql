-- What boxes found, looked at over the whole fleet: what waits for a person is found without a walk over what is done.

CREATE INDEX radar_cases_open ON radar_cases (box_id, severity) WHERE state <> 'closed';
CREATE INDEX radar_alerts_of_case ON radar_alerts (box_id, case_id);
CREATE INDEX guard_detections_open ON guard_detections (box_id, mac) WHERE state = 'open';
CREATE INDEX radar_rules_of_pack ON radar_rules (box_id, pack, kind);

-- Packs of rules that an MSP keeps for its boxes, each version once and never changed. The archive is in the object store.
CREATE TABLE rule_packs (
    organization_id uuid NOT NULL, -- the MSP
    name            text NOT NULL, -- name, that of its folder on boxes
    version         text NOT NULL, -- which version of it
    sha256          text NOT NULL, -- of its archive, hex
    bytes           bigint NOT NULL, -- of its archive
    files           integer NOT NULL, -- rule files in it
    licence         text NOT NULL, -- under what terms its rules stand
    attribution     text NOT NULL, -- who wrote them, and where they are from
    uploaded_at     bigint NOT NULL, -- µs
    uploaded_by     text NOT NULL, -- who
    PRIMARY KEY (organization_id, name, version)
);
SELECT sent_protect('rule_packs');
CREATE TRIGGER captured AFTER INSERT OR UPDATE OR DELETE ON rule_packs
    FOR EACH ROW EXECUTE FUNCTION sent_capture('{name,version}', '{}');
