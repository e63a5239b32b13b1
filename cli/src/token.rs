//! `doorward token`: a token for development keys only.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::dev::DevKey;
use crate::load;
use crate::output::{Exit, write_json};

/// What `token` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The private key in PEM; with --new it is made and written here
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Make a new P-256 key first; an existing file is never replaced
    #[arg(long)]
    new: bool,
    /// Print the public key as a JSON Web Key Set for `issuers[].keys` instead of a token
    #[arg(long, conflicts_with_all = ["claims", "headers"])]
    jwks: bool,
    /// A claim: JSON where the value is JSON, a string otherwise; `iat` and `exp` (one hour) are added
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// A header parameter, written like a claim
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// The key identifier
    #[arg(long, value_name = "KID", default_value = "dev")]
    kid: String,
}

/// Runs the command.
///
/// # Errors
/// Where the key or a claim cannot be used.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    if args.new {
        write_new(&args.key, &DevKey::generate_ec(&args.kid)?.to_pem()?)?;
    }
    let pem = load::read(&args.key)?;
    let key = DevKey::from_pem(&args.kid, &pem).with_context(|| format!("`{}`", args.key.display()))?;
    if args.jwks {
        write_json(out, &json!({"keys": [key.jwk()]}))?;
        return Ok(Exit::Ok);
    }
    let now = jiff::Timestamp::now().as_second();
    let mut claims = Map::from_iter([("iat".to_owned(), json!(now)), ("exp".to_owned(), json!(now + 3600))]);
    claims.extend(members(&args.claims)?);
    writeln!(out, "{}", key.sign(&members(&args.headers)?, &claims)?)?;
    Ok(Exit::Ok)
}

/// Writes a file that only its owner can read, and that was not there.
fn write_new(path: &PathBuf, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot make `{}`", path.display()))
}

fn members(pairs: &[String]) -> anyhow::Result<Map<String, Value>> {
    let member = |pair: &String| {
        let (name, value) = pair.split_once('=').with_context(|| format!("`{pair}` is no NAME=VALUE"))?;
        Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
    };
    pairs.iter().map(member).collect()
}
