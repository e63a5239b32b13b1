//! Everything started, wired together, and stopped in order.

use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use policy::wire::UnknownKey;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::interval;
use tracing::{info, warn};

use crate::admission::{KubeLookup, Service};
use crate::api_server;
use crate::args::Args;
use crate::ca::{self, Authority, KubeStore, Webhooks, service_names};
use crate::compiler::{Compiler, Options};
use crate::engine::{Engine, Told};
use crate::hub::{Hub, PodId};
use crate::inject;
use crate::keys::Fetcher;
use crate::lease::{Group, Keeper};
use crate::limits::{self, LEADER_LOOK, WEBHOOK_CHECK};
use crate::metrics::Metrics;
use crate::serve::{Health, KubeReviewer, Server, ServerParts, webhooks};
use crate::status::{Writer, WriterParts};

/// The Secret and the ConfigMap of the built-in CA.
const CA: &str = "doorward-ca";

/// Runs until it is told to stop.
///
/// # Errors
/// Where no sidecar could run as the arguments say, the API server is too old, or an address cannot be bound.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let injection = args.injection()?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let client = api_server::client(&args.name).await?;
    tokio::select! {
        checked = api_server::check_version(&client) => checked?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    }

    let metrics = Metrics::new();
    let hub = Arc::new(Hub::default());
    let keys = Arc::new(issuer::Keys::new(issuer::Settings {
        allowed_networks: args.issuer_networks.clone(),
        loopback: false,
        max_stale: args.keys_max_stale,
    })?);
    let (stop, stopped) = watch::channel(false);
    let keeper = Keeper::new(client.clone(), &args.namespace, args.name.clone());
    let group = keeper.group();
    let leases = tokio::spawn(keeper.run(stopped));
    let authority = start_authority(&args, &client, group.clone());

    let options = Options::of(&args);
    let admission = Arc::new(Service::new(
        KubeLookup::new(&client),
        args.namespace.clone(),
        injection.clone(),
        options.compile.clone(),
    ));
    tokio::spawn(keep_injection(Arc::clone(&admission), injection, authority.bundles()));
    let compiler = Compiler::new(options);
    let (engine, told) = Engine::new(&client, compiler, Arc::clone(&hub), Fetcher::new(Arc::clone(&keys)));
    let engine = tokio::spawn(engine.run());
    let writer = start_writer(&args, &client, &hub, &told, group.clone());
    tokio::spawn(keep_webhooks(client.clone(), webhook_configurations(&args), Arc::clone(&authority), group));

    let health = Health::new(Arc::clone(&metrics), Arc::clone(&authority));
    let probes = health.start(args.health).await.with_context(|| format!("cannot listen on {}", args.health))?;
    tell_health(&health, told.complete);
    let webhooks = webhooks::start(args.webhooks, admission, authority.serving_config()?)
        .with_context(|| format!("cannot listen on {}", args.webhooks))?;
    let parts = ServerParts {
        hub,
        reviewer: Arc::new(KubeReviewer::new(&client)),
        authority,
        unknown_keys: Arc::new(move |_: &PodId, unknown: &[UnknownKey]| {
            unknown.iter().for_each(|key| keys.unknown_key(&key.issuer, &key.kid));
        }),
        metrics,
        limits: limits::Limits::of_this_process(),
    };
    let sidecars =
        Server::start(args.sidecars, parts).with_context(|| format!("cannot listen on {}", args.sidecars))?;
    info!(sidecars = %sidecars.address(), health = %probes.address(), "serving");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = engine => anyhow::bail!("the watches ended: {ended:?}"),
    }
    info!("stopping");
    health.stops();
    // That its sidecars go to another replica is nothing to be said of the policies.
    writer.abort();
    // Another replica may lead while this one says good-bye to its sidecars.
    stop.send_replace(true);
    let _ = leases.await;
    tokio::join!(sidecars.stop(), webhooks.stop());
    probes.stop().await;
    Ok(())
}

fn start_authority(args: &Args, client: &Client, mut group: watch::Receiver<Group>) -> Arc<Authority> {
    let mut names = service_names(&args.service, &args.namespace, &args.cluster_domain).to_vec();
    // Outside a cluster sidecars know the operator by another name.
    let url = args.url().parse::<http::Uri>().ok();
    names.extend(url.and_then(|url| url.host().map(str::to_owned)).filter(|host| !names.contains(host)));
    let authority = Authority::new(names);
    let (secret, source) = match &args.ca_secret {
        Some(name) => (name.as_str(), ca::Source::Given),
        None => (CA, ca::Source::BuiltIn),
    };
    let store = KubeStore::new(client, &args.namespace, secret, CA);
    let (leads, is_leader) = watch::channel(false);
    let exact = group.clone();
    tokio::spawn(async move {
        // Looked at again and again: a leader that is cut off hears of nothing and leads no longer.
        let mut looks = interval(LEADER_LOOK);
        loop {
            let now = group.borrow_and_update().leads();
            leads.send_if_modified(|before| std::mem::replace(before, now) != now);
            tokio::select! {
                _ = looks.tick() => {}
                changed = group.changed() => if changed.is_err() { return },
            }
        }
    });
    tokio::spawn(ca::run(store, source, Arc::clone(&authority), is_leader, move || exact.borrow().leads()));
    authority
}

fn start_writer(
    args: &Args,
    client: &Client,
    hub: &Arc<Hub>,
    told: &Told,
    group: watch::Receiver<Group>,
) -> JoinHandle<()> {
    let parts = WriterParts {
        client: client.clone(),
        name: args.name.clone(),
        hub: Arc::clone(hub),
        outcomes: told.outcomes.clone(),
        keys: told.keys.clone(),
        group,
        statuses: Arc::clone(&told.statuses),
        status_seen: Arc::clone(&told.status_seen),
    };
    tokio::spawn(Writer::new(parts).run())
}

fn tell_health(health: &Arc<Health>, mut complete: watch::Receiver<bool>) {
    let health = Arc::clone(health);
    tokio::spawn(async move {
        if complete.wait_for(|complete| *complete).await.is_ok() {
            info!("the caches are complete");
            health.caches_are_complete();
        }
    });
}

fn webhook_configurations(args: &Args) -> Webhooks {
    let name = vec![args.webhook_configuration.clone()];
    Webhooks { mutating: name.clone(), validating: name }
}

/// Pods that are made from now on know the operator by the CA of the moment.
async fn keep_injection(
    admission: Arc<Service<KubeLookup>>,
    settings: inject::Settings,
    mut bundles: watch::Receiver<Option<Arc<str>>>,
) {
    loop {
        let bundle = bundles.borrow_and_update().clone();
        if let Some(bundle) = bundle {
            admission.set_injection(inject::Settings { ca_bundle: bundle.to_string(), ..settings.clone() });
        }
        if bundles.changed().await.is_err() {
            return;
        }
    }
}

/// The leader tells the API server by which CA it knows the webhooks: after every change, and now and then, for others may
/// have written there.
async fn keep_webhooks(
    client: Client,
    webhooks: Webhooks,
    authority: Arc<Authority>,
    mut group: watch::Receiver<Group>,
) {
    let mut bundles = authority.bundles();
    let mut checks = interval(WEBHOOK_CHECK);
    loop {
        tokio::select! {
            _ = checks.tick() => {}
            changed = bundles.changed() => if changed.is_err() { return },
            changed = group.changed() => if changed.is_err() { return },
        }
        let bundle = bundles.borrow_and_update().clone();
        let Some(bundle) = bundle.filter(|_| group.borrow_and_update().leads()) else { continue };
        if let Err(error) = ca::patch_webhooks(&client, &webhooks, &bundle).await {
            warn!(error = &error as &dyn std::error::Error, "cannot write `caBundle`");
        }
    }
}
