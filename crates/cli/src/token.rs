//! `fanwire token`: makes tokens and says what they grant, for scripts and for whoever looks for what is wrong.

use crate::{
    args::{TokenArgs, TokenCheckArgs, TokenCommand, TokenMakeArgs},
    config::{self, Auth, Environment},
    failure::Failure,
    output,
};
use fanwire_auth::{
    ChannelPattern, Grant, KeySource, PublishedKeys, Rights, Verifier,
    claims::{Audience, Claims, Seconds},
    issue::issue,
    jwks::Source,
    rights::Patterns,
};
use serde_json::{json, value::RawValue};
use std::{
    io::{self, Read},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use zeroize::Zeroizing;

/// The longest token that is read from standard input, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Makes a token, or checks one.
pub(crate) async fn token(args: TokenArgs, environment: &Environment) -> Result<(), Failure> {
    match args.command {
        TokenCommand::Make(args) => make(*args, environment),
        TokenCommand::Check(args) => check(args, environment).await,
    }
}

fn make(args: TokenMakeArgs, environment: &Environment) -> Result<(), Failure> {
    let auth = config::load(&args.sources.inputs(environment))?.config.auth;
    let key = signing_key(args.key.as_deref(), &auth)?.signing().map_err(failed)?;
    let token = issue(&claims(args, &auth)?, &key).map_err(failed)?;
    Ok(output::result(&token)?)
}

/// The key that was named, or the first of the configuration's that signs.
fn signing_key(named: Option<&str>, auth: &Auth) -> Result<KeySource, Failure> {
    if let Some(named) = named {
        return named.parse().map_err(failed);
    }
    let secret = auth.sources().map_err(failed)?.into_iter().find(KeySource::is_secret);
    secret.ok_or_else(|| failed("no secret among auth.keys to sign with: name a key by --key KID:ALGORITHM:FILE"))
}

fn claims(args: TokenMakeArgs, auth: &Auth) -> Result<Claims, Failure> {
    if args.lasts > auth.lifetime {
        let most = humantime::format_duration(auth.lifetime);
        return Err(failed(format!("--lasts: nodes take no token that lasts longer than auth.lifetime, {most}")));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(failed)?;
    let info = args.info.map(RawValue::from_string).transpose();
    Ok(Claims {
        sub: args.user,
        exp: Some(Seconds((now + args.lasts).as_secs_f64().floor())),
        iat: Some(Seconds(now.as_secs_f64().floor())),
        nbf: None,
        aud: args.audience.or_else(|| auth.audiences.first().cloned()).map(Audience::One),
        iss: args.issuer.or_else(|| auth.issuers.first().cloned()),
        jti: args.id,
        info: info.map_err(|error| failed(format!("--info: {error}")))?,
        rights: Rights {
            subscribe: patterns(&args.subscribe)?,
            publish: patterns(&args.publish)?,
            presence: patterns(&args.presence)?,
            history: patterns(&args.history)?,
            broadcast: args.broadcast,
        },
    })
}

fn patterns(texts: &[String]) -> Result<Patterns, Failure> {
    let patterns = texts.iter().map(|text| ChannelPattern::parse(text)).collect::<Result<_, _>>().map_err(failed)?;
    Patterns::new(patterns).map_err(failed)
}

async fn check(args: TokenCheckArgs, environment: &Environment) -> Result<(), Failure> {
    let auth = config::load(&args.sources.inputs(environment))?.config.auth;
    let sources = auth.sources().map_err(failed)?;
    let verifier = Verifier::new(&sources, auth.expectations()).map_err(failed)?;
    let verifier = match auth.jwks().map_err(failed)? {
        Some(source) => verifier.with_published(published(&source).await?),
        None => verifier,
    };
    let token = if args.token == "-" { from_standard_input()? } else { Zeroizing::new(args.token) };
    let verified = verifier.verify(token.trim()).await;
    let grant = verified.map_err(|invalid| failed(format!("the token is refused: {invalid}")))?;
    Ok(output::result(&shown(&grant)?)?)
}

/// The keys at `source` as they are now.
async fn published(source: &Source) -> Result<Arc<PublishedKeys>, Failure> {
    let set = source.read().await.map_err(|error| failed(format!("auth.jwks can't be read: {error}")))?;
    Ok(Arc::new(PublishedKeys::fixed(set)))
}

fn from_standard_input() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// What a token grants, as JSON.
fn shown(grant: &Grant) -> Result<String, Failure> {
    let info = grant.info.as_ref().map(|info| serde_json::from_slice::<&RawValue>(info.parts().1)).transpose()?;
    let shown = json!({
        "user": grant.user,
        "token": grant.id,
        "seconds": grant.lasts.as_secs(),
        "info": info,
        "rights": grant.rights,
    });
    Ok(shown.to_string())
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}
