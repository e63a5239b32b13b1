//! The projected token of the pod's service account.

use super::LinkError;
use crate::limits::TOKEN_FILE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file of the token; the kubelet replaces it long before the token ends.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile(PathBuf);

/// A token as it stood in its file.
pub(crate) struct Token {
    header: HeaderValue,
    /// When it ends, counted from 1970, as it says itself: the operator is the one who verifies it.
    pub(crate) end: Option<Duration>,
}

impl TokenFile {
    /// The file `token` of a folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self(folder.join("token"))
    }

    pub(super) fn read(&self) -> Result<Token, LinkError> {
        // A projected volume lies in memory.
        let text = read_bounded(&self.0).map_err(|source| LinkError::Token { path: self.0.clone(), source })?;
        let text = text.trim();
        let mut header = HeaderValue::from_str(&format!("Bearer {text}"))
            .ok()
            .filter(|_| !text.is_empty())
            .ok_or_else(|| LinkError::NoToken(self.0.clone()))?;
        header.set_sensitive(true);
        Ok(Token { header, end: end_of(text) })
    }
}

impl Token {
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(TOKEN_FILE + 1).read_to_string(&mut text)?;
    // Half a token would only be refused, and nobody would know why.
    if read as u64 > TOKEN_FILE { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// The claim `exp` (RFC 7519, section 4.1.4).
fn end_of(token: &str) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(Duration::from_secs(claims.exp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_anew_and_says_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(folder.path());
        assert!(matches!(file.read(), Err(LinkError::Token { .. })));
        let write = |text: &str| std::fs::write(folder.path().join("token"), text).unwrap();
        for empty in ["", " \n", "a\u{1}b"] {
            write(empty);
            assert!(matches!(file.read(), Err(LinkError::NoToken(_))), "{empty:?}");
        }
        write(&format!("e30.{}.x\n", URL_SAFE_NO_PAD.encode(r#"{"exp":4000000000,"aud":["doorward.dev"]}"#)));
        let token = file.read().unwrap();
        assert_eq!(token.end, Some(Duration::from_secs(4_000_000_000)));
        assert!(token.header().is_sensitive() && token.header().to_str().unwrap().starts_with("Bearer e30."));
        let most = usize::try_from(TOKEN_FILE).unwrap();
        write(&"x".repeat(most));
        assert!(file.read().is_ok());
        write(&"x".repeat(most + 1));
        assert!(
            matches!(file.read(), Err(LinkError::Token { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge)
        );
        write("opaque");
        assert_eq!(file.read().unwrap().end, None);
    }
}
