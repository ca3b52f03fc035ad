//! What rmqtt's core leaves to plugins: its own defaults keep no retained message and know no shared
//! subscription. Both live in memory, like everything of the built-in broker.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use async_trait::async_trait;
use rmqtt::context::ServerContext;
use rmqtt::retain::{DefaultRetainStorage, RetainStorage};
use rmqtt::subscribe::SharedSubscription;
use rmqtt::types as mqtt;

/// Retained messages in all.
const RETAINED_MESSAGES_MAX: isize = 100_000;

/// Retained messages. rmqtt's default keeps none and logs a hint at its plugin.
#[derive(Default)]
pub(super) struct Retained(DefaultRetainStorage);

#[async_trait]
impl RetainStorage for Retained {
    fn enable(&self) -> bool {
        true
    }

    async fn set(
        &self,
        topic: &mqtt::TopicName,
        message: mqtt::Retain,
        expiry: Option<Duration>,
    ) -> rmqtt::Result<()> {
        let full = self.0.count().await >= RETAINED_MESSAGES_MAX;
        let adds = !message.publish.payload.is_empty();
        if full
            && adds
            && self.0.get_message(topic).await?.is_empty()
            && self.0.remove_expired_messages().await == 0
        {
            tracing::warn!(
                max = RETAINED_MESSAGES_MAX,
                "message not retained: there are too many"
            );
            return Ok(());
        }
        // rmqtt passes "no expiry" as zero.
        self.0
            .set_with_timeout(topic, message, expiry.filter(|e| !e.is_zero()))
            .await
    }

    async fn get(
        &self,
        filter: &mqtt::TopicFilter,
    ) -> rmqtt::Result<Vec<(mqtt::TopicName, mqtt::Retain)>> {
        self.0.get_message(filter).await
    }

    async fn count(&self) -> isize {
        self.0.count().await
    }

    async fn max(&self) -> isize {
        self.0.max().await
    }
}

/// Shared subscriptions (`$share/group/filter`). rmqtt's default grants such a filter and then takes
/// it literally, so that it matches nothing.
pub(super) struct AnyMember;

type Member = (
    mqtt::NodeId,
    mqtt::ClientId,
    mqtt::SubscriptionOptions,
    Option<Vec<mqtt::SubscriptionIdentifier>>,
    Option<mqtt::IsOnline>,
);

#[async_trait]
impl SharedSubscription for AnyMember {
    fn is_supported(&self) -> bool {
        true
    }

    async fn choice(
        &self,
        _: &ServerContext,
        _: &mqtt::SharedGroup,
        _: &mqtt::Id,
        _: &mqtt::TopicName,
        members: &[Member],
    ) -> Option<(usize, mqtt::IsOnline)> {
        let is_online = |i: &usize| members[*i].4 == Some(true);
        let mut candidates: Vec<usize> = (0..members.len()).filter(is_online).collect();
        if candidates.is_empty() {
            // The message waits in the session of one who will be back.
            candidates = (0..members.len()).collect();
        }
        let random = RandomState::new().hash_one(()) as usize;
        let pick = candidates.get(random.checked_rem(candidates.len())?)?;
        Some((*pick, is_online(pick)))
    }
}
