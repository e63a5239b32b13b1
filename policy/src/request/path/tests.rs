use super::*;
use proptest::prelude::*;

const STRICT: Paths = Paths { encoded_slash: false, case_insensitive: false };
const VERBATIM: Paths = Paths { encoded_slash: true, case_insensitive: false };

#[test]
fn canonical_form() {
    for (raw, wanted) in [
        ("/", "/"),
        ("/admin/", "/admin/"),
        ("/%61dmin", "/admin"),
        ("/a%2db%7ec", "/a-b~c"),
        ("/%40me", "/%40me"),
        ("/@me", "/@me"),
        ("/a%3ab", "/a%3Ab"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a\"<>[]^`{|}", "/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
        ("/100%25", "/100%25"),
        ("/100%25%20", "/100%25%20"),
        ("/%25zz", "/%25zz"),
        ("/a%20b", "/a%20b"),
        ("/...a", "/...a"),
    ] {
        assert_eq!(canonical(raw, STRICT).as_deref(), Ok(wanted), "{raw}");
    }
    assert_eq!(canonical("/a%2fb", VERBATIM).as_deref(), Ok("/a%2Fb"));
}

#[test]
fn refusals() {
    use BadRequest::*;
    for (raw, wanted) in [
        ("/\u{e9}", NonAscii),
        ("/a b", ControlCharacter),
        ("/a%00", ControlCharacter),
        ("/a%0D", ControlCharacter),
        ("/a%7f", ControlCharacter),
        ("/a%c2%85", ControlCharacter),
        ("/a\\b", Backslash),
        ("/a%5cb", Backslash),
        ("/a%5Cb", Backslash),
        ("/%", BadEscape),
        ("/%6", BadEscape),
        ("/%zz", BadEscape),
        ("/%+1", BadEscape),
        ("/%c0%ae", BadUtf8),
        ("/%ff", BadUtf8),
        ("/%e2%82", BadUtf8),
        ("/%ed%a0%80", BadUtf8),
        ("/%c3%zz", BadUtf8),
        ("/%ef%bc%8f", Confusable),
        ("/%e2%80%a8", Confusable),
        ("/a%2fb", EncodedSlash),
        ("/a%2Fb", EncodedSlash),
        ("/a;x=1", MatrixParameter),
        ("/a%3bx", MatrixParameter),
        ("/%2561dmin", DoubleEscape),
        ("/%25%36%31dmin", DoubleEscape),
        ("/%252e%252e", DoubleEscape),
        ("//admin", EmptySegment),
        ("/a//b", EmptySegment),
        ("/a//", EmptySegment),
        ("//", EmptySegment),
        ("/./a", DotSegment),
        ("/a/..", DotSegment),
        ("/a/...", DotSegment),
        ("/a/..%20", DotSegment),
        ("/a/%20/b", DotSegment),
        ("/a/../", DotSegment),
        ("/a/%2e%2E/b", DotSegment),
        // the left-most fault, characters before segments
        ("//a;b", MatrixParameter),
        ("/%zz/%5c", BadEscape),
        ("/%5c/%zz", Backslash),
        ("/%2541/%zz", DoubleEscape),
        ("/%zz/%2541", BadEscape),
        ("/a/..//", DotSegment),
        ("/a//..", EmptySegment),
    ] {
        assert_eq!(canonical(raw, STRICT), Err(wanted), "{raw}");
    }
}

#[test]
fn an_encoded_slash_that_may_pass_still_separates_segments_that_may_not() {
    for (raw, wanted) in [
        ("/a%2F..%2Fb", BadRequest::DotSegment),
        ("/a%2F%2Fb", BadRequest::EmptySegment),
        ("/a%2F", BadRequest::EmptySegment),
        ("/%2fadmin", BadRequest::EmptySegment),
    ] {
        assert_eq!(canonical(raw, VERBATIM), Err(wanted), "{raw}");
    }
}

#[test]
fn segments_compare_decoded() {
    let all = |path: &'static str| segments(path).collect::<Vec<_>>();
    assert!(all("/").is_empty());
    assert_eq!(all("/a/b/").len(), 2);
    let segment = |text| Segment::of_canonical(text);
    assert!(segment("%40me").is("@me") && segment("caf%C3%A9").is("caf\u{e9}"));
    assert!(!segment("a%2Fb").is("a/b") && !segment("a").is("ab") && !segment("ab").is("a"));
    assert!(segment("ADMIN").folded().eq(segment("admin").folded()));
    assert!(segment("%E2%84%AA").folded().eq("k".chars()), "the Kelvin sign folds to k");
    assert!(segment("%C5%BF").folded().eq("s".chars()), "the long s folds to s");
    assert!(segment("stra%C3%9Fe").folded().ne("strasse".chars()), "full folding is not asked for");
}

#[test]
fn query_characters() {
    assert_eq!(check_query("a=%zz&b=/../;\\"), Ok(()));
    assert_eq!(check_query("a=\u{e9}"), Err(BadRequest::NonAscii));
    assert_eq!(check_query("a=\u{7f}"), Err(BadRequest::ControlCharacter));
}

/// Paths made of what matters: separators, dots, escapes, some of them broken.
fn tricky_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9._~-]{1,3}",
        "%[0-9a-fA-F]{2}",
        "%25[0-9a-fA-F]{2}",
        "%[cCeE][0-9a-f]%[89ab][0-9a-f]",
        Just("/".to_owned()),
        Just("//".to_owned()),
        Just("/..".to_owned()),
        Just("%2f".to_owned()),
        "[!-~]",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn canonical_is_its_own_canonical_form(raw in tricky_path(), encoded_slash: bool) {
        let paths = Paths { encoded_slash, case_insensitive: false };
        if let Ok(once) = canonical(&raw, paths) {
            prop_assert_eq!(canonical(&once, paths), Ok(once.clone()));
            prop_assert!(once.is_ascii() && !once.contains("//") && !once.contains("/../") && !once.ends_with("/.."));
            prop_assert_eq!(segments(&once).map(|s| s.decoded().count()).any(|n| n == 0), false);
        }
    }
}
