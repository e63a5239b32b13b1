//! The objects of `e2e/objects`: what the API server refuses, what `compile` refuses, and that `doorward check` agrees.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use compile::diagnostic::Severity;
use e2e::definition;
use e2e::namespace::{Namespace, within};
use e2e::process::{binary, output};
use serde_json::Value;

use crate::cases::{By, Invalid, invalid, valid};
use crate::scene::{MISTYPED, WAYS, compiled, config_map_objects, config_maps, policy, read_back, refusal, write};

#[tokio::test]
async fn what_is_valid_is_accepted_and_kept_as_it_was_written() -> anyhow::Result<()> {
    within("valid", async |namespace| {
        definition::applied(&namespace.client()).await?;
        config_maps(namespace).await?;
        let maps = config_map_objects(namespace).await?;
        for case in valid() {
            for way in WAYS {
                let name = format!("{}-{way:?}", case.name).to_ascii_lowercase();
                let sent = policy(&namespace.name, &name, &case.spec);
                let refused = refusal(write(namespace, way, &sent, false).await)?;
                assert_eq!(refused, None, "{name}: refused");
                let kept = read_back(namespace, &name).await?;
                assert_eq!(kept["spec"], case.spec, "{name}: not kept as it was written");
                let (usable, found) = compiled(kept, &maps);
                let codes: Vec<_> = found.iter().map(|one| one.code.as_str()).collect();
                assert!(usable.is_some() && codes == case.warnings, "{name}: {found:#?}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_the_schema_refuses_is_refused_in_every_way() -> anyhow::Result<()> {
    within("schema", async |namespace| {
        definition::applied(&namespace.client()).await?;
        let mut wrong = Vec::new();
        for case in invalid().iter().filter(|case| case.by != By::Compile) {
            for way in WAYS {
                let sent = policy(&namespace.name, &case.name, &case.spec);
                let refused = refusal(write(namespace, way, &sent, false).await)?;
                let said = refused.as_ref().is_some_and(|said| {
                    // Apply names lists' entries by their keys, and types by other words.
                    said.starts_with(MISTYPED) || (said.contains(&case.path) && said.contains(&case.says))
                });
                if !said {
                    wrong.push(format!("{} by {way:?}: {refused:?}", case.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    })
    .await
}

/// The API server keeps what it does not know, and does not resolve what is referred to: that is left to us.
#[tokio::test]
async fn what_only_we_refuse_is_kept_and_then_refused() -> anyhow::Result<()> {
    within("compile", async |namespace| {
        definition::applied(&namespace.client()).await?;
        config_maps(namespace).await?;
        let maps = config_map_objects(namespace).await?;
        let mut wrong = Vec::new();
        for case in invalid().iter().filter(|case| case.by == By::Compile) {
            for way in WAYS {
                let name = format!("{}-{way:?}", case.name).to_ascii_lowercase();
                let sent = policy(&namespace.name, &name, &case.spec);
                if let Some(said) = refusal(write(namespace, way, &sent, false).await)? {
                    wrong.push(format!("{name}: the API server refuses it: {said}"));
                    continue;
                }
                let kept = read_back(namespace, &name).await?;
                if kept["spec"] != case.spec {
                    wrong.push(format!("{name}: not kept as it was written: {}", kept["spec"]));
                }
                wrong.extend(not_refused(case, kept, &maps).map(|why| format!("{name}: {why}")));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    })
    .await
}

/// How the refusal is another than the case says.
fn not_refused(case: &Invalid, kept: Value, maps: &[Value]) -> Option<String> {
    let (usable, found) = compiled(kept, maps);
    let mut errors = found.iter().filter(|one| one.severity == Severity::Error);
    let wanted = |one: &compile::diagnostic::Diagnostic| {
        (Some(one.code.as_str()), one.path.as_str()) == (case.code.as_deref(), &case.path)
            && one.message.contains(&case.says)
    };
    let others = found.iter().filter(|one| one.severity == Severity::Error && !wanted(one)).count();
    let fine = usable.is_none() && errors.any(wanted) && others == 0;
    (!fine).then(|| found.iter().map(|one| format!("\n    {one}")).collect())
}

/// One object a file, so that one that cannot be read does not hide the others.
fn files(namespace: &Namespace, cases: &[(&str, &Value)], maps: &[Value]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let policies = cases.iter().map(|(name, spec)| ((*name).to_owned(), policy(&namespace.name, name, spec)));
    let maps = maps.iter().enumerate().map(|(index, map)| (format!("map-{index}"), map.clone()));
    for (name, object) in policies.chain(maps) {
        let file = namespace.folder.join(format!("{name}.json"));
        std::fs::write(&file, object.to_string()).with_context(|| format!("cannot write `{}`", file.display()))?;
        files.push(file);
    }
    Ok(files)
}

#[tokio::test]
async fn the_command_line_agrees() -> anyhow::Result<()> {
    within("check", async |namespace| {
        config_maps(namespace).await?;
        let maps = config_map_objects(namespace).await?;
        let (valid, invalid) = (valid(), invalid());
        let mut cases: Vec<_> = valid.iter().map(|case| (case.name.as_str(), &case.spec)).collect();
        cases.extend(invalid.iter().map(|case| (case.name.as_str(), &case.spec)));
        let files = files(namespace, &cases, &maps)?;
        let (status, stdout, stderr) = output(binary("doorward")?.args(["check", "-o", "json"]).args(&files))?;
        ensure!(!status.success(), "nothing is refused: {stdout}{stderr}");
        let answer: Value = serde_json::from_str(&stdout).with_context(|| format!("no JSON: {stdout}{stderr}"))?;

        let accepted: BTreeSet<_> = answer["policies"]
            .as_array()
            .context("no policies")?
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        let wanted: BTreeSet<_> = valid.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(accepted, wanted, "accepted by one and refused by the other");

        let found = answer["diagnostics"].as_array().context("no diagnostics")?;
        let mut wrong = Vec::new();
        for case in &invalid {
            let path = case.offline.as_ref().unwrap_or(&case.path);
            let errors = found.iter().filter(|one| one["severity"] == "error" && one["object"]["name"] == *case.name);
            let paths: Vec<_> = errors.filter_map(|one| one["path"].as_str()).collect();
            if paths != [path] {
                wrong.push(format!("{}: {paths:?} instead of {path}", case.name));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    })
    .await
}
