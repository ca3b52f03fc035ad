use core::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Serialize,
    de::{Deserializer, MapAccess, Visitor},
    ser::{SerializeMap, Serializer},
};

use crate::message::Text;

/// Slots that a heartbeat names: the one that runs, and the one that the next update goes to.
pub const SLOTS_MAX: usize = 2;

/// Which version lies in which slot, by the slot's label; an object on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Slots<S = Text>(pub [Option<(S, S)>; SLOTS_MAX]);

impl<S> Slots<S> {
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Slots([const { None }; SLOTS_MAX])
    }
}

impl<S: Serialize> Serialize for Slots<S> {
    fn serialize<Z: Serializer>(&self, to: Z) -> Result<Z::Ok, Z::Error> {
        let slots = self.0.iter().flatten();
        let mut map = to.serialize_map(Some(slots.clone().count()))?;
        for (label, version) in slots {
            map.serialize_entry(label, version)?;
        }
        map.end()
    }
}

impl<'de, S: Deserialize<'de>> Deserialize<'de> for Slots<S> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Labels(PhantomData))
    }
}

struct Labels<S>(PhantomData<S>);

impl<'de, S: Deserialize<'de>> Visitor<'de> for Labels<S> {
    type Value = Slots<S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("versions by slot")
    }

    /// What is beyond [`SLOTS_MAX`] is passed over.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Slots<S>, A::Error> {
        let mut slots = Slots::default();
        let mut room = slots.0.iter_mut();
        while let Some(slot) = map.next_entry()? {
            if let Some(place) = room.next() {
                *place = Some(slot);
            }
        }
        Ok(slots)
    }
}
