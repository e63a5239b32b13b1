//! Which hosts a rule is for.

/// One entry of `hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// This host.
    Exact(Box<str>),
    /// One or more labels before this suffix, which begins with a dot.
    Below(Box<str>),
}

/// How closely a rule names a host; the closest rules hide the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closeness {
    /// It names none.
    Any,
    /// By a wildcard, longer ones closer.
    Below(usize),
    /// By its name.
    Exact,
}

impl HostPattern {
    /// Parses a host in lower case without final dot, or `*.` and one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let canonical =
            crate::request::Host::parse(name).ok().filter(|host| host.as_str() == name && host.name() == name)?;
        Some(match text.strip_prefix('*') {
            Some(suffix) => Self::Below(suffix.into()),
            None => Self::Exact(canonical.name().into()),
        })
    }

    fn closeness(&self, host: &str) -> Option<Closeness> {
        match self {
            Self::Exact(name) => (**name == *host).then_some(Closeness::Exact),
            Self::Below(suffix) => {
                (host.len() > suffix.len() && host.ends_with(&**suffix)).then_some(Closeness::Below(suffix.len()))
            }
        }
    }
}

/// How closely these patterns name the host; none where they name only others.
pub(super) fn closeness(patterns: &[HostPattern], host: &str) -> Option<Closeness> {
    if patterns.is_empty() {
        return Some(Closeness::Any);
    }
    patterns.iter().filter_map(|pattern| pattern.closeness(host)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_never_acts_as_a_pattern() {
        let exact = HostPattern::parse("a.example.com").unwrap();
        assert!(exact.closeness("a.example.com").is_some());
        for other in ["axexample.com", "b.a.example.com", "example.com", "a.example.co"] {
            assert_eq!(exact.closeness(other), None);
        }
        let below = HostPattern::parse("*.example.com").unwrap();
        assert!(below.closeness("a.example.com").is_some() && below.closeness("a.b.example.com").is_some());
        for other in ["example.com", ".example.com", "aexample.com", "a.example.com.evil"] {
            assert_eq!(below.closeness(other).filter(|_| !other.starts_with('.')), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "*", "*.", "a.*.b", "**.a", "A.b", "a.b.", "a:80", "foo*", "*a.b"] {
            assert_eq!(HostPattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_closest_name_wins() {
        let patterns = ["*.com", "*.b.com", "a.b.com"].map(|text| HostPattern::parse(text).unwrap());
        assert_eq!(closeness(&patterns, "a.b.com"), Some(Closeness::Exact));
        assert_eq!(closeness(&patterns, "c.b.com"), Some(Closeness::Below(6)));
        assert_eq!(closeness(&patterns, "c.com"), Some(Closeness::Below(4)));
        assert_eq!(closeness(&patterns, "c.org"), None);
        assert_eq!(closeness(&[], "c.org"), Some(Closeness::Any));
        assert!(
            Closeness::Exact > Closeness::Below(9)
                && Closeness::Below(9) > Closeness::Below(3)
                && Closeness::Below(0) > Closeness::Any
        );
    }
}
