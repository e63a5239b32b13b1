//! Policies over many pods: how soon one that changes is compiled, published and said to be accepted.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{cluster, definition};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::args::Policies;
use crate::fleet::{Fleet, Milestone};
use crate::limits::{PAUSE, SETTLE};
use crate::operator::Operator;
use crate::process::Process;
use crate::report::{Outcome, note};
use crate::scene::{Made, Scene, is_accepted, pods_of};
use crate::summary::{Summary, millis};

/// Streams that show when a change is published, each of a pod of another policy.
const PROBES: usize = 10;

/// Where everything is.
struct Field {
    scenes: Vec<Scene>,
    /// Of each scene its pods.
    pods: Vec<Vec<Made>>,
    policies_each: usize,
    pods_each: usize,
}

/// Runs it.
pub(crate) async fn run(args: &Policies) -> anyhow::Result<Outcome> {
    let common = &args.common;
    let (pods, policies, namespaces) = (args.pods, args.policies, args.namespaces);
    let even = namespaces > 0 && policies > 0 && policies % namespaces == 0 && pods > 0 && pods % policies == 0;
    ensure!(even, "pods must be a multiple of policies, and policies of namespaces");
    let mut outcome = Outcome::new(format!("{policies} policies over {pods} pods in {namespaces} namespaces"));
    let client = cluster::client().await?;
    definition::applied(&client).await?;
    let operator = Arc::new(Operator::new(&common.operator, &common.ca).await?);
    let process = Process(common.pid);

    note(&format!("making {pods} pods"));
    let empty = process.memory()?.rss;
    let (begun, cpu) = (Instant::now(), process.cpu()?);
    let mut field = Field {
        scenes: Vec::new(),
        pods: Vec::new(),
        policies_each: policies / namespaces,
        pods_each: pods / policies,
    };
    for number in 0..namespaces {
        let scene = Scene::new(&client, &format!("{}-{number}", common.namespace)).await?;
        let made = scene.pods(pods / namespaces, |index| app(index / field.pods_each)).await?;
        field.pods.push(made);
        field.scenes.push(scene);
    }
    outcome.add("pods made after", begun.elapsed().as_secs_f64(), "s");
    outcome.add("processor time of a pod that is made", millis(process.cpu()? - cpu) / pods as f64, "ms");
    sleep(SETTLE).await;
    let memory = process.memory()?.rss;
    outcome.add("memory without pods", empty as f64 / 1024.0, "MiB");
    outcome.add("memory with all pods", memory as f64 / 1024.0, "MiB");
    outcome.add("memory of a pod", memory.saturating_sub(empty) as f64 / pods as f64, "KiB");

    note(&format!("making {policies} policies"));
    let begun = Instant::now();
    for number in 0..policies {
        let (scene, app) = field.policy(number)?;
        scene.apply(&app, 0).await?;
    }
    for number in 0..policies {
        let (scene, app) = field.policy(number)?;
        scene.status(&app, |status| is_accepted(status, 1) && pods_of(status, "selected") == field.pods_each).await?;
    }
    outcome.add("all policies accepted after", begun.elapsed().as_secs_f64(), "s");

    note("changes");
    changes(args, &field, &operator, process, &mut outcome).await?;
    sleep(SETTLE).await;
    let (cpu, begun) = (process.cpu()?, Instant::now());
    sleep(Duration::from_secs(common.idle)).await;
    let idle = (process.cpu()? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    outcome.against("idle", idle * 100.0, "% of a core", "<= 5");
    let memory = process.memory()?;
    outcome.add("memory at the end", memory.rss as f64 / 1024.0, "MiB");
    outcome.add("memory at its most", memory.peak as f64 / 1024.0, "MiB");
    for scene in &field.scenes {
        scene.delete().await?;
    }
    Ok(outcome)
}

async fn changes(
    args: &Policies,
    field: &Field,
    operator: &Arc<Operator>,
    process: Process,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let probes = PROBES.min(args.policies);
    let mut tokens = Vec::new();
    for number in 0..probes {
        tokens.extend(field.token(number).await?);
    }
    let mut fleet = Fleet::start(operator, tokens);
    fleet.all(Milestone::Reported(1)).await?;
    sleep(SETTLE).await;
    let (mut published, mut accepted) = (Vec::new(), Vec::new());
    let (cpu, logged) = (process.cpu()?, std::fs::metadata(&args.log)?.len());
    for change in 1..=args.changes {
        sleep(PAUSE).await;
        let number = change % probes;
        let (scene, app) = field.policy(number)?;
        let generation = scene.apply(&app, change).await?;
        let answered = Instant::now();
        published.push(fleet.one(number, generation).await?.saturating_duration_since(answered));
        let seen = scene.status(&app, |status| is_accepted(status, generation)).await?;
        accepted.push(seen.saturating_duration_since(answered));
    }
    outcome.times("apply to published", Summary::of(published), None);
    outcome.times("apply to `Accepted` in status", Summary::of(accepted), None);
    outcome.times("compiling the world", Summary::of(compiled(&args.log, logged)?), None);
    let cpu = millis(process.cpu()? - cpu) / args.changes.max(1) as f64;
    outcome.add("processor time of a change", cpu, "ms");
    Ok(())
}

impl Field {
    /// Neighbours are in different namespaces.
    fn policy(&self, number: usize) -> anyhow::Result<(&Scene, String)> {
        let scene = self.scenes.get(number % self.scenes.len()).context("no such policy")?;
        Ok((scene, app(number / self.scenes.len() % self.policies_each)))
    }

    /// Of the first pod of a policy.
    async fn token(&self, number: usize) -> anyhow::Result<Vec<String>> {
        let (scene, pods) = (number % self.scenes.len(), number / self.scenes.len() * self.pods_each);
        let pod = self.pods.get(scene).and_then(|all| all.get(pods..=pods)).context("no such pod")?;
        self.policy(number)?.0.tokens(pod).await
    }
}

fn app(number: usize) -> String {
    format!("app-{number}")
}

/// How long each compile took, from here on in the log.
fn compiled(log: &Path, from: u64) -> anyhow::Result<Vec<Duration>> {
    let mut text = String::new();
    let mut file = std::fs::File::open(log).with_context(|| format!("cannot read `{}`", log.display()))?;
    file.seek(SeekFrom::Start(from))?;
    file.read_to_string(&mut text)?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let compiles = lines.filter(|line| line.get("message").is_some_and(|message| message == "compiled"));
    Ok(compiles.filter_map(|line| line.get("micros")?.as_u64()).map(Duration::from_micros).collect())
}
