//! The side of the device.

use airlift_bundle::{Refusal, SIGNATURE_BYTES_MAX, Signed, TrustedKey};
use airlift_testkit::Gpg;
use base64ct::{Base64, Encoding as _};
use proptest::prelude::*;

use super::parts::{MANIFEST, armor, body, check, dearmor, trusted};

/// A gpg with an Ed25519 key, and what a device knows of it.
fn signer() -> (Gpg, String, TrustedKey) {
    let gpg = Gpg::new().expect("gpg");
    let name = gpg
        .generate("Release <release@example.com>", "ed25519", "never")
        .expect("a key");
    let key = trusted(&gpg, &name);
    (gpg, name, key)
}

#[test]
fn what_gpg_signs_is_good_armored_or_binary_with_either_hash() {
    let (gpg, name, key) = signer();
    for hash in ["SHA256", "SHA512"] {
        for form in [&["--armor"][..], &[]] {
            let arguments = [form, &["--digest-algo", hash]].concat();
            let signature = gpg
                .sign_with(&arguments, &[&name], MANIFEST)
                .expect("signed");
            let signed = check(&signature, std::slice::from_ref(&key), MANIFEST).expect(hash);
            assert_eq!(signed.key, 0);
            assert!(signed.signed_at > 1_700_000_000, "{}", signed.signed_at);
            let altered = check(&signature, std::slice::from_ref(&key), &MANIFEST[1..]);
            assert_eq!(altered, Err(Refusal::BadSignature));
        }
    }
}

#[test]
fn a_signature_over_another_hash_is_refused() {
    let (gpg, name, key) = signer();
    for hash in ["SHA1", "SHA224", "SHA384", "RIPEMD160"] {
        let signature = gpg.sign_with(&["--digest-algo", hash], &[&name], MANIFEST);
        let answer =
            signature.map(|signature| check(&signature, std::slice::from_ref(&key), MANIFEST));
        assert!(
            matches!(answer, Err(_) | Ok(Err(Refusal::BadSignature))),
            "{hash}: {answer:?}"
        );
    }
}

#[test]
fn a_strangers_signature_and_none_at_all_are_told_apart() {
    let (gpg, name, _) = signer();
    let (_other, _, key) = signer();
    let keys = [key];
    let signature = gpg.sign(&[&name], MANIFEST).expect("signed");
    assert_eq!(
        check(&signature, &keys, MANIFEST),
        Err(Refusal::UntrustedKey)
    );
    assert_eq!(check(&signature, &[], MANIFEST), Err(Refusal::UntrustedKey));
    for nothing in [&b""[..], b"\r\n \n", &armor(b"")] {
        assert_eq!(check(nothing, &keys, MANIFEST), Err(Refusal::Unsigned));
    }
    // A marker and a user id, but no signature.
    let others = b"\xCA\x03PGP\xB4\x05Alice";
    assert_eq!(check(others, &keys, MANIFEST), Err(Refusal::Unsigned));
    assert_eq!(
        check(&armor(others), &keys, MANIFEST),
        Err(Refusal::Unsigned)
    );
    for garbled in [&b"unsigned"[..], b"\0", b"\xFF", b"{}", MANIFEST] {
        assert_eq!(check(garbled, &keys, MANIFEST), Err(Refusal::BadSignature));
    }
    let long = vec![b'\n'; SIGNATURE_BYTES_MAX + 1];
    assert_eq!(check(&long, &keys, MANIFEST), Err(Refusal::TooLarge));
}

#[test]
fn a_subkey_signs_for_itself() {
    let (gpg, name, primary) = signer();
    let subkey = gpg.add_subkey(&name, "ed25519", "never").expect("a subkey");
    let signature = gpg.sign(&[&name], MANIFEST).expect("signed");
    let keys = [primary, trusted(&gpg, &subkey)];
    assert_ne!(keys[0].public_key, keys[1].public_key);
    assert_eq!(
        check(&signature, &keys, MANIFEST).map(|signed| signed.key),
        Ok(1)
    );
    assert_eq!(
        check(&signature, &keys[..1], MANIFEST),
        Err(Refusal::UntrustedKey)
    );
}

#[test]
fn of_two_signers_the_first_who_is_trusted_counts() {
    let (gpg, old, old_key) = signer();
    let rsa = gpg
        .generate("rsa@example.com", "rsa3072", "never")
        .expect("a key");
    let new = gpg
        .generate("new@example.com", "ed25519", "never")
        .expect("a key");
    let new_key = trusted(&gpg, &new);
    let together = gpg.sign(&[&rsa, &old, &new], MANIFEST).expect("signed");
    // As `cat` joins what two people signed, each on a machine of their own.
    let joined = [
        gpg.sign(&[&rsa], MANIFEST).expect("signed"),
        gpg.sign(&[&old], MANIFEST).expect("signed"),
        gpg.sign(&[&new], MANIFEST).expect("signed"),
    ]
    .concat();
    for both in [together, joined] {
        let key = |keys: &[TrustedKey]| check(&both, keys, MANIFEST).map(|signed| signed.key);
        assert_eq!(key(std::slice::from_ref(&old_key)), Ok(0));
        assert_eq!(key(std::slice::from_ref(&new_key)), Ok(0));
        assert_eq!(key(&[new_key.clone(), old_key.clone()]), Ok(1));
        let expired = TrustedKey {
            valid_until: Some(1_700_000_000),
            ..old_key.clone()
        };
        assert_eq!(key(&[expired.clone(), new_key.clone()]), Ok(1));
        assert_eq!(key(&[expired]), Err(Refusal::UntrustedKey));
    }
}

#[test]
fn a_key_signs_from_its_first_second_to_the_one_before_its_end() {
    let (gpg, name, key) = signer();
    let signature = gpg.sign(&[&name], MANIFEST).expect("signed");
    let signed_at = check(&signature, std::slice::from_ref(&key), MANIFEST)
        .expect("good")
        .signed_at;
    let at = |from, until| {
        let key = TrustedKey {
            valid_from: signed_at + from,
            valid_until: Some(signed_at + until),
            ..key.clone()
        };
        check(&signature, &[key], MANIFEST)
    };
    assert_eq!(at(0, 1), Ok(Signed { key: 0, signed_at }));
    assert_eq!(at(1, 2), Err(Refusal::UntrustedKey));
    assert_eq!(at(-1, 0), Err(Refusal::UntrustedKey));
}

#[test]
fn a_signature_that_wants_more_than_devices_understand_is_refused() {
    let (gpg, name, key) = signer();
    let with = |arguments: &[&str]| {
        let signature = gpg
            .sign_with(arguments, &[&name], MANIFEST)
            .expect("signed");
        check(&signature, std::slice::from_ref(&key), MANIFEST).map(|signed| signed.key)
    };
    let bad = Err(Refusal::BadSignature);
    assert_eq!(with(&["--default-sig-expire", "2d"]), bad);
    assert_eq!(with(&["--sig-notation", "!approved@example.com=yes"]), bad);
    assert_eq!(with(&["--sig-notation", "approved@example.com=yes"]), Ok(0));
    let long = format!("approved@example.com={}", "yes".repeat(100));
    assert_eq!(with(&["--sig-notation", &long]), bad);
    assert_eq!(with(&["--sig-policy-url", "!https://example.com"]), Ok(0));
    assert_eq!(with(&["--sender", "release@example.com"]), Ok(0));
    assert_eq!(with(&["--textmode"]), bad);
}

#[test]
fn a_key_with_which_anybody_could_sign_is_not_trusted() {
    let (gpg, name, key) = signer();
    let signature = gpg.sign(&[&name], MANIFEST).expect("signed");
    let mut identity = [0; 32];
    identity[0] = 1;
    for public_key in [[0; 32], identity, [2; 32], [0xFF; 32]] {
        let weak = TrustedKey {
            public_key,
            ..key.clone()
        };
        let answer = check(&signature, &[weak], MANIFEST);
        assert!(matches!(
            answer,
            Err(Refusal::UntrustedKey | Refusal::BadSignature)
        ));
        let is_point_of_low_order = public_key[0] < 2;
        assert!(!is_point_of_low_order || answer == Err(Refusal::UntrustedKey));
    }
}

#[test]
fn old_and_new_packets_of_definite_length_are_read() {
    let (gpg, name, key) = signer();
    let signature = gpg.sign_with(&[], &[&name], MANIFEST).expect("signed");
    let body = body(&signature);
    let length = body.len() as u8;
    let framed = |head: &[u8]| check(&[head, body].concat(), std::slice::from_ref(&key), MANIFEST);
    for head in [
        &[0x88, length][..],
        &[0x89, 0, length],
        &[0x8A, 0, 0, 0, length],
        &[0xC2, length],
        &[0xC2, 255, 0, 0, 0, length],
    ] {
        assert_eq!(framed(head).map(|signed| signed.key), Ok(0), "{head:02x?}");
    }
    for head in [
        // Of indeterminate or partial length, too short, too long, no packet.
        &[0x8B][..],
        &[0xC2, 224],
        &[0xC2, 254],
        &[0xC2, length - 1],
        &[0xC2, length + 1],
        &[0xC2, 192, 0],
        &[0x8A, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x42, length],
        &[],
    ] {
        assert_eq!(framed(head), Err(Refusal::BadSignature), "{head:02x?}");
    }
    let longer = [&[0xC2, length + 1][..], body, &[0]].concat();
    let answer = check(&longer, std::slice::from_ref(&key), MANIFEST);
    assert_eq!(answer, Err(Refusal::BadSignature));
    // R's length in bits, after two areas of subpackets and the digest's beginning.
    let hashed = 6 + usize::from(body[5]);
    let bits = hashed + 2 + usize::from(body[hashed + 1]) + 2 + 1;
    for wrong in [body[bits] ^ 1, body[bits] ^ 2] {
        let mut body = body.to_vec();
        body[bits] = wrong;
        let file = [&[0xC2, length][..], &body].concat();
        let answer = check(&file, std::slice::from_ref(&key), MANIFEST);
        assert_eq!(answer, Err(Refusal::BadSignature), "{wrong} bits");
    }
    // After another packet of 200 octets.
    let after = [&[0xCA, 192, 8][..], &[0; 200], &[0xC2, length], body].concat();
    assert!(check(&after, &[key], MANIFEST).is_ok());
}

#[test]
fn armor_is_read_as_mail_programs_leave_it_and_no_other_way() {
    let (gpg, name, key) = signer();
    let signature = gpg.sign(&[&name], MANIFEST).expect("signed");
    let signature = str::from_utf8(&signature).expect("text");
    let keys = [key];
    let read = |text: &str| check(text.as_bytes(), &keys, MANIFEST).map(|signed| signed.key);
    let plain = String::from_utf8(armor(&dearmor(signature.as_bytes()))).expect("text");
    let checksum = signature.lines().rev().nth(1).expect("a checksum");
    assert!(checksum.starts_with('='), "{checksum}");
    let with = |checksum: &str| plain.replace("-----END", &format!("{checksum}\n-----END"));
    for good in [
        signature.replace('\n', "\r\n"),
        signature.replace('\n', " \t\n"),
        format!("\n\r\n{}", signature.trim_end()),
        signature.replace(
            "SIGNATURE-----\n\n",
            "SIGNATURE-----\nVersion: 1\nComment: a b\n\n",
        ),
        plain.clone(),
        with(checksum),
    ] {
        assert_eq!(read(&good), Ok(0), "{good}");
    }
    let octets = dearmor(signature.as_bytes());
    let first = Base64::encode_string(&octets[..1]) + &Base64::encode_string(&octets[1..]);
    let head = "-----BEGIN PGP SIGNATURE-----\n\n";
    for bad in [
        format!("{head}{first}\n-----END PGP SIGNATURE-----\n"),
        with("=AAAA"),
        with("=AAA="),
        with("=AAAAA"),
        with("="),
        with("AAAA"),
        plain.replace("SIGNATURE-----\n\n", "SIGNATURE-----\n"),
        plain.replace("SIGNATURE-----\n\n", "SIGNATURE-----\nno header\n\n"),
        plain.replace("SIGNATURE", "MESSAGE"),
        plain.replace("-----END PGP SIGNATURE-----", ""),
        plain.replace("-----END", "----END"),
        format!("{plain}more"),
        format!("more\n{plain}"),
    ] {
        assert_eq!(read(&bad), Err(Refusal::BadSignature), "{bad}");
    }
}

#[test]
fn a_signature_that_is_cut_or_has_one_bit_wrong_vouches_for_nothing_else() {
    let (gpg, name, key) = signer();
    let keys = [key];
    let mut other = MANIFEST.to_vec();
    other[20] ^= 1;
    for form in [&["--armor"][..], &[]] {
        let signature = gpg.sign_with(form, &[&name], MANIFEST).expect("signed");
        let good = check(&signature, &keys, MANIFEST);
        let whole = signature.trim_ascii_end().len();
        for end in 0..signature.len() {
            let answer = check(&signature[..end], &keys, MANIFEST);
            // The last line's end may be missing.
            assert!(answer.is_err() || end >= whole, "{end} octets: {answer:?}");
        }
        for bit in 0..signature.len() * 8 {
            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let answer = check(&flipped, &keys, MANIFEST);
            assert!(answer.is_err() || answer == good, "bit {bit}: {answer:?}");
            assert!(check(&flipped, &keys, &other).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn mutations_are_refused_and_never_panic() {
    let (gpg, name, key) = signer();
    let keys = [key];
    let armored = gpg.sign(&[&name, &name], MANIFEST).expect("signed");
    let binary = dearmor(&armored);
    let edit = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
    let edits = prop::collection::vec(edit, 1..6);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let good = check(&armored, &keys, MANIFEST);
    runner
        .run(&(any::<bool>(), edits), |(is_armored, edits)| {
            let mut file = if is_armored {
                armored.clone()
            } else {
                binary.clone()
            };
            for (place, how, octet) in edits {
                let at = place
                    .index(file.len().max(1))
                    .min(file.len().saturating_sub(1));
                match how {
                    0 if !file.is_empty() => file[at] = octet,
                    1 => file.insert(at, octet),
                    2 if !file.is_empty() => drop(file.remove(at)),
                    _ => file.truncate(at),
                }
            }
            let answer = check(&file, &keys, MANIFEST);
            prop_assert!(answer.is_err() || answer == good);
            let of_another = check(&file, &keys, &MANIFEST[1..]);
            prop_assert!(of_another.is_err());
            Ok(())
        })
        .expect("no mutation passes");
}
