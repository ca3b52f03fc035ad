//! OpenID Connect: the provider that people log in with. Outbound HTTP; whom it names is decided
//! elsewhere.

mod http;
mod provider;

pub use provider::{Begun, Error, Identity, OidcProvider, Proof, ProviderOptions};
