//! Who may take which route, as `docs/access.md` has it.

use std::{env, fmt::Write, fs};

use airlift::{
    domain::{Actor, Admittance, Need, Role},
    http::{Rule, rules},
};
use uuid::Uuid;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access.md");
const BEGIN: &str = "<!-- routes: written by the test access_rules with AIRLIFT_BLESS=1 -->\n";
const END: &str = "<!-- end of routes -->\n";
const BLESS: &str = "AIRLIFT_BLESS";

fn table() -> String {
    let mut table =
        "| route | without | viewer | publisher | operator | admin | gateway |\n".to_owned();
    table += "|---|---|---|---|---|---|---|\n";
    for Rule { method, path, need } in rules() {
        let without = match need {
            Need::Download => "signed URL",
            need => word(&Actor::Nobody, need),
        };
        write!(table, "| `{method} {path}` | {without} |").unwrap();
        for role in Role::ALL {
            let actor = Actor::Token {
                token_id: Uuid::nil(),
                name: "a token".to_owned(),
                role,
            };
            write!(table, " {} |", word(&actor, need)).unwrap();
        }
        writeln!(table, " {} |", gateway(need)).unwrap();
    }
    table
}

fn word(actor: &Actor, need: Need) -> &'static str {
    match actor.admission(need, Some("G1")) {
        Admittance::Admitted => "yes",
        _ => "–",
    }
}

fn gateway(need: Need) -> &'static str {
    let actor = Actor::Gateway {
        gateway_id: "G1".to_owned(),
    };
    let may = |about| actor.admission(need, Some(about)) == Admittance::Admitted;
    match (may("G1"), may("G2")) {
        _ if need == Need::Download => "its files",
        (true, true) => "yes",
        (true, false) => "its own",
        _ => "–",
    }
}

#[test]
fn the_document_says_who_may_take_each_route() {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let begin = text.find(BEGIN).expect("the mark where the table begins") + BEGIN.len();
    let end = text.find(END).expect("the mark where the table ends");
    let table = format!("\n{}\n", table());
    if env::var_os(BLESS).is_some() {
        let text = format!("{}{table}{}", &text[..begin], &text[end..]);
        fs::write(DOCUMENT, text).unwrap();
        return;
    }
    assert_eq!(
        &text[begin..end],
        table,
        "docs/access.md has another table: run this test with {BLESS}=1"
    );
}

#[test]
fn the_description_asks_for_credentials_where_the_route_does() {
    let document = serde_json::to_value(airlift::http::openapi()).unwrap();
    let (mut asking, mut open) = (0, 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let has = |status: &str| operation["responses"].get(status).is_some();
            assert!(has("429"), "{method} {path}");
            let asks = operation.get("security").is_some();
            assert_eq!(operation.get("x-needs").is_some(), asks, "{method} {path}");
            // A login refuses by itself.
            assert!(!asks || has("401") && has("403"), "{method} {path}");
            match asks {
                true => asking += 1,
                false => open += 1,
            }
        }
    }
    let needs_nothing = rules()
        .iter()
        .filter(|rule| rule.need == Need::Nothing)
        .count();
    assert_eq!(
        (asking, open),
        (rules().len() - needs_nothing, needs_nothing)
    );
}
