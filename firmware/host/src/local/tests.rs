use airlift_firmware::page::Refusal;

use super::*;

/// Remembers what was uploaded.
#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
    ended: bool,
    aborted: bool,
}

impl Upload for Image {
    fn accepts_any(&self) -> bool {
        true
    }

    fn wants_signature(&self) -> bool {
        false
    }

    fn admit(&mut self, _: Option<u64>) -> Result<(), Refusal> {
        Ok(())
    }

    fn manifest(&mut self, _: &[u8]) -> Result<(), Refusal> {
        unreachable!("no signature is wanted")
    }

    fn signature(&mut self, _: &[u8]) -> Result<(), Refusal> {
        unreachable!("no signature is wanted")
    }

    fn begin(&mut self, _: Now) -> Result<(), Refusal> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        self.ended = true;
        Ok(())
    }

    fn abort(&mut self) {
        self.aborted = true;
    }
}

const NOW: Now = Now {
    ms: 0,
    unix_seconds: 0,
    jitter: 0,
};

async fn start() -> (Local, TcpStream) {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let address = Address::bind(loopback, "secret".into()).await.unwrap();
    let local = Local::start(&address, "G", "1.0.1");
    let stream = TcpStream::connect(address.socket().unwrap()).await.unwrap();
    (local, stream)
}

/// An upload of `image` with the right password, but for `missing` bytes at its end.
fn request(image: &[u8], missing: usize) -> Vec<u8> {
    let head =
        "--B\r\nContent-Disposition: form-data; name=\"firmware\"; filename=\"f.bin\"\r\n\r\n";
    let body = [head.as_bytes(), image, b"\r\n--B--\r\n"].concat();
    let mut request = format!(
        "POST /api/ota/upload HTTP/1.1\r\nHost: g\r\nAuthorization: Basic OnNlY3JldA==\r\n\
         Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    request.truncate(request.len() - missing);
    request
}

/// Serves until the upload is over; true if the gateway is to reboot.
async fn serve_until(local: &mut Local, image: &mut Image) -> bool {
    loop {
        let ask = local.next().await;
        match local.take(ask, NOW, image) {
            None => return true,
            Some(answer) => answer.send(),
        }
        if image.aborted {
            return false;
        }
    }
}

#[tokio::test]
async fn an_upload_arrives_whole_and_the_reboot_waits_until_the_answer_is_read() {
    let (mut local, mut stream) = start().await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = request(&bytes, 0);
    let client = tokio::spawn(async move {
        stream.write_all(&sent).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    let mut image = Image::default();
    assert!(serve_until(&mut local, &mut image).await);
    assert!(image.ended && !image.aborted);
    assert!(image.bytes == bytes);
    let answer = client.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn an_upload_whose_sender_goes_away_is_aborted() {
    let (mut local, mut stream) = start().await;
    stream.write_all(&request(&[7; 1000], 20)).await.unwrap();
    drop(stream);
    let mut image = Image::default();
    assert!(!serve_until(&mut local, &mut image).await);
    assert!(!image.ended);
}

#[tokio::test]
async fn with_the_gateways_life_its_connections_end() {
    let (local, mut stream) = start().await;
    drop(local);
    let mut rest = Vec::new();
    // Closed or reset, as it comes.
    let _ = stream.write_all(b"GET / HTTP/1.1\r\n").await;
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest))
        .await
        .expect("the connection ends");
    assert!(rest.is_empty());
}

#[test]
fn a_password_of_ours_is_long_random_and_fits() {
    // Set up already by another test.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (one, other) = (new_password().unwrap(), new_password().unwrap());
    assert_eq!(one.len(), PASSWORD_CHARS);
    assert_ne!(one, other);
    check_password(&one).unwrap();
    assert!(check_password("").is_err());
    assert!(check_password(&"x".repeat(65)).is_err());
}

#[test]
fn text_is_cut_between_characters() {
    assert_eq!(cut::<4>("aéé"), "aé");
}
