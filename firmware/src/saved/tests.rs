use super::*;

fn order() -> Order {
    let mut links = Links::default();
    for url in ["http://server/manifest", "http://server/signature"] {
        links.urls.push_str(url).unwrap();
    }
    (links.manifest_end, links.signature_end) = (22, 45);
    Order {
        msg_id: "m".try_into().unwrap(),
        version: "2.0.0".try_into().unwrap(),
        url: "http://server/file".try_into().unwrap(),
        links: Some(links),
        ..Order::default()
    }
}

fn saved() -> Saved {
    let mut saved = Saved {
        next: Some(order()),
        release_counter: 5,
        release_on_trial: Some(6),
        time_floor: 1_770_000_000,
        ..Saved::default()
    };
    saved.known.push(7).unwrap();
    saved
}

fn written(saved: &mut Saved) -> Vec<u8, SAVED_BYTES_MAX> {
    let mut bytes = [0; SAVED_BYTES_MAX];
    let length = stored::write(saved, &mut bytes).unwrap();
    Vec::from_slice(&bytes[..length]).unwrap()
}

fn read(bytes: &[u8]) -> Saved {
    let mut buffer = [0; SAVED_BYTES_MAX];
    buffer[..bytes.len()].copy_from_slice(bytes);
    let mut saved = Saved::default();
    stored::read(&mut saved, &mut buffer).unwrap();
    saved
}

/// The state as images wrote it that knew of no bundles: format, no upgrade, the next order, no
/// ends, nothing installed, neither trial nor rollback, one id.
#[rustfmt::skip]
const BEFORE_BUNDLES: [u8; 87] = [
    1, 0, 1, 1, 0, b'm', 5, 0, b'2', b'.', b'0', b'.', b'0', 18, 0, b'h', b't', b't', b'p', b':',
    b'/', b'/', b's', b'e', b'r', b'v', b'e', b'r', b'/', b'f', b'i', b'l', b'e',
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn what_an_image_before_bundles_saved_is_read_and_the_other_way_round() {
    let bytes = written(&mut saved());
    // The zeros at its end are what is missing.
    let known_to_both = 73;
    assert_eq!(bytes[..known_to_both], BEFORE_BUNDLES[..known_to_both]);
    let mut expected = Saved {
        next: Some(order()),
        known: saved().known,
        ..Saved::default()
    };
    if let Some(next) = &mut expected.next {
        next.links = None;
    }
    assert_eq!(read(&BEFORE_BUNDLES), expected);
}

#[test]
fn what_is_saved_comes_back() {
    let mut running = saved();
    running.active = Some(Active {
        order: order(),
        ..Active::default()
    });
    for mut saved in [saved(), running, Saved::default()] {
        assert_eq!(read(&written(&mut saved)), saved);
    }
}

#[test]
fn links_are_three_urls() {
    let links = order().links.unwrap();
    let urls = (links.manifest(), links.signature(), links.web());
    let expected = ("http://server/manifest", "http://server/signature", "");
    assert_eq!(urls, expected);
}
