//! Names: ours in a pod, and which is meant by one that is not known.

/// The container that sets up the redirect.
pub(super) const CAPTURE: &str = "doorward-capture";
/// The sidecar.
pub const SIDECAR: &str = "doorward";
/// The agent for callers.
pub(super) const AGENT: &str = "doorward-agent";

/// The program in both images.
pub(super) const PROGRAM: &str = "/doorward-sidecar";

/// The name that is meant, if one is near enough to say so: one slip in three characters.
pub(super) fn nearest<'known>(name: &str, known: impl IntoIterator<Item = &'known str>) -> Option<&'known str> {
    // A name is bounded only by its object, and the distance costs the product of both lengths.
    const COMPARED: usize = 64;
    let folded: String = name.chars().take(COMPARED).flat_map(char::to_lowercase).collect();
    let distance = |candidate: &str| strsim::damerau_levenshtein(candidate, &folded);
    let near = known.into_iter().map(|candidate| (distance(candidate), candidate));
    let near = near.filter(|(distance, candidate)| *distance <= (candidate.len().min(folded.len()) / 3).max(1));
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Names for a message.
pub(super) fn list<'name>(names: impl IntoIterator<Item = &'name str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
