//! Many sidecars on one replica: memory, idle time, and changes to all of them.

use std::sync::Arc;
use std::time::Duration;

use e2e::{cluster, definition};
use tokio::time::{Instant, sleep};

use crate::args::Sidecars;
use crate::fleet::{Fleet, Milestone};
use crate::limits::SETTLE;
use crate::operator::Operator;
use crate::process::Process;
use crate::report::{Outcome, note};
use crate::scene::{Scene, is_accepted, pods_of};
use crate::summary::{Summary, millis};

/// The application that all pods are.
const APP: &str = "bench";

/// Runs it.
pub(crate) async fn run(args: &Sidecars) -> anyhow::Result<Outcome> {
    let (common, count) = (&args.common, args.count);
    let mut outcome = Outcome::new(format!("{count} sidecars on one replica"));
    let client = cluster::client().await?;
    definition::applied(&client).await?;
    let operator = Arc::new(Operator::new(&common.operator, &common.ca).await?);
    let process = Process(common.pid);

    let scene = Scene::new(&client, &common.namespace).await?;
    note(&format!("making {count} pods and their tokens"));
    let pods = scene.pods(count, |_| APP.to_owned()).await?;
    let tokens = scene.tokens(&pods).await?;
    let generation = scene.apply(APP, 0).await?;
    scene.status(APP, |status| is_accepted(status, generation) && pods_of(status, "selected") == count).await?;
    sleep(SETTLE).await;
    let without = process.memory()?.rss;

    note("connecting");
    let (begun, cpu) = (Instant::now(), process.cpu()?);
    let mut fleet = Fleet::start(&operator, tokens);
    let synced = fleet.all(Milestone::Synced).await?;
    let connected = synced.into_iter().max().unwrap_or(begun).duration_since(begun);
    fleet.all(Milestone::Reported(generation)).await?;
    let enforced = scene.status(APP, |status| pods_of(status, "enforced") == count).await?.duration_since(begun);
    outcome.add("connected after", connected.as_secs_f64(), "s");
    outcome.add("`Enforced` by all after", enforced.as_secs_f64(), "s");
    outcome.add("tried again", fleet.retries as f64, "times");
    outcome.add("processor time of a connection", millis(process.cpu()? - cpu) / count as f64, "ms");

    note("idle");
    sleep(SETTLE).await;
    let (with, cpu, begun) = (process.memory()?.rss, process.cpu()?, Instant::now());
    sleep(Duration::from_secs(common.idle)).await;
    let idle = (process.cpu()? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    outcome.add("memory without streams", without as f64 / 1024.0, "MiB");
    outcome.add("memory with all streams", with as f64 / 1024.0, "MiB");
    outcome.against("memory of a stream", with.saturating_sub(without) as f64 / count as f64, "KiB", "<= 60");
    outcome.against("idle", idle * 100.0, "% of a core", "<= 5");

    note("changes");
    changes(args, &scene, &mut fleet, process, &mut outcome).await?;
    let memory = process.memory()?;
    outcome.add("memory at the end", memory.rss as f64 / 1024.0, "MiB");
    outcome.add("memory at its most", memory.peak as f64 / 1024.0, "MiB");
    outcome.add("tried again in all", fleet.retries as f64, "times");
    drop(fleet);
    scene.delete().await?;
    Ok(outcome)
}

/// One after the other: each is in force everywhere, and said to be, before the next.
async fn changes(
    args: &Sidecars,
    scene: &Scene,
    fleet: &mut Fleet,
    process: Process,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let (mut each, mut last, mut enforced) = (Vec::new(), Vec::new(), Vec::new());
    let before = process.cpu()?;
    for change in 1..=args.changes {
        let generation = scene.apply(APP, change).await?;
        let answered = Instant::now();
        let in_force = fleet.all(Milestone::Applied(generation)).await?;
        let since = in_force.into_iter().map(|at| at.saturating_duration_since(answered));
        let since: Vec<Duration> = since.collect();
        last.extend(since.iter().max());
        each.extend(since);
        fleet.all(Milestone::Reported(generation)).await?;
        let said =
            scene.status(APP, |status| is_accepted(status, generation) && pods_of(status, "enforced") == args.count);
        enforced.push(said.await?.saturating_duration_since(answered));
    }
    let cpu = millis(process.cpu()? - before) / args.changes.max(1) as f64;
    outcome.times("apply to in force, each stream", Summary::of(each), Some("<= 500 at 100 streams"));
    let last = Summary::of(last);
    outcome.add("apply to in force on all: p50", last.p50, "ms");
    outcome.against("apply to in force on all: max", last.max, "ms", "<= 5000");
    outcome.times("apply to `Enforced` in status", Summary::of(enforced), None);
    outcome.add("processor time of a change, reports included", cpu, "ms");
    Ok(())
}
