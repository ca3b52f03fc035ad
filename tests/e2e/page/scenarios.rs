use serde_json::json;

use super::{super::server::Server, nothing, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_language_is_chosen_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[], &[]);
    run("language", &server.url, json!({}), nothing).await;
}
