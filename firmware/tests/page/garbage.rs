//! Whatever arrives: no panic, no session left open, and an answer that is HTTP.

use airlift_firmware::page::{Connection, Progress};
use proptest::prelude::*;

use crate::support::{Session, at, chunked_upload_of, form, page, upload_of};

/// Feeds and then drops the connection.
fn survive(request: &[u8], piece: usize) {
    let (mut page, mut session, mut sent) = (page(), Session::default(), Vec::new());
    let mut connection = Connection::new();
    for piece in request.chunks(piece) {
        let _ = connection.receive(piece, at(0), &mut page, &mut session, &mut |bytes| {
            sent.extend_from_slice(bytes)
        });
    }
    let last = connection.ended(&mut session, &mut |bytes| sent.extend_from_slice(bytes));
    assert_eq!(last, Progress::Close);
    assert!(!session.open);
    assert_eq!(session.admitted, session.ended + session.aborted);
    assert!(sent.is_empty() || sent.starts_with(b"HTTP/1.1 "));
}

fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let file =
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|tail| [vec![0xE9], tail].concat());
    (file, prop::option::of(1usize..100)).prop_map(|(file, chunk)| match chunk {
        Some(size) => chunked_upload_of(&form(&file), size),
        None => upload_of(&form(&file)),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..5000), piece in 1usize..500) {
        survive(&bytes, piece);
    }

    #[test]
    fn random_bytes_in_place_of_a_body_are_survived(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'-')], 0..2000),
        chunked in any::<bool>(),
        piece in 1usize..500,
    ) {
        let request = if chunked { chunked_upload_of(&bytes, 100) } else { upload_of(&bytes) };
        survive(&request, piece);
    }

    #[test]
    fn changed_requests_are_survived(
        request in any_request(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..12),
        piece in 1usize..500,
    ) {
        let mut request = request;
        for (index, byte, how) in changes {
            if request.is_empty() {
                break;
            }
            let at = index.index(request.len());
            match how {
                0 => request[at] = byte,
                1 => request.insert(at, byte),
                2 => drop(request.remove(at)),
                _ => request.truncate(at),
            }
        }
        survive(&request, piece);
    }
}
