//! Lists of objects, as `kubectl get -o yaml` prints them: what is in them counts as if it stood alone.

use serde_json::Value;

use super::Document;

/// The objects of a document: itself, or the items where it is a list.
#[must_use]
pub fn objects(mut document: Document) -> Vec<Document> {
    let is_list = matches!(document.value.get("kind").and_then(Value::as_str), Some("List" | "ApiAuthPolicyList"));
    let items = document.value.get_mut("items").filter(|_| is_list).and_then(Value::as_array_mut).map(std::mem::take);
    let Some(items) = items else { return vec![document] };
    let places = document.places.take_entries("items");
    let file = &document.file;
    items
        .into_iter()
        .zip(places.into_iter().map(Some).chain(std::iter::repeat_with(|| None)))
        .map(|(value, places)| Document { file: file.clone(), value, places: places.unwrap_or_default() })
        .collect()
}
