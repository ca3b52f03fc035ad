//! What the description says of each operation's name and access: from the table of routes, so that it can't be
//! another's.

use serde_json::json;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
    extensions::ExtensionsBuilder,
    path::Operation,
    schema::{ObjectBuilder, Type},
    security::{
        ApiKey, ApiKeyValue, Http, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
    },
};

use super::{
    guard::SESSION_COOKIE,
    router::rules,
    routes::{Rule, who_may},
};
use crate::domain::Need;

const TOKEN: &str = "token";
const SESSION: &str = "session";
/// What every route may answer: status, name among the components, and when.
const REFUSALS: [(&str, &str, &str); 3] = [
    (
        "401",
        "Unauthenticated",
        "A credential is missing, or is not good (any more)",
    ),
    (
        "403",
        "Forbidden",
        "The credential is good, and not enough for this",
    ),
    (
        "429",
        "TooMany",
        "Too often (`too_many_requests`), or too many uploads at once (`too_many_uploads`)",
    ),
];

/// Adds to each operation who may, and what who may not is told.
pub fn add_access(openapi: &mut OpenApi) {
    let components = openapi.components.get_or_insert_default();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer()));
    let cookie = ApiKeyValue::with_description(SESSION_COOKIE, "Of a login on the web page");
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    for (_, name, when) in REFUSALS {
        let response = RefOr::T(refusal(name, when));
        components.responses.insert(name.to_owned(), response);
    }
    for rule in rules() {
        let described = openapi.paths.paths.iter_mut();
        let item = described
            .filter(|(path, _)| is_same(path, rule.path))
            .map(|(_, item)| item)
            .next();
        if let Some(operation) = item.and_then(|item| operation(item, &rule)) {
            operation.operation_id = Some(operation_id(&rule));
            describe(operation, rule.need);
        }
    }
}

fn bearer() -> Http {
    HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("Of a person, a machine or a gateway"))
        .build()
}

fn refusal(name: &str, when: &str) -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorEnvelope")));
    let response = ResponseBuilder::new()
        .description(when)
        .content("application/json", body.build());
    let of = |kind| Some(ObjectBuilder::new().schema_type(kind).build());
    match name {
        "Unauthenticated" => {
            let header = HeaderBuilder::new().schema(of(Type::String)).build();
            response.header("WWW-Authenticate", header).build()
        }
        "TooMany" => {
            let header = HeaderBuilder::new()
                .schema(of(Type::Integer))
                .description(Some("Seconds"));
            response.header("Retry-After", header.build()).build()
        }
        _ => response.build(),
    }
}

/// The names of parameters are others in the description.
fn is_same(described: &str, routed: &str) -> bool {
    let parts = |path: &str| -> Vec<String> {
        let name = |part: &str| match part.starts_with('{') {
            true => "{}".to_owned(),
            false => part.to_owned(),
        };
        path.split('/').map(name).collect()
    };
    parts(described) == parts(routed)
}

fn operation<'i>(item: &'i mut PathItem, rule: &Rule) -> Option<&'i mut Operation> {
    match rule.method.as_str() {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "PATCH" => item.patch.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

/// `get_gateways_gateway_id_tokens`: unique, as generators of clients need it.
fn operation_id(rule: &Rule) -> String {
    let path = rule.path.trim_start_matches("/api/ota");
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let mut id = rule.method.as_str().to_lowercase();
    for word in words.filter(|word| !word.is_empty()) {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn describe(operation: &mut Operation, need: Need) {
    for (status, name, _) in REFUSALS {
        let applies = need != Need::Nothing || status == "429";
        if applies && !operation.responses.responses.contains_key(status) {
            let response = RefOr::Ref(Ref::from_response_name(name));
            operation
                .responses
                .responses
                .insert(status.to_owned(), response);
        }
    }
    if need == Need::Nothing {
        return;
    }
    let scheme = |name| SecurityRequirement::new(name, [""; 0]);
    operation.security = Some(vec![scheme(TOKEN), scheme(SESSION)]);
    let who = who_may(need);
    let words = format!("Who may: {}.", who.join(", "));
    operation.description = Some(match operation.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{words}"),
        _ => words,
    });
    let needs = ExtensionsBuilder::new().add("x-needs", json!(who)).build();
    operation.extensions.get_or_insert_default().merge(needs);
}
