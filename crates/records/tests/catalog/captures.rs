//! Linking captures to assessments.

use records::{AssessmentType, LinkOutcome};
use uuid::Uuid;

use crate::support::{capture, catalog};

#[tokio::test]
async fn a_capture_is_linked_once_and_only_of_its_own_session() {
    let catalog = catalog().await;
    let (mine, other) = (catalog.new_session(1).await.id, catalog.new_session(1).await.id);
    let captures = [capture(1), capture(2), capture(3)];
    let ids: Vec<Uuid> = captures.iter().map(|capture| capture.id).collect();
    let [one, two, elsewhere] = captures;
    catalog.record(mine, vec![one, two]).await.unwrap();
    catalog.record(other, vec![elsewhere]).await.unwrap();
    let link = |ids: &[Uuid], assessment: &str| {
        catalog.link_captures(mine, ids.to_vec(), AssessmentType::Llm, assessment.to_owned(), crate::support::at(3))
    };
    let outcome = |updated, already_linked| LinkOutcome { updated, already_linked };
    assert_eq!(link(&[], "1").await.unwrap(), outcome(0, 0));
    assert_eq!(link(&[ids[0], ids[0], ids[2], Uuid::now_v7()], "1").await.unwrap(), outcome(1, 1));
    assert_eq!(link(&[ids[0], ids[1]], "2").await.unwrap(), outcome(1, 1));
    let found: Vec<_> =
        catalog.captures_of_session(mine).await.unwrap().into_iter().map(|capture| capture.assessment_id).collect();
    assert_eq!(found, [Some("1".to_owned()), Some("2".to_owned())]);
    let found = catalog.capture(ids[0]).await.unwrap().unwrap();
    assert_eq!(found.assessment_type, AssessmentType::Llm);
    assert_eq!(catalog.capture(ids[2]).await.unwrap().unwrap().assessment_id, None);
}
