use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError,
    Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, IdTokenFields, IdTokenVerifier, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse, UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod,
        CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::http;

/// How long the provider's description of itself is taken for true.
const DISCOVERY_KEPT: Duration = Duration::from_secs(3600);
/// Who does not know the key can't sign: a secret that is shared with the provider is no such key.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 8] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
];

/// All that a token says beyond the standard claims.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct MoreClaims(Map<String, Value>);

impl AdditionalClaims for MoreClaims {}

type TokenAnswer = StandardTokenResponse<
    IdTokenFields<
        MoreClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type ProviderClient = Client<
    MoreClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    TokenAnswer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// How the provider knows this server.
#[derive(Clone)]
pub struct ProviderOptions {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<String>,
    /// Where the provider sends people back to.
    pub redirect_url: String,
    /// Name of the claim that holds roles; dots lead into objects.
    pub role_claim: String,
}

impl fmt::Debug for ProviderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderOptions")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("redirect_url", &self.redirect_url)
            .finish_non_exhaustive()
    }
}

/// A login on its way to the provider.
pub struct Begun {
    pub url: String,
    /// What belongs to whose browser it is.
    pub proof: Proof,
}

/// What the answer must fit.
#[derive(Clone, Serialize, Deserialize)]
pub struct Proof {
    pub state: String,
    pub nonce: String,
    pub pkce_verifier: String,
}

/// Whom the provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub issuer: String,
    /// For ever the same person's at this issuer.
    pub subject: String,
    /// What the person may be called, best first.
    pub names: Vec<String>,
    /// The role claim's words.
    pub roles: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The same may succeed later.
    #[error("{0}")]
    Away(String),
    /// What came back is not what a login brings.
    #[error("{0}")]
    Refused(String),
}

/// The provider, asked at the first login and not before.
pub struct OidcProvider {
    options: ProviderOptions,
    http: OnceLock<Result<reqwest::Client, String>>,
    discovered: Mutex<Option<(Instant, Arc<CoreProviderMetadata>)>>,
}

impl OidcProvider {
    pub fn new(options: ProviderOptions) -> OidcProvider {
        OidcProvider {
            options,
            http: OnceLock::new(),
            discovered: Mutex::default(),
        }
    }

    pub fn issuer(&self) -> &str {
        &self.options.issuer
    }

    /// Begins a login: where the browser is to go.
    pub async fn begin(&self) -> Result<Begun, Error> {
        let metadata = self.metadata().await?;
        let client = self.client(&metadata)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        let offered = metadata.scopes_supported();
        for scope in ["profile", "email", &self.options.role_claim] {
            let is_offered =
                offered.is_some_and(|scopes| scopes.iter().any(|it| it.as_str() == scope));
            if is_offered {
                request = request.add_scope(Scope::new(scope.to_owned()));
            }
        }
        let (url, state, nonce) = request.url();
        Ok(Begun {
            url: url.to_string(),
            proof: Proof {
                state: state.secret().clone(),
                nonce: nonce.secret().clone(),
                pkce_verifier: verifier.secret().clone(),
            },
        })
    }

    /// Takes the code that a browser brought back for what it stands for.
    pub async fn finish(
        &self,
        code: String,
        proof: Proof,
        now: DateTime<Utc>,
    ) -> Result<Identity, Error> {
        let metadata = self.metadata().await?;
        let client = self.client(&metadata)?;
        let send = self.sender()?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| away(&format!("it has no token endpoint: {error}")))?
            .set_pkce_verifier(PkceCodeVerifier::new(proof.pkce_verifier))
            .request_async(&send)
            .await
            .map_err(code_refused)?;
        let nonce = Nonce::new(proof.nonce);
        let claims = match verified(&client, &answer, &nonce, now) {
            Err(Unverified::Signature(_)) => {
                // It may sign with a key that it did not have before.
                let metadata = self.discover().await?;
                verified(&self.client(&metadata)?, &answer, &nonce, now)
            }
            verified => verified,
        };
        let claims = claims
            .map_err(|why| Error::Refused(format!("the provider's ID token is not good: {why}")))?;
        let mut identity = Identity {
            issuer: self.options.issuer.clone(),
            subject: claims.subject().to_string(),
            names: Vec::new(),
            roles: Vec::new(),
        };
        let standard = [
            claims.preferred_username().map(|name| name.as_str()),
            claims.email().map(|email| email.as_str()),
            claims
                .name()
                .and_then(|name| name.get(None))
                .map(|name| name.as_str()),
        ];
        identity.add(
            standard,
            &claims.additional_claims().0,
            &self.options.role_claim,
        );
        if identity.roles.is_empty() || identity.names.is_empty() {
            let subject = claims.subject().clone();
            if let Ok(request) = client.user_info(answer.access_token().clone(), Some(subject)) {
                let more: UserInfoClaims<MoreClaims, CoreGenderClaim> = request
                    .request_async(&send)
                    .await
                    .map_err(|error| away(&format!("userinfo: {error}")))?;
                let standard = [
                    more.preferred_username().map(|name| name.as_str()),
                    more.email().map(|email| email.as_str()),
                    more.name()
                        .and_then(|name| name.get(None))
                        .map(|name| name.as_str()),
                ];
                identity.add(
                    standard,
                    &more.additional_claims().0,
                    &self.options.role_claim,
                );
            }
        }
        Ok(identity)
    }

    async fn metadata(&self) -> Result<Arc<CoreProviderMetadata>, Error> {
        let known = {
            let known = self.discovered.lock();
            known.unwrap_or_else(PoisonError::into_inner).clone()
        };
        match known {
            Some((at, metadata)) if at.elapsed() < DISCOVERY_KEPT => Ok(metadata),
            _ => self.discover().await,
        }
    }

    async fn discover(&self) -> Result<Arc<CoreProviderMetadata>, Error> {
        let issuer = IssuerUrl::new(self.options.issuer.clone())
            .map_err(|error| away(&format!("--oidc-issuer is no URL: {error}")))?;
        let send = self.sender()?;
        let metadata = CoreProviderMetadata::discover_async(issuer, &send)
            .await
            .map_err(|error| away(&chain(&error)))?;
        let metadata = Arc::new(metadata);
        let mut known = self
            .discovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), metadata.clone()));
        Ok(metadata)
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Result<ProviderClient, Error> {
        let redirect = RedirectUrl::new(self.options.redirect_url.clone())
            .map_err(|error| away(&format!("--public-url is no URL: {error}")))?;
        let methods = metadata.token_endpoint_auth_methods_supported();
        let offers =
            |method: CoreClientAuthMethod| methods.is_some_and(|methods| methods.contains(&method));
        let auth_type = match offers(CoreClientAuthMethod::ClientSecretPost)
            && !offers(CoreClientAuthMethod::ClientSecretBasic)
        {
            true => AuthType::RequestBody,
            false => AuthType::BasicAuth,
        };
        let client = Client::from_provider_metadata(
            metadata.clone(),
            ClientId::new(self.options.client_id.clone()),
            self.options.client_secret.clone().map(ClientSecret::new),
        );
        Ok(client.set_redirect_uri(redirect).set_auth_type(auth_type))
    }

    #[allow(
        clippy::type_complexity,
        reason = "an HTTP client for the library is a closure"
    )]
    fn sender(
        &self,
    ) -> Result<
        impl Fn(
            HttpRequest,
        ) -> std::pin::Pin<
            Box<dyn Future<Output = Result<openidconnect::HttpResponse, http::Error>> + Send>,
        > + Send
        + Sync
        + use<>,
        Error,
    > {
        let client = match self.http.get_or_init(http::client) {
            Ok(client) => client.clone(),
            Err(error) => return Err(away(error)),
        };
        Ok(move |request| {
            let sent = http::send(client.clone(), request);
            Box::pin(sent) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        })
    }
}

impl Identity {
    fn add(&mut self, names: [Option<&str>; 3], claims: &Map<String, Value>, role_claim: &str) {
        for name in names.into_iter().flatten() {
            if !self.names.iter().any(|known| known == name) {
                self.names.push(name.to_owned());
            }
        }
        if self.roles.is_empty() {
            self.roles = words_of(claims, role_claim);
        }
    }
}

enum Unverified {
    /// Perhaps for want of the key.
    Signature(String),
    Other(String),
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Unverified::Signature(why) | Unverified::Other(why)) = self;
        f.write_str(why)
    }
}

type Claims = openidconnect::IdTokenClaims<MoreClaims, CoreGenderClaim>;

/// What the ID token says, if it is the provider's, for us, for this login and of now.
fn verified(
    client: &ProviderClient,
    answer: &TokenAnswer,
    nonce: &Nonce,
    now: DateTime<Utc>,
) -> Result<Claims, Unverified> {
    let token = answer
        .id_token()
        .ok_or_else(|| Unverified::Other("there is none".to_owned()))?;
    let verifier: IdTokenVerifier<CoreJsonWebKey> = client
        .id_token_verifier()
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || now);
    let claims = token
        .claims(&verifier, nonce)
        .map_err(|error| match error {
            ClaimsVerificationError::SignatureVerification(error) => {
                Unverified::Signature(error.to_string())
            }
            error => Unverified::Other(error.to_string()),
        })?;
    if let Some(expected) = claims.access_token_hash() {
        let other = |error: &dyn fmt::Display| Unverified::Other(error.to_string());
        let algorithm = token.signing_alg().map_err(|error| other(&error))?;
        let key = token
            .signing_key(&verifier)
            .map_err(|error| other(&error))?;
        let hash = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
        if hash.map_err(|error| other(&error))? != *expected {
            let why = "it belongs to another access token";
            return Err(Unverified::Other(why.to_owned()));
        }
    }
    Ok(claims.clone())
}

/// The words of a claim, one or a list; the claim's name may lead into objects by dots.
fn words_of(claims: &Map<String, Value>, name: &str) -> Vec<String> {
    let found = claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.')
            .try_fold(claims.get(first)?, |value, part| value.get(part))
    });
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match found {
        Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn code_refused(
    error: RequestTokenError<http::Error, StandardErrorResponse<CoreErrorResponseType>>,
) -> Error {
    match error {
        RequestTokenError::ServerResponse(answer) => Error::Refused(format!(
            "the provider does not take the code: {}",
            answer.error()
        )),
        error => away(&chain(&error)),
    }
}

fn away(why: &str) -> Error {
    Error::Away(format!("the login provider can't be asked: {why}"))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_are_a_word_or_a_list_and_may_lie_deeper() {
        let claims = json!({
            "groups": ["airlift-admin", 7, "staff"],
            "role": "viewer",
            "realm_access": { "roles": ["operator"] },
            "a.b": "publisher",
        });
        let claims = claims.as_object().unwrap();
        for (name, words) in [
            ("groups", &["airlift-admin", "staff"][..]),
            ("role", &["viewer"]),
            ("realm_access.roles", &["operator"]),
            ("a.b", &["publisher"]),
            ("none", &[]),
            ("realm_access", &[]),
            ("role.deeper", &[]),
        ] {
            assert_eq!(words_of(claims, name), words, "{name}");
        }
    }
}
