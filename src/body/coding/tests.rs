use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::body::ResponseBody;
use crate::body::budget::{Budget, Share};
use crate::shares::{Holder, UseGauge};

const LEVELS: Levels = Levels { gzip: 6, zstd: 3 };

fn share() -> Share {
    Budget::new(&UseGauge::default(), 1 << 30, &Holder::alone()).share()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// What a body of these pieces is when it is compressed.
fn compressed(pieces: Vec<Bytes>, coding: Coding) -> Vec<u8> {
    runtime().block_on(async {
        let body = ResponseBody::pieces(pieces);
        let mut body = body.compressed(coding, LEVELS, share());
        let mut all = Vec::new();
        while let Some(data) = body.data().await {
            all.extend_from_slice(&data.unwrap());
        }
        all
    })
}

/// Decodes in pieces of this size; gives the largest piece that came out as well.
fn decoded(bytes: &[u8], coding: Coding, size: usize) -> Result<(Vec<u8>, usize), CodingError> {
    let mut decoder = Decoder::new(coding, share());
    let (mut all, mut largest) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(out) = decoder.piece()? {
            largest = largest.max(out.len());
            all.extend_from_slice(&out);
        }
    }
    decoder.finish()?;
    Ok((all, largest))
}

fn gzipped(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// By the decoders of the libraries themselves.
fn by_the_library(bytes: &[u8], coding: Coding) -> Vec<u8> {
    match coding {
        Coding::Zstd => zstd::decode_all(bytes).unwrap(),
        Coding::Gzip => {
            let mut all = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(bytes);
            decoder.read_to_end(&mut all).unwrap();
            all
        }
    }
}

const BOTH: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn compressed_body_is_the_same_when_it_is_decoded(
        pieces in prop::collection::vec(prop::collection::vec(0..4u8, 0..100_000), 0..4),
        size in 1..5000usize,
    ) {
        let whole = pieces.concat();
        for coding in BOTH {
            let pieces = pieces.iter().cloned().map(Bytes::from).collect();
            let bytes = compressed(pieces, coding);
            prop_assert!(by_the_library(&bytes, coding) == whole);
            let (ours, largest) = decoded(&bytes, coding, size).unwrap();
            prop_assert!(ours == whole);
            prop_assert!(largest <= PIECE);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..500),
        cut in any::<prop::sample::Index>(),
        slip in any::<(prop::sample::Index, u8)>(),
    ) {
        for coding in BOTH {
            let _ = decoded(&bytes, coding, 7);
            let mut good = compressed(vec![bytes.clone().into()], coding);
            let (at, byte) = (slip.0.index(good.len()), slip.1);
            good[at] ^= byte;
            let _ = decoded(&good, coding, 7);
            let cut = cut.index(good.len());
            good[at] ^= byte;
            if cut > 0 {
                prop_assert!(decoded(&good[..cut], coding, 7).is_err());
            }
        }
    }
}

#[test]
fn bomb_comes_out_in_bounded_pieces() {
    let zeros = vec![0; 50 << 20];
    for (coding, bomb) in [
        (Coding::Gzip, gzipped(&zeros)),
        (Coding::Zstd, zstd::encode_all(&zeros[..], 3).unwrap()),
    ] {
        assert!(bomb.len() < zeros.len() / 500);
        let mut decoder = Decoder::new(coding, share());
        decoder.push(bomb.into());
        let mut total = 0;
        while let Some(piece) = decoder.piece().unwrap() {
            assert!(piece.len() <= PIECE);
            total += piece.len();
        }
        assert_eq!(total, zeros.len());
    }
}

#[test]
fn several_streams_behind_each_other_are_one_body() {
    let twice = |bytes: Vec<u8>| [bytes.clone(), bytes].concat();
    let zstd = zstd::encode_all(&b"one"[..], 3).unwrap();
    for (coding, bytes) in [
        (Coding::Gzip, twice(gzipped(b"one"))),
        (Coding::Zstd, twice(zstd)),
    ] {
        for size in [1, 3, 1000] {
            assert_eq!(decoded(&bytes, coding, size).unwrap().0, b"oneone");
        }
    }
}

/// RFC 9659: 8 MiB are enough for everyone.
#[test]
fn zstd_that_needs_a_larger_window_is_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&vec![1; 1 << 20]).unwrap();
    let bytes = encoder.finish().unwrap();
    assert!(decoded(&bytes, Coding::Zstd, 1000).is_err());
}

#[test]
fn empty_body_has_no_coding_to_take_off() {
    for coding in BOTH {
        assert_eq!(decoded(b"", coding, 1).unwrap().0, b"");
    }
}
