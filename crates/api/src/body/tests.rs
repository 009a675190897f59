//! Bodies that are hostile or broken.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;

use super::*;

const BOUNDS: Bounds = Bounds { max_bytes: 4 << 20, pause: Duration::from_secs(5) };

/// A body that comes in parts.
fn parts(parts: Vec<io::Result<Bytes>>) -> Body {
    Body::from_stream(futures_util::stream::iter(parts))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn decoded(sent: &[u8]) -> Result<Vec<u8>, String> {
    let mut reservation = Memory::new(64 << 20).reservation();
    decode(Coding::Gzip, sent.to_vec(), BOUNDS.max_bytes, &mut reservation)
        .map_err(|refusal| refusal.to_string())
}

/// Lines that compress as measurements do.
fn lines(bytes: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut number: u64 = 7;
    while text.len() < bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        writeln!(text, "{{\"value\":{}}}", number >> 40).unwrap();
    }
    text
}

#[test]
fn gzip_is_decoded_whole_and_member_by_member() {
    let text = lines(300_000);
    assert_eq!(decoded(&gzip(&text)).unwrap(), text);
    let two = [gzip(b"one\n"), gzip(b"two\n")].concat();
    assert_eq!(decoded(&two).unwrap(), b"one\ntwo\n");
}

#[test]
fn truncated_and_corrupt_gzip_are_told_apart() {
    let whole = gzip(&lines(300_000));
    for end in [1, 9, 10, 11, whole.len() / 2, whole.len() - 1] {
        let error = decoded(&whole[..end]).unwrap_err();
        assert!(error.contains("truncated"), "{end}: {error}");
    }
    let mut corrupt = whole.clone();
    corrupt[whole.len() / 2] ^= 0xff;
    assert!(decoded(&corrupt).unwrap_err().contains("corrupt"));
    assert!(decoded(b"{\"value\":1}").unwrap_err().contains("no valid gzip"));
    assert!(decoded(b"").is_err());
}

#[test]
fn a_bomb_is_stopped_by_its_size_or_its_ratio() {
    let error = decoded(&gzip(&vec![b' '; 64 << 20])).unwrap_err();
    assert!(error.contains("factor of more than 200"), "{error}");
    let error = decoded(&gzip(&lines(5 << 20))).unwrap_err();
    assert!(error.contains("larger than 4 MiB"), "{error}");
}

#[test]
fn bodies_share_a_bounded_memory() {
    let memory = Memory::new(1 << 20);
    let mut first = memory.reservation();
    first.grow_to(800 << 10).unwrap();
    let mut second = memory.reservation();
    assert!(matches!(second.grow_to(800 << 10), Err(Refusal::Overloaded)));
    drop(first);
    second.grow_to(800 << 10).unwrap();
}

#[tokio::test]
async fn a_body_without_announced_length_is_bounded_all_the_same() {
    let memory = Memory::new(64 << 20);
    let part = Bytes::from(vec![b' '; 1 << 20]);
    let mut body = parts((0..5).map(|_| Ok(part.clone())).collect());
    let refusal =
        read(&HeaderMap::new(), &mut body, BOUNDS, &mut memory.reservation()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::BodyTooLarge(_)), "{refusal}");
}

#[tokio::test]
async fn an_announced_length_beyond_the_limit_is_refused_unread() {
    let memory = Memory::new(64 << 20);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("99999999"));
    let mut body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, io::Error>>());
    let refusal = read(&headers, &mut body, BOUNDS, &mut memory.reservation()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::BodyTooLarge(_)), "{refusal}");
}

#[tokio::test]
async fn a_broken_body_is_no_server_fault() {
    let memory = Memory::new(64 << 20);
    let mut body = parts(vec![Ok(Bytes::from_static(b"[")), Err(io::Error::other("reset"))]);
    let refusal =
        read(&HeaderMap::new(), &mut body, BOUNDS, &mut memory.reservation()).await.unwrap_err();
    assert_eq!(refusal.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_given_up() {
    let memory = Memory::new(64 << 20);
    let mut body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, io::Error>>());
    let refusal =
        read(&HeaderMap::new(), &mut body, BOUNDS, &mut memory.reservation()).await.unwrap_err();
    assert_eq!(refusal.status(), 408);
}
