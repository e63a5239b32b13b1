//! Keys that are fetched: what the command line says about it, and fetching them once.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use compile::Compiled;
use ipnet::IpNet;

/// What the operator's settings say about issuers.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct IssuerArgs {
    /// A network beside the public internet in which keys may be fetched (chart value `issuers.allowedNetworks`)
    #[arg(long = "issuer-allow-network", value_name = "CIDR", value_parser = compile::network)]
    pub allowed_networks: Vec<IpNet>,
}

impl IssuerArgs {
    /// The settings to compile with.
    #[must_use]
    pub fn compile_settings(&self) -> compile::Settings {
        compile::Settings {
            allowed_networks: self.allowed_networks.clone(),
            now: Some(compile::machine_time),
            ..compile::Settings::default()
        }
    }

    /// The settings to fetch with.
    #[must_use]
    pub fn fetch_settings(&self) -> issuer::Settings {
        issuer::Settings { allowed_networks: self.allowed_networks.clone(), ..issuer::Settings::default() }
    }
}

/// Fetches the keys that policies do not hold, and adds them to each as if it held them.
///
/// # Errors
/// Where one set cannot be fetched.
pub fn fetch(policies: &mut [Compiled], settings: issuer::Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keys = issuer::Keys::new(settings)?;
    let fetched = runtime.block_on(async {
        for policy in policies {
            for source in std::mem::take(&mut policy.sources) {
                let message = keys.fetch_once(&source).await;
                let message = message.with_context(|| format!("the keys of `{}`", source.issuer()))?;
                policy.keys.push((*message).clone());
            }
        }
        Ok(())
    });
    // A resolver that hangs holds nobody up.
    runtime.shutdown_background();
    fetched
}

/// Whose keys are fetched, and from where, a line each.
pub fn described(policy: &Compiled) -> impl Iterator<Item = (&str, String)> {
    policy.sources.iter().map(|source| {
        let from = source.jwks_url().map_or_else(|| "where its discovery document says".to_owned(), str::to_owned);
        let named = policy.body.issuers.iter().find(|issuer| issuer.keys == source.id());
        (named.map_or(source.issuer(), |issuer| issuer.name.as_str()), from)
    })
}

/// Says which keys are missing where nothing fetches them.
///
/// # Errors
/// Where writing fails.
pub fn warn_of_missing(policies: &[Compiled], out: &mut impl Write) -> std::io::Result<()> {
    policies.iter().flat_map(described).try_for_each(|(name, _)| {
        writeln!(out, "the keys of issuer `{name}` are missing, and its tokens are refused: give --fetch to fetch them")
    })
}

/// Reads a duration as policies write them.
///
/// # Errors
/// Where it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    compile::duration(text).ok_or_else(|| "write a number and one unit: `500ms`, `30s`, `5m` or `24h`".to_owned())
}
