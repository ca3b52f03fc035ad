//! A route and who may take it are one line: without its [`Need`] none can be written.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    http::Method,
    middleware,
    routing::{MethodRouter, delete, get, patch, post, put},
};

use uuid::Uuid;

use super::{
    guard::{Guard, guard},
    limits::{Limits, upload_place},
    observe::Route,
};
use crate::{
    domain::{Actor, Admittance, Need, Role},
    service::Service,
};

/// The routes of the server, and what each needs.
#[derive(Default)]
pub struct Routes {
    routes: Vec<Entry>,
}

struct Entry {
    rule: Rule,
    handler: MethodRouter<Arc<Service>>,
    is_upload: bool,
}

/// What a route asks of who comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub method: Method,
    /// As axum has it, `/api/ota/firmware/{version}`.
    pub path: &'static str,
    pub need: Need,
}

macro_rules! methods {
    ($($name:ident: $method:ident),+) => {
        $(
            pub fn $name<H, T>(self, need: Need, path: &'static str, handler: H) -> Self
            where
                H: Handler<T, Arc<Service>>,
                T: 'static,
            {
                self.add(need, Method::$method, path, $name(handler))
            }
        )+
    };
}

impl Routes {
    methods!(get: GET, post: POST, put: PUT, patch: PATCH, delete: DELETE);

    fn add(
        mut self,
        need: Need,
        method: Method,
        path: &'static str,
        handler: MethodRouter<Arc<Service>>,
    ) -> Self {
        let rule = Rule { method, path, need };
        self.routes.push(Entry {
            rule,
            handler,
            is_upload: false,
        });
        self
    }

    /// How large the bodies of the route that was added last may be.
    pub fn with_bodies(mut self, limit: DefaultBodyLimit) -> Self {
        if let Some(route) = self.routes.pop() {
            let handler = route.handler.route_layer(limit);
            self.routes.push(Entry { handler, ..route });
        }
        self
    }

    /// The route that was added last takes files; it counts their bytes itself, against limits of its
    /// own, and only so many may come at once.
    pub fn counted_as_upload(mut self) -> Self {
        if let Some(route) = self.routes.last_mut() {
            route.is_upload = true;
        }
        self.with_bodies(DefaultBodyLimit::disable())
    }

    pub fn and(mut self, more: Routes) -> Self {
        self.routes.extend(more.routes);
        self
    }

    pub fn rules(&self) -> Vec<Rule> {
        self.routes.iter().map(|route| route.rule.clone()).collect()
    }

    /// The router, in which each route has its guard.
    pub fn router(self, service: &Arc<Service>, limits: &Arc<Limits>) -> Router<Arc<Service>> {
        let mut router = Router::new();
        for Entry {
            rule,
            handler,
            is_upload,
        } in self.routes
        {
            let handler = match is_upload {
                true => handler
                    .route_layer(middleware::from_fn_with_state(limits.clone(), upload_place)),
                false => handler,
            };
            let state = Guard {
                service: service.clone(),
                limits: limits.clone(),
                need: rule.need,
                route: Route(rule.path),
            };
            let guarded = handler.route_layer(middleware::from_fn_with_state(state, guard));
            router = router.route(rule.path, guarded);
        }
        router
    }
}

/// Whom a route with this need lets in, in words.
pub fn who_may(need: Need) -> Vec<&'static str> {
    let may = |actor: &Actor, about| actor.admission(need, Some(about)) == Admittance::Admitted;
    let mut who = Vec::new();
    for role in Role::ALL {
        let actor = Actor::Token {
            token_id: Uuid::nil(),
            name: String::new(),
            role,
        };
        if may(&actor, "") {
            who.push(role.as_str());
        }
    }
    let gateway = Actor::Gateway {
        gateway_id: "this".to_owned(),
    };
    match (may(&gateway, "this"), may(&gateway, "another")) {
        _ if need == Need::Download => {
            who.extend(["a gateway for its files", "who has a signed URL"]);
        }
        (true, true) => who.push("every gateway"),
        (true, false) => who.push("the gateway itself"),
        _ => {}
    }
    who
}
