use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// What a person or a machine may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads, uploads and releases.
    Publisher,
    /// Reads, upgrades and rolls out.
    Operator,
    /// Everything, also who else may do what.
    Admin,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Publisher, Role::Operator, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Publisher => "publisher",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// What a route asks of who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// No credential, or one that the route itself looks at (a login).
    Nothing,
    /// Any person or machine that is logged in, whatever its role.
    LoggedIn,
    Read,
    Publish,
    Operate,
    Administer,
    /// To read what is about one gateway: it may itself.
    ReadGateway,
    /// To speak for one gateway: nobody else may.
    BeGateway,
    /// To read what devices ask for before they download: any gateway may.
    ReadRelease,
    /// A file: what is signed for it will do, too. The route looks whether it may be this one.
    Download,
}

impl Need {
    pub const ALL: [Need; 10] = [
        Need::Nothing,
        Need::LoggedIn,
        Need::Read,
        Need::Publish,
        Need::Operate,
        Need::Administer,
        Need::ReadGateway,
        Need::BeGateway,
        Need::ReadRelease,
        Need::Download,
    ];
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Whoever reaches a server that has no credentials: it may do everything.
    Anyone,
    /// Without a credential where one is asked for.
    Nobody,
    Token {
        token_id: Uuid,
        name: String,
        role: Role,
    },
    /// Logged in on the web page.
    User {
        user_id: Uuid,
        name: String,
        role: Role,
    },
    Gateway {
        gateway_id: String,
    },
    /// A command that opened the database itself; the name of the system's user.
    CommandLine {
        name: String,
    },
}

impl Actor {
    /// As the audit log has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Actor::Anyone => "anyone",
            Actor::Nobody => "nobody",
            Actor::Token { .. } => "token",
            Actor::User { .. } => "user",
            Actor::Gateway { .. } => "gateway",
            Actor::CommandLine { .. } => "command_line",
        }
    }

    /// What it is called; two tokens that are not revoked, or two users, never share a name.
    pub fn name(&self) -> Option<&str> {
        match self {
            Actor::Anyone | Actor::Nobody => None,
            Actor::Token { name, .. } | Actor::User { name, .. } | Actor::CommandLine { name } => {
                Some(name)
            }
            Actor::Gateway { gateway_id } => Some(gateway_id),
        }
    }

    pub fn id(&self) -> Option<String> {
        match self {
            Actor::Token { token_id, .. } => Some(token_id.to_string()),
            Actor::User { user_id, .. } => Some(user_id.to_string()),
            Actor::Gateway { gateway_id } => Some(gateway_id.clone()),
            Actor::Anyone | Actor::Nobody | Actor::CommandLine { .. } => None,
        }
    }

    pub fn role(&self) -> Option<Role> {
        match self {
            Actor::Token { role, .. } | Actor::User { role, .. } => Some(*role),
            _ => None,
        }
    }

    /// Whether it may what a route needs. `gateway_id` is the one that the route is about.
    pub fn admission(&self, need: Need, gateway_id: Option<&str>) -> Admittance {
        let may = match (self, need) {
            (Actor::Anyone | Actor::CommandLine { .. }, _)
            | (_, Need::Nothing | Need::Download) => true,
            (Actor::Nobody, _) => return Admittance::Unauthenticated,
            (Actor::Gateway { gateway_id: own }, Need::ReadGateway | Need::BeGateway) => {
                gateway_id == Some(own)
            }
            (Actor::Gateway { .. }, need) => need == Need::ReadRelease,
            (Actor::Token { role, .. } | Actor::User { role, .. }, need) => match need {
                Need::LoggedIn | Need::Read | Need::ReadGateway | Need::ReadRelease => true,
                Need::Publish => matches!(role, Role::Publisher | Role::Admin),
                Need::Operate => matches!(role, Role::Operator | Role::Admin),
                Need::Administer => *role == Role::Admin,
                Need::BeGateway => false,
                Need::Nothing | Need::Download => true,
            },
        };
        match may {
            true => Admittance::Admitted,
            false => Admittance::Forbidden,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admittance {
    Admitted,
    /// A credential is missing.
    Unauthenticated,
    /// The credential is not enough.
    Forbidden,
}

/// Who does something, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub actor: Actor,
    /// None where no network is between.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// A line of the audit log: that this caller did it.
    pub fn did(
        &self,
        action: &'static str,
        subject: impl Into<String>,
        detail: Value,
        created_at: DateTime<Utc>,
    ) -> AuditEntry {
        AuditEntry {
            caller: self.clone(),
            action,
            subject: subject.into(),
            detail,
            created_at,
        }
    }
}

/// A line of the audit log to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    pub caller: Caller,
    /// `<noun>.<verb>`, as in `firmware.release`.
    pub action: &'static str,
    /// Which thing: `<deviceType>/<version>` of a firmware, an id, a name.
    pub subject: String,
    /// A JSON object: what else is to be known. No secrets.
    pub detail: Value,
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(role: Role) -> Actor {
        Actor::Token {
            token_id: Uuid::nil(),
            name: "t".to_owned(),
            role,
        }
    }

    #[test]
    fn each_role_may_what_it_is_for_and_no_more() {
        let may = |actor: &Actor| -> Vec<Need> {
            let admitted = |need: &Need| actor.admission(*need, Some("G2")) == Admittance::Admitted;
            Need::ALL.into_iter().filter(admitted).collect()
        };
        let gateway = |id: &str| Actor::Gateway {
            gateway_id: id.to_owned(),
        };
        let open = [Need::Nothing, Need::Download];
        let reads = [
            Need::Nothing,
            Need::LoggedIn,
            Need::Read,
            Need::ReadGateway,
            Need::ReadRelease,
            Need::Download,
        ];
        let sorted = |needs: &[Need], more: &[Need]| -> Vec<Need> {
            let all = [needs, more].concat();
            Need::ALL
                .into_iter()
                .filter(|it| all.contains(it))
                .collect()
        };
        assert_eq!(may(&Actor::Nobody), open);
        assert_eq!(may(&gateway("G1")), sorted(&open, &[Need::ReadRelease]));
        assert_eq!(
            may(&gateway("G2")),
            sorted(
                &open,
                &[Need::ReadRelease, Need::ReadGateway, Need::BeGateway]
            )
        );
        assert_eq!(may(&token(Role::Viewer)), reads);
        assert_eq!(
            may(&token(Role::Publisher)),
            sorted(&reads, &[Need::Publish])
        );
        assert_eq!(
            may(&token(Role::Operator)),
            sorted(&reads, &[Need::Operate])
        );
        assert_eq!(
            may(&token(Role::Admin)),
            sorted(&reads, &[Need::Publish, Need::Operate, Need::Administer])
        );
        assert_eq!(may(&Actor::Anyone), Need::ALL);
    }
}
