//! Warnings that clients show beside an admitted object, within what the API server passes on.

/// Of one warning, in characters: what the API server cuts each to when all together are too much.
const MAX_ONE: usize = 256;
/// Of all warnings, in characters; the API server drops what is beyond.
const MAX_ALL: usize = 4096;
/// Room for the last line, which says how many are not shown.
const RESERVED: usize = 64;

/// The warnings that are passed on whole, the last of them saying how many are not.
pub(super) fn bounded(warnings: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    let mut total = 0;
    for (index, warning) in warnings.iter().enumerate() {
        let short = shorten(warning);
        total += short.chars().count();
        if total > MAX_ALL - RESERVED {
            shown.push(format!("{} more warnings; `doorward check` shows all", warnings.len() - index));
            break;
        }
        shown.push(short);
    }
    shown
}

fn shorten(warning: &str) -> String {
    // The API server refuses control characters in them.
    let line = || warning.chars().map(|c| if c.is_control() { ' ' } else { c });
    if line().nth(MAX_ONE).is_none() {
        return line().collect();
    }
    line().take(MAX_ONE - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_shown_as_they_are() {
        let warnings = vec!["spec.mode: nothing is refused".to_owned(), "two\nlines".to_owned()];
        assert_eq!(bounded(&warnings), ["spec.mode: nothing is refused", "two lines"]);
    }

    #[test]
    fn many_and_long_ones_are_cut() {
        let warnings = vec!["ä".repeat(1000); 100];
        let shown = bounded(&warnings);
        assert!(shown.iter().all(|warning| warning.chars().count() <= MAX_ONE));
        assert!(shown.iter().map(|warning| warning.chars().count()).sum::<usize>() <= MAX_ALL);
        assert_eq!(shown.len(), 16);
        assert_eq!(shown.last().unwrap(), "85 more warnings; `doorward check` shows all");
    }
}
