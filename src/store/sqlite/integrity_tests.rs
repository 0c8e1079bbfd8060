use super::*;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::{Previous, Transition};
use crate::store::migrations::{APPLICATION_ID, reference_schema};
use crate::store::tables::transitions;

/// Applies an edit to a sound database and compares the findings.
fn check(edit: &str, expected: &[(IntegrityCheck, &str)]) {
    let db = reference_schema(1).unwrap();
    db.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    db.pragma_update(None, "foreign_keys", false).unwrap();
    db.execute_batch(
        "INSERT INTO channels(id, target_fp) VALUES('ops', '');
         INSERT INTO events(id, type, occurred_at, body) VALUES('evt_01', 'k', 1, x'');
         INSERT INTO deliveries(id, event_id, ordering_key, channel_id, content_type, body, state,
                                lease_owner, attempts, expires_at, created_at, updated_at)
         VALUES('dlv_01', 'evt_01', 'a', 'ops', 't', x'', 'sending', 'b', 1, 1, 1, 1);
         INSERT INTO attempts(delivery_id, no, trigger, started_at, boot_id)
         VALUES('dlv_01', 1, 'scheduled', 1, 'b');",
    )
    .unwrap();
    for sequence in 1..=3 {
        let transition = Transition {
            avatar_id: AvatarId::parse("a").unwrap(),
            sequence,
            previous: Previous::Unknown,
            earlier: None,
            training: None,
            status: Status::Idle,
            detected_at: Timestamp::from_millis(5),
            upstream_updated_at: None,
        };
        transitions::append(&db, &transition).unwrap();
    }
    db.execute_batch(
        "INSERT INTO watches(avatar_id, status, status_since, last_seen_at, sequence)
         VALUES('a', 'IDLE', 1, 1, 3);
         PRAGMA ignore_check_constraints = ON;",
    )
    .unwrap();
    assert_eq!(examine(&db, 1).findings, [], "before `{edit}`");
    db.execute_batch(edit).unwrap();
    // Otherwise constraints are not checked either.
    db.execute_batch("PRAGMA ignore_check_constraints = OFF").unwrap();
    let report = examine(&db, 1);
    let found: Vec<(IntegrityCheck, &str)> =
        report.findings.iter().map(|it| (it.part, it.what.as_str())).collect();
    assert_eq!(found, expected, "after `{edit}`");
}

#[test]
fn every_problem_is_found_and_described() {
    use IntegrityCheck::{History, Rows, Structure};
    check("", &[]);
    check(
        "UPDATE deliveries SET state = 'lost'",
        &[
            (Structure, "CHECK constraint failed in deliveries"),
            (Rows, "delivery `dlv_01` has an open attempt, and is not being sent"),
        ],
    );
    check(
        "DELETE FROM channels",
        &[(Rows, "row 1 of `deliveries` refers to a row of `channels` that is not there")],
    );
    check(
        "UPDATE channels SET id = 'o p s'; UPDATE deliveries SET channel_id = 'o p s'",
        &[(Rows, "`o p s` in `channels` is not a valid `id`")],
    );
    check(
        "UPDATE attempts SET finished_at = 2",
        &[(Rows, "delivery `dlv_01` is being sent without an open attempt")],
    );
    check(
        "UPDATE watches SET sequence = 2",
        &[(
            Rows,
            "the history of avatar `a` ends with transition 3 to IDLE, its watch is at 2 and IDLE",
        )],
    );
    check(
        "DELETE FROM transitions WHERE seq = 3",
        &[
            (
                Rows,
                "the history of avatar `a` ends with transition 2 to IDLE, its watch is at 3 and \
                 IDLE",
            ),
            (History, "of 3 transitions 1 are missing, 0 others were removed by the retention"),
        ],
    );
    check("DELETE FROM transitions WHERE seq = 1; UPDATE history SET pruned_count = 1", &[]);
    check("DELETE FROM history", &[(History, "the history has no id")]);
}
