//! A namespace for one test: made, shown when the test fails, emptied and deleted.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures_util::FutureExt;
use k8s_openapi::api::core::v1;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::RwLock;

use crate::limits::SHOWN_LINES;
use crate::{cluster, process};

/// What a test may leave behind, and what is shown of it. Secrets are deleted and never shown.
const KINDS: [(&str, &str, &str, bool); 10] = [
    ("doorward.dev", "v1alpha1", "ApiAuthPolicy", true),
    ("", "v1", "Pod", true),
    ("", "v1", "Service", true),
    ("", "v1", "ConfigMap", true),
    ("coordination.k8s.io", "v1", "Lease", true),
    ("events.k8s.io", "v1", "Event", true),
    ("", "v1", "ServiceAccount", false),
    ("", "v1", "Secret", false),
    ("rbac.authorization.k8s.io", "v1", "Role", false),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", false),
];

/// Who runs among others, and who alone.
static TURNS: RwLock<()> = RwLock::const_new(());

/// A namespace that only one test knows.
#[derive(Clone)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// A folder for logs and other files of the test; it stays where the test fails.
    pub folder: PathBuf,
    client: Client,
}

/// Runs a test in a namespace of its own. `label` begins the name: a few small letters.
///
/// When the test fails, by an error or by a panic, the objects, the events and the ends of the logs are printed. Objects are
/// deleted in any case; on the control rung nobody takes the empty namespace away, which then stays `Terminating`.
///
/// # Errors
/// The test's; or where there is no cluster, or the namespace cannot be made or emptied.
///
/// # Panics
/// As the test does.
pub async fn within(label: &str, test: impl AsyncFnOnce(&Namespace) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let _among_others = TURNS.read().await;
    run(label, test).await
}

/// The same while no other test runs: for an operator, which looks at all namespaces and has fixed ports, and for an API server that
/// is stopped.
///
/// # Errors
/// As [`within`].
///
/// # Panics
/// As the test does.
pub async fn alone(label: &str, test: impl AsyncFnOnce(&Namespace) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let _alone = TURNS.write().await;
    run(label, test).await
}

/// One more namespace, for a test that has its turn already.
///
/// # Errors
/// As [`within`].
///
/// # Panics
/// As the test does.
pub async fn beside(label: &str, test: impl AsyncFnOnce(&Namespace) -> anyhow::Result<()>) -> anyhow::Result<()> {
    run(label, test).await
}

async fn run(label: &str, test: impl AsyncFnOnce(&Namespace) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let namespace = Namespace::new(label).await?;
    let result = AssertUnwindSafe(test(&namespace)).catch_unwind().await;
    let failed = !matches!(result, Ok(Ok(())));
    if failed {
        namespace.show().await;
    }
    let deleted = namespace.delete().await;
    match result {
        Ok(result) => {
            result?;
            deleted?;
            std::fs::remove_dir_all(&namespace.folder).context("cannot remove the folder of the test")
        }
        Err(panic) => resume_unwind(panic),
    }
}

impl Namespace {
    async fn new(label: &str) -> anyhow::Result<Self> {
        let client = cluster::client().await?;
        let name = format!("{label}-{:08x}", random() >> 32);
        let folder = process::target_folder()?.join("e2e").join(&name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([("doorward.test/label".to_owned(), label.to_owned())])),
            ..ObjectMeta::default()
        };
        let object = v1::Namespace { metadata, ..v1::Namespace::default() };
        let created = Api::all(client.clone()).create(&PostParams::default(), &object).await;
        created.with_context(|| format!("cannot make the namespace `{name}`"))?;
        Ok(Self { name, folder, client })
    }

    /// The administrator's client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The objects of a kind in this namespace, as the administrator.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The policies in this namespace as the JSON that the API server holds: types would drop what they do not know.
    #[must_use]
    pub fn policies(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &ApiResource::erase::<crds::ApiAuthPolicy>(&()))
    }

    /// Prints what is there, for whoever looks why a test failed.
    async fn show(&self) {
        eprintln!("== namespace {}, files in {}", self.name, self.folder.display());
        for kind in KINDS.iter().filter(|(.., shown)| *shown) {
            let Ok(list) = self.every(kind).list(&ListParams::default()).await else { continue };
            for mut object in list {
                object.metadata.managed_fields = None;
                let yaml = serde_yaml::to_string(&object).unwrap_or_else(|error| error.to_string());
                let lines: String = yaml.lines().take(SHOWN_LINES).flat_map(|line| [line, "\n"]).collect();
                eprintln!("-- {} {}\n{lines}", kind.2, object.name_any());
            }
        }
        show_logs(&self.folder);
    }

    async fn delete(&self) -> anyhow::Result<()> {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        for kind in &KINDS {
            // Services cannot be deleted together on every version; a kind that a cluster lacks has no objects.
            let Ok(list) = self.every(kind).list(&ListParams::default()).await else { continue };
            for object in list {
                match self.every(kind).delete(&object.name_any(), &now).await {
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    deleted => {
                        deleted.with_context(|| format!("cannot delete {} `{}`", kind.2, object.name_any()))?;
                    }
                }
            }
        }
        let namespaces: Api<v1::Namespace> = Api::all(self.client.clone());
        let deleted = namespaces.delete(&self.name, &DeleteParams::default()).await;
        deleted.with_context(|| format!("cannot delete the namespace `{}`", self.name)).map(drop)
    }

    fn every(&self, (group, version, kind, _): &(&str, &str, &str, bool)) -> Api<DynamicObject> {
        let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        if *kind == "ApiAuthPolicy" {
            resource = ApiResource::erase::<crds::ApiAuthPolicy>(&());
        }
        Api::namespaced_with(self.client.clone(), &self.name, &resource)
    }
}

fn show_logs(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            eprintln!("-- the end of {}\n{}", path.display(), process::tail(&path));
        }
    }
}

/// A number that no other test draws.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
