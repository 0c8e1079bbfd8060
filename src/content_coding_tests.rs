use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

const TEXT: &[u8] = br#"{"ok":true}"#;
/// `TEXT`, and 16 MiB of zeros, by another encoder.
const BROTLI: [u8; 15] =
    [0x0b, 0x05, 0x80, 0x7b, 0x22, 0x6f, 0x6b, 0x22, 0x3a, 0x74, 0x72, 0x75, 0x65, 0x7d, 0x03];
const BROTLI_ZEROS: [u8; 27] = [
    0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x2f, 0xff, 0xff,
    0xff, 0xf0, 0x4f, 0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f,
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn whole(bytes: &[u8]) -> Result<Decoded, CodingError> {
    Ok(Decoded { bytes: bytes.to_vec(), end: End::Whole })
}

fn read(values: &[&str], body: &[u8]) -> Result<Decoded, CodingError> {
    decode(values.iter().copied(), body, 1024)
}

#[test]
fn every_coding_in_use_is_taken_off_under_each_of_its_names() {
    let check = |values: &[&str], body: &[u8]| {
        assert_eq!(read(values, body), whole(TEXT), "for {values:?}");
    };
    for none in [&[][..], &[""], &["identity"], &[" , Identity,"], &["identity", ""]] {
        check(none, TEXT);
    }
    for name in ["gzip", "GZIP", " x-gzip ", "X-GZip", "gzip,", "identity, gzip"] {
        check(&[name], &gzip(TEXT));
    }
    for name in ["deflate", "Deflate"] {
        check(&[name], &zlib(TEXT));
        check(&[name], &raw(TEXT));
    }
    for name in ["br", "BR"] {
        check(&[name], &BROTLI);
    }
    for name in ["zstd", "ZStd"] {
        check(&[name], &zstd(TEXT));
    }
    // The last was put on last, however the list is spread over headers.
    check(&["gzip, zstd"], &zstd(&gzip(TEXT)));
    check(&["zstd", "deflate"], &zlib(&zstd(TEXT)));
    check(&["br, gzip"], &gzip(&BROTLI));
    check(&["gzip, gzip"], &gzip(&gzip(TEXT)));
}

#[test]
fn an_empty_body_has_nothing_to_take_off() {
    for name in ["gzip", "br", "deflate", "zstd", "gzip, br"] {
        assert_eq!(read(&[name], b""), whole(b""), "for {name}");
    }
}

#[test]
fn members_and_frames_in_a_row_are_one_body() {
    let two = |encode: fn(&[u8]) -> Vec<u8>| [encode(b"{\"ok\""), encode(b":true}")].concat();
    assert_eq!(read(&["gzip"], &two(gzip)), whole(TEXT));
    assert_eq!(read(&["zstd"], &two(zstd)), whole(TEXT));
    assert_eq!(read(&["gzip"], &[gzip(TEXT), vec![0; 64]].concat()), whole(TEXT));
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd(TEXT)].concat();
    assert_eq!(read(&["zstd"], &skipped), whole(TEXT));
}

#[test]
fn what_is_not_known_is_named() {
    let check = |value: &str, expected: &str| {
        assert_eq!(read(&[value], TEXT).unwrap_err().to_string(), expected, "for {value:?}");
    };
    check("compress", "has a content coding that is not known, `compress`");
    check("gzip, dcb", "has a content coding that is not known, `dcb`");
    check("\u{1b}[2J`", "has a content coding that is not known, `??2j?`");
    check("br,br,br,br,br", "has more than 4 content codings");
    let long = "x".repeat(99);
    check(&long, "has a content coding that is not known, `…`");
}

#[test]
fn damaged_and_truncated_bodies_are_distinguished() {
    let long: Vec<u8> = (0..200_u32).flat_map(u32::to_le_bytes).collect();
    let check = |name: &'static str, body: &[u8]| {
        assert_eq!(read(&[name], b"ok\n ok\n"), Err(CodingError::Corrupt(name)), "for {name}");
        assert_eq!(read(&[name], b"<html>"), Err(CodingError::Corrupt(name)), "for {name}");
        for length in 1..body.len() {
            let cut = decode([name], &body[..length], 1 << 20).unwrap();
            assert_eq!(cut.end, End::Truncated, "for {name} cut at {length}");
            assert!(long.starts_with(&cut.bytes), "for {name} cut at {length}");
        }
    };
    check("gzip", &gzip(&long));
    check("deflate", &zlib(&long));
    check("zstd", &zstd(&long));
    let mut flipped = gzip(&long);
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert_eq!(decode(["gzip"], &flipped, 100), {
        Ok(Decoded { bytes: long[..100].to_vec(), end: End::TooLarge })
    });
    assert_eq!(decode(["gzip"], &flipped, 1 << 20), Err(CodingError::Corrupt("gzip")));
    assert_eq!(read(&["br"], &BROTLI[..9]).unwrap().end, End::Truncated);
    assert_eq!(read(&["br"], b"<html>sign in</html>"), Err(CodingError::Corrupt("br")));
}

#[test]
fn a_small_body_cannot_become_a_large_one() {
    let zeros = vec![0; 1 << 22];
    let check = |value: &str, body: &[u8]| {
        assert!(body.len() < 20_000, "{} bytes of {value}", body.len());
        let decoded = read(&[value], body).unwrap();
        assert_eq!((decoded.bytes.len(), decoded.end), (1024, End::TooLarge), "for {value}");
    };
    check("gzip", &gzip(&zeros));
    check("deflate", &zlib(&zeros));
    check("deflate", &raw(&zeros));
    check("zstd", &zstd(&zeros));
    check("br", &BROTLI_ZEROS);
    let twice = read(&["gzip, gzip"], &gzip(&gzip(&zeros))).unwrap();
    assert!(twice.bytes.len() <= 1024 && twice.end == End::TooLarge);
    assert_eq!(read(&[], &zeros).unwrap().bytes.len(), 1024);
    // So does brotli with a window of 16 MiB.
    let wide = [&[0x0f][..], &BROTLI_ZEROS[1..]].concat();
    assert_eq!(read(&["br"], &wide), Err(CodingError::Corrupt("br")));
    // A window of 128 MiB is more than a frame may ask for.
    let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
    assert_eq!(read(&["zstd"], &wide), Err(CodingError::Corrupt("zstd")));
}

proptest! {
    #[test]
    fn no_body_breaks_a_decoder_or_its_bound(
        values in prop::collection::vec("gzip|br|zstd|deflate|[a-z, -]{0,9}", 0..4),
        head in prop::sample::select(vec![
            vec![],
            gzip(TEXT),
            zlib(TEXT),
            raw(TEXT),
            zstd(TEXT),
            BROTLI.to_vec(),
            BROTLI_ZEROS.to_vec(),
        ]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut body = [head, tail].concat();
        for (index, byte) in flips {
            if !body.is_empty() {
                let at = index.index(body.len());
                body[at] ^= byte;
            }
        }
        if let Ok(decoded) = decode(values.iter().map(String::as_str), &body, 256) {
            prop_assert!(decoded.bytes.len() <= 256);
        }
    }

    #[test]
    fn what_was_put_on_comes_off(text in prop::collection::vec(any::<u8>(), 1..2000)) {
        for (name, body) in [
            ("gzip", gzip(&text)),
            ("deflate", zlib(&text)),
            ("deflate", raw(&text)),
            ("zstd", zstd(&text)),
        ] {
            let decoded = decode([name], &body, 4096);
            prop_assert_eq!(decoded, whole(&text), "for {}", name);
            // However it comes in.
            let mut piecemeal = Decoder::new([name], BufReader::with_capacity(1, &*body), 4096)?;
            let mut found = Vec::new();
            piecemeal.read_to_end(&mut found)?;
            prop_assert!(found == text && piecemeal.end() == Ok(End::Whole), "for {}", name);
        }
    }
}
