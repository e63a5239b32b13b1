//! The canonical path, and what is refused on the way to it (RFC 3986, sections 2 and 6).
//!
//! Escapes of unreserved characters are decoded, all others are written in upper case, characters that may not stand raw
//! are escaped; once. Whatever two readers could take differently is refused instead of repaired.

mod confusable;
mod segment;

pub use segment::Segment;

use crate::reason::BadRequest;
use crate::ruleset::Paths;
use std::borrow::Cow;
use std::fmt::Write;

/// The canonical form of a raw path that begins with `/`.
pub(super) fn canonical(raw: &str, paths: Paths) -> Result<Cow<'_, str>, BadRequest> {
    let path = if raw.bytes().all(stays_raw) { Cow::Borrowed(raw) } else { Cow::Owned(rewrite(raw, paths)?) };
    check_segments(&path)?;
    Ok(path)
}

/// Whether a path is its own canonical form, `%2F` allowed.
#[must_use]
pub fn is_canonical(path: &str) -> bool {
    path.starts_with('/')
        && canonical(path, Paths { encoded_slash: true, case_insensitive: false })
            .is_ok_and(|canonical| canonical == path)
}

/// The query passes byte for byte, so only what no URI may hold is looked for.
pub(super) fn check_query(query: &str) -> Result<(), BadRequest> {
    match query.bytes().find(|byte| !(0x21..=0x7e).contains(byte)) {
        None => Ok(()),
        Some(0x80..) => Err(BadRequest::NonAscii),
        Some(_) => Err(BadRequest::ControlCharacter),
    }
}

/// The segments of a canonical path, one trailing slash left out.
pub(super) fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    inner.split('/').filter(|segment| !segment.is_empty()).map(Segment::of_canonical)
}

/// Unreserved characters (RFC 3986, section 2.3): their escapes mean the same as they do.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand raw in a path and is not refused: `pchar` (RFC 3986, section 3.3) and the slash, but no `;`.
fn stays_raw(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=')
}

fn rewrite(raw: &str, paths: Paths) -> Result<String, BadRequest> {
    let mut out = String::with_capacity(raw.len() + 16);
    let fault = copy_characters(raw, paths, &mut out).err();
    // What is in `out` stands to the left of the fault, and the left-most fault is the one to name.
    if has_double_escape(&out) {
        return Err(BadRequest::DoubleEscape);
    }
    fault.map_or(Ok(out), Err)
}

fn copy_characters(raw: &str, paths: Paths, out: &mut String) -> Result<(), BadRequest> {
    let mut rest = raw.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => rest = copy_escaped(rest, paths, out)?,
            b'\\' => return Err(BadRequest::Backslash),
            b';' => return Err(BadRequest::MatrixParameter),
            0x80.. => return Err(BadRequest::NonAscii),
            0..=0x20 | 0x7f => return Err(BadRequest::ControlCharacter),
            byte if stays_raw(byte) => out.push(char::from(byte)),
            byte => push_escape(out, byte),
        }
    }
    Ok(())
}

/// Copies one escaped character; `rest` begins behind its first percent sign.
fn copy_escaped<'a>(rest: &'a [u8], paths: Paths, out: &mut String) -> Result<&'a [u8], BadRequest> {
    let (first, rest) = hex_pair(rest).ok_or(BadRequest::BadEscape)?;
    match first {
        b'\\' => Err(BadRequest::Backslash),
        b';' => Err(BadRequest::MatrixParameter),
        b'/' if !paths.encoded_slash => Err(BadRequest::EncodedSlash),
        0..=0x1f | 0x7f => Err(BadRequest::ControlCharacter),
        0x80.. => copy_multibyte(first, rest, out),
        byte if is_unreserved(byte) => {
            out.push(char::from(byte));
            Ok(rest)
        }
        byte => {
            push_escape(out, byte);
            Ok(rest)
        }
    }
}

fn copy_multibyte<'a>(first: u8, rest: &'a [u8], out: &mut String) -> Result<&'a [u8], BadRequest> {
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Err(BadRequest::BadUtf8),
    };
    let mut bytes = vec![first];
    let mut rest = rest;
    while bytes.len() < length {
        let (byte, tail) = rest.strip_prefix(b"%").and_then(hex_pair).ok_or(BadRequest::BadUtf8)?;
        bytes.push(byte);
        rest = tail;
    }
    let character = std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next()).ok_or(BadRequest::BadUtf8)?;
    if character.is_control() {
        return Err(BadRequest::ControlCharacter);
    }
    if confusable::is_confusable(character) {
        return Err(BadRequest::Confusable);
    }
    bytes.into_iter().for_each(|byte| push_escape(out, byte));
    Ok(rest)
}

fn hex_pair(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (pair, rest) = bytes.split_first_chunk::<2>()?;
    let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
    Some((u8::try_from(high? * 16 + low?).ok()?, rest))
}

fn push_escape(out: &mut String, byte: u8) {
    // Writing into a string cannot fail.
    let _ = write!(out, "%{byte:02X}");
}

fn has_double_escape(canonical: &str) -> bool {
    canonical
        .as_bytes()
        .windows(5)
        .any(|window| window.starts_with(b"%25") && window.iter().skip(3).all(u8::is_ascii_hexdigit))
}

/// Dot and empty segments, an encoded slash taken for a real one: some application will.
fn check_segments(path: &str) -> Result<(), BadRequest> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    if inner.is_empty() {
        return Ok(());
    }
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for segment in inner.split('/').flat_map(|segment| segment.split("%2F")) {
        match segment {
            "" => return Err(BadRequest::EmptySegment),
            segment if is_dots(segment) => return Err(BadRequest::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

/// `.`, `..`, and what Windows takes for them: it drops further dots and spaces.
fn is_dots(segment: &str) -> bool {
    segment.replace("%20", ".").bytes().all(|byte| byte == b'.')
}

#[cfg(test)]
mod tests;
