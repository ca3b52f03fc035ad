use std::time::Duration;

use airlift_proto::is_gateway_id;
use chrono::TimeDelta;

use super::{Presented, Result, Service, Trouble};
use crate::{
    domain::Actor,
    mqtt::embedded::{Admission, ConnectRequest, Ended, Refusal},
};

impl Service {
    /// Who a client of the built-in broker is. A gateway's user name is its id, its password its
    /// token; a person's or a machine's token comes with any user name.
    pub async fn admit_client(&self, request: ConnectRequest) -> Result<Admission, Refusal> {
        let presented = Presented {
            token: request.password.as_deref(),
            session: None,
            certified_gateway: request.certified_gateway.as_deref(),
        };
        let actor = self.authenticate(presented).await.map_err(refusal)?;
        let own_id = match &actor {
            Actor::Anyone => return Ok(Admission::Open),
            Actor::Gateway { gateway_id } => {
                let is_named = request.user.as_deref() == Some(gateway_id);
                let is_certified = request.user.is_none() && request.password.is_none();
                if !is_named && !is_certified {
                    return Err(Refusal::NotAuthorized);
                }
                Some(gateway_id)
            }
            Actor::Token { .. } => None,
            _ => return Err(Refusal::NotAuthorized),
        };
        let is_own = own_id == Some(&request.client_id);
        if !is_own && is_gateway_id(&request.client_id) {
            let away = |_| Refusal::Unavailable;
            let mut tx = self.db.read().await.map_err(away)?;
            let other = tx.gateway(&request.client_id).await.map_err(away)?;
            let tokens = tx.gateway_tokens(&request.client_id).await.map_err(away)?;
            if other.is_some() || !tokens.is_empty() {
                return Err(Refusal::NotAuthorized);
            }
        }
        Ok(match actor {
            Actor::Gateway { gateway_id } => Admission::Gateway(gateway_id),
            actor => Admission::Reader(actor.name().unwrap_or_default().to_owned()),
        })
    }

    /// The credentials that have ended within a time up to now; None if the database is away.
    pub async fn ended_credentials(&self, within: Duration) -> Option<Ended> {
        self.try_ended_credentials(within).await.ok()
    }

    async fn try_ended_credentials(&self, within: Duration) -> Result<Ended> {
        self.look_for_credentials().await?;
        let mut ended = Ended {
            closed: self.is_closed(),
            ..Ended::default()
        };
        if !ended.closed {
            return Ok(ended);
        }
        let now = self.clock.now();
        let since = now - TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX);
        let mut tx = self.db.read().await?;
        for (hash, gateway_id) in tx.tokens_ended(since, now).await? {
            ended.tokens.insert(hash);
            if let Some(gateway_id) = gateway_id
                && !ended.gateways.contains(&gateway_id)
                && tx.is_gateway_revoked(&gateway_id, now).await?
            {
                ended.gateways.insert(gateway_id);
            }
        }
        Ok(ended)
    }
}

fn refusal(error: super::Error) -> Refusal {
    match error.trouble() {
        Trouble::Unauthenticated(_) | Trouble::Forbidden(_) => Refusal::NotAuthorized,
        _ => Refusal::Unavailable,
    }
}
